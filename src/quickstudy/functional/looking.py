"""Say whether the values of tensors may be looked at here, or functions are being mapped or captured, which must not depend on values."""

from __future__ import annotations

from torch._C._functorch import TransformType, get_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]
from torch._guards import detect_fake_mode
from torch.fx.experimental.proxy_tensor import get_proxy_mode


def may_look() -> bool:
    """Return whether Python may read the values of tensors: False inside of `vmap`, a captured graph or an export.

    >>> import torch
    >>> may_look()
    True
    >>> torch.func.vmap(lambda x: x * may_look())(torch.ones(2))
    tensor([0., 0.])
    """
    mapped = any(level.key() == TransformType.Vmap for level in get_interpreter_stack() or ())
    return not mapped and get_proxy_mode() is None and detect_fake_mode() is None
