"""Conditional Neural Processes: the support set becomes one code, from which a decoder predicts the answer to any query.

Garnelo, Rosenbaum, Maddison, Ramalho, Saxton, Shanahan, Teh, Rezende and Eslami 2018, "Conditional Neural Processes", eqs. 1-3: values are
predicted with their spread, by the likelihood of a normal distribution. Deviations: every column of the answers (a way, or one of several
numbers) has a code of its own, made by the same encoder, so that any number of ways fits and their order does not matter, where the
paper's classifier joins the codes of five ways; inputs pass through a net first, whose batch norm is as in `protonet`; meta-training
predicts the query set alone, not the support set as well.
"""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.learner import State
from quickstudy.learners._process import NeuralProcess
from quickstudy.learners._weights import counted
from quickstudy.task import Examples


@dataclasses.dataclass(eq=False, repr=False)
class CNP(NeuralProcess):
    """State: the sum of the support examples' codes for each column, `[column, width]`, and for a column of zeros `[width]`; the number
    of examples, and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: length of codes, and of hidden layers.
        depth: hidden layers of the encoder and of the decoder, at least 1.
    """

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        y, weight = support.y.rows, support.weight.unsqueeze(-1)
        total = (self.codes(features, y) * weight.unsqueeze(-1)).sum(0)
        zeros = (self.codes(features, torch.zeros_like(y[:, :1])) * weight.unsqueeze(-1)).sum((0, 1))
        count = weight.sum()
        if state is not None:  # earlier examples were of none of the new ways
            new = state["zeros"].expand(total.shape[0] - state["total"].shape[0], -1)
            total = total + torch.cat([state["total"], new])
            zeros, count = zeros + state["zeros"], count + state["count"]
        return {"total": total, "zeros": zeros, "count": count, **counted(support, state)}

    def read(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example column width"]:
        code = state["total"] / state["count"].clamp(min=1.0)
        return code.unsqueeze(0).expand(features.shape[0], -1, -1)
