"""Plain PyTorch: `autograd.grad` with `create_graph`, `functional_call`, a loop over tasks."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from _serve import serve
from _torch import Loop, torch_settings
from torch import Tensor
from torch.func import functional_call


class Plain(Loop):
    """First order needs no more than gradients that are constants."""

    def adapt(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        if self.work["learner"] == "anil":
            return self._adapt_head(x, y)
        weights: dict[str, Tensor] = dict(self.net.named_parameters())
        for _ in range(self.steps):
            loss = self.criterion(functional_call(self.net, weights, (x,)), y)
            weights = self._stepped(loss, weights)
        return lambda query: functional_call(self.net, weights, (query,))

    def _adapt_head(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        features = self.net.body(x)
        head: dict[str, Tensor] = dict(self.net.head.named_parameters())
        for _ in range(self.steps):
            head = self._stepped(self.criterion(F.linear(features, **head), y), head)
        return lambda query: F.linear(self.net.body(query), **head)

    def _stepped(self, loss: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        second = not self.first_order
        again = second or self.work["learner"] == "anil"  # ANIL's features are used again
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=second, retain_graph=again)
        return {name: value - self.lr * g for (name, value), g in zip(weights.items(), gradients, strict=True)}


if __name__ == "__main__":
    serve(torch_settings, Plain, ("torch",))
