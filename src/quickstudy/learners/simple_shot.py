"""SimpleShot: a net trained by ordinary classification; a query belongs to the class with the nearest mean of normalised features.

Wang, Chao, Weinberger and van der Maaten 2019, "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning", section 3:
features are centred by the mean over the training classes and divided by their length (CL2N) before means and distances are taken.
Deviation: that mean and the population statistics of batch norm are measured over some training batches (`calibrate`), not over all
training examples. If the net is trained on few-shot tasks, which the paper does not do, they are centred by what the last validation
measured, and before the first one not at all.
"""

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from quickstudy.errors import check_choice
from quickstudy.functional.call import Parameters
from quickstudy.functional.classes import class_counts, class_means, class_sums, hide_absent, pad_rows
from quickstudy.functional.distances import squared_distances, unit
from quickstudy.functional.features import feature_count, features_of
from quickstudy.learner import State
from quickstudy.learners._pooled import PooledLearner
from quickstudy.task import Examples, Task, concatenate

Normalisation = Literal["UN", "L2N", "CL2N"]


@dataclasses.dataclass(eq=False, repr=False)
class SimpleShot(PooledLearner):
    """State: the mean of each class's normalised features, and how many examples each way has.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        classes: number of training classes, which training fills in; None as long as there is no classifier.
        normalisation: of features: `UN` leaves them as they are, `L2N` gives them length 1, `CL2N` centres them before.
    """

    normalisation: Normalisation = "CL2N"

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True
    measured_every: ClassVar[int | None] = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("normalisation", self.normalisation, get_args(Normalisation))
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(feature_count(self.net)))

    def logits(self, head: Parameters, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example class"]:
        return F.linear(features, head["weight"], head["bias"])

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        sums = class_sums(self._normalised(features), support.y.rows, support.weight)
        counts = class_counts(support.y.rows, support.weight)
        if state is not None:
            earlier = pad_rows(state["counts"], counts.shape[0])
            sums = sums + earlier.unsqueeze(-1) * pad_rows(state["centroids"], counts.shape[0])
            counts = counts + earlier
        return {"centroids": class_means(sums, counts), "counts": counts}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return hide_absent(-squared_distances(self._normalised(features), state["centroids"]), state["counts"])

    @torch.no_grad()
    def calibrate(self, tasks: Iterable[Task]) -> None:
        tasks = list(map(self.matched, tasks))
        super().calibrate(tasks)
        examples = [concatenate(task.support, task.query) for task in tasks]
        sums = [features_of(self.net, part.x) * part.weight.unsqueeze(-1) for part in examples]
        if sums:
            self.centre.copy_(torch.cat(sums).sum(0) / torch.cat([part.weight for part in examples]).sum().clamp(min=1.0))

    def _normalised(self, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example feature"]:
        """Return features in the form in which they are compared."""
        if self.normalisation == "UN":
            return features
        return unit(features - self.centre if self.normalisation == "CL2N" else features)
