"""Run a module with other tensors than its own, in a copy of its structure, so that nobody else who uses the module sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn
from torch._C import _functorch  # pyright: ignore[reportAttributeAccessIssue]
from torch.fx.experimental.proxy_tensor import get_proxy_mode

Parameters = dict[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)


def call(module: nn.Module, tensors: Mapping[str, Tensor], *args: Any) -> Any:
    """Return `module(*args)` with these parameters and buffers in place of its own; the others stay.

    `torch.func.functional_call` puts the tensors into the module itself while it runs, where other threads meet them.

    >>> import torch
    >>> call(nn.Linear(1, 1), {"weight": torch.ones(1, 1), "bias": torch.zeros(1)}, torch.ones(2, 1))
    tensor([[1.],
            [1.]])
    """
    return with_tensors(module, tensors)(*args)


def with_tensors(module: Module, tensors: Mapping[str, Tensor]) -> Module:
    """Return a copy of the module that holds these parameters and buffers and shares everything else, hooks included.

    A parameter that the module has under several names has its new value under all of them.

    Raises:
        KeyError: the module has no parameter or buffer of that name.
    """
    copier = _Copier(tensors)
    copied = copier.copied(module, "")
    if copier.unknown:
        raise KeyError(f"{type(module).__name__} has no parameter or buffer {', '.join(sorted(copier.unknown))}")
    return copied


def original(module: nn.Module) -> nn.Module:
    """Return the module that a copy by `with_tensors` was made from, or the module itself if it is no copy."""
    return vars(module).get("_original", module)


def trainable(module: nn.Module) -> Parameters:
    """Return the parameters to train, by name: those with `requires_grad`, also in a copy that holds plain tensors in their place."""
    found: Parameters = {name: value for name, value in original(module).named_parameters() if value.requires_grad}
    return found if original(module) is module else {name: value for name, value in module.named_parameters() if name in found}


def is_plain(tensor: Tensor) -> bool:
    """Say whether a tensor's values can be looked at: not while a function is mapped, differentiated by `torch.func`, or captured.

    >>> import torch
    >>> is_plain(torch.ones(1)), torch.vmap(lambda x: x + is_plain(x))(torch.ones(1))
    (True, tensor([1.]))
    """
    return type(tensor) in (Tensor, nn.Parameter) and _functorch.maybe_current_level() is None and get_proxy_mode() is None


def under(prefix: str, tensors: Mapping[str, Tensor]) -> Parameters:
    """Return the tensors whose names begin with the prefix, without it.

    >>> import torch
    >>> under("net.", {"net.weight": torch.ones(1), "head.weight": torch.zeros(1)})
    {'weight': tensor([1.])}
    """
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class _Copier:
    """Copies of modules in which tensors are replaced by name; what occurs several times is copied once."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors, self.unknown = tensors, set(tensors)
        self.copies: dict[int, nn.Module] = {}
        self.replaced: dict[int, Tensor] = {}

    def copied(self, module: Module, prefix: str) -> Module:
        """Return the copy of a module whose tensors have names that begin with the prefix."""
        if id(module) in self.copies:
            return self.copies[id(module)]  # pyright: ignore[reportReturnType]
        copy = object.__new__(type(module))
        self.copies[id(module)] = copy
        own = vars(copy)
        own.update(vars(module))
        own.setdefault("_original", module)
        own["_parameters"] = self._held(module._parameters, prefix)
        own["_buffers"] = self._held(module._buffers, prefix)
        own["_modules"] = {
            name: None if child is None else self.copied(child, f"{prefix}{name}.") for name, child in module._modules.items()
        }
        return copy

    def _held(self, tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        """Return the tensors that the copy holds."""
        held = {}
        for name, value in tensors.items():
            path = prefix + name
            if path in self.tensors:
                self.unknown.discard(path)
                self.replaced.setdefault(id(value), self.tensors[path])
            held[name] = self.replaced.get(id(value), value)
        return held
