"""What the contestants in PyTorch share: the nets, and a loop over tasks in which each says how one task is adapted to."""

from __future__ import annotations

import abc
import os
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from _serve import Setting, Work
from torch import Tensor, nn

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Net(nn.Sequential):
    """`body`, then `head`."""

    body: nn.Module
    head: nn.Module


def torch_settings(work: Work, variant: str = "") -> list[Setting]:
    """Threads and memory layouts worth trying."""
    threads = [1] if DEVICE.type == "cuda" else sorted({1, os.cpu_count() or 1})
    formats = ["contiguous"] if work["net"] == "mlp" else list(FORMATS)
    return [{"threads": count, "memory_format": name} for count in threads for name in formats]


def apply(setting: Setting) -> None:
    """Set the number of threads."""
    torch.set_num_threads(setting["threads"])


def make_net(work: Work, setting: Setting, with_head: bool = True) -> Net:
    """`body` and `head` with the given weights; batch norm always by the batch."""
    body: OrderedDict[str, nn.Module] = OrderedDict()
    if work["net"] == "mlp":
        body |= {"linear0": nn.Linear(1, 40), "relu0": nn.ReLU(), "linear1": nn.Linear(40, 40), "relu1": nn.ReLU()}
        features, outputs = 40, 1
    else:
        stride = 2 if work["net"] == "stride" else 1
        for i in range(4):
            body[f"conv{i}"] = nn.Conv2d(1 if i == 0 else 64, 64, 3, stride=stride, padding=1, bias=False)
            body[f"norm{i}"] = nn.BatchNorm2d(64, track_running_stats=False)
            body[f"relu{i}"] = nn.ReLU()
            if stride == 1:
                body[f"pool{i}"] = nn.MaxPool2d(2)
        body["flatten"] = nn.Flatten()
        features, outputs = 64 * (4 if stride == 2 else 1), work["ways"]
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        body=nn.Sequential(body), head=nn.Linear(features, outputs) if with_head else nn.Identity()
    )
    net = Net(layers)
    with np.load(work["weights"]) as weights:
        net.load_state_dict({name: torch.from_numpy(weights[name]) for name in net.state_dict()})
    return net.to(DEVICE, dtype_of(work)).to(memory_format=FORMATS[setting["memory_format"]])  # pyright: ignore[reportCallIssue]


def dtype_of(work: Work) -> torch.dtype:
    """float32, but for the exact check."""
    return getattr(torch, work.get("dtype", "float32"))


def to_device(array: np.ndarray | Tensor, setting: Setting, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a batch of inputs or targets in the setting's memory format, on the device."""
    tensor = torch.as_tensor(array).to(DEVICE)
    tensor = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return tensor.contiguous(memory_format=FORMATS[setting["memory_format"]]) if tensor.dim() == 4 else tensor


def synchronize() -> None:
    """Wait until the device has done everything."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


class Loop(abc.ABC):
    """A loop over tasks: meta-gradients in `.grad`, or accuracies.

    Args:
        work: see `works.py`.
        setting: of `torch_settings`.
    """

    def __init__(self, work: Work, variant: str, setting: Setting) -> None:
        apply(setting)
        self.work, self.steps, self.lr = work, work["inner_steps"], work["inner_lr"]
        self.net = make_net(work, setting)
        self.evaluates = work["kind"] == "evaluate"
        self.first_order = work["first_order"] or self.evaluates
        self.criterion: Callable[[Tensor, Tensor], Tensor] = F.mse_loss if work["net"] == "mlp" else F.cross_entropy
        self.tasks = work["tasks"]
        with np.load(work["data"]) as data:
            parts = [data[name] for name in ("support_x", "support_y", "query_x", "query_y")]
        self.data = [[to_device(part[i], setting, dtype_of(work)) for part in parts] for i in range(self.tasks)]
        self.accuracies: list[float] = []

    @abc.abstractmethod
    def adapt(self, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the net adapted to a support set; in first order, its weights are constants plus the initial weights."""

    def gradient(self, support: tuple[Tensor, Tensor], x: Tensor, y: Tensor) -> None:
        """Add one task's share to `.grad`."""
        (self.criterion(self.adapt(*support)(x), y) / self.tasks).backward()

    def before(self) -> None:  # noqa: B027
        pass

    def step(self) -> None:
        if self.evaluates:
            self.accuracies = [self._accuracy(*task) for task in self.data]
        else:
            self.net.zero_grad(set_to_none=True)
            for support_x, support_y, query_x, query_y in self.data:
                self.gradient((support_x, support_y), query_x, query_y)
        synchronize()

    def check(self) -> dict[str, np.ndarray]:
        self.step()
        if self.evaluates:
            return {"accuracy": np.array(self.accuracies)}
        return {name: gradient_of(value) for name, value in self.net.named_parameters()}

    def _accuracy(self, support_x: Tensor, support_y: Tensor, query_x: Tensor, query_y: Tensor) -> float:
        adapted = self.adapt(support_x, support_y)
        with torch.no_grad():
            return float((adapted(query_x).argmax(-1) == query_y).float().mean())


def gradient_of(parameter: Any) -> np.ndarray:
    """Return the meta-gradient of a parameter; zero if it has none."""
    gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    return gradient.detach().cpu().contiguous().numpy()
