"""Learners on features share an embedding, which is normalised by the batch in meta-training and by the population afterwards."""

import abc
import dataclasses
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from quickstudy.functional.classes import ABSENT, hide_absent, pad_columns
from quickstudy.functional.features import features_of
from quickstudy.functional.linear import full_precision, solve, with_ones
from quickstudy.layers.batch_norm import batch_statistics, has_batch_norm, set_population_statistics
from quickstudy.layers.check import check_net
from quickstudy.learner import Learner, State
from quickstudy.task import Examples, Input, Task, concatenate


@dataclasses.dataclass(eq=False, repr=False)
class EmbeddingLearner(Learner):
    """A learner that sees every example through one net: it says what it learns of features, and how it answers for others.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
    """

    net: nn.Module

    def __post_init__(self) -> None:
        check_net(self.net)

    @abc.abstractmethod
    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        """Return what is learned from the features of a support set, going on from `state` if there is one."""

    @abc.abstractmethod
    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        """Return predictions for features."""

    def answer_padded(
        self, state: State, features: Float[Tensor, "example feature"], mask: Bool[Tensor, " example"] | None
    ) -> Float[Tensor, "example output"]:
        """Return predictions for features of which `mask` leaves out padding; for a learner whose answers depend on each other."""
        return self.answer(state, features)

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        return self.learn(self.features(support.x, support.mask), support, state)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return self.answer(state, self.features(self.matched(x), None))

    def predict_padded(self, state: State, x: Input, mask: Bool[Tensor, " example"] | None) -> Float[Tensor, "example output"]:
        return self.answer_padded(state, self.features(self.matched(x), mask), mask)

    def features(self, x: Input, mask: Bool[Tensor, " example"] | None) -> Float[Tensor, "example feature"]:
        """Return the features of a support set or of queries, of which `mask` leaves out padding."""
        del mask  # the population's statistics ask for no other examples
        return features_of(self.net, x)

    def loss(self, task: Task) -> Float[Tensor, ""]:
        task = self.matched(task)
        support, query = embed_task(self.net, task)
        prediction = self.answer_padded(self.learn(support, task.support, None), query, task.query.mask)
        return task.query.y.loss(prediction, task.query.weight)

    @torch.no_grad()
    def calibrate(self, tasks: Iterable[Task]) -> None:
        measure_population(self.net, map(self.matched, tasks))


def remembered(features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
    """Return a state that holds every example seen so far: `features`, `y` `[example, output]` (zeros for padding), and `weight`."""
    weight = support.weight
    y = support.y.rows * weight.unsqueeze(-1)
    if state is None:
        return {"features": features, "y": y, "weight": weight}
    earlier = pad_columns(state["y"], y.shape[-1])
    return {
        "features": torch.cat([state["features"], features]),
        "y": torch.cat([earlier, y]),
        "weight": torch.cat([state["weight"], weight]),
    }


def read_out(scores: Float[Tensor, "example support"], state: State) -> Float[Tensor, "example output"]:
    """Return the answers of remembered examples, weighted by the softmax of scores: logits of classes, or means of values.

    The softmax of these logits gives each way the weight of all its examples (Vinyals et al. 2016, "Matching Networks", eq. 1).
    """
    scores = torch.where(state["weight"] > 0, scores, ABSENT)
    if "counts" not in state:
        return scores.softmax(-1) @ state["y"]
    of_ways = torch.where(state["y"].unsqueeze(0) > 0, scores.unsqueeze(-1), ABSENT)
    return hide_absent(of_ways.logsumexp(1), state["counts"])


def regressed(
    features: Float[Tensor, "example feature"], support: Examples, state: State | None, penalty: float | Tensor
) -> State:
    """Return the head of a ridge regression `[feature + 1, output]`, the last row its bias, and the sums `gram` and `moment` that it
    solves, to which those of `state` are added."""
    y = support.y.rows
    with full_precision(y):
        x = with_ones(features.to(y.dtype))
        weighted = x * support.weight.unsqueeze(-1)
        gram, moment = weighted.t() @ x, weighted.t() @ y
        if state is not None:
            gram, moment = gram + state["gram"], moment + pad_columns(state["moment"], moment.shape[-1])
        ridge = penalty * torch.eye(gram.shape[0], dtype=gram.dtype, device=gram.device)
        return {"gram": gram, "moment": moment, "head": solve(gram + ridge, moment)}


def embed_task(net: nn.Module, task: Task) -> tuple[Float[Tensor, "support feature"], Float[Tensor, "query feature"]]:
    """Return the features of the support and of the query set, in one pass, normalised by the statistics of both together."""
    features = embed_batch(net, concatenate(task.support, task.query))
    count = task.support.count
    return features[:count], features[count:]


def embed_batch(net: nn.Module, examples: Examples) -> Float[Tensor, "example feature"]:
    """Return features, normalised by the statistics of all the examples together."""
    with batch_statistics(examples.mask):
        return features_of(net, examples.x)


def measure_population(net: nn.Module, tasks: Iterable[Task]) -> None:
    """Set the population statistics of batch norm to those of many tasks; nothing without batch norm."""
    if not has_batch_norm(net):
        return
    seen = []
    for task in tasks:
        both = concatenate(task.support, task.query)
        with batch_statistics(both.mask, keep=True) as recording:
            net(both.x)
        seen.append(recording.of(net))
    set_population_statistics(net, seen)
