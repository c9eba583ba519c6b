"""higher: `innerloop_ctx` as in its examples/maml-omniglot.py."""
# pyright: reportMissingImports=false

from __future__ import annotations

from collections.abc import Callable

import higher
import torch
from _serve import serve
from _torch import Loop, torch_settings
from torch import Tensor, nn


class Higher(Loop):
    """Of first order its adapted weights are cut off from the initial ones (`track_higher_grads=False`)."""

    def adapt(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        if self.work["learner"] == "anil":
            head = self._adapted(self.net.head, self.net.body(x), y)
            return lambda query: head(self.net.body(query))
        return self._adapted(self.net, x, y)

    def gradient(self, support: tuple[Tensor, Tensor], x: Tensor, y: Tensor) -> None:
        if not self.first_order:
            return super().gradient(support, x, y)
        adapted = self._adapted(self.net, *support)
        weights = list(adapted.parameters())
        gradients = torch.autograd.grad(self.criterion(adapted(x), y) / self.tasks, weights)
        for parameter, g in zip(self.net.parameters(), gradients, strict=True):
            parameter.grad = g if parameter.grad is None else parameter.grad.add_(g)
        return None

    def _adapted(self, module: nn.Module, x: Tensor, y: Tensor) -> nn.Module:
        optimizer = torch.optim.SGD(module.parameters(), lr=self.lr)
        context = higher.innerloop_ctx(module, optimizer, copy_initial_weights=False, track_higher_grads=not self.first_order)
        with context as (adapted, differentiable):
            for _ in range(self.steps):
                differentiable.step(self.criterion(adapted(x), y))
        return adapted


if __name__ == "__main__":
    serve(torch_settings, Higher, ("torch", "higher"))
