"""Muon beside AdamW: each parameter moves as torch's own optimizer of its kind moves it, also after a file was read."""

from __future__ import annotations

import copy

import torch
from torch import nn

from quickstudy.training.optimizers import LEAST, OPTIMIZERS


def stepped(make: object, layer: nn.Linear, gradients: list[list[torch.Tensor]], state: dict | None = None) -> dict:
    """Step along gradients; return the optimizer's state."""
    optimizer = make(layer)  # type: ignore[operator]
    if state is not None:
        optimizer.load_state_dict(copy.deepcopy(state))
    for of_step in gradients:
        for value, gradient in zip(layer.parameters(), of_step, strict=True):
            value.grad = gradient.clone()
        optimizer.step()
    return optimizer.state_dict()


def drawn(layer: nn.Linear, count: int) -> list[list[torch.Tensor]]:
    return [[torch.randn_like(value) for value in layer.parameters()] for _ in range(count)]


def test_matrices_move_by_muon_and_all_else_by_adamw() -> None:
    torch.manual_seed(0)
    ours, muon, adamw = (copy.deepcopy(layer) for layer in [nn.Linear(40, 24)] * 3)
    gradients = drawn(ours, 4)
    stepped(lambda layer: OPTIMIZERS["muon"](layer.parameters(), lr=0.01, weight_decay=0.1), ours, gradients)
    stepped(lambda layer: torch.optim.Muon([layer.weight], 0.01, 0.1, adjust_lr_fn="match_rms_adamw"), muon, gradients)
    stepped(lambda layer: torch.optim.AdamW([layer.bias], 0.01, weight_decay=0.1), adamw, gradients)
    assert torch.equal(ours.weight, muon.weight)
    assert torch.equal(ours.bias, adamw.bias)


def test_its_state_goes_on_as_if_unbroken() -> None:
    torch.manual_seed(0)
    whole, broken = (copy.deepcopy(layer) for layer in [nn.Linear(40, 24)] * 2)
    gradients = drawn(whole, 6)

    def make(layer: nn.Linear) -> torch.optim.Optimizer:
        return OPTIMIZERS["muon"]([{"params": list(layer.parameters())}], lr=0.01)

    stepped(make, whole, gradients)
    state = stepped(make, broken, gradients[:3])
    stepped(make, broken, gradients[3:], state)
    assert torch.equal(whole.weight, broken.weight)
    assert torch.equal(whole.bias, broken.bias)


def test_matrices_with_few_rows_or_columns_and_learners_of_one_sort_alone_train_too() -> None:
    narrow, none = nn.Linear(LEAST["side"] - 1, 64, bias=False), nn.Linear(64, 64, bias=False)
    for layer, kind in ((narrow, torch.optim.AdamW), (none, torch.optim.Muon)):
        before = layer.weight.detach().clone()
        optimizer = OPTIMIZERS["muon"](layer.parameters(), lr=0.01)
        assert [type(part) for part in optimizer.parts] == [kind]  # type: ignore[attr-defined]
        stepped(lambda _, optimizer=optimizer: optimizer, layer, drawn(layer, 1))
        assert not torch.equal(layer.weight, before)
