"""What every learner promises of its export: the graphs that run without torch are the learner, to torch's own rounding."""

from __future__ import annotations

import copy
import pathlib
from typing import Any

import exports
import numpy as np
import pytest
import torch
from builders import (
    DESCENT,
    HEAD_DESCENT,
    PROTOTYPES,
    SHAPES,
    Prototypes,
    as_values,
    make_learner,
    make_tasks,
    shown,
    teach,
    variants,
)
from networks import NETS
from torch import Tensor
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from quickstudy import FewShotRegressor, discovery
from quickstudy.errors import ConfigError, FileFormatError, ModelError
from quickstudy.export.bundle import to_bundle
from quickstudy.functional.loop import repeat
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.learner import Learner
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.runtime import learner as runtime
from quickstudy.runtime.bundle import check_state
from quickstudy.runtime.engines import settings_of
from quickstudy.runtime.manifest import ProgramName, StateTensor
from quickstudy.task import Examples, Task
from quickstudy.training.saving import SavedLearner


def marks(group: str, always: bool) -> list[pytest.MarkDecorator]:
    """Keep the tests of one exported learner together on a worker of pytest-xdist; those that are not run always are a product."""
    return [pytest.mark.xdist_group(group), *([] if always else [pytest.mark.product])]


LEARNERS = discovery.names("learners")
SPREADING = [name for name in LEARNERS if discovery.load("learners", name).spread is not Learner.spread]
"""Learners that say how sure they are of a value."""
PAIRS = [
    pytest.param(name, kind, norm, marks=marks(f"{name} {kind}", kind == "mlp" or name in (PROTOTYPES, HEAD_DESCENT)))
    for name in LEARNERS
    for kind, norm in (("mlp", "none"), ("conv4", "batch"))
]
"""A sum, not a product: every learner on the small net, and the convolutional one with two learners; the rest in full runs."""
ROUNDING = 8
"""Times torch's own float32 error (its difference from float64) that another runtime may be off."""
TAUGHT = 150
"""Steps of meta-training after which answers of a convolutional net are compared that were ties before."""
FLOOR = 2e-5
"""Relative error that is always allowed: some roundings of float32, which Adam divides by the size of the gradient."""


def pair(name: str, kind: str, norm: str) -> tuple[Learner, Learner, runtime.Learner]:
    """Return a learner in float64 and in float32, and exported."""
    return (
        make_learner(name, kind, norm),
        make_learner(name, kind, norm, dtype=torch.float32),
        exports.shipped(name, kind, norm),
    )


def run(
    shipped: runtime.Learner, graph: ProgramName, settings: dict[str, Any] | None = None, **values: Any
) -> dict[str, np.ndarray]:
    """Run a graph; `support_x`, `support_y` and `query_x` stand for the graph's own names, `state_NAME` for the state."""
    part = next(iter(shipped.manifest.layout))
    own = {"support_x": f"support.{part}", "support_y": "support.y", "query_x": f"query.{part}"}
    named = {own.get(name, name.replace("state_", "state.", 1)): np.asarray(value) for name, value in values.items()}
    return shipped.run(graph, named | settings_of(shipped.engine, settings or {}, {}))


def check(found: dict[str, np.ndarray], single: dict[str, Tensor], double: dict[str, Tensor]) -> None:
    """`found` is as near to float64 as torch in float32, up to a small factor."""
    assert found.keys() == single.keys()
    for name, right in double.items():
        size = float(right.abs().clamp(max=1e20).max()) + 1e-12
        here = float((torch.from_numpy(found[name]).double() - right).abs().max())
        torchs = float((single[name].double() - right).abs().max())
        assert here <= ROUNDING * torchs + FLOOR * size, (name, here, torchs, size)


def both(single: Learner, double: Learner, support: Examples, queries: Tensor) -> list[tuple[dict[str, Tensor], Tensor]]:
    results = []
    for learner in (single, double):
        dtype = next(iter(learner.state_dict().values()), torch.zeros(())).dtype
        with torch.no_grad():
            state = learner.adapt(Examples(support.x.to(dtype), OneHot(support.y.rows.to(dtype))))
            results.append((dict(state), learner.predict(state, queries.to(dtype))))
    return results


def check_graphs(double: Learner, single: Learner, shipped: runtime.Learner, task: Task) -> None:
    """`adapt`, `predict` and, if there is one, `update` (with the examples in another order) of one task are the learner's."""
    (state32, logits32), (state64, logits64) = both(single, double, task.support, task.query.x)
    given = {"support_x": task.support.x.float(), "support_y": task.support.y.rows.float()}
    state = run(shipped, "adapt", **given)
    check(state, state32, state64)
    known = {f"state_{key}": value for key, value in state.items()}
    prediction = run(shipped, "predict", query_x=task.query.x.float(), **known)
    check(prediction, {"prediction": logits32}, {"prediction": logits64})
    if not single.continues:
        assert "update" not in shipped.manifest.programs
        with pytest.raises(ConfigError, match="has no program 'update'; it has adapt, predict"):
            run(shipped, "update", **given, **known)
        return
    with torch.no_grad():
        more32 = single.adapt(Examples(given["support_x"].flip(0), OneHot(given["support_y"].flip(0))), state32)
        more64 = double.adapt(Examples(task.support.x.flip(0), OneHot(task.support.y.rows.flip(0))), state64)
    flipped = {key: value.flip(0) for key, value in given.items()}
    check(run(shipped, "update", **flipped, **known), dict(more32), dict(more64))


def answered(single: Learner, tasks: Task) -> tuple[Tensor, Tensor]:
    """Return torch's logits for every query of every task, and whether the best one is more than rounding above the second."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # the others cannot be mapped over tasks
        logits = vmap(lambda task: single.predict(single.adapt(task.support), task.query.x), chunk_size=100)(tasks)
    best = logits.topk(2, -1).values
    return logits, (best[..., 0] - best[..., 1]) > 1e-4 * logits.abs().amax(-1)


def check_answers(single: Learner, shipped: runtime.Learner, tasks: Task) -> None:
    """Every query of every task gets the class that torch gives it."""
    logits, clear = answered(single, tasks)
    differing = 0
    for index in range(len(logits)):
        support = {"support_x": tasks.support.x[index], "support_y": tasks.support.y.rows[index]}
        state = {f"state_{key}": value for key, value in run(shipped, "adapt", **support).items()}
        found = run(shipped, "predict", query_x=tasks.query.x[index], **state)["prediction"].argmax(-1)
        differing += int((torch.from_numpy(found) != logits[index].argmax(-1))[clear[index]].sum())
    assert clear.float().mean() > 0.99
    assert differing == 0


@pytest.mark.parametrize(("name", "kind", "norm"), PAIRS)
def test_exported_equals_torch_for_any_ways_and_shots(name: str, kind: str, norm: str) -> None:
    double, single, shipped = pair(name, kind, norm)
    for ways, shots, queries in ((3, 3, 4), (5, 1, 1), (2, 6, 2)):
        check_graphs(double, single, shipped, make_tasks(kind=kind, ways=ways, shots=shots, queries=queries, seed=ways)[0])


def taught(name: str, kind: str, norm: str) -> tuple[Learner, runtime.Learner]:
    """Return a learner after some meta-training and calibration, and exported."""
    single = make_learner(name, kind, norm, dtype=torch.float32)
    teach(single, (make_tasks(8, kind=kind, dtype=torch.float32, seed=100 + step) for step in range(TAUGHT)))
    others = make_tasks(100, kind=kind, shots=2, queries=1, dtype=torch.float32, seed=8)
    single.calibrate(others[index] for index in range(100))
    spec = ImageSpec(*SHAPES[kind][1:], SHAPES[kind][0])
    return single, exports.exported(f"{name}-{kind}-{norm}-taught", SavedLearner(single, spec))


@pytest.mark.parametrize(("name", "kind", "norm"), PAIRS)
def test_the_same_answers_on_a_thousand_tasks(name: str, kind: str, norm: str) -> None:
    """A learner whose answers are ties on a convolutional net of random weights, which sees little difference, is taught first."""
    shots, queries = (3, 3) if kind == "mlp" else (2, 1)  # images take longer; one shot and batch norm make many ties
    tasks = make_tasks(1000, kind=kind, shots=shots, queries=queries, dtype=torch.float32, seed=9)
    _, single, shipped = pair(name, kind, norm)
    if answered(single, tasks)[1].float().mean() <= 0.99:
        single, shipped = taught(name, kind, norm)
    check_answers(single, shipped, tasks)


@pytest.mark.parametrize("name", [name for name in LEARNERS if discovery.load("learners", name).adjustable])
def test_steps_and_rate_may_be_chosen_on_the_device(name: str) -> None:
    double, single, shipped = pair(name, "mlp", "none")
    steps = [key for key, value in shipped.manifest.settings.items() if isinstance(value, int)]
    rates = {tuple(value.shape) for key, value in single.named_parameters() if key.startswith("rates.")}
    assert len(steps) == (rates != {(getattr(single, "inner_steps", 0),)})  # rates of each step fix the number of steps
    rate, task = discovery.load("learners", name).rate, make_tasks()[0]
    assert rate in discovery.load("learners", name).adjustable
    changed = dict.fromkeys(steps, 7) | {rate: 2 * getattr(single, rate)}
    before = {key: getattr(single, key) for key in changed}
    try:
        for learner in (single, double):
            for key, value in changed.items():
                setattr(learner, key, value)
        (state32, _), (state64, _) = both(single, double, task.support, task.query.x)
    finally:
        for learner in (single, double):
            for key, value in before.items():
                setattr(learner, key, value)
    given = {"support_x": task.support.x.float(), "support_y": task.support.y.rows.float()}
    check(run(shipped, "adapt", changed, **given), state32, state64)
    unchanged = run(shipped, "adapt", **given)
    assert max(np.abs(unchanged[key] - value.numpy()).max() for key, value in state32.items()) > 1e-3


@pytest.mark.product
@pytest.mark.parametrize(("name", "changes"), [(name, changes) for name in LEARNERS for changes in variants(name)], ids=shown)
def test_every_option_is_exported(name: str, changes: dict[str, Any]) -> None:
    double, single = (make_learner(name, norm="batch", dtype=dtype, **changes) for dtype in (torch.float64, torch.float32))
    check_graphs(double, single, exports.shipped(name, norm="batch", **changes), make_tasks()[0])


@pytest.mark.parametrize("name", SPREADING)
def test_values_are_exported_with_their_spread(name: str) -> None:
    """Graphs, skills and regressors give torch's standard deviations; a learner of classes has none."""
    assert exports.shipped(name).manifest.programs["predict"].outputs.keys() == {"prediction"}
    shipped, single = exports.shipped(name, target="values"), make_learner(name, dtype=torch.float32)
    double, task = make_learner(name), as_values(make_tasks(ways=2, shots=7))[0]
    x, y, queries = (part.float().numpy() for part in (task.support.x, task.support.y.rows, task.query.x))
    with torch.no_grad():
        expected = double.outputs(double.adapt(task.support), task.query.x, Values.measure)
    assert bool((expected["spread"] > 0).all())
    skill = shipped.adapt(x, y)
    light = FewShotRegressor(shipped).fit(x, y)
    heavy = FewShotRegressor(SavedLearner(single, RowsSpec(6), target="values")).fit(x, y)
    for mean, spread in (
        skill.outputs(queries).values(),
        light.predict(queries, return_std=True),
        heavy.predict(queries, True),
    ):
        np.testing.assert_allclose(mean, expected["prediction"], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(spread, expected["spread"], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(light.predict(queries), light.predict(queries, return_std=True)[0])
    assert FewShotRegressor(shipped).fit(x, y[:, 0]).predict(queries, return_std=True)[1].shape == (len(queries),)


OTHER_PAIRS = [
    pytest.param(name, net, marks=marks(f"{name} {net}", name == PROTOTYPES)) for name in (DESCENT, PROTOTYPES) for net in NETS
]
"""The derivatives of these nets, without a learner around them, are in tests/export/test_onnx_derivatives.py."""


def other(name: str, net: str) -> tuple[Learner, Learner, runtime.Learner]:
    """Return a learner on one of the other nets, in float64 and in float32, and exported."""
    torch.manual_seed(0)
    learner = discovery.load("learners", name)(NETS[net]())
    single = copy.deepcopy(learner)
    return learner.double(), single, exports.exported(f"{name}-{net}", SavedLearner(single, ImageSpec(16, 16, 1)))


@pytest.mark.parametrize(("name", "net"), OTHER_PAIRS)
def test_other_nets(name: str, net: str) -> None:
    check_graphs(*other(name, net), make_tasks(kind="conv4", shots=2)[0])


@pytest.mark.parametrize(("name", "net"), OTHER_PAIRS)
def test_the_same_answers_of_other_nets_on_a_thousand_tasks(name: str, net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mha, "_is_fastpath_enabled", False)
    _, single, shipped = other(name, net)
    check_answers(single, shipped, make_tasks(1000, kind="conv4", shots=2, queries=1, dtype=torch.float32, seed=9))


def test_graphs_hold_no_weights_and_no_traces() -> None:
    bundle = exports.shipped(PROTOTYPES, "conv4", "batch").bundle
    largest = max(value.nbytes for value in bundle.weights.values())
    assert sum(value.nbytes for value in bundle.weights.values()) > largest > 0
    for graph in bundle.graphs.values():
        assert b"/src/" not in graph
        assert b".py" not in graph


def test_a_learner_that_cannot_be_exported_says_why() -> None:
    class Deciding(Prototypes):
        def predict(self, state: Any, x: Tensor) -> Tensor:
            return super().predict(state, x) * (2 if float(x.sum()) > 0 else 1)

    learner = make_learner(PROTOTYPES, dtype=torch.float32)
    deciding = Deciding(learner.net)
    with pytest.raises(ModelError, match=r"Deciding cannot be captured for export: .*whose course does not depend on values"):
        to_bundle(SavedLearner(deciding))
    deciding.__class__.not_exportable = "it asks an oracle."
    with pytest.raises(ModelError, match="Deciding cannot be exported: it asks an oracle"):
        to_bundle(SavedLearner(deciding))


def test_a_loop_in_predict_by_a_setting_is_refused() -> None:
    class Repeating(Prototypes):
        times = 3

        def predict(self, state: Any, x: Tensor) -> Tensor:
            return repeat(lambda index, carried: carried / 2, super().predict(state, x), self.times, "times")

    with pytest.raises(ModelError, match=r"Repeating repeats something times times in predict, .* write a plain Python loop"):
        to_bundle(SavedLearner(Repeating(make_learner(PROTOTYPES, dtype=torch.float32).net)))


class Tallying(Prototypes):
    """Prototypes that count their examples in whole numbers."""

    dtype: torch.dtype = torch.int64

    def adapt(self, support: Examples, state: Any = None) -> Any:
        found = super().adapt(support, state)
        return {**found, "counts": found["counts"].to(self.dtype)}

    def predict(self, state: Any, x: Tensor) -> Tensor:
        return super().predict({**state, "counts": state["counts"].to(x.dtype)}, x)


def test_a_state_of_whole_numbers_stays_one(tmp_path: pathlib.Path) -> None:
    net = make_learner(PROTOTYPES, dtype=torch.float32).net
    bundle = to_bundle(SavedLearner(Tallying(net)), features=6)
    assert bundle.manifest.state["counts"] == StateTensor(shape=("way",), dtype="int64")
    shipped = runtime.Learner(bundle)
    task, plain = make_tasks(dtype=torch.float32)[0], exports.shipped(PROTOTYPES)
    x, labels = task.support.x.numpy(), task.support.y.labels.tolist()
    assert shipped.manifest.learner["name"].endswith(".Tallying")  # a class of the user's own is named by where it is
    shipped.adapt(x[:5], labels[:5]).save(tmp_path / "mine.qs")
    again = runtime.Skill.load(tmp_path / "mine.qs").add(x[5:], labels[5:])
    assert again.state["counts"].dtype == np.int64
    np.testing.assert_array_equal(again.state["counts"], task.support.y.rows.sum(0))
    np.testing.assert_allclose(again.logits(x), plain.adapt(x, labels).logits(x), rtol=1e-5)
    with pytest.raises(FileFormatError, match=r"state counts is float32 \[3\]; expected int64 \[3\]"):
        check_state(
            again.state | {"counts": np.ones(3, np.float32)},
            bundle.manifest.model_copy(update={"labels": (0, 1, 2)}),
            "mine.qs",
        )
    assert again.forget(1).state["counts"].dtype == np.int64


@pytest.mark.parametrize("dtype", [torch.float64, torch.bool])
def test_a_state_of_another_type_is_refused_by_name(dtype: torch.dtype) -> None:
    learner = Tallying(make_learner(PROTOTYPES, dtype=torch.float32).net)
    learner.dtype = dtype
    words = rf"counts in the state of Tallying is {str(dtype)[6:]}; expected float32 or int64\. Convert it at the end of adapt"
    with pytest.raises(ModelError, match=words):
        to_bundle(SavedLearner(learner))


def test_a_state_that_changes_its_type_is_refused_by_name() -> None:
    class Fickle(Tallying):
        def adapt(self, support: Examples, state: Any = None) -> Any:
            return Prototypes.adapt(self, support, state) if state else super().adapt(support)

    with pytest.raises(ModelError, match="counts in the state of Fickle is int64, but float32 after going on"):
        to_bundle(SavedLearner(Fickle(make_learner(PROTOTYPES, dtype=torch.float32).net)))


def test_pixels_reach_the_network_alike() -> None:
    for ink in ("dark", "light"):
        saved = SavedLearner(Prototypes(Identity(256)), ImageSpec(16, 16, 1, ink))
        expected = to_bundle(saved).manifest.layout["image"]
        assert (expected.scale, expected.offset) == ((-1 / 255, 1.0) if ink == "dark" else (1 / 255, 0.0))


def test_a_size_read_as_a_number_is_noticed() -> None:
    class Counting(Prototypes):
        def predict(self, state: Any, x: Tensor) -> Tensor:
            return super().predict(state, x) * len(state["counts"])

    with pytest.raises(ModelError, match="Counting cannot be captured for any number of way axes"):
        to_bundle(SavedLearner(Counting(make_learner(PROTOTYPES, dtype=torch.float32).net)))
