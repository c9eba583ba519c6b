"""TorchOpt: `MetaSGD` in a loop (examples/few-shot); variant `vmap`: its functional `sgd` under vmap (examples/FuncTorch)."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchopt
from _serve import Job, Setting, Work, serve
from _torch import Loop, synchronize, torch_settings
from torch import Tensor
from torch.func import functional_call, grad, vmap

Weights = dict[str, Tensor]


class Functional(Loop):
    """The functional interface, which can leave out second derivatives."""

    def adapt(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        names, weights = zip(*self.adapted_part().items(), strict=True)
        output = self.prepared(x)
        optimizer = torchopt.sgd(lr=self.lr)
        state = optimizer.init(weights)
        for _ in range(self.steps):
            loss = self.criterion(output(dict(zip(names, weights, strict=True))), y)
            gradients = torch.autograd.grad(loss, weights, create_graph=not self.first_order, retain_graph=not self.first_order)
            updates, state = optimizer.update(gradients, state, inplace=False)
            weights = torchopt.apply_updates(weights, updates, inplace=False)
        return lambda query: self.prepared(query)(dict(zip(names, weights, strict=True)))

    def adapted_part(self) -> Weights:
        """Return the weights that the inner loop changes."""
        return dict((self.net.head if self.work["learner"] == "anil" else self.net).named_parameters())

    def prepared(self, x: Tensor) -> Callable[[Weights], Tensor]:
        """Output as a function of the weights that the inner loop changes."""
        if self.work["learner"] == "anil":
            features = self.net.body(x)
            return lambda weights: F.linear(features, **weights)
        return lambda weights: functional_call(self.net, weights, (x,))


class Meta(Loop):
    """The object-oriented interface, of second order."""

    def adapt(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        module = self.net.head if self.work["learner"] == "anil" else self.net
        first = self.net.body(x) if self.work["learner"] == "anil" else x
        optimizer = torchopt.MetaSGD(module, lr=self.lr)
        for _ in range(self.steps):
            optimizer.step(self.criterion(module(first), y))
        return self.net

    def gradient(self, support: tuple[Tensor, Tensor], x: Tensor, y: Tensor) -> None:
        initial = torchopt.extract_state_dict(self.net, by="reference")
        super().gradient(support, x, y)
        torchopt.recover_state_dict(self.net, initial)


class Vectorized(Functional):
    """All tasks at once: `vmap` of one task's loss, then `backward` through it, as the example does."""

    def __init__(self, work: Work, variant: str, setting: Setting) -> None:
        super().__init__(work, variant, setting)
        self.stacked = [torch.stack(parts) for parts in zip(*self.data, strict=True)]

    def step(self) -> None:
        if self.evaluates:
            accuracies = []
            with torch.no_grad():
                for begin in range(0, self.tasks, 20):  # more need more memory than they save time
                    accuracies += vmap(self._accuracy_of)(*(part[begin : begin + 20] for part in self.stacked)).tolist()
            self.accuracies = accuracies
        else:
            self.net.zero_grad(set_to_none=True)
            vmap(self._loss_of)(*self.stacked).mean().backward()
        synchronize()

    def _output(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        output = self.prepared(support_x)

        def loss(weights: Weights) -> Tensor:
            return self.criterion(output(weights), support_y)

        weights = self.adapted_part()
        optimizer = torchopt.sgd(lr=self.lr)
        state = optimizer.init(weights)
        for _ in range(self.steps):
            gradients = grad(loss)(weights)
            if self.first_order:
                gradients = {name: value.detach() for name, value in gradients.items()}
            updates, state = optimizer.update(gradients, state, inplace=False)
            weights = torchopt.apply_updates(weights, updates, inplace=False)
        return self.prepared(query_x)(weights)

    def _loss_of(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        return self.criterion(self._output(support_x, support_y, query_x), query_y)

    def _accuracy_of(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> Tensor:
        return (self._output(support_x, support_y, query_x).argmax(-1) == query_y).to(query_x.dtype).mean()


def settings(work: Work, variant: str) -> list[Setting]:
    if variant == "vmap":
        return [chosen for chosen in torch_settings(work) if chosen["memory_format"] == "contiguous"]
    interfaces = ["functional"] if work["first_order"] or work["kind"] == "evaluate" else ["functional", "MetaSGD"]
    return [chosen | {"interface": interface} for chosen in torch_settings(work) for interface in interfaces]


def build(work: Work, variant: str, setting: Setting) -> Job:
    if variant == "vmap":
        return Vectorized(work, variant, setting)
    return (Meta if setting["interface"] == "MetaSGD" else Functional)(work, variant, setting)


if __name__ == "__main__":
    serve(settings, build, ("torch", "torchopt"))
