"""Conditional Neural Processes: the support set becomes one code, from which a decoder predicts the answer to any query.

Garnelo, Rosenbaum, Maddison, Ramalho, Saxton, Shanahan, Teh, Rezende and Eslami 2018, "Conditional Neural Processes", eqs. 1-3: values are
predicted with their spread, by the likelihood of a normal distribution. Examples of a class are averaged by class, as in the
authors' experiment of section 4.3. Deviations: the decoder sees one class (or one of several numbers) at a time and gives it a logit, so
that any number of ways fits and their order does not matter, where the paper's classifier joins the codes of five ways; inputs pass
through a net first, whose batch norm is as in `protonet`; meta-training predicts the query set alone, not the support set as well.
"""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.functional.classes import class_counts, class_means, class_sums, pad_rows
from quickstudy.learner import State
from quickstudy.learners._process import NeuralProcess
from quickstudy.learners._weights import counted
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Examples


@dataclasses.dataclass(eq=False, repr=False)
class CNP(NeuralProcess):
    """State: for each column (a way, or one of several numbers) the sum of the codes of its examples, `[column, width]`, and how many it
    has; and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: length of codes, and of hidden layers.
        depth: hidden layers of the encoder and of the decoder, at least 1.
    """

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        total, count = self._summed(features, support)
        if state is not None:  # there may be new ways
            total = total + pad_rows(state["total"], total.shape[0])
            count = count + pad_rows(state["count"], count.shape[0])
        return {"total": total, "count": count, **counted(support, state)}

    def read(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example column width"]:
        return class_means(state["total"], state["count"]).expand(features.shape[0], -1, -1)

    def _summed(self, features: Float[Tensor, "example feature"], support: Examples) -> tuple[Tensor, Tensor]:
        """Return the sum of codes for each column, and the number of its examples: those of the class, or all where values are learned."""
        y, weight = support.y.rows, support.weight
        if isinstance(support.y, OneHot):
            code = self.codes(features, torch.ones_like(y[:, :1]))[:, 0]
            return class_sums(code, y, weight), class_counts(y, weight)
        total = (self.codes(features, y) * weight.view(-1, 1, 1)).sum(0)
        return total, weight.sum().expand(total.shape[0])
