"""Learners that read the support set as sums keep them, so that more examples can be added to what was learned."""

from jaxtyping import Float
from torch import Tensor

from quickstudy.functional.classes import pad_rows
from quickstudy.functional.linear import with_ones
from quickstudy.learner import State
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples


def add_up(codes: Float[Tensor, "example code"], support: Examples, state: State | None) -> dict[str, Tensor]:
    """Return sums over all examples so far: `total` of their codes, and `moment` of their answers times their codes.

    Each code has a 1 at its end: `total` `[code + 1]` ends with the number of examples, and `moment` `[output, code + 1]` with the number
    of each way's examples, or with the sum of values.
    """
    counted = with_ones(codes) * support.weight.unsqueeze(-1)
    moment, total = support.y.rows.t() @ counted, counted.sum(0)
    if state is not None:
        moment, total = moment + pad_rows(state["moment"], moment.shape[0]), total + state["total"]
    return {"moment": moment, "total": total}


def mean_codes(sums: State, support: Examples) -> tuple[Float[Tensor, "output code"], Float[Tensor, " code"]]:
    """Return the code of each output and that of the task, from the sums of `add_up`.

    The code of a way is the mean of its examples' codes; that of a value is the mean of the examples' values times their codes.
    """
    moment, total = sums["moment"], sums["total"]
    count = total[-1].clamp(min=1.0)
    return moment / (moment[:, -1:].clamp(min=1.0) if isinstance(support.y, OneHot) else count), total / count
