"""Evaluation of many tasks together, and of regression: accuracies and errors, from `evaluate` to early stopping and the tables."""

from __future__ import annotations

import gc
import io
import json
import math
import pathlib
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rich.console
import torch
from builders import DESCENT, PROTOTYPES, Descent, Prototypes, make_learner, make_tasks, shown, variants
from torch import nn

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConfigError, DataError
from quickstudy.inputs.image import ImageSpec
from quickstudy.learner import Learner
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.frames import Frames
from quickstudy.nets.mlp import MLP
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.sinusoid import SinusoidTasks
from quickstudy.tasks.strings import StringTasks
from quickstudy.training import graphs
from quickstudy.training.evaluate import LIMITS, Evaluator, Result, _constant, _Runner, _together, check_fits, evaluate
from quickstudy.training.fit import fit
from quickstudy.training.folder import RunFolder
from quickstudy.training.measures import ACCURACY, MEASURES, measure_in
from quickstudy.training.memory import Made
from quickstudy.training.progress import progress_line
from quickstudy.training.settings import EngineSettings, TrainingSettings, ValidationSettings, plan
from quickstudy.training.tracking import read_metrics

from .conftest import KINDS

Make = Callable[..., Any]
VARIANTS = [(name, changes) for name in KINDS for changes in variants(name)]


def scores(learner: Learner, tasks: Task, together: int, captured: bool = False) -> torch.Tensor:
    """Return the losses on the queries, in which every bit of a prediction can be seen."""

    def judge(learner: Learner, task: Task) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        prediction = learner.predict(learner.adapt(task.support), task.query.x)
        return {"loss": task.query.y.loss(prediction, task.query.weight)}, prediction

    with torch.no_grad():
        how = plan("loop" if together == 1 else "vmap", captured, torch.get_num_threads(), chunk=together)
        found, _ = _Runner(learner, judge, how, {})(tasks)
        return found["loss"].double()


def check_together(learner: Learner, tasks: Task, tolerance: float = 1e-10, captured: tuple[int, ...] = (3,)) -> None:
    looped = scores(learner, tasks, 1)
    for together in (2, 3, LIMITS.batch):
        torch.testing.assert_close(scores(learner, tasks, together), looped, rtol=tolerance, atol=tolerance)
    for together in captured:
        torch.testing.assert_close(scores(learner, tasks, together, captured=True), looped, rtol=tolerance, atol=tolerance)
    assert len(set(looped.tolist())) == len(looped)


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=shown)
def test_many_tasks_together_score_as_each_alone(name: str, changes: dict[str, Any]) -> None:
    """Also where tasks are padded."""
    check_together(
        make_learner(name, norm="batch", **changes), make_tasks(4, ragged=True), captured=(3,) if changes else (1, 3)
    )


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        *((name, "batch") for name in (DESCENT, PROTOTYPES)),
        *(pytest.param(DESCENT, norm, marks=pytest.mark.product) for norm in ("none", "group", "instance")),
    ],
)
def test_so_they_do_with_convolutions(name: str, norm: str) -> None:
    check_together(make_learner(name, "conv4", norm), make_tasks(4, kind="conv4", ragged=norm == "batch"))


def test_so_they_do_with_channels_last() -> None:
    """Colour images arrive so, and convolutions hold their weights so; `vmap` cannot differentiate them twice, but once it can."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3)).astype(np.uint8)
    names = tuple("abcdef")
    dataset = Dataset(pixels, np.full(6, 10), names, names, ImageSpec(16, 16, 3), "colour", "f")
    tasks = ClassTasks(dataset, ways=3, shots=2, queries=3).batch(range(4))
    assert not tasks[0].query.x.is_contiguous()
    learner = Descent(Conv4(in_channels=3, image_size=16, channels=4), inner_steps=3)
    assert not next(learner.parameters()).is_contiguous()
    check_together(learner, tasks, 1e-4)


@pytest.mark.parametrize("engine", ["loop", "vmap", "auto"])
def test_every_engine_gives_the_same_result(rows: Make, engine: str) -> None:
    learner = make_learner(DESCENT, norm="batch")
    learner.net = MLP(4, (8,), norm="batch").double()
    tasks, done = rows(dtype=torch.float64), []
    result = evaluate(learner, tasks, 37, done.append, engine=engine)  # type: ignore[arg-type]
    expected = [
        float(ACCURACY.score(learner.predict(learner.adapt(tasks.batch(range(i, i + 1))[0].support), x), query))
        for i in range(37)
        for query in [tasks.batch(range(i, i + 1))[0].query]
        for x in [query.x]
    ]
    np.testing.assert_allclose(result.scores, expected, rtol=1e-12)
    assert done == [16, 16, 5]
    assert 0.4 < result.mean < 1


def test_another_net_is_not_judged_by_the_graph_of_the_first(rows: Make) -> None:
    learner = Descent(MLP(4, (8,)), inner_steps=2)
    results = [evaluate(learner, rows(), LIMITS.captured_from).scores for _ in range(2)]
    np.testing.assert_array_equal(*results)
    learner.net = nn.Sequential(*learner.net.children(), nn.Tanh(), nn.Threshold(0.5, -3.0))  # the same parameters
    learner.net.features = 8
    again = evaluate(learner, rows(), LIMITS.captured_from).mean
    assert again == pytest.approx(evaluate(learner, rows(), 149).mean, abs=0.02)
    assert again != results[0].mean()


CHANGES: dict[str, Callable[[Any], Any]] = {
    "hyperparameter": lambda learner: setattr(learner, "inner_steps", 3),
    "type": lambda learner: learner.double(),
    "frozen": lambda learner: learner.net.layers[1].requires_grad_(False),
    "value of a layer": lambda learner: setattr(learner.net.layers[3], "slope", 0.5),
    "content of a layer's dict": lambda learner: learner.net.layers[3].more.update(shift=0.5),
    "layer": lambda learner: learner.net.layers.append(nn.Threshold(0.5, -3.0)),
}


class Sloped(nn.Module):
    """A layer whose slope and shift are no tensors."""

    slope = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.more = {"shift": 0.0}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x > 1, self.slope, 1.0) * x + self.more["shift"]


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that grows by one with every graph that is captured."""
    found: list[object] = []
    make_fx = graphs.make_fx
    monkeypatch.setattr(graphs, "make_fx", lambda *args, **options: found.append(args) or make_fx(*args, **options))
    return found


@pytest.mark.parametrize("change", CHANGES)
def test_a_learner_is_captured_once_and_anew_when_it_changed(rows: Make, captures: list[object], change: str) -> None:
    net = MLP(4, (8,))
    net.layers.append(nn.Linear(8, 8)).append(Sloped())
    learner, count = Descent(net, inner_steps=2), LIMITS.captured_from
    before = [evaluate(learner, rows(), count).scores for _ in range(2)]
    np.testing.assert_array_equal(*before)
    first = len(captures)
    CHANGES[change](learner)
    after = [evaluate(learner, rows(), count).scores for _ in range(2)]
    np.testing.assert_array_equal(*after)
    assert len(captures) == 2 * first > 0
    plain = np.concatenate([evaluate(learner, rows(), count - 1).scores, after[0][-1:]])
    np.testing.assert_allclose(after[0], plain, atol=1e-6)


def test_an_object_at_the_address_of_one_that_is_gone_is_another_one() -> None:
    class Thing:
        """An object that can be referred to weakly."""

    thing = Thing()
    kept, again = _constant([thing, 1.0]), _constant([thing, 1.0])
    assert kept == again
    address = id(thing)
    del thing
    others = [Thing() for _ in range(100)]
    assert address in map(id, others)
    assert all(kept != _constant([other, 1.0]) for other in others)


def test_what_is_kept_of_a_learner_goes_with_it(rows: Make) -> None:
    learner = Descent(MLP(4, (8,)), inner_steps=2)
    evaluate(learner, rows(), LIMITS.captured_from)
    gone = weakref.ref(learner)
    del learner
    gc.collect()
    assert gone() is None


def test_a_hook_sees_every_evaluation(rows: Make) -> None:
    learner, seen = Descent(MLP(4, (8,)), inner_steps=2), []
    evaluate(learner, rows(), LIMITS.captured_from)
    learner.net.layers[1].register_forward_hook(lambda layer, given, found: seen.append(found) or None)
    for _ in range(2):
        seen.clear()
        evaluate(learner, rows(), LIMITS.captured_from)
        assert seen


def test_a_learner_that_says_not_how_it_was_built_is_judged_all_the_same(rows: Make) -> None:
    class Quiet(Descent):
        def __init__(self, net: nn.Module, secret: int) -> None:
            super().__init__(net, inner_steps=2)

    torch.manual_seed(0)
    found = evaluate(Quiet(MLP(4, (8,)), 1), rows(), LIMITS.captured_from).scores
    torch.manual_seed(0)
    np.testing.assert_array_equal(found, evaluate(Descent(MLP(4, (8,)), inner_steps=2), rows(), LIMITS.captured_from).scores)


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_no_graph_is_built(rows: Make, engine: str) -> None:
    class Watched(Descent):
        def predict(self, state: Any, x: Any) -> torch.Tensor:
            prediction = super().predict(state, x)
            assert not any(value.requires_grad for value in [*state.values(), prediction])
            seen.append(prediction.shape)
            return prediction

    seen: list[Any] = []
    learner = Watched(MLP(4, (8,), norm="batch"), inner_steps=3)
    evaluate(learner, rows(), 20, engine=engine)  # type: ignore[arg-type]
    assert len(seen) == (20 if engine == "loop" else 2)
    assert all(parameter.grad is None for parameter in learner.parameters())


def test_few_large_tasks_or_many_small_ones_go_together() -> None:
    def together(learner: Learner, tasks: Task) -> tuple[int, int]:
        with torch.no_grad():
            with Made() as made:
                learner.predict(learner.adapt(tasks[0].support), tasks[0].query.x)
            return _together(learner, tasks[0]), made.largest

    images = Task(
        *(Examples(torch.rand(1, count, 1, 28, 28), OneHot(torch.eye(5).repeat(count // 5, 1)[None])) for count in (5, 75))
    )
    assert together(Prototypes(Conv4(channels=64)), images) == (1, 75 * 64 * 28 * 28)
    assert together(Prototypes(Conv4(channels=32)), images) == (8, 75 * 32 * 28 * 28)
    assert together(Descent(Conv4(channels=16, halving="stride")), images) == (LIMITS.batch, 75 * 16 * 14 * 14)
    assert together(make_learner(PROTOTYPES), make_tasks(1))[0] == LIMITS.batch
    assert LIMITS.largest_on_cpu // (75 * 32 * 28 * 28) == 8
    assert 75 * 32 * 28 * 28 < LIMITS.alone_from < 75 * 64 * 28 * 28


def test_classes_sequences_and_values_are_measured_and_a_plain_result_says_which() -> None:
    assert [measure.key for measure in MEASURES.values()] == [
        "accuracy",
        "average_precision",
        "character_error_rate",
        "mean_squared_error",
    ]
    assert [measure.name for measure in MEASURES.values()] == [
        "accuracy, %",
        "average precision, %",
        "character error rate, %",
        "mean squared error",
    ]
    for measure in MEASURES.values():
        plain = Result(np.array([0.25, 0.5]), "inductive", {"ways": 3}, "hash", measure).to_dict()
        assert measure_in(json.loads(json.dumps(plain))) is measure
        better, worse = (0.5, 0.25) if measure.key in (ACCURACY.key, "average_precision") else (0.25, 0.5)
        assert measure.better(better, worse)
        assert measure.better(worse, None)
        assert not measure.better(worse, better)
        assert not measure.better(better, better)
        assert measure.better(worse, math.nan)  # a first validation may fail
        assert measure.better(math.nan, None)
        assert not measure.better(math.nan, math.nan)
        assert not measure.better(math.nan, worse)


def test_the_error_of_a_learner_that_says_zero_is_the_mean_square_of_the_curves() -> None:
    """`E[amplitude^2] / 2`, since over all phases in [0, pi] the mean square of a sine is 1/2 at every x."""
    learner = Descent(MLP(1), inner_steps=0)  # its head is zero, and stays so
    result = evaluate(learner, SinusoidTasks(queries=40, seed=3), 2000)
    expected = (0.1**2 + 0.1 * 5 + 5**2) / 3 / 2
    assert abs(result.mean - expected) < 2 * result.ci95 < 0.6
    plain = result.to_dict()
    assert plain["mean_squared_error"] == pytest.approx(result.mean, rel=1e-5)
    assert "accuracy" not in plain
    assert plain["ci95"] == pytest.approx(1.96 * result.scores.std(ddof=1) / math.sqrt(2000), rel=1e-5)
    assert plain["tasks_hash"] == SinusoidTasks(queries=40, seed=3).fingerprint(2000)


@pytest.mark.parametrize("count", [1, 20, LIMITS.captured_from])
def test_a_predicted_spread_is_judged_by_the_likelihood(count: int) -> None:
    class Unsure(Descent):
        def spread(self, state: Any, x: Any) -> torch.Tensor:
            return torch.full_like(self.predict(state, x), 2.0)

    result = evaluate(Unsure(MLP(1), inner_lr=0.01), SinusoidTasks(queries=7), count)
    assert result.of_spread is not None
    expected = -result.scores / (2 * 2**2) - math.log(2) - math.log(2 * math.pi) / 2
    np.testing.assert_allclose(result.of_spread, expected, rtol=1e-5)
    plain = result.to_dict()
    assert plain["log_likelihood"] == pytest.approx(expected.mean(), rel=1e-4)
    half = None if count == 1 else pytest.approx(1.96 * expected.std(ddof=1) / math.sqrt(count), rel=1e-4)
    assert plain["log_likelihood_ci95"] == half
    without = evaluate(Descent(MLP(1), inner_lr=0.01), SinusoidTasks(queries=7), count).to_dict()
    assert "log_likelihood" not in without


def test_padding_has_no_error() -> None:
    class Padded(SinusoidTasks):
        def batch(self, indices: Any) -> Task:
            task = super().batch(indices)
            mask = torch.arange(self.queries).expand(len(indices), -1) < 3
            loud = torch.where(mask.unsqueeze(-1), task.query.y.rows, 1e6)
            return Task(task.support, Examples(task.query.x, Values(loud), mask))

    learner = Descent(MLP(1), inner_lr=0.01)
    padded = evaluate(learner, Padded(queries=7), 20)
    whole = SinusoidTasks(queries=7)
    expected = []
    for index in range(20):
        task = whole[index]
        with torch.no_grad():
            error = learner.predict(learner.adapt(task.support), task.query.x[:3]) - task.query.y.rows[:3]
        expected.append(float(error.square().mean()))
    np.testing.assert_allclose(padded.scores, expected, rtol=1e-4)


def test_a_learner_of_classes_is_no_learner_of_curves(make_learner: Make, settings: Make) -> None:
    learner = Prototypes(MLP(1))
    with pytest.raises(
        ConfigError, match=f"ask for values, but {Prototypes.__name__} predicts classes only; take another learner"
    ):
        evaluate(learner, SinusoidTasks(), 2)
    with pytest.raises(ConfigError, match="predicts classes only"):
        fit(learner, SinusoidTasks(), None, settings())


@pytest.mark.parametrize("keep", [True, False])
def test_the_lowest_error_is_the_best(
    settings: Make, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    errors, seen = iter([7.0, 0.25, 0.5, 0.25]), []

    def scripted(evaluator: Evaluator, tasks: Any, indices: range, **options: Any) -> Result:
        seen.append(torch.cat([value.detach().flatten() for value in evaluator.learner.parameters()]))
        scores = np.full(len(indices), next(errors))
        return Result(scores, "inductive", tasks.describe(), tasks.fingerprint(len(indices)), MEASURES["values"])

    monkeypatch.setattr(Evaluator, "__call__", scripted)
    learner = Descent(MLP(1), inner_lr=0.01)
    limits = settings(steps=100, validation={"every": 2, "patience": 2})
    saved = fit(learner, SinusoidTasks(), SinusoidTasks(seed=1), limits, tmp_path if keep else None)
    assert torch.equal(torch.cat([value.detach().flatten() for value in saved.learner.parameters()]), seen[1])
    assert len(seen) == 4  # two without a better one: then patience is at an end
    if keep:
        assert saved.info["validation"]["mean_squared_error"] == 0.25


def test_curves_are_learned(tmp_path: pathlib.Path) -> None:
    learner = Descent(MLP(1), inner_lr=0.05, inner_steps=2)
    before = evaluate(learner, SinusoidTasks(seed=9), 100)
    limits = TrainingSettings(
        steps=150, tasks_per_step=8, lr=0.01, engine=EngineSettings("vmap"), validation=ValidationSettings(75, 50)
    )
    saved = fit(learner, SinusoidTasks(), SinusoidTasks(seed=1), limits, tmp_path)
    after = evaluate(saved.learner, SinusoidTasks(seed=9), 100)
    assert after.tasks_hash == before.tasks_hash
    assert after.mean < 0.75 * before.mean
    table = [row for row in read_metrics(tmp_path / "metrics.csv") if row["validation_ci95"]]
    assert [row["step"] for row in table] == ["75", "150"]
    assert not any(row["validation_accuracy"] for row in table)
    best = min(float(row["validation_mean_squared_error"]) for row in table)
    assert saved.info["validation"]["mean_squared_error"] == pytest.approx(best, rel=1e-4)


def test_a_run_of_curves_goes_on_where_it_stopped(settings: Make, tmp_path: pathlib.Path) -> None:
    def start(name: str, resume: bool = False, **options: Any) -> list[tuple[str, ...]]:
        learner = Descent(MLP(1, (8,)), inner_lr=0.01)
        limits, out = settings(steps=8, validation={"every": 2}), RunFolder(tmp_path / name, resume=resume)
        fit(learner, SinusoidTasks(), SinusoidTasks(seed=1), limits, out, **options)
        columns = ("step", "loss", "validation_mean_squared_error", "validation_ci95")
        return [tuple(row[column] for column in columns) for row in read_metrics(tmp_path / name / "metrics.csv")]

    class Stop:
        def update(self, done: float, row: Any) -> None:
            if done > 0.6:
                raise KeyboardInterrupt

        def note(self, text: str) -> None: ...

    torch.manual_seed(5)
    whole = start("whole")
    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt):
        start("broken", progress=Stop())
    assert start("broken", resume=True) == whole


def test_the_progress_line_names_the_error() -> None:
    screen = io.StringIO()
    with progress_line(rich.console.Console(file=screen, force_terminal=True, width=120)) as line:
        row = {"loss": 0.5, "tasks_per_second": 3.0, "validation_mean_squared_error": 1.23456, "validation_ci95": 0.0456}
        line.update(0.5, row)
        line.update(1.0, {"loss": 0.5, "tasks_per_second": 3.0})
    assert "validation mean squared error 1.23 ± 0.0456" in screen.getvalue().split("\r")[-1]


def test_one_transcript_that_is_too_long_is_found_wherever_it_is() -> None:
    texts = [*(f"ann/{'ab' * (1 + place % 2)}{place:03}" for place in range(200)), "ann/aaaaaaaa"]
    tasks = StringTasks(from_arrays(np.zeros((201, 4, 12), np.uint8), texts), shots=1, queries=1)
    learner = Descent(Frames(bands=4, length=12, channels=8, halvings=0))
    message = r"the transcript 'aaaaaaaa' \('ann/aaaaaaaa' of arrays\) has 8 symbols and needs 15 frames"
    with pytest.raises(DataError, match=message):
        check_fits(learner, tasks)
