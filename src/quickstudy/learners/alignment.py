"""Feature space alignment: the features of a new task are moved into the space of an older one, where prototypes of both classify.

The older task, the source, has a trained net, which stays as it is. `calibrate` measures what its features look like there: how they
scatter within a class, and, with `source_ways`, the mean of each class. What adapts is a linear map of features. It is found by

- `coral`: the examples of the task are whitened and coloured again, so that they scatter within a class as the source's do (Sun, Feng and
  Saenko 2016, "Return of Frustratingly Easy Domain Adaptation", algorithm 1);
- `mmd`: gradient steps on the kernel distance between what is left of examples of both tasks without the means of their classes (Gretton,
  Borgwardt, Rasch, Scholkopf and Smola 2012, "A Kernel Two-Sample Test", lemma 6; Long, Cao, Wang and Jordan 2015, "Learning Transferable
  Features with Deep Adaptation Networks");
- `procrustes`: the rotation that brings the examples nearest to the means of their classes in the source (Schonemann 1966, "A
  Generalized Solution of the Orthogonal Procrustes Problem");
- `regression`: the same without the restriction to rotations, by ridge regression; for comparison.

Deviations: CORAL moves the target to the source, not the source to the target, since the source's net is frozen; classes are known, so that
it looks at their scatter, which does not depend on which classes a task has, and not at that of everything; every map is pulled towards the
identity by `shrinkage` examples, because a few examples cannot say what a covariance is; steps of `mmd` have the curvature of least
squares, and its kernel one width, the root of twice the mean squared length of both at the start. Meta-training compares queries with
prototypes and aligns nothing.
"""

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.errors import TaskError, check_above, check_at_least, check_choice
from quickstudy.functional.classes import class_counts, class_means, class_sums, hide_absent
from quickstudy.functional.distances import distances
from quickstudy.functional.features import feature_count, features_of
from quickstudy.functional.linear import full_precision, inverse_root, solve
from quickstudy.functional.loop import repeat, scan
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, embed_task, remembered
from quickstudy.task import Examples, Task, concatenate

Method = Literal["coral", "mmd", "procrustes", "regression", "none"]

FLOOR = 1e-2
"""Share of the mean variance that every direction of the source has at least: features that never vary would be divided by zero."""


@dataclasses.dataclass(frozen=True)
class _Pairs:
    """Examples as a map of features sees them.

    Attributes:
        x: features about the middle of the classes that the source has too, or about the mean of the own class if it has not.
        goal: where `x` shall come to lie: the mean of the class in the source, about their middle; zero for a class that is new.
        paired: 1 for examples of classes that the source has, and 0 for others and for padding, `[example]`.
        rest: features about the means of their classes, zero for padding.
        weight: 0 for padding, `[example]`.
        spare: number of examples less the number of their classes.
    """

    x: Float[Tensor, "example feature"]
    goal: Float[Tensor, "example feature"]
    paired: Float[Tensor, " example"]
    rest: Float[Tensor, "example feature"]
    weight: Float[Tensor, " example"]
    spare: Float[Tensor, ""]


def _aligned(state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example feature"]:
    """Return features in the source's space."""
    return (features - state["middle"]) @ state["map"] + state["goal"]


def _polar(matrix: Float[Tensor, "n n"], steps: int = 30) -> Float[Tensor, "n n"]:
    """Return the nearest orthogonal matrix, by Newton-Schulz steps (Higham 2008, "Functions of Matrices", eq. 8.20).

    Directions in which the matrix is below a hundred-thousandth of its size are not turned in full.
    """

    def step(index: int | Tensor, turned: Tensor, _: Tensor) -> tuple[Tensor, tuple[()]]:
        return (3 * turned - turned @ (turned.t() @ turned)) / 2, ()

    return scan(step, matrix / matrix.square().sum().clamp(min=1e-30).sqrt(), matrix.new_zeros(steps))[0]


@dataclasses.dataclass(eq=False, repr=False)
class Alignment(EmbeddingLearner):
    """State: features, one-hot labels and weights of every support example, the map that aligns them, the middle about which it maps and
    where that comes to lie, the prototypes in the source's space, and how many examples each stands for.

    Args:
        net: the source's body, `[example, ...]` to `[example, feature]`.
        method: how the map is found: `coral` or `mmd`, which need no class of the source, `procrustes` or `regression`, which align
            the classes that source and task share, or `none`.
        source_ways: number of the source's classes that take part. The columns of `y` are then these classes, in their order, and new
            ones behind them; `calibrate` gets tasks with exactly these classes, in one order. With 0 every task has classes of its own.
        prior: number of examples that the source's mean of a class counts as.
        shrinkage: number of examples that say that nothing need be moved; above 0.
        anchors: rows of the source that `mmd` compares with.
        align_steps: gradient steps of `mmd`.
        align_lr: step size of `mmd`.

    >>> from quickstudy.nets.identity import Identity
    >>> from quickstudy.objectives.classes import one_hot
    >>> learner = Alignment(Identity(in_features=1))
    >>> state = learner.adapt(Examples(torch.tensor([[0.0], [4.0]]), one_hot(torch.tensor([0, 1]), ways=2)))
    >>> learner.predict(state, torch.tensor([[3.0]])).argmax(-1)
    tensor([1])
    """

    method: Method = "coral"
    source_ways: int = 0
    prior: float = 5.0
    shrinkage: float = 20.0
    anchors: int = 128
    align_steps: int = 50
    align_lr: float = 4.0

    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("method", self.method, get_args(Method))
        for name, least in (("source_ways", 0), ("prior", 0), ("anchors", 1), ("align_steps", 0), ("align_lr", 0)):
            check_at_least(name, getattr(self, name), least)
        check_above("shrinkage", self.shrinkage, 0)
        features = feature_count(self.net)
        self.measured: Tensor
        self.source_root: Tensor
        self.source_rest: Tensor
        self.source_means: Tensor
        self.register_buffer("measured", torch.zeros(()))
        self.register_buffer("source_root", torch.eye(features))
        self.register_buffer("source_rest", torch.zeros(self.anchors, features))
        self.register_buffer("source_means", torch.zeros(self.source_ways, features))

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        known = remembered(features, support, state)
        with full_precision(features):
            return {**known, **{name: value.to(features.dtype) for name, value in self._moved(known).items()}}

    def _moved(self, known: State) -> State:
        """Return the map, its middle and where that comes to lie, the prototypes, and how many examples each stands for."""
        features = known["features"]
        wide = torch.promote_types(features.dtype, torch.float32)  # half precision has no room for squares of squares
        rows = {name: value.to(wide) for name, value in known.items()}
        x, y = rows["features"], rows["y"]
        counts = class_counts(y, rows["weight"])
        source, of_source = self._source(counts)
        pairs, middle, goal = self._pairs(rows, counts, source, of_source)
        identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        found = {"coral": self._coral, "mmd": self._mmd, "procrustes": self._procrustes, "regression": self._regression}
        linear = found[self.method](pairs, identity) if self.method != "none" else identity
        linear = torch.where(self.measured > 0, linear, identity)
        if self.method == "none":
            goal = (
                middle @ linear
            )  # the middle itself, as a tensor of its own: an exported state holds no tensor under two names
        moved = {"map": linear, "middle": middle, "goal": goal}
        prior = self.prior * of_source
        total = counts + prior
        sums = y.t() @ _aligned(moved, x) + prior.unsqueeze(-1) * source
        means = sums / torch.where(total > 0, total, 1.0).unsqueeze(-1)
        return {**moved, "means": means, "counts": total}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example way"]:
        return hide_absent(-distances(_aligned(state, features), state["means"]), state["counts"])

    def loss(self, task: Task) -> Float[Tensor, ""]:
        """Return the cross-entropy of queries by their distances to the means of the classes, which are not aligned."""
        task = self.matched(task)
        support, query = embed_task(self.net, task)
        y, weight = task.support.y.rows, task.support.weight
        counts = class_counts(y, weight)
        means = class_means(class_sums(support, y, weight), counts)
        return task.query.y.loss(hide_absent(-distances(query, means), counts), task.query.weight)

    @torch.no_grad()
    def calibrate(self, tasks: Iterable[Task]) -> None:
        """Measure the source: the population of batch norm, how features scatter within a class, and the means of its classes."""
        tasks = [self.matched(task) for task in tasks]
        if not tasks:
            return
        super().calibrate(tasks)
        rest, ways, means, counts = [], 0, torch.zeros_like(self.source_means), self.source_means.new_zeros(self.source_ways)
        for task in tasks:
            both = concatenate(task.support, task.query)
            x, y = features_of(self.net, both.x), both.y.rows * both.weight.unsqueeze(-1)
            seen = y.sum(0)
            rest.append((x - y @ class_means(y.t() @ x, seen))[both.weight > 0])
            ways += int((seen > 0).sum())
            if self.source_ways:
                means, counts = means + self._checked(y).t() @ x, counts + seen
        rows = torch.cat(rest)
        spread = (rows.t() @ rows).double() / max(len(rows) - ways, 1)
        spread += FLOOR * spread.diagonal().mean() * torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
        values, vectors = torch.linalg.eigh(spread)
        self.source_root.copy_(vectors * values.clamp(min=0.0).sqrt() @ vectors.t())
        self.source_rest.copy_(rows[torch.arange(self.anchors, device=rows.device) * len(rows) // self.anchors])
        self.source_means.copy_(class_means(means, counts))
        self.measured.fill_(1.0)

    def _checked(self, y: Float[Tensor, "example way"]) -> Float[Tensor, "example way"]:
        if y.shape[1] != self.source_ways:
            raise TaskError(
                f"a task of {y.shape[1]} ways is given to measure the source's {self.source_ways} classes (source_ways); expected all of "
                "them, in one order, in every task. Leave source_ways=0 while the net is trained."
            )
        return y

    def _source(self, counts: Float[Tensor, " way"]) -> tuple[Float[Tensor, "way feature"], Float[Tensor, " way"]]:
        """Return the source's mean for each way, and 1 for ways that it has."""
        columns = torch.arange(counts.shape[0], device=counts.device).unsqueeze(1)
        chosen = (columns == torch.arange(self.source_ways, device=counts.device)).to(counts.dtype)
        return chosen @ self.source_means.to(counts.dtype), chosen.sum(1) * (self.measured > 0)

    def _pairs(
        self,
        known: State,
        counts: Float[Tensor, " way"],
        source: Float[Tensor, "way feature"],
        of_source: Float[Tensor, " way"],
    ) -> tuple[_Pairs, Float[Tensor, " feature"], Float[Tensor, " feature"]]:
        """Return the examples about their middle, that middle, and where it shall come to lie."""
        x, y, weight = known["features"], known["y"], known["weight"]
        means = class_means(y.t() @ x, counts)
        both = of_source * (counts > 0)
        some = both.sum() > 0
        share = both / both.sum().clamp(min=1.0)
        middle = torch.where(some, share @ means, weight @ x / weight.sum().clamp(min=1.0))
        goal = torch.where(some, share @ source, middle)
        paired, own = y @ both, y @ means
        about = (x - torch.where(paired.unsqueeze(-1) > 0, middle, own)) * weight.unsqueeze(-1)
        spare = (weight.sum() - (counts > 0).sum()).clamp(min=0.0)
        goals = y @ (both.unsqueeze(-1) * (source - goal))
        return _Pairs(about, goals, paired, (x - own) * weight.unsqueeze(-1), weight, spare), middle, goal

    def _coral(self, pairs: _Pairs, identity: Tensor) -> Float[Tensor, "feature feature"]:
        """Return `C_t^(-1/2) C_s^(1/2)` for the scatter of the task, to which the source's is added as `shrinkage` examples."""
        root = self.source_root.to(identity.dtype)
        scatter = pairs.rest.t() @ pairs.rest + self.shrinkage * root.t() @ root
        return inverse_root(scatter / (pairs.spare + self.shrinkage)) @ root

    def _ridge(self, x: Float[Tensor, "example feature"], weight: Float[Tensor, " example"], identity: Tensor) -> Tensor:
        """Return the identity times the scatter of `shrinkage` examples, in the mean direction."""
        return (
            self.shrinkage * identity * (x.square().sum() / (weight.sum().clamp(min=1.0) * identity.shape[0])).clamp(min=1e-6)
        )

    def _regression(self, pairs: _Pairs, identity: Tensor) -> Float[Tensor, "feature feature"]:
        """Return the map that leaves the least squared distance to the source's means, and to the identity."""
        x = pairs.x * pairs.paired.unsqueeze(-1)
        ridge = self._ridge(x, pairs.paired, identity)
        return solve(x.t() @ x + ridge, x.t() @ pairs.goal + ridge)

    def _procrustes(self, pairs: _Pairs, identity: Tensor) -> Float[Tensor, "feature feature"]:
        """Return the rotation or reflection nearest to the product of features and means: its polar factor."""
        x = pairs.x * pairs.paired.unsqueeze(-1)
        return _polar(x.t() @ pairs.goal + self._ridge(x, pairs.paired, identity))

    def _mmd(self, pairs: _Pairs, identity: Tensor) -> Float[Tensor, "feature feature"]:
        """Return the map after gradient steps on the squared kernel distance, from the identity."""
        x, weight = pairs.x, pairs.weight / pairs.weight.sum().clamp(min=1.0)
        rows = self.source_rest.to(x.dtype)
        wide = 2 * (weight @ (x - pairs.goal).square().sum(1) + rows.square().sum() / rows.shape[0]).clamp(min=1e-12)
        inverse = solve(x.t() @ x + self._ridge(x, pairs.weight, identity), identity)

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            apart = a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.t()
            return torch.exp(-apart / (2 * wide))

        def step(index: int | Tensor, linear: Tensor) -> Tensor:
            rest = x @ linear - pairs.goal
            own, other = kernel(rest, rest) * weight, kernel(rest, rows) / rows.shape[0]
            slope = rest * (other.sum(1) - own.sum(1)).unsqueeze(-1) + own @ rest - other @ rows
            return linear - self.align_lr * inverse @ (x.t() @ (slope * pairs.weight.unsqueeze(-1)))

        return repeat(step, identity, self.align_steps, "align_steps")
