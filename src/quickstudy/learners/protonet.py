"""Prototypical Networks: a class is the mean of its embedded examples; a query belongs to the nearest mean.

Snell, Swersky and Zemel 2017, "Prototypical Networks for Few-shot Learning", eqs. 1-2, algorithm 1. With `statistics="population"`, as
in the paper, batch norm uses the batch in meta-training and population statistics afterwards; here these are measured exactly over many
tasks (`calibrate`) where the paper keeps running averages.
"""

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError, check_above, check_choice
from quickstudy.functional.call import under
from quickstudy.functional.classes import ABSENT, class_counts, class_means, class_sums, hide_absent, pad_rows
from quickstudy.functional.distances import DISTANCES, Distance
from quickstudy.functional.features import features_of
from quickstudy.functional.losses import weighted_mean
from quickstudy.layers.batch_norm import Statistics as Seen
from quickstudy.layers.batch_norm import batch_statistics, has_batch_norm
from quickstudy.layers.check import check_net
from quickstudy.learner import Learner, State
from quickstudy.learners import _embedding
from quickstudy.task import Examples, Input, Task, concatenate

Statistics = Literal["population", "support", "query"]


@dataclasses.dataclass(eq=False, repr=False)
class ProtoNet(Learner):
    """State: `sums` `[way, feature]` and `counts` `[way]` of the embedded support examples, so that more examples are simply added.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        statistics: what batch norm normalises by once trained: `population` (of the meta-training tasks), `support` (of the task's
            support set, carried in the state), or `query` (of the query batch: transductive).
        distance: between queries and means: `squared` Euclidean, as in the paper; `euclidean`, which names the same class and learns
            about twice as fast per step (benchmarks/LOG.md); `cosine`; or `manhattan`, the sum of absolute differences.
        pairs: in meta-training, compare all examples of a task with each other, not the queries with the support set alone: every two of a
            class against the mean over the examples of each other class. One pass through the net then
            gives several losses, where an episode leaves most distances out (Laenen and Bertinetto 2021, "On Episodes, Prototypical
            Networks, and Few-Shot Learning", section 3; Khosla et al. 2020, "Supervised Contrastive Learning", eq. 2, with class
            averages). Needs population statistics.
        scale: factor of the distance; cosine distances, which are at most 2, need about 10.

    >>> from quickstudy.nets.identity import Identity
    >>> from quickstudy.objectives.classes import one_hot
    >>> learner = ProtoNet(Identity(in_features=2))
    >>> state = learner.adapt(Examples(torch.tensor([[0.0, 0.0], [4.0, 4.0]]), one_hot(torch.tensor([0, 1]), ways=2)))
    >>> learner.predict(state, torch.tensor([[3.0, 3.0]])).argmax(-1)
    tensor([1])
    """

    net: nn.Module
    statistics: Statistics = "population"
    distance: Distance = "squared"
    pairs: bool = False
    scale: float = 1.0

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True
    prototypes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_net(self.net)
        check_choice("statistics", self.statistics, get_args(Statistics))
        check_choice("distance", self.distance, get_args(Distance))
        check_above("scale", self.scale, 0)
        if self.pairs and self.statistics != "population":
            raise ConfigError(
                f"pairs is True with statistics={self.statistics!r}, for which one set alone is normalised; expected "
                "statistics='population'."
            )

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        features, statistics = self._embed_support(support, state)
        y, weight = support.y.rows, support.weight
        sums, counts = class_sums(features, y, weight), class_counts(y, weight)
        if state is not None:
            sums, counts = sums + pad_rows(state["sums"], sums.shape[0]), counts + pad_rows(state["counts"], counts.shape[0])
        return {"sums": sums, "counts": counts, **statistics}

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        x = self.matched(x)
        if self.statistics == "query":
            with batch_statistics():
                features = features_of(self.net, x)
        else:
            features = features_of(self.net, x, under("net.", state))
        return self._logits(features, state["sums"], state["counts"])

    def loss(self, task: Task) -> Float[Tensor, ""]:
        if self.statistics != "population":
            return super().loss(task)
        task = self.matched(task)
        if self.pairs:
            return self._loss_of_pairs(task)
        support, query = _embedding.embed_task(self.net, task)
        y, weight = task.support.y.rows, task.support.weight
        logits = self._logits(query, class_sums(support, y, weight), class_counts(y, weight))
        return task.query.y.loss(logits, task.query.weight)

    def _loss_of_pairs(self, task: Task) -> Float[Tensor, ""]:
        """Return the mean over pairs of a class of `-log(e^-d / (e^-d + sum over other classes of their mean e^-d'))`."""
        both = concatenate(task.support, task.query)
        features, y, weight = _embedding.embed_batch(self.net, both), both.y.rows, both.weight
        apart, same = self._between(features, features), y @ y.t()
        share = weight / (y @ class_counts(y, weight)).clamp(min=1.0)  # of an example in its class
        others = torch.logsumexp(torch.where((1 - same) * share > 0, share.clamp(min=1e-9).log() - apart, ABSENT), dim=1)
        place = torch.arange(len(y), device=y.device)
        asked = same * weight * weight.unsqueeze(1) * (place != place.unsqueeze(1))
        return weighted_mean(F.softplus(others.unsqueeze(1) + apart), asked)

    @torch.no_grad()
    def calibrate(self, tasks: Iterable[Task]) -> None:
        if self.statistics == "population":
            _embedding.measure_population(self.net, map(self.matched, tasks))

    def _embed_support(self, support: Examples, state: State | None) -> tuple[Tensor, Seen]:
        """Return the features of the support set, and the statistics that the state must carry."""
        if self.statistics == "population" or not has_batch_norm(self.net):
            return features_of(self.net, support.x), {}
        carried = under("net.", state or {})
        if carried:  # the first support set fixed the statistics; later examples must be embedded alike
            return features_of(self.net, support.x, carried), {f"net.{name}": value for name, value in carried.items()}
        keep = self.statistics == "support"
        with batch_statistics(support.mask, keep=keep) as recording:
            features = features_of(self.net, support.x)
        return features, recording.of(self.net, "net.") if keep else {}

    def _logits(
        self, features: Float[Tensor, "example feature"], sums: Float[Tensor, "way feature"], counts: Float[Tensor, " way"]
    ) -> Float[Tensor, "example way"]:
        """Return negative distances to the prototypes, `[example, way]` (eq. 2)."""
        return hide_absent(-self._between(features, class_means(sums, counts)), counts)

    def _between(self, a: Float[Tensor, "n feature"], b: Float[Tensor, "m feature"]) -> Float[Tensor, "n m"]:
        apart = DISTANCES[self.distance](a, b)
        return apart if self.scale == 1 else self.scale * apart
