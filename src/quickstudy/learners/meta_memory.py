"""A life-long memory: features of examples are kept as keys of a memory of fixed size, whose nearest key answers a query.

Kaiser, Nachum, Roy and Bengio 2017, "Learning to Remember Rare Events", section 2: if the nearest key of a new example has its class, the
two are averaged, else the example takes the place of the oldest key; a margin between the nearest right and the nearest wrong key is the
loss. Deviations: an empty slot is never near; of equally old slots the first is taken, where the paper takes one at random; all keys are
compared, not the nearest 256; and the loss is that of the queries of a task after its support set was written, with gradients that reach
the keys in memory, where the paper predicts every example before it is written and keys are constants. Answers are classes only, because
whether values are right is no matter of yes or no. Batch norm of the net is as in `protonet`.
"""

import dataclasses
from typing import Any, ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from quickstudy.errors import check_above, check_at_least, check_choice
from quickstudy.functional.classes import ABSENT, pad_columns
from quickstudy.functional.distances import squared_distances, unit
from quickstudy.functional.features import feature_count
from quickstudy.functional.loop import scan
from quickstudy.functional.losses import weighted_mean
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, embed_task
from quickstudy.learners._memory import largest, written
from quickstudy.task import Examples, Task

Criterion = Literal["margin", "cross_entropy"]


@dataclasses.dataclass(eq=False, repr=False)
class MetaMemory(EmbeddingLearner):
    """State: of each slot its `keys` (K, of length 1), its `answers` (V, a one-hot class, or zeros if it is empty) and its `ages` (A):
    how many examples ago it was written.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        slots: keys that the memory holds; when it is full, the oldest is forgotten.
        margin: by how much the nearest right key must be nearer than the nearest wrong one, alpha; above 0.
        sharpness: factor from similarities to logits, t; above 0.
        criterion: what training minimises: by how much the `margin` is missed, as the paper does, or the `cross_entropy` of the logits.

    >>> from quickstudy.nets.identity import Identity
    >>> from quickstudy.objectives.classes import one_hot
    >>> learner = MetaMemory(Identity(in_features=2), slots=3)
    >>> state = learner.adapt(Examples(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), one_hot(torch.tensor([0, 1]), ways=2)))
    >>> state["keys"].tolist(), state["ages"].tolist()
    ([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [1.0, 0.0, 2.0])
    """

    slots: int = 256
    margin: float = 0.1
    sharpness: float = 40.0
    criterion: Criterion = "margin"

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True
    order_free: ClassVar[bool] = False
    sequential: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("slots", self.slots, 1)
        check_above("margin", self.margin, 0)
        check_above("sharpness", self.sharpness, 0)
        check_choice("criterion", self.criterion, get_args(Criterion))

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        y = support.y.rows
        if state is None:
            keys = features.new_zeros((self.slots, feature_count(self.net)))
            start = keys, y.new_zeros((self.slots, y.shape[1])), torch.zeros_like(keys[:, 0])
        else:
            start = state["keys"], pad_columns(state["answers"], y.shape[1]), state["ages"]
        carried, _ = scan(self._write, start, (unit(features), y, support.weight))
        return dict(zip(("keys", "answers", "ages"), carried, strict=True))

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example way"]:
        # half the squared distance of directions is 1 - cosine, in more digits
        likeness = -self.sharpness / 2 * squared_distances(unit(features), state["keys"])
        return torch.where(state["answers"].unsqueeze(0) > 0, likeness.unsqueeze(-1), ABSENT).amax(1)

    def loss(self, task: Task) -> Float[Tensor, ""]:
        """Return by how much the nearest wrong key is too near, in the mean over queries ("Memory Loss"), or the mean cross-entropy."""
        task = self.matched(task)
        support, query = embed_task(self.net, task)
        logits = self.answer(self.learn(support, task.support, None), query)
        is_right = task.query.y.rows > 0
        logits = torch.where(is_right, logits.clamp(min=-2 * self.sharpness), logits)  # a class that was forgotten is farthest
        if self.criterion == "cross_entropy":
            return task.query.y.loss(logits, task.query.weight)
        likeness = logits / self.sharpness
        right = torch.where(is_right, likeness, ABSENT).amax(-1)
        wrong = torch.where(is_right, ABSENT, likeness).amax(-1)
        return weighted_mean(F.relu(wrong - right + self.margin), task.query.weight)

    def _write(self, index: int | Tensor, carried: tuple[Tensor, ...], row: tuple[Tensor, ...]) -> Any:
        """Return the memory after one more example ("Memory Update"), which padding does not change."""
        keys, answers, ages = carried
        query, y, weight = row
        likeness = -squared_distances(query.unsqueeze(0), keys).squeeze(0)
        nearest = largest(torch.where(answers.amax(-1) > 0, likeness, ABSENT))
        right = ((nearest.unsqueeze(0) @ answers).squeeze(0) * y).sum() > 0
        average = unit((nearest.unsqueeze(0) @ keys) + query).squeeze(0)
        place = torch.where(right, nearest, largest(ages))
        new = (
            written(keys, place, place, torch.where(right, average, query)),
            written(answers, place, place, y),
            (ages + 1) * (1 - place),
        )
        return tuple(torch.where(weight > 0, after, before) for after, before in zip(new, carried, strict=True)), ()
