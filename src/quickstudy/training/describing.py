"""Describing: a learner or net as plain values, of which it can be built again; every module argument is described too."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from quickstudy import discovery
from quickstudy.errors import ConfigError, FileFormatError, ModelError, unknown_name
from quickstudy.learner import Learner, hyperparameters

FOLDERS = ("learners", "nets")
"""Folders of the package whose classes are described by their file's name; the class of another module is named in full."""


def plain(value: Any, name: str) -> Any:
    """Return a value as JSON holds it: numbers of NumPy become Python's, tuples become lists.

    >>> plain({"channels": np.int64(4), "hidden": (8, 6)}, "net")
    {'channels': 4, 'hidden': [8, 6]}

    Args:
        value: texts, numbers, truth values, None, and lists and dicts of these.
        name: name of the value in an error.

    Raises:
        ConfigError: it holds something else, which no file could keep.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, f"{name}[{index}]") for index, inner in enumerate(value)]
    raise ConfigError(
        f"{name} is a {type(value).__name__} ({str(value)[:60]}), which a file cannot keep; expected a text, a number, a truth "
        "value, or a list or dict of these."
    )


def module_arguments(module: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that a module was built with, by the name of the argument."""
    names = list(inspect.signature(type(module).__init__).parameters)[1:]
    values = {name: getattr(module, name, None) for name in names}
    return {name: value for name, value in values.items() if isinstance(value, nn.Module)}


def describe_module(module: nn.Module) -> dict[str, Any]:
    """Return the name, the hyperparameters and the described modules of a learner or net of this package.

    A learner of the user's own is described by the name of its class, its hyperparameters and its modules; a net of the user's own by
    the name of its class alone, since it is passed as an instance when the file is read.

    Raises:
        ModelError: a constructor argument is not kept as an attribute.
        ConfigError: a hyperparameter is no plain value.
    """
    own = type(module).__module__
    folder = own.removeprefix("quickstudy.").partition(".")[0]
    known = own.startswith("quickstudy.") and folder in FOLDERS
    if not known and not isinstance(module, Learner):
        return {"class": f"{own}.{type(module).__qualname__}"}
    try:
        values = hyperparameters(module)
    except AttributeError as error:
        raise ModelError(
            f"{type(module).__name__} does not keep a constructor argument ({error}); set self.NAME = NAME."
        ) from error
    what = {"name": discovery.name_of(module)} if known else {"class": f"{own}.{type(module).__qualname__}"}
    modules = {name: describe_module(inner) for name, inner in module_arguments(module).items()}
    described = what | {"args": plain(values, type(module).__name__), "modules": modules}
    if isinstance(module, Learner):
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        frozen = [name for name, value in module.named_parameters() if not value.requires_grad]
        small = [name for name, value in tensors.items() if value.dtype == torch.bfloat16]  # which files hold as float32
        described |= {name: value for name, value in (("frozen", frozen), ("bfloat16", small)) if value}
    return described


def build_net(described: Mapping[str, Any], argument: str = "net") -> nn.Module:
    """Build the net that `describe_module` described.

    Raises:
        ConfigError: it is a net of the user's own.
        FileFormatError: it has a hyperparameter that its class does not have here.
    """
    if "name" not in described:
        raise ConfigError(
            f"this learner was saved with a net of your own, {described['class']}; pass an instance as {argument}=."
        )
    return build_module(discovery.load("nets", described["name"]), described, {})


def build_module(kind: type, described: Mapping[str, Any], changes: Mapping[str, Any]) -> Any:
    """Build a described learner or net of this class.

    Args:
        kind: the class.
        described: what `describe_module` returned. Arguments that its class has got since have their defaults.
        changes: arguments to take instead of the described ones, hyperparameters or modules.

    Raises:
        FileFormatError: an argument was described that the class does not have here.
        ConfigError: a change names no argument, or a module of the user's own is lacking.
    """
    args, modules = dict(described["args"]), described["modules"]
    known = list(inspect.signature(kind).parameters)
    strange = sorted((args.keys() | modules.keys()) - set(known))
    if strange:
        raise FileFormatError(
            f"the file gives {kind.__name__} a value for {', '.join(strange)}, which it does not have here: a newer quickstudy may "
            "have written it. Update quickstudy."
        )
    for change in changes:
        if change not in known:
            name = described.get("name") or described["class"]
            raise unknown_name(f"hyperparameter of {name}", change, [one for one in known if one not in modules])
    built = {name: build_net(inner, name) for name, inner in modules.items() if changes.get(name) is None}
    return kind(**(args | built | dict(changes)))


def check_header(path: str | os.PathLike[str], meta: Mapping[str, Any]) -> None:
    """Raise a FileFormatError unless a file's description has every part of a learner."""
    learner = meta.get("learner") if isinstance(meta, Mapping) else None
    lacking = [part for part in ("learner", "input", "info", "target", "temperature", "statistics") if part not in (meta or {})]
    if (
        not isinstance(learner, Mapping)
        or not ({"name", "class"} & learner.keys())
        or not {"args", "modules"} <= learner.keys()
    ):
        lacking = lacking or ["learner"]
    if lacking:
        raise FileFormatError(f"{path} has a damaged header (no {lacking[0]}).")
