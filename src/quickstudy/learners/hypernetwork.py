"""A hypernetwork: a network reads the support set and writes the weights of the task's model, without any inner loop.

Ha, Dai and Le 2017, "HyperNetworks", section 3.1: one network generates the weights of another, slice by slice. Qiao, Liu, Shen and Yuille
2018, "Few-Shot Image Recognition by Predicting Parameters from Activations", section 3: the row of a class in the head is predicted from
the mean activation of its examples, by a map that all classes share; here it starts as the identity, so that training starts from class
means. Requeima, Gordon, Bronskill, Nowozin and Turner 2019, "Fast and Flexible Multi-Task Classification Using Conditional Neural Adaptive
Processes", section 2.2: with `scales`, a code of the whole task writes a factor for each feature. Deviations: the map of a class sees the
code of the task as well, where the second and the third paper give it its own class alone; factors belong to the last features only and
come without shifts, where the third paper modulates every block; values get a row for each output, from the mean of examples times their
answers in place of the mean of a class; and, as in `protonet`, batch norm uses the batch in meta-training and population statistics
afterwards.
"""

import dataclasses
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import check_at_least
from quickstudy.functional.features import feature_count
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner
from quickstudy.learners._moments import add_up, mean_codes
from quickstudy.learners._process import perceptron
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples


@dataclasses.dataclass(eq=False, repr=False)
class HyperNetwork(EmbeddingLearner):
    """State: the generated `head.weight` `[output, feature]` and `head.bias` `[output]`; to go on from, the sums that they were generated
    from (`moment`, of examples times answers, and `total`, of examples); and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: length of an example's code, and of hidden layers.
        scales: generate a factor for each feature too, which all outputs share.
    """

    width: int = 128
    scales: bool = False

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("width", self.width, 1)
        features = feature_count(self.net)
        length = features + self.width + 1
        self.encoder = perceptron(features, self.width, self.width)
        self.direct = nn.Linear(length, features + 1, bias=False)
        self.generator = perceptron(2 * length, self.width, features + 1)
        nn.init.eye_(self.direct.weight)
        self.direct.weight.data[-1] = 0.0  # of the bias
        zero = list(self.generator[-1].parameters())
        if self.scales:
            self.scaler = nn.Linear(length, features)
            zero += self.scaler.parameters()
        for parameter in zero:
            nn.init.zeros_(parameter)

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        sums = add_up(torch.cat([features, self.encoder(features)], dim=1), support, state)
        codes, task = mean_codes(sums, support)
        rows = self.direct(codes) + self.generator(torch.cat([codes, task.expand_as(codes)], dim=1))
        weight = rows[:, :-1] * (1 + self.scaler(task.unsqueeze(0))) if self.scales else rows[:, :-1]
        return {**sums, "head.weight": weight, "head.bias": rows[:, -1], **counted(support, state)}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return hide_unseen(F.linear(features, state["head.weight"], state["head.bias"]), state)
