"""input_of: the spec of a saved learner's inputs, whether its file says it or not."""

from __future__ import annotations

from quickstudy.errors import ConfigError
from quickstudy.inputs import InputSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.training.saving import SavedLearner


def input_of(saved: SavedLearner, features: int | None = None) -> InputSpec:
    """Return the spec of the learner's inputs; rows of numbers if its file names nothing else.

    Args:
        saved: the learner.
        features: numbers per row, for a learner whose net does not say.

    Raises:
        ConfigError: nobody says how long the rows are.
    """
    if saved.spec is not None:
        return saved.spec
    length = features or getattr(getattr(saved.learner, "net", None), "in_features", None)
    if not isinstance(length, int):
        raise ConfigError("the learner does not say how long its rows are; give features (on the command line --features 12).")
    return RowsSpec(features=length)
