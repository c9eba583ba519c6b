"""What every learner promises, checked for every learner that there is; a new file in `learners` is checked by being there."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import inspect
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from builders import (
    SHAPES,
    WAYS,
    apart,
    as_values,
    case,
    furthest,
    gradients,
    make_learner,
    make_tasks,
    on,
    rows,
    shown,
    variants,
)
from torch import Tensor, nn

from quickstudy import discovery
from quickstudy.functional.classes import ABSENT
from quickstudy.learner import Learner, hyperparameters, set_progress
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Examples, Task, concatenate
from quickstudy.training.engine import meta_gradient
from quickstudy.training.meta_gradient import summed_gradient, tensors_of
from quickstudy.training.saving import SavedLearner, load_learner, save_learner

LEARNERS = discovery.names("learners")
EXACT = [name for name in LEARNERS if discovery.load("learners", name).exact_gradient]
VARIANTS = [(name, changes) for name in LEARNERS for changes in variants(name)]
NORMS = ["none", "batch"]
OTHER_NETS = [("mlp", "group"), ("mlp", "layer"), ("conv4", "batch"), ("conv4", "instance")]
each_learner = pytest.mark.parametrize("name", LEARNERS)
each_other = pytest.mark.parametrize("name", [name for name in LEARNERS if name not in EXACT])
each_of_values = pytest.mark.parametrize(
    "name", [name for name in LEARNERS if Values in discovery.load("learners", name).targets]
)
each_variant = pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=shown)
each_norm = pytest.mark.parametrize("norm", NORMS)
even_or_ragged = pytest.mark.parametrize("ragged", [False, True], ids=["even", "ragged"])


def loss_of(learner: Learner, task: Task) -> float:
    with torch.no_grad():
        return float(learner.loss(task))


def predicted(learner: Learner, support: Examples, x: Tensor) -> Tensor:
    with torch.no_grad():
        return learner.predict(learner.adapt(support), x)


# ---------------------------------------------------------------------------------------------------- meta-gradients


def check_engines(learner: Learner, tasks: Task) -> None:
    looped_loss = meta_gradient(learner, tasks, "loop")
    looped = gradients(learner)
    for chunk in (None, 2):
        loss = meta_gradient(learner, tasks, "vmap", chunk)
        assert float(loss) == pytest.approx(float(looped_loss), rel=1e-10)
        assert furthest(gradients(learner), looped) < 1e-8


@pytest.mark.parametrize(
    ("name", "kind", "norm"),
    [
        *on(LEARNERS, *(("mlp", norm) for norm in NORMS), always=tuple(LEARNERS)),
        *on(LEARNERS, ("mlp", "layer"), ("conv4", "batch")),
        *on(
            LEARNERS, ("mlp", "group"), ("conv4", "instance"), always=()
        ),  # test_nets.py has every net and norm, without padding
    ],
)
@even_or_ragged
def test_batched_is_looped(name: str, kind: str, norm: str, ragged: bool) -> None:
    check_engines(make_learner(name, kind, norm), make_tasks(3, kind=kind, ragged=ragged))


@each_variant
def test_batched_is_looped_in_every_configuration(name: str, changes: dict[str, Any]) -> None:
    check_engines(make_learner(name, norm="batch", **changes), make_tasks(3, ragged=True))


def check_derivative(learner: Learner, task: Task) -> None:
    """Hold the meta-gradient of one task against central differences of the loss, along random directions."""
    meta_gradient(learner, task, "vmap")
    gradient = gradients(learner)
    start = {name: value.detach().clone() for name, value in learner.named_parameters()}
    generator, step = torch.Generator().manual_seed(5), 1e-6
    scale = torch.stack([value.square().sum() for value in gradient.values()]).sum().sqrt()
    for _ in range(3):
        direction = {name: torch.randn(value.shape, generator=generator).double() for name, value in start.items()}
        length = torch.stack([value.square().sum() for value in direction.values()]).sum().sqrt()
        ends = []
        for sign in (1, -1):
            moved = {name: value + sign * step * direction[name] / length for name, value in start.items()}
            learner.load_state_dict(moved, strict=False)
            ends.append(loss_of(learner, task[0]))
        along = sum(float((gradient[name] * direction[name]).sum()) for name in start) / float(length)
        assert abs((ends[0] - ends[1]) / (2 * step) - along) < 2e-6 * (float(scale) + 1)
    assert float(scale) > 1e-4


@pytest.mark.parametrize(
    ("name", "kind", "norm"),
    [*on(EXACT, *(("mlp", norm) for norm in NORMS), always=tuple(EXACT)), *on(EXACT, *OTHER_NETS)],
)
@even_or_ragged
def test_gradient_is_finite_difference(name: str, kind: str, norm: str, ragged: bool) -> None:
    check_derivative(make_learner(name, kind, norm), make_tasks(kind=kind, shots=2, ragged=ragged, seed=3))


@each_other
@each_norm
@even_or_ragged
def test_gradient_that_is_no_derivative_is_as_defined(name: str, norm: str, ragged: bool) -> None:
    check = case(name, "check_gradient")
    assert check, f"the meta-gradient of {name} is no derivative; say in tests/cases/{name}.py what it is: check_gradient"
    check(norm, ragged)


@each_variant
def test_gradient_is_as_promised_in_every_configuration(name: str, changes: dict[str, Any]) -> None:
    learner, task = make_learner(name, norm="batch", **changes), make_tasks(ragged=True, seed=4)
    if changes.get("first_order"):
        check_first_order(name, task)
    elif learner.exact_gradient:
        check_derivative(learner, task)
    else:
        assert case(name, "check_gradient")


@each_of_values
@each_norm
def test_values_are_learned_by_the_same_rules(name: str, norm: str) -> None:
    """With numbers for answers: one gradient in every engine, which is the derivative; no number is hidden; in the end, squared error."""
    learner, tasks = make_learner(name, norm=norm), as_values(make_tasks(3, ragged=True))
    check_engines(learner, tasks)
    if learner.exact_gradient:
        check_derivative(learner, as_values(make_tasks(ragged=True, seed=4)))
    task = tasks[1]
    set_progress(learner, 1.0)
    state = learner.adapt(task.support)
    assert "counts" not in state
    output = learner.predict(state, task.query.x)
    assert bool((output > ABSENT / 2).all())
    if learner.trains_on_query and (norm == "none" or learner.statistics == "support"):  # else training normalises otherwise
        found = learner.outputs(state, task.query.x, Values.measure)
        error = (output - task.query.y.rows).square()
        torch.testing.assert_close(found["prediction"], output)
        if "spread" in found:  # judged by the density of what it predicts
            error = -torch.distributions.Normal(output, found["spread"]).log_prob(task.query.y.rows)
            judged = Values.measure.scores(found, task.query)["log_likelihood"]
            torch.testing.assert_close(judged, -error.mean(1)[task.query.weight > 0].mean())
        added = learner.loss(task) - error.mean(1)[task.query.weight > 0].mean()
        assert (abs(float(added.detach())) < 1e-6 * (1 + float(error.detach().max()))) == learner.loss_of_predictions


def check_first_order(name: str, task: Task) -> None:
    """First order: the gradient of the query loss where adaptation ended, taken as the gradient where it began."""
    for norm in ("none", "batch", "layer"):
        learner = make_learner(name, norm=norm, first_order=True, head_ways=WAYS)
        meta_gradient(learner, task, "vmap")
        got = gradients(learner)
        stays = make_learner(name, norm=norm, inner_steps=0, head_ways=WAYS)
        with torch.no_grad():
            state = learner.adapt(task[0].support)
            for parameter, value in stays.named_parameters():
                value.copy_(state.get(parameter, value))
        stays.loss(task[0]).backward()
        assert furthest(got, gradients(stays)) < 1e-9, norm
        moved = make_learner(name, norm=norm, head_ways=WAYS)
        meta_gradient(moved, task, "vmap")
        assert furthest(got, gradients(moved)) > 1e-3


# ---------------------------------------------------------------------------------------------------- pure functions


@each_learner
def test_same_seed_same_result(name: str) -> None:
    def once() -> tuple[Tensor, dict[str, Tensor], Tensor]:
        learner, tasks = make_learner(name, norm="batch", seed=7), make_tasks(2)
        loss = meta_gradient(learner, tasks, "vmap")
        return loss, gradients(learner), predicted(learner, tasks[0].support, tasks[0].query.x)

    (loss, gradient, output), (loss_again, gradient_again, output_again) = once(), once()
    assert torch.equal(loss, loss_again)
    assert torch.equal(output, output_again)
    assert all(torch.equal(gradient[key], gradient_again[key]) for key in gradient)


def contents(learner: nn.Module) -> dict[tuple[str, str, str], Any]:
    """Everything that hangs on a learner and its layers, by identity."""
    found = {}
    for path, module in learner.named_modules():
        for key, value in vars(module).items():
            inner = value if isinstance(value, dict) else {"": value}
            found |= {(path, key, str(entry)): item for entry, item in inner.items()}
    return found


@each_variant
@each_norm
def test_adapt_predict_and_loss_are_pure(name: str, norm: str, changes: dict[str, Any]) -> None:
    learner, task = make_learner(name, norm=norm, **changes), make_tasks(ragged=True)[0]
    things, values = contents(learner), {key: value.clone() for key, value in learner.state_dict().items()}
    given = [leaf.clone() for leaf in torch.utils._pytree.tree_leaves(task)]
    random_state = torch.random.get_rng_state()
    state = learner.adapt(task.support)
    kept = {key: value.clone() for key, value in state.items()}
    outputs = learner.predict(state, task.query.x), learner.loss(task)
    learner.adapt(task.support, state)
    again = learner.predict(learner.adapt(task.support), task.query.x), learner.loss(task)
    assert all(torch.equal(first, second) for first, second in zip(outputs, again, strict=True))
    after = contents(learner)
    assert after.keys() == things.keys()
    assert all(after[key] is things[key] for key in things)
    assert all(torch.equal(value, values[key]) for key, value in learner.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.parameters())
    assert all(torch.equal(a, b) for a, b in zip(given, torch.utils._pytree.tree_leaves(task), strict=True))
    assert all(torch.equal(value, kept[key]) for key, value in state.items())
    assert torch.equal(random_state, torch.random.get_rng_state())


@each_variant
def test_threads_get_their_own_answers_and_leave_the_learner_alone(name: str, changes: dict[str, Any]) -> None:
    """Four tasks adapted to and predicted by four threads at once: all as if alone, and no tensor of the learner changes."""
    learner, tasks = make_learner(name, norm="batch", **changes), make_tasks(4, ragged=True)
    things, values = contents(learner), {key: value.clone() for key, value in learner.state_dict().items()}
    expected = [predicted(learner, tasks[index].support, tasks[index].query.x) for index in range(4)]
    states = [learner.adapt(tasks[index].support) for index in range(4)]

    def answer(index: int) -> Tensor:
        support, x = tasks[index % 4].support, tasks[index % 4].query.x
        with torch.no_grad():
            return learner.predict(states[index % 4], x) if index % 3 else predicted(learner, support, x)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(answer, range(48)))
    assert all(torch.equal(found, expected[index % 4]) for index, found in enumerate(answers))
    assert contents(learner).keys() == things.keys()
    assert all(value is things[key] for key, value in contents(learner).items())
    assert all(torch.equal(value, values[key]) for key, value in learner.state_dict().items())


@each_learner
def test_threads_may_compute_meta_gradients_of_one_learner(name: str) -> None:
    learner, tasks = make_learner(name, norm="batch"), make_tasks(4)
    gradient = {mapping: summed_gradient(learner, mapping) for mapping in ("loop", "vmap")}
    parameters, buffers = tensors_of(learner)
    expected = {mapping: function(parameters, buffers, tasks) for mapping, function in gradient.items()}

    def once(index: int) -> bool:
        mapping = ("loop", "vmap")[index % 2]
        found, loss = gradient[mapping](parameters, buffers, tasks)
        return torch.equal(loss, expected[mapping][1]) and furthest(found, expected[mapping][0]) == 0

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(once, range(8)))


@each_variant
def test_state_is_a_flat_dictionary_of_tensors_in_the_type_of_the_inputs(name: str, changes: dict[str, Any]) -> None:
    for dtype in (torch.float32, torch.float64):
        task = make_tasks(dtype=dtype)[0]
        state = make_learner(name, norm="batch", dtype=dtype, **changes).adapt(task.support)
        assert all(isinstance(key, str) for key in state)
        assert {value.dtype for value in state.values()} == {dtype}


# ---------------------------------------------------------------------------------------------------- the facts


@each_learner
@each_norm
@even_or_ragged
def test_order_of_support_matters_as_stated(name: str, norm: str, ragged: bool) -> None:
    learner, task = make_learner(name, norm=norm), make_tasks(3, ragged=ragged, ways=4)[2]
    order = torch.randperm(task.support.count, generator=torch.Generator().manual_seed(1))
    found = predicted(learner, task.support, task.query.x)
    shuffled = predicted(learner, rows(task.support, order), task.query.x)
    assert (apart(shuffled, found) < 1e-9) == learner.order_free


@each_learner
@each_norm
@even_or_ragged
def test_relabelling_matters_as_stated(name: str, norm: str, ragged: bool) -> None:
    learner, task = make_learner(name, norm=norm), make_tasks(ragged=ragged)[0]
    order = torch.tensor([2, 0, 1])
    renamed = dataclasses.replace(task.support, y=OneHot(task.support.y.rows[:, order]))
    found = predicted(learner, task.support, task.query.x)[:, order]
    assert (apart(predicted(learner, renamed, task.query.x), found) < 1e-9) == learner.relabelling_free


@each_learner
def test_gradient_free_adapt_is_as_stated(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def noted(module: Any, attribute: str) -> None:
        original: Callable[..., Any] = getattr(module, attribute)
        monkeypatch.setattr(module, attribute, lambda *args, **kwargs: used.append(attribute) or original(*args, **kwargs))

    noted(torch.func, "grad")
    noted(torch.func, "grad_and_value")
    noted(torch.func, "vjp")
    noted(torch.autograd, "grad")
    noted(torch.Tensor, "backward")
    make_learner(name).adapt(make_tasks()[0].support)
    assert (not used) == discovery.load("learners", name).gradient_free_adapt


@each_learner
def test_trains_on_query_is_as_stated(name: str) -> None:
    learner, task = make_learner(name), make_tasks()[0]
    other = Task(task.support, dataclasses.replace(task.query, x=task.query.x + 1))
    assert (loss_of(learner, task) != loss_of(learner, other)) == learner.trains_on_query


@each_learner
def test_annealing_is_as_stated(name: str) -> None:
    """Adapting and predicting know nothing of how far training is, and `loss` does if the learner says so."""
    learner, task = make_learner(name), make_tasks()[0]
    found = []
    for done in (0.0, 0.5, 1.0):
        set_progress(learner, done)
        found.append((loss_of(learner, task), predicted(learner, task.support, task.query.x)))
    assert all(torch.equal(output, found[0][1]) for _, output in found)
    assert (len({loss for loss, _ in found}) > 1) == learner.anneals
    assert learner.anneals or not learner.phases
    assert all(0 <= getattr(learner, phase) <= 1 for phase in learner.phases)


@each_learner
def test_whether_the_loss_reads_what_is_measured_is_as_stated(name: str) -> None:
    """A loss changes with what `calibrate` measures only if the learner says how often it is measured."""
    learner, tasks = make_learner(name), make_tasks(4)
    before = loss_of(learner, tasks[0])
    learner.calibrate(tasks[index] for index in range(1, 4))
    assert (loss_of(learner, tasks[0]) != before) == (learner.measured_every is not None)


# ---------------------------------------------------------------------------------------------------- ways and shots


@each_variant
@each_norm
def test_padding_changes_nothing(name: str, norm: str, changes: dict[str, Any]) -> None:
    """Unequal shots: padded and masked, the support set gives the predictions of the bare one; and so does a padded query set."""
    learner, task = make_learner(name, norm=norm, **changes), make_tasks(ragged=True, ways=WAYS)[0]
    bare = dataclasses.replace(rows(task.support, task.support.mask), mask=None)
    assert bare.count < task.support.count
    expected = predicted(learner, bare, task.query.x)
    assert apart(predicted(learner, task.support, task.query.x), expected) < 1e-9
    queries = dataclasses.replace(rows(task.query, task.query.mask), mask=None)
    assert loss_of(learner, task) == pytest.approx(loss_of(learner, Task(bare, queries)), rel=1e-9)
    padded = learner.predict_padded(learner.adapt(bare), task.query.x, task.query.mask)
    assert apart(padded[task.query.mask], predicted(learner, bare, queries.x)) < 1e-9


@each_variant
@each_norm
def test_queries_are_answered_alone_or_together_as_stated(name: str, norm: str, changes: dict[str, Any]) -> None:
    learner, task = make_learner(name, norm=norm, **changes), make_tasks()[0]
    together = predicted(learner, task.support, task.query.x)
    alone = torch.cat([predicted(learner, task.support, one) for one in task.query.x.split(1)])
    assert (apart(alone, together) > 1e-9) == learner.transductive
    assert learner.protocol == ("transductive" if learner.transductive else "inductive")


@each_learner
@each_norm
def test_a_way_without_examples_changes_nothing(name: str, norm: str) -> None:
    """A task of 3 ways, and the same task with room for 5, are one task."""
    learner, task = make_learner(name, norm=norm), make_tasks()[0]
    wider = [dataclasses.replace(part, y=OneHot(nn.functional.pad(part.y.rows, (1, 1)))) for part in (task.support, task.query)]
    found = predicted(learner, wider[0], task.query.x)
    assert apart(found[:, 1:-1], predicted(learner, task.support, task.query.x)) < 1e-9
    assert loss_of(learner, Task(*wider)) == pytest.approx(loss_of(learner, task), rel=1e-9)


@each_variant
def test_absent_ways_never_win(name: str, changes: dict[str, Any]) -> None:
    learner = make_learner(name, dtype=torch.float32, **changes)
    task = make_tasks(dtype=torch.float32)[0]
    support = rows(task.support, task.support.y.rows[:, 1] == 0)
    for scale in (1.0, 1e3, 1e6):  # raw rows of numbers may be of any size
        x = scale * torch.randn(200, *SHAPES["mlp"])
        output = predicted(learner, support, x)
        assert output.shape == (200, WAYS)
        assert bool((output.argmax(-1) != 1).all())
        assert bool(torch.isfinite(output).all())


@each_learner
@each_norm
def test_learning_goes_on_with_new_ways(name: str, norm: str) -> None:
    learner, task = make_learner(name, norm=norm), make_tasks(ways=3)[0]
    old = task.support.y.rows[:, 2] == 0
    first = rows(task.support, old)
    first = dataclasses.replace(first, y=OneHot(first.y.rows[:, :2]))
    with torch.no_grad():
        state = learner.adapt(first)
        assert learner.predict(state, task.query.x).shape == (task.query.count, 2)
        continued = learner.adapt(rows(task.support, ~old), state)
        output = learner.predict(continued, task.query.x)
    assert output.shape == (task.query.count, 3)
    assert bool((output > ABSENT / 2).all())
    fresh = predicted(learner, rows(task.support, ~old), task.query.x)
    assert bool((fresh[:, :2] < ABSENT / 2).all())
    if learner.gradient_free_adapt and norm == "none":  # what was seen first is not forgotten: as good as seeing all at once
        everything = concatenate(
            dataclasses.replace(first, y=OneHot(nn.functional.pad(first.y.rows, (0, 1)))), rows(task.support, ~old)
        )
        assert apart(output, predicted(learner, everything, task.query.x)) < 1e-9


# ---------------------------------------------------------------------------------------------------- saving


@each_variant
def test_saved_and_loaded_it_is_the_same(name: str, changes: dict[str, Any], tmp_path: pathlib.Path) -> None:
    learner = make_learner(name, norm="batch", dtype=torch.float32, **changes)
    task = make_tasks(dtype=torch.float32)[0]
    arguments = list(inspect.signature(type(learner).__init__).parameters)[1:]
    assert all(hasattr(learner, argument) for argument in arguments)
    assert {key: getattr(learner, key) for key in changes} == changes
    save_learner(tmp_path / "learner.safetensors", SavedLearner(learner, None, {"note": "kept"}))
    loaded = load_learner(tmp_path / "learner.safetensors")
    assert type(loaded.learner) is type(learner)
    assert hyperparameters(loaded.learner) == hyperparameters(learner)
    assert loaded.info == {"note": "kept"}
    assert all(torch.equal(value, learner.state_dict()[name]) for name, value in loaded.learner.state_dict().items())
    expected = predicted(learner, task.support, task.query.x)
    assert torch.equal(predicted(loaded.learner, task.support, task.query.x), expected)


def test_cases_are_of_something_that_exists() -> None:
    names = {file.stem for file in (pathlib.Path(__file__).parents[1] / "cases").glob("*.py")}
    assert len(LEARNERS) >= 5
    assert names <= {*LEARNERS, *discovery.names("nets")}


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_of_prototypes_says_so(name: str) -> None:
    learner = make_learner(name)
    state = learner.adapt(make_tasks()[0].support)
    assert learner.prototypes == ({"sums", "counts"} <= state.keys())
