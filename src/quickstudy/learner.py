"""Learner: the contract. A learner is two pure functions, `adapt(support) -> state` and `predict(state, x) -> y`."""

from __future__ import annotations

import abc
import copy
import functools
import inspect
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from quickstudy.layers.attention import ATTENTION
from quickstudy.layers.batch_norm import has_batch_norm, padding
from quickstudy.objectives._measure import Measure
from quickstudy.objectives.classes import OneHot
from quickstudy.task import Answers, Examples, Input, Task

State = Mapping[str, Tensor]
Given = TypeVar("Given")
L = TypeVar("L", bound="Learner")


class Learner(nn.Module, abc.ABC):
    """Contract of every algorithm. Its parameters are the meta-parameters; its constructor's signature defines its hyperparameters.

    A learner sees one task at a time; the engine maps it over tasks. `adapt` stores nothing on `self` and changes nothing in place.
    Every constructor argument is kept as an attribute of the same name, so that a saved learner can be built again: most learners
    are dataclasses (`eq=False, repr=False`), whose fields are their hyperparameters.
    """

    progress: Tensor  # of learners that anneal only

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot,)
    """Kinds of answers that the learner can learn and predict: types of `Examples.y`."""

    gradient_free_adapt: ClassVar[bool] = False
    """`adapt` takes no gradient (prototypes, memories): cheap on small devices, and exportable as plain inference."""

    continues: ClassVar[bool] = False
    """`adapt(more, state)` remembers what `state` learned, so that earlier examples need not be kept. If it is False, `adapt` goes on
    from the state but may forget; `FewShotClassifier` then keeps the examples and adapts to all of them."""

    order_free: ClassVar[bool] = True
    """The order of the support examples does not matter."""

    sequential: ClassVar[bool] = False
    """`adapt` reads the support examples one after another in a `scan`. An export keeps the loop; any other trace writes it out, and so
    fits one number of examples only."""

    relabelling_free: ClassVar[bool] = True
    """Renaming the classes renames the predictions and changes nothing else (in the default configuration)."""

    any_columns: ClassVar[bool] = False
    """`adapt` and `predict` take rows of any length on a net that does, so that an exported learner is given rows of a table without
    padding; in Python they leave it out themselves, where they may look for it, so that tasks are judged one by one and not captured."""

    prototypes: ClassVar[bool] = False
    """The state is `sums` `[way, feature]` and `counts` `[way]` of features; predictions compare features with their means."""

    exact_gradient: ClassVar[bool] = True
    """The gradient of `loss` is its derivative (in the default configuration); Reptile's meta-update is defined otherwise."""

    adapts_head: ClassVar[bool] = True
    """`adapt` moves a head that is learned (`head_ways`), so that on a frozen net something is left to learn."""

    trains_on_query: ClassVar[bool] = True
    """`loss` looks at the query set (Reptile does not)."""

    loss_of_predictions: ClassVar[bool] = True
    """If `loss` looks at the query set, it judges the predictions for it and nothing else; otherwise it adds a term of its own."""

    adjustable: ClassVar[tuple[str, ...]] = ()
    """Hyperparameters of `adapt` that may be any number, also a tensor: they become inputs of an exported learner."""

    rate: ClassVar[str] = ""
    """Hyperparameter to lower when adapting diverges; empty if there is none."""

    traceable: ClassVar[bool] = True
    """`adapt` and `predict` are made of torch's operations, so that tasks can be mapped together, and graphs be captured."""

    not_exportable: ClassVar[str] = ""
    """Reason why this learner cannot be exported; empty for one that can."""

    anneals: ClassVar[bool] = False
    """`loss` follows how far meta-training is: it reads `progress`, which `adapt` and `predict` never do. This is a scalar buffer that is
    not saved. Before each step the trainer sets it to what the schedule of the learning rate goes by (`TrainingSettings.done`), the
    fraction of the training that is over: 0 at the first step, `1 - 1 / steps` at the last one, or by the clock, whichever is further, if
    the time is limited. Outside of meta-training it is 0."""

    phases: ClassVar[tuple[str, ...]] = ()
    """Hyperparameters that are fractions of meta-training, from which on `loss` is another function, for a learner that anneals. It asks
    `over` about them in plain Python, so that it computes only what the present phase needs; graphs are captured anew for each phase."""

    measured_every: ClassVar[int | None] = None
    """Number of steps between calls of `calibrate` during meta-training, for a learner whose `loss` reads what `calibrate` measures; None
    for any other learner. What `calibrate` measures for a validation is forgotten after it, so that no training depends on how often it
    is validated."""

    meta_optimizer: ClassVar[Mapping[str, Any]] = {"optimizer": "adam", "lr": 1e-3, "schedule": "cosine"}
    """Settings of the outer loop that suits this learner, used if the caller names none."""

    draws: ClassVar[str] = ""
    """Source of tasks that trains the learner if the caller names none, such as `pooled`; empty for few-shot tasks."""

    statistics: Any = ""
    """Choice of what batch norm normalises queries by; empty for a learner without the choice."""

    ways: int | None = None
    """Number of ways to which the learner's head is fixed; None for a learner that fits every task."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Do torch's bookkeeping first, so that a learner may be a dataclass whose fields are its hyperparameters."""
        self = super().__new__(cls)
        Learner.__init__(self)
        return self

    def __init__(self) -> None:
        super().__init__()
        self.done = 0.0
        """Fraction of meta-training that is over, as `progress`, for `over`; 0 for a learner that does not anneal."""
        if self.anneals:
            self.register_buffer("progress", torch.zeros(()), persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: a learner is a pure function, also while it is trained.

        Attention keeps from its kernel for inference, which has no derivatives; without dropout, nothing else tells the modes apart.
        """
        super().train(False)
        for layer in self.modules():
            if isinstance(layer, ATTENTION):
                layer.training = True
        return self

    def matched(self, given: Given) -> Given:
        """Return inputs, examples or a task with floating-point tensors in the type and on the device of the learner's tensors."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        like = next((value for value in tensors if value.is_floating_point()), None)
        if like is None or all(_matches(leaf, like) for leaf in tree_leaves(given)):
            return given
        return tree_map(lambda leaf: leaf.to(like.device, like.dtype if leaf.is_floating_point() else leaf.dtype), given)

    @abc.abstractmethod
    def adapt(self, support: Examples, state: State | None = None) -> State:
        """Learn the task from its support set; with `state`, go on from what was learned before (more examples, new ways)."""

    @abc.abstractmethod
    def predict(self, state: State, x: Input) -> Float[Tensor, "example *frame output"]:
        """Return outputs for new inputs: logits `[example, way]`, values `[example, output]`, or logits `[example, frame, symbol]`."""

    def predict_padded(
        self, state: State, x: Input, mask: Bool[Tensor, " example"] | None
    ) -> Float[Tensor, "example *frame output"]:
        """Return what `predict` returns for a batch of queries with padding, where `mask` is False, which changes no other answer.

        A learner whose answer to a query depends on the others of its batch, other than through batch norm, has a function of its own.
        """
        with padding(mask):
            return self.predict(state, x)

    def spread(self, state: State, x: Input) -> Float[Tensor, "example output"] | None:
        """Return the predicted standard deviation of each value, above 0, in the unit of the values; None if none is predicted."""

    def outputs(
        self, state: State, x: Input, measure: Measure, mask: Bool[Tensor, " example"] | None = None
    ) -> dict[str, Tensor]:
        """Return the `prediction` for new inputs and, if the learner predicts one, its `spread`.

        Args:
            state: from `adapt`.
            x: inputs.
            measure: of the kind of answers, which says whether a spread means something for them.
            mask: bool `[example]`, False for padding; None when every input counts.
        """
        spread = None if measure.of_spread is None else self.spread(state, x)
        return {"prediction": self.predict_padded(state, x, mask), **({} if spread is None else {"spread": spread})}

    def loss(self, task: Task) -> Float[Tensor, ""]:
        """Return the scalar whose gradient is the meta-update: adapt on the support set, predict the query set."""
        task = self.matched(task)
        state = self.adapt(task.support)
        return task.query.y.loss(self.predict_padded(state, task.query.x, task.query.mask), task.query.weight)

    def over(self, phase: str) -> bool:
        """Say whether meta-training has come to the fraction that a hyperparameter, one of `phases`, names."""
        return self.done >= getattr(self, phase)

    def prepare(self, task: Task) -> None:
        """Build what depends on the tasks of a training, of which this is one; called before it begins. Nothing by default."""

    def exported(self) -> Self:
        """Return the learner without what only training needs; itself by default."""
        return self

    @torch.no_grad()
    def calibrate(self, tasks: Iterable[Task]) -> None:
        """Set what is measured rather than learned (population statistics). Called before evaluating and saving; nothing by default."""

    @property
    def transductive(self) -> bool:
        """Say whether the answer to a query depends on the others of its batch."""
        return self.statistics == "query" and has_batch_norm(self)

    @property
    def most_values(self) -> int | None:
        """Return the most values that an example may have, of a learner that takes any number up to that; None without a limit."""
        return None

    @property
    def protocol(self) -> str:
        """Return how queries are answered, named beside every result: `inductive` (each on its own) or `transductive`."""
        return "transductive" if self.transductive else "inductive"


def set_progress(learner: Learner, done: float) -> None:
    """Tell a learner, and those that it holds, which fraction of meta-training is over, if their losses follow it."""
    for part in annealing(learner):
        part.done = done
        part.progress.fill_(done)


def annealing(learner: Learner) -> list[Learner]:
    """Return those of a learner and the learners that it holds whose losses follow the training's progress."""
    return [part for part in learner.modules() if isinstance(part, Learner) and part.anneals]


def changed(learner: L, **hyperparameters: Any) -> L:
    """Return the learner with other values of hyperparameters that its functions read; it shares the tensors of the one given."""
    copied = copy.copy(learner)
    vars(copied).update(hyperparameters)
    return copied


def _matches(value: Tensor, like: Tensor) -> bool:
    return value.device == like.device and (value.dtype == like.dtype or not value.is_floating_point())


@functools.lru_cache
def _arguments(kind: type[nn.Module]) -> tuple[str, ...]:
    """Return the names of the constructor's arguments; kept, because reading a signature takes longer than a small step's other Python."""
    return tuple(inspect.signature(kind.__init__).parameters)[1:]


def hyperparameters(module: nn.Module) -> dict[str, Any]:
    """Return the values that a module was built with, by name; nested modules are left out.

    >>> from quickstudy.nets.mlp import MLP
    >>> hyperparameters(MLP(in_features=3, hidden=(8,)))
    {'in_features': 3, 'hidden': (8,), 'norm': 'none'}
    """
    values = {name: getattr(module, name) for name in _arguments(type(module))}
    return {name: value for name, value in values.items() if not isinstance(value, nn.Module)}
