"""Joined: each part of an example goes through an ordinary net of its kind, and their features become one row.

Xing, Rostamzadeh, Oreshkin and Pinheiro 2019, "Adaptive Cross-Modal Few-Shot Learning" (AM3), section 3.2: features of the picture and of
the text in one space, mixed by a gate that is learned. Deviations: each example is mixed, not each class's prototype; there may be any
number of parts, whose gates are a softmax over what each part says of its own importance, and a part that is missing has no share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy import discovery
from quickstudy.errors import ConfigError, check_at_least, check_choice
from quickstudy.functional.classes import ABSENT
from quickstudy.functional.features import feature_count, frame_count
from quickstudy.inputs import InputSpec, from_dict
from quickstudy.inputs.several import SeveralSpec
from quickstudy.layers.batch_norm import without_examples
from quickstudy.nets import _sizes

Join = Literal["gated", "beside"]
INPUTS: Mapping[str, Any] = {
    "kind": "several",
    "parts": {"name": {"kind": "text", "length": 16}, "numbers": {"kind": "rows", "features": 4, "columns": None}},
}
"""Description of the inputs of a net that was given none: a name and four numbers."""


class Joined(nn.Module):
    """Tensors by name, `[example, ...]`, to `[example, features]`.

    Args:
        inputs: description of the spec of the inputs, as `spec.model_dump()` makes it.
        nets: net of a part, by the part's name or its kind: the name of a net, or its `name` and what it is made with, such as
            `{text: {name: text_cnn, filters: 32}}`. Parts that are not named have the usual net of their kind.
        join: `gated`: every part is brought to `features` numbers, and a mean is taken of those that are there, weighted by learned gates;
            `beside`: the features of all parts stand beside each other, zeros for a part that is missing.
        features: numbers of each part before the mean; with `beside`, those that the nets have.

    >>> net = Joined(features=8)
    >>> x = {"name": torch.ones(3, 16), "name_there": torch.ones(3, 1), "numbers": torch.rand(3, 4), "numbers_there": torch.zeros(3, 1)}
    >>> net(x).shape, torch.equal(net(x), net(x | {"numbers": torch.rand(3, 4)}))
    (torch.Size([3, 8]), True)
    """

    from_data: ClassVar[tuple[str, ...]] = ("inputs",)

    def __init__(
        self,
        inputs: Mapping[str, Any] = INPUTS,
        nets: Mapping[str, Any] | None = None,
        join: Join = "gated",
        features: int = 64,
    ) -> None:
        super().__init__()
        check_choice("join", join, get_args(Join))
        check_at_least("features", features, 1)
        self.inputs, self.nets, self.join = dict(inputs), dict(nets or {}), join
        spec = _several(from_dict(inputs))
        _check_chosen(self.nets, spec)
        self.tensors = {f"of_{spec.tensor(name)}": (spec.tensor(name), spec.mask(name)) for name in spec.parts}
        """Names of the tensor of each part, and of the one that says whether it is there."""
        made = {f"of_{spec.tensor(name)}": _made(self._chosen(name, part), name, part) for name, part in spec.parts.items()}
        self.bodies = nn.ModuleDict(made)
        counts = {key: feature_count(net) for key, net in made.items()}
        self.features = features if join == "gated" else sum(counts.values())
        """Length of the output."""
        if join == "gated":
            self.projections = nn.ModuleDict({key: nn.Linear(count, features) for key, count in counts.items()})
            self.importance = nn.ModuleDict({key: nn.Linear(count, 1) for key, count in counts.items()})

    def forward(self, x: Mapping[str, Tensor]) -> Float[Tensor, "example feature"]:
        found, known = {}, {}
        for key, (tensor, mask) in self.tensors.items():
            known[key] = x[mask]
            with without_examples(x[mask].squeeze(-1) > 0):
                found[key] = self.bodies[key](x[tensor])
        if self.join == "beside":
            return torch.cat([features * known[key] for key, features in found.items()], -1)
        scores = [torch.where(known[key] > 0, self.importance[key](features), ABSENT) for key, features in found.items()]
        shares = torch.cat(scores, -1).softmax(-1)
        brought = torch.stack([self.projections[key](features) for key, features in found.items()], 1)
        return (shares.unsqueeze(-1) * brought).sum(1)

    def _chosen(self, name: str, part: InputSpec) -> Any:
        """Return what was chosen for a part, by its name or else by its kind; None for nothing."""
        return self.nets.get(name, self.nets.get(part.kind))

    @classmethod
    def fit_to(cls, spec: InputSpec) -> dict[str, Any]:
        """Return the description of the inputs.

        Raises:
            ConfigError: the inputs have a single part.
        """
        if not isinstance(spec, SeveralSpec):
            raise ConfigError(f"joined takes examples of several parts, but the data has {spec.nouns}; choose another net.")
        return {"inputs": spec.model_dump(mode="json")}


def _several(spec: InputSpec) -> SeveralSpec:
    """Return a spec if it is one of several parts.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(spec, SeveralSpec):
        raise ConfigError(f"inputs describe {spec.nouns}; expected examples of several parts.")
    return spec


def _check_chosen(nets: Mapping[str, Any], spec: SeveralSpec) -> None:
    """Raise a ConfigError for a net that is chosen for something that is no part."""
    known = {*spec.parts, *(part.kind for part in spec.parts.values())}
    strange = [name for name in nets if name not in known]
    if strange:
        raise ConfigError(f"nets names {strange[0]!r}; expected some of {', '.join(sorted(known))}: the parts or their kinds.")


def _made(chosen: Any, name: str, part: InputSpec) -> nn.Module:
    """Return the net of a part.

    Args:
        chosen: its name, or its name and what it is made with; None for the usual one.
        name: of the part.
        part: spec of the part.

    Raises:
        ConfigError: there is no such net, or it does not fit.
    """
    given = {"name": part.usual_net} if chosen is None else {"name": chosen} if isinstance(chosen, str) else dict(chosen)
    kind = given.pop("name", part.usual_net)
    check_choice(f"the net of {name}", kind, discovery.names("nets"))
    made = discovery.load("nets", kind)
    try:
        net: nn.Module = made(**(_sizes.fit_to(made, part) | given))
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"the part {name!r}: {error}") from error
    if frame_count(net) is not None:
        raise ConfigError(
            f"the part {name!r} has the net {kind}, which gives features of each frame; choose another net for it."
        )
    return net
