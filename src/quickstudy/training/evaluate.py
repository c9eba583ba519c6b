"""Evaluation on a frozen set of tasks: mean and 95 % confidence interval, the protocol and the hash of the tasks beside them.

No task needs a gradient, so several are mapped together by `vmap` if that is faster: as many as keep the largest tensor small. The rule
counts elements and not seconds, so that the same tasks are summed in the same order every time, to the last bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import tree_map

from quickstudy import discovery
from quickstudy.errors import ConfigError, TaskError
from quickstudy.functional.call import with_tensors
from quickstudy.functional.classes import present_ways
from quickstudy.functional.features import frame_count
from quickstudy.layers.attention import attends, plain_attention
from quickstudy.layers.check import unchanged_buffers
from quickstudy.layers.conv_norm_pool import hooked
from quickstudy.learner import Learner, hyperparameters
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.sequences import Tokens
from quickstudy.targets import ValueScale
from quickstudy.task import Examples, Task
from quickstudy.tasks.source import TaskSource, scale_of
from quickstudy.tasks.strings import StringTasks
from quickstudy.training.calibration import Reliability
from quickstudy.training.graphs import Captured
from quickstudy.training.measures import ACCURACY, MEASURES, Measure
from quickstudy.training.memory import Made
from quickstudy.training.meta_gradient import Tensors, tensors_of
from quickstudy.training.processes.group import ALONE, Group
from quickstudy.training.saving import SavedLearner
from quickstudy.training.settings import EngineSettings, plan


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits by which tasks are mapped and captured, measured on Conv4 and ResNet-12 on one to 16 cores and one GPU.

    Args:
        batch: tasks that are drawn at once, and the most that are mapped together.
        largest_on_cpu: elements of the largest tensor of tasks mapped together, on a CPU.
        largest: the same elsewhere.
        alone_from: elements of a task's largest tensor from which tasks are judged one by one on a CPU: 8 MB fill the cache already.
        captured_from: tasks from which it is worth a second or more to capture a graph.
    """

    batch: int = 16
    largest_on_cpu: int = 2**24
    largest: int = 2**26
    alone_from: int = 2**21
    captured_from: int = 150


LIMITS = Limits()
UNMAPPED = (nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
"""Layers of torch that `vmap` cannot map over channels-last images: nets that have them are judged task by task."""


@dataclasses.dataclass(frozen=True)
class Result:
    """One score for each task, and their mean.

    Args:
        scores: of each task, `[task]`: the fraction of queries predicted rightly, or the mean squared error.
        protocol: `inductive` or `transductive`.
        tasks: the protocol of the tasks (data set, ways, shots, ...).
        tasks_hash: equal hashes, equal tasks.
        measure: what the scores are.
        ece: expected calibration error of the probabilities, in [0, 1]; None if the tasks ask for values.
        ece_uncalibrated: the same at temperature 1, which is before calibration.
        of_spread: score of each task by `measure.of_spread`, such as its log-likelihood, `[task]`; None if no spread was predicted.
        beside: score of each task by each measure of `measure.beside`, such as its word error rate, `[task]`, by the key of the measure;
            balanced accuracy and macro F1 only if the queries of some task have classes of unequal size.
    """

    scores: np.ndarray
    protocol: str
    tasks: dict[str, Any]
    tasks_hash: str
    measure: Measure = ACCURACY
    ece: float | None = None
    ece_uncalibrated: float | None = None
    of_spread: np.ndarray | None = None
    beside: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Return the mean over tasks; an accuracy is in [0, 1]."""
        return float(self.scores.mean())

    @property
    def ci95(self) -> float:
        """Return half the width of the 95 % confidence interval of the mean: 1.96 standard errors over tasks."""
        return _ci95(self.scores)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; the mean under the name of its measure, accuracies and calibration errors in percent."""
        errors = {"ece": self.ece, "ece_uncalibrated": self.ece_uncalibrated}
        return {
            self.measure.key: self.measure.rounded(self.mean),
            "ci95": self.measure.rounded(self.ci95) if math.isfinite(self.ci95) else None,
            **{name: ACCURACY.rounded(error) for name, error in errors.items() if error is not None},
            **self._further(),
            "test_tasks": len(self.scores),
            "protocol": self.protocol,
            **self.tasks,
            "tasks_hash": self.tasks_hash,
        }

    @property
    def means(self) -> dict[str, float]:
        """Return the mean over tasks by every measure that there are scores of, by its key, the first one that of `mean`."""
        spread = (
            {} if self.of_spread is None or self.measure.of_spread is None else {self.measure.of_spread.key: self.of_spread}
        )
        return {key: float(scores.mean()) for key, scores in {self.measure.key: self.scores, **self.beside, **spread}.items()}

    def _further(self) -> dict[str, float | None]:
        """Return plain values of the scores by further measures."""
        found: dict[str, float | None] = {}
        for one in self.measure.measures[1:]:
            scores = self.of_spread if one is self.measure.of_spread else self.beside.get(one.key)
            found |= {} if scores is None else _plain(one, scores)
        return found


def _plain(measure: Measure, scores: np.ndarray) -> dict[str, float | None]:
    """Return the mean of scores and its interval under the name of their measure."""
    half = measure.rounded(_ci95(scores)) if len(scores) > 1 else None
    return {measure.key: measure.rounded(float(scores.mean())), f"{measure.key}_ci95": half}


def _ci95(scores: np.ndarray) -> float:
    """Return half the width of the 95 % confidence interval of the mean: 1.96 standard errors over tasks."""
    count = len(scores)
    return 1.96 * float(scores.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf


def evaluate(
    learner: Learner | SavedLearner,
    tasks: TaskSource,
    count: int = 1000,
    advance: Callable[[int], None] | None = None,
    *,
    engine: Literal["auto", "loop", "vmap"] = "auto",
    group: Group = ALONE,
) -> Result:
    """Adapt to each of the first `count` tasks and predict its queries.

    Args:
        learner: not changed. It is judged by accuracy, or by mean squared error if the tasks ask for values; by log-likelihood too if it
            predicts their spread. The probabilities of a saved learner are those at its temperature, the ones of another learner those
            at temperature 1.
        tasks: where the tasks come from.
        count: number of tasks; the paper's figures are from 600 to 10,000.
        advance: called with the number of tasks done since the last call (for a progress bar).
        engine: `loop`, one task at a time; `vmap`, many together; `auto`, as many as suit their size and the device. They agree up to
            rounding.
        group: processes that share the tasks; each of them returns the result of all.

    Raises:
        TaskError: a query set asks for a class that the support set lacks.
        ConfigError: no tasks, a learner of classes for tasks of values, or values at another scale than that of a saved learner.
    """
    if count < 1:
        raise ConfigError(f"count is {count}; expected at least 1 task to evaluate on.")
    saved = learner if isinstance(learner, SavedLearner) else SavedLearner(learner, scale=scale_of(tasks))
    check_scale(tasks, saved.scale)
    check_symbols(tasks, saved.symbols)
    return Evaluator(saved.learner, engine, saved.temperature_of)(tasks, range(count), advance, group)


def check_fits(learner: Learner, tasks: TaskSource) -> None:
    """Raise a ConfigError for tasks whose kind of answer the learner cannot predict, or a DataError for sequences that are too long."""
    kinds = [target.name for target in learner.targets]
    if tasks.target not in kinds:
        known = {name: discovery.load("learners", name).targets for name in discovery.names("learners")}
        able = [name for name, targets in known.items() if tasks.target in [target.name for target in targets]]
        raise ConfigError(
            f"the tasks ask for {tasks.target}, but {type(learner).__name__} predicts {' or '.join(kinds)} only; take another learner: "
            f"{', '.join(able) or 'none is known'}."
        )
    frames = next((count for part in learner.children() if (count := frame_count(part)) is not None), None)
    if frames is not None:
        if isinstance(tasks, StringTasks):
            tasks.check_frames(frames)
        first = tasks.batch(range(4))  # of other sources, and of strings that are joined
        for part in (first.support, first.query):
            if isinstance(part.y, Tokens):
                part.y.check_frames(frames)


def check_scale(tasks: TaskSource, scale: ValueScale | None) -> None:
    """Raise a ConfigError for tasks that give values at another scale than the one at which a learner sees them."""
    if scale_of(tasks) != scale:
        ours, theirs = (
            "values as they are" if one is None else f"values at a scale, {one}" for one in (scale_of(tasks), scale)
        )
        raise ConfigError(
            f"the tasks give {ours}, but the learner expects {theirs}. Take the learner's scale, load_data(...).in_scale(saved.scale), "
            "or train and judge on tasks of one scale."
        )


def check_symbols(tasks: TaskSource, symbols: Sequence[str]) -> None:
    """Raise a ConfigError for tasks whose sequences have other symbols than those to which a learner's head is fixed, or another order.

    Args:
        tasks: tasks of any kind of answer.
        symbols: the alphabet of the head; empty if it is fixed to none.
    """
    ours = tasks.describe().get("symbols")
    if symbols and ours is not None and tuple(ours) != tuple(symbols):
        fixed = "".join(symbols)
        raise ConfigError(
            f"the tasks have the symbols {ours!r}, but the learner's head is fixed to {fixed!r}; draw tasks of these, with "
            f"Strings(alphabet={fixed!r}), or --strings.alphabet {fixed!r} at the command line."
        )


class Judged(NamedTuple):
    """Some tasks and what became of them.

    Attributes:
        tasks: a batch.
        scores: of each task, `[task]`, under the key of each measure.
        predictions: `[task, query, output]`.
    """

    tasks: Task
    scores: dict[str, Tensor]
    predictions: Tensor


class Evaluator:
    """Judges one learner.

    Args:
        learner: what is judged; its weights may change in between.
        mapping: how tasks are mapped.
        temperature_of: number by which logits are divided to become probabilities, from the number of ways.
    """

    def __init__(
        self,
        learner: Learner,
        mapping: Literal["auto", "loop", "vmap", "joint"] = "auto",
        temperature_of: Callable[[int], float] = lambda ways: 1.0,
    ) -> None:
        self.learner, self.mapping, self.temperature_of = learner, mapping, temperature_of

    def __call__(
        self, tasks: TaskSource, indices: range, advance: Callable[[int], None] | None = None, group: Group = ALONE
    ) -> Result:
        """Return the result on the tasks of these indices, which begin with 0; in every process of a group that of all."""
        check_fits(self.learner, tasks)
        measure = MEASURES[tasks.target]
        scores, bare, calibrated = {one.key: [] for one in measure.measures}, Reliability(), Reliability()
        unequal = False
        for judged in self.judged(tasks, group.share(indices), len(indices)):
            for key, found in judged.scores.items():
                scores[key] += found.tolist()
            if measure is ACCURACY:
                bare.add(judged.predictions, judged.tasks.query)
                calibrated.add(self._softened(judged.predictions), judged.tasks.query)
                unequal = unequal or _of_unequal_classes(judged.tasks.query)
            if advance:
                advance(judged.tasks.count)
        ece, at_1 = (part.gathered(group).error() if measure is ACCURACY else None for part in (calibrated, bare))
        found = {key: np.array(group.gather(of_measure)) for key, of_measure in scores.items()}
        told = group.any(unequal)
        beside = {one.key: found[one.key] for one in measure.beside if told or not one.of_unequal}
        spread = np.array([]) if measure.of_spread is None else found[measure.of_spread.key]
        about = tasks.describe(), tasks.fingerprint(len(indices))
        return Result(
            found[measure.key], self.learner.protocol, *about, measure, ece, at_1, spread if len(spread) else None, beside
        )

    def _softened(self, logits: Tensor) -> Tensor:
        """Return logits `[task, query, way]` divided by the temperature of each task's number of ways."""
        temperatures = [self.temperature_of(ways) for ways in present_ways(logits).tolist()]
        return logits / torch.tensor(temperatures, device=logits.device)[:, None, None]

    @torch.no_grad()
    def judged(self, tasks: TaskSource, indices: range, count: int | None = None) -> Iterator[Judged]:
        """Yield the tasks in batches, with scores and predictions; `count` is how many all processes judge together."""
        learner = self.learner.eval()
        device = next((value.device for value in learner.state_dict().values()), torch.device("cpu"))
        run, measure = None, MEASURES[tasks.target]
        for begin in indices[:: LIMITS.batch]:
            batch = tasks.batch(range(begin, min(begin + LIMITS.batch, indices.stop))).to(device)
            if measure is ACCURACY:
                _check_answerable(batch, begin)
            with unchanged_buffers(learner), plain_attention() if attends(learner) else contextlib.nullcontext():
                run = run or self._runner(batch, count or len(indices), tasks.target)
                found = run(batch)
            yield Judged(batch, *found)

    def _runner(self, batch: Task, count: int, target: str) -> _Runner:
        """Return what judges so many tasks like these."""
        how = self._plan(batch, count)
        judge = functools.partial(_judge, MEASURES[target])
        return _Runner(self.learner, judge, how, _kept_graphs(self.learner, how.mapping, target))

    def _plan(self, batch: Task, count: int) -> EngineSettings:
        """Return how to judge so many tasks like these."""
        chunk = {"loop": 1, "vmap": LIMITS.batch}.get(self.mapping) or _together(self.learner, batch[0])
        capture = count >= LIMITS.captured_from and _can_be_captured(self.learner)
        workers = torch.get_num_threads() if capture and batch.device.type == "cpu" else 1
        return plan("loop" if chunk == 1 else "vmap", capture, workers, chunk=chunk)


Scored = tuple[dict[str, Tensor], Tensor]
"""Type of scores by the key of their measure, and predictions: of one task, or with one more leading axis of several."""


def _judge(measure: Measure, learner: Learner, task: Task) -> Scored:
    """Return the scores and the prediction of one task."""
    found = learner.outputs(learner.adapt(task.support), task.query.x, measure, task.query.mask)
    return measure.scores(found, task.query), found["prediction"]


class _Runner:
    """Scores and predictions of the tasks of a batch.

    Args:
        learner: what is judged.
        judge: returns the scores and the prediction of one task.
        plan: how; `chunk` tasks are mapped together.
        graphs: where captured graphs are kept.
    """

    def __init__(
        self, learner: Learner, judge: Callable[[Learner, Task], Scored], plan: EngineSettings, graphs: dict[str, Any]
    ) -> None:
        self.learner, self.plan = learner, plan

        def one(weights: Tensors, task: Task) -> Scored:
            return judge(with_tensors(learner, weights), task)

        def several(parameters: Tensors, others: Tensors, tasks: Task) -> Scored:
            weights = parameters | others
            if plan.mapping == "loop":
                return _joined(torch.stack, [one(weights, tasks[index]) for index in range(tasks.count)])
            return vmap(one, in_dims=(None, 0))(weights, tasks)

        self.judge = several
        self.captured = Captured(learner, several, graphs) if plan.capture else None

    def __call__(self, batch: Task) -> Scored:
        """Return the scores of each task, and its predictions."""
        count, together = batch.count, self.plan.chunk or batch.count
        chunks = [batch[begin : min(begin + together, count)] for begin in range(0, count, together)]
        return _joined(torch.cat, self._each(chunks))

    def _each(self, chunks: list[Task]) -> list[Scored]:
        """Return scores and predictions of each chunk."""
        parameters, others = tensors_of(self.learner)
        if self.captured is not None:
            try:
                return self.captured.replay(parameters, others, chunks, self.plan.workers or 1)
            except (RuntimeError, NotImplementedError):  # a learner that cannot be traced is judged as it is
                self.captured = None
        return [self.judge(parameters, others, chunk) for chunk in chunks]


def _joined(join: Callable[[list[Tensor]], Tensor], parts: Sequence[Scored]) -> Scored:
    """Return scores and predictions of several tasks, or chunks of tasks, as one."""
    return tree_map(lambda *tensors: join(list(tensors)), *parts)


_graphs: weakref.WeakKeyDictionary[Learner, tuple[list[Any], dict[tuple[str, str], Any]]] = weakref.WeakKeyDictionary()
"""Captured graphs of every learner that was judged and still exists, beside what of it they hold as constants."""
BOOKKEEPING = frozenset(vars(nn.Module()))
"""Names under which torch keeps a layer's tensors, layers and hooks, which are looked at by themselves."""


def _kept_graphs(learner: Learner, mapping: str, target: str) -> dict[str, Any]:
    """Return the graphs that were captured while the learner was as it is, for this mapping and kind of answers."""
    constants = _constants(learner)
    if learner not in _graphs or _graphs[learner][0] != constants:
        _graphs[learner] = constants, {}
    return _graphs[learner][1].setdefault((mapping, target), {})


def _constants(learner: Learner) -> list[Any]:
    """Return what a graph holds of a learner as constants: its layers, their values other than tensors, and the sorts of these."""
    found: list[Any] = [
        (name, value.shape, value.stride(), value.dtype, value.device, value.requires_grad)
        for name, value in itertools.chain(learner.named_parameters(), learner.named_buffers())
    ]
    for place, layer in learner.named_modules(remove_duplicate=False):
        own = {name: _constant(value) for name, value in vars(layer).items() if name not in BOOKKEEPING}
        found.append((place, _Itself(layer), own))
    return found


def _constant(value: Any) -> Any:
    """Return something that equals itself as long as a value stays as it is; for containers their content counts."""
    if isinstance(value, Mapping):
        return [(_constant(key), _constant(inner)) for key, inner in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [type(value), *map(_constant, value)]
    return repr(value) if isinstance(value, (str, int, float, type(None))) else _Itself(value)


class _Itself:
    """A value that equals nothing but itself. It is held weakly if it can be, since what is kept must not keep the learner."""

    def __init__(self, value: Any) -> None:
        try:
            self.held: Callable[[], Any] = weakref.ref(value)
        except TypeError:
            self.held = lambda: value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.held() is not None and self.held() is other.held()

    __hash__ = None  # pyright: ignore[reportAssignmentType]


def _can_be_captured(learner: Learner) -> bool:
    """Return whether nobody watches its layers, and its hyperparameters are known: a graph has them as constants."""
    if not learner.traceable or learner.any_columns:  # a graph would compute the padding too, which may be most of a table
        return False
    try:
        hyperparameters(learner)
    except AttributeError:
        return False
    return not any(hooked(layer) for layer in learner.modules())


def _together(learner: Learner, task: Task) -> int:
    """Return how many tasks to map together."""
    if not learner.traceable or learner.any_columns or any(type(layer) in UNMAPPED for layer in learner.modules()):
        return 1
    with Made() as made:
        learner.predict(learner.adapt(task.support), task.query.x)
    on_cpu = task.device.type == "cpu"
    if on_cpu and made.largest >= LIMITS.alone_from:
        return 1
    return max(1, min(LIMITS.batch, (LIMITS.largest_on_cpu if on_cpu else LIMITS.largest) // made.largest))


def _of_unequal_classes(queries: Examples) -> bool:
    """Return whether the classes that some task of a batch asks for are of unequal size."""
    if not isinstance(queries.y, OneHot):
        return False
    sizes = queries.y.sizes(queries.weight)
    return bool(((sizes > 0) & (sizes != sizes.amax(-1, keepdim=True))).any())


def _check_answerable(batch: Task, begin: int) -> None:
    """Raise a TaskError if a class is asked for that was not shown; `begin` is the index of the first task of the batch."""
    shown, asked = (
        (F.one_hot(part.y.rows.argmax(-1), part.y.outputs) * part.weight.unsqueeze(-1)).sum(1)
        for part in (batch.support, batch.query)
    )
    lacking = ((asked > 0) & (shown == 0)).nonzero()
    if len(lacking):
        task, way = lacking[0].tolist()
        raise TaskError(
            f"task {begin + task} asks in its query set for way {way}, of which its support set has no example. Add one, or leave "
            "these queries out."
        )
