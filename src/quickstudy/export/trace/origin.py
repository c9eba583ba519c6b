"""Note where the operations of a captured graph come from: the function that was called, and the layer that called it; for messages.

torch rewrites many functions as other operations, and a derivative runs long after its layer did. So calls are noted before torch rewrites
them, and the call behind a derivative is found by the sequence number that autograd gives to its node.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

from quickstudy.errors import ModelError


@dataclasses.dataclass(frozen=True)
class Origin:
    """A call in a net.

    Args:
        function: what was called, such as `torch.relu`.
        layer: path and class of the module that called it, such as `net.1 (ReLU)`; empty for the learner itself.
    """

    function: Callable[..., Any]
    layer: str

    def __str__(self) -> str:
        name = resolve_name(self.function) or getattr(self.function, "__name__", str(self.function))
        return f"operator {name} in {f'layer {self.layer}' if self.layer else 'the learner itself'}"


def origin_of(node: fx.Node) -> Origin | None:
    """Return where a node of a captured graph comes from; None for one that no call of a function of torch made."""
    return node.meta.get("origin")


@contextlib.contextmanager
def origins(module: nn.Module, graph: fx.Graph) -> Iterator[None]:
    """Note in each node that is added to the graph inside this context where it comes from, and name that place in every ModelError."""
    calls = _Calls()
    hooks = [hook for name, layer in module.named_modules() for hook in calls.watch(name, layer)]
    try:
        with calls, _Marking(calls, graph):
            yield
    finally:
        for hook in hooks:
            hook.remove()


class _Calls(TorchFunctionMode):
    """The call that is running, and the calls that made autograd's nodes, by their sequence numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[str] = []
        self.running: Origin | None = None
        self.recorded: dict[int, Origin] = {}

    def watch(self, name: str, layer: nn.Module) -> list[Any]:
        """Return hooks that note when the layer begins and ends to run."""
        path = f"{name} ({type(layer).__name__})" if name else ""
        return [
            layer.register_forward_pre_hook(lambda *_: self.layers.append(path)),
            layer.register_forward_hook(lambda *_: self.layers.pop() and None, always_call=True),
        ]

    def current(self) -> Origin | None:
        """Return the call that the operation at hand belongs to."""
        node = torch._C._current_autograd_node()
        return self.running if node is None else self.recorded.get(node._sequence_nr())

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before, outer = torch.autograd._get_sequence_nr(), self.running
        self.running = origin = Origin(func, self.layers[-1] if self.layers else "")
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.running = outer
            self.recorded.update(dict.fromkeys(range(before, torch.autograd._get_sequence_nr()), origin))


class _Marking(TorchDispatchMode):
    """Writes the call at hand into the nodes that an operation adds to the graph."""

    def __init__(self, calls: _Calls, graph: fx.Graph) -> None:
        super().__init__()
        self.calls, self.graph = calls, graph

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        origin, last = self.calls.current(), next(iter(reversed(self.graph.nodes)), None)
        try:
            return func(*args, **(kwargs or {}))
        except ModelError as error:
            raise (ModelError(f"{origin}: {error}") if origin else error) from error
        finally:
            for node in reversed(self.graph.nodes):
                if node is last:
                    break
                node.meta["origin"] = origin
