"""Experience replay: where a task starts follows from what is stored, and stored tasks start near where they ended."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest
import torch
from builders import HeadDescent, make_learner, make_tasks, rows
from torch.func import vmap

from quickstudy.errors import ConfigError
from quickstudy.export.bundle import to_bundle
from quickstudy.learner import changed
from quickstudy.learners.experience_replay import ExperienceReplay
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.objectives.values import Values
from quickstudy.runtime import learner as runtime
from quickstudy.task import Examples, Task
from quickstudy.training.saving import SavedLearner, load_learner, save_learner


def on_rows(**changes: Any) -> ExperienceReplay:
    return ExperienceReplay(Identity(6), **({"inner_steps": 20} | changes)).double()


def loss(learner: ExperienceReplay, support: Examples) -> float:
    """Return the loss of the support set after adapting to it."""
    return float(support.y.loss(learner.predict(learner.adapt(support), support.x), support.weight).detach())


def remembering(tasks: Task, **changes: Any) -> ExperienceReplay:
    """Return a learner that has stored the support sets of some tasks."""
    learner = on_rows(**changes)
    learner.calibrate([Task(tasks[index].support, rows(tasks[index].support, slice(0, 0))) for index in range(tasks.count)])
    return learner


def test_with_nothing_stored_it_is_descent_from_a_head_of_zeros() -> None:
    """On the loss that is summed over the three ways."""
    learner, task = on_rows(inner_lr=0.05), make_tasks()[0]
    other = HeadDescent(Identity(6), inner_lr=0.15, inner_steps=20).double()
    state, expected = learner.adapt(task.support), other.adapt(task.support)
    for name in ("head.weight", "head.bias", "counts"):
        torch.testing.assert_close(state[name], expected[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("ways", [2, 6])
def test_a_row_of_the_head_moves_by_its_own_examples_however_many_ways_there_are(ways: int) -> None:
    """Each way has one example, and no two share a feature; so a step moves a row by the rate times its error, which is 1 - 1 / ways."""
    learner = on_rows(inner_lr=0.3, inner_steps=1)
    one = torch.eye(6, dtype=torch.float64)[:ways]
    found = learner.adapt(Examples(one, one_hot(torch.arange(ways), ways, torch.float64)))["head.weight"]
    torch.testing.assert_close(found[:, :ways].diagonal(), torch.full((ways,), 0.3 * (1 - 1 / ways), dtype=torch.float64))


def test_with_one_solution_stored_and_no_steps_that_solution_is_returned() -> None:
    """Whatever the task is: there is nothing nearer."""
    learner = remembering(make_tasks(), memory=1)
    assert learner.filled.tolist() == [1]
    state = changed(learner, inner_steps=0).adapt(make_tasks(seed=5)[0].support)
    torch.testing.assert_close(state["head.weight"], learner.rows[:, :-1].expand(3, -1))
    torch.testing.assert_close(state["head.bias"], learner.rows[0, -1].expand(3))


def test_what_is_stored_are_the_solutions_of_tasks() -> None:
    tasks = make_tasks(4, ragged=True)
    learner, fresh = remembering(tasks), on_rows()
    solved = [fresh.adapt(tasks[index].support) for index in range(4)]
    expected = torch.cat([torch.cat([s["head.weight"], s["head.bias"][:, None]], 1)[s["counts"] > 0] for s in solved])
    count = len(expected)
    assert learner.filled.tolist() == [1] * count + [0] * (learner.memory - count)
    torch.testing.assert_close(learner.rows[:count], expected)
    again = learner.rows.clone()
    learner.calibrate([Task(tasks[index].support, rows(tasks[index].support, slice(0, 0))) for index in range(4)])
    torch.testing.assert_close(learner.rows, again, rtol=0, atol=0)
    learner.calibrate([])
    assert learner.filled.tolist() == [1] * count + [0] * (learner.memory - count)


def test_a_stored_task_starts_where_it_ended() -> None:
    """With a sharp look-up it starts at its own solution: as low as after all steps, where a head of zeros has ln(ways)."""
    tasks = make_tasks(5)
    learner = remembering(tasks, scale=1e4)
    for index in range(5):
        support = tasks[index].support
        start, zeros = loss(changed(learner, inner_steps=0), support), loss(on_rows(inner_steps=0), support)
        assert zeros == pytest.approx(1.0986, abs=1e-4)
        assert start == pytest.approx(loss(on_rows(), support), rel=1e-6)
        assert loss(learner, support) < loss(on_rows(), support) < zeros


def test_a_task_like_a_stored_one_starts_lower_than_from_zero() -> None:
    """In other examples of the same classes, in another order of the ways, and with the look-up that is set."""
    tasks = make_tasks(6, shots=5)
    learner = remembering(tasks)
    order = torch.tensor([2, 0, 1])
    for index in range(6):
        query = tasks[index].query
        renamed = dataclasses.replace(query, y=OneHot(query.y.rows[:, order]))
        assert loss(changed(learner, inner_steps=0), renamed) < 1.0986 - 0.02


def test_values_are_stored_too() -> None:
    task = make_tasks()[0]
    support = dataclasses.replace(task.support, y=Values(task.support.x[:, :2] * 2 + 1))  # type: ignore[index]
    learner = on_rows(scale=1e4)
    learner.calibrate([Task(support, rows(support, slice(0, 0)))])
    assert loss(changed(learner, inner_steps=0), support) < 0.5 * loss(on_rows(inner_steps=0), support)


def test_new_ways_start_from_what_the_state_has_learned() -> None:
    """A new way whose examples are those of a known one starts at its row."""
    learner, support = on_rows(scale=1e4), make_tasks()[0].support
    state = learner.adapt(support)
    again = dataclasses.replace(support, y=OneHot(torch.nn.functional.pad(support.y.rows, (3, 0))))
    on = changed(learner, inner_steps=0).adapt(again, state)
    torch.testing.assert_close(on["head.weight"][3:], state["head.weight"])
    torch.testing.assert_close(on["head.weight"][:3], state["head.weight"], rtol=0, atol=0)


def test_a_way_that_the_state_has_not_seen_starts_as_a_new_one_does() -> None:
    """Its column was there, but no example of it."""
    tasks = make_tasks(2)
    learner = remembering(make_tasks(4, seed=1), scale=1e4)
    first, second = (tasks[index].support for index in range(2))
    wide = dataclasses.replace(first, y=OneHot(torch.nn.functional.pad(first.y.rows, (0, 3))))
    later = dataclasses.replace(second, y=OneHot(torch.nn.functional.pad(second.y.rows, (3, 0))))
    found, expected = (learner.adapt(later, learner.adapt(examples)) for examples in (wide, first))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_a_full_memory_keeps_rows_at_equal_distances() -> None:
    """Room for 6 of the 30 rows of 10 tasks: rows 0, 5, ..., the last of which is row 25, of way 1 of task 8."""
    tasks = make_tasks(10)
    learner = remembering(tasks, memory=6)
    assert learner.filled.tolist() == [1] * 6
    torch.testing.assert_close(learner.rows[5, :-1], on_rows().adapt(tasks[8].support)["head.weight"][1])


def test_tasks_are_mapped() -> None:
    tasks = make_tasks(3, ragged=True)
    learner = remembering(make_tasks(4, seed=1))
    mapped = vmap(lambda task: learner.adapt(task.support))(tasks)
    for index in range(3):
        torch.testing.assert_close(mapped["head.weight"][index], learner.adapt(tasks[index].support)["head.weight"])


def test_a_file_and_an_export_keep_the_memory(tmp_path: pathlib.Path) -> None:
    learner = remembering(make_tasks(4)).float()
    task = make_tasks(seed=3, dtype=torch.float32)[0]
    expected = learner.predict(learner.adapt(task.support), task.query.x).detach()
    save_learner(tmp_path / "learner.safetensors", SavedLearner(learner))
    loaded = load_learner(tmp_path / "learner.safetensors").learner
    assert torch.equal(loaded.predict(loaded.adapt(task.support), task.query.x), expected)
    shipped = runtime.Learner(to_bundle(SavedLearner(learner)))
    found = shipped.adapt(task.support.x.numpy(), task.support.y.labels.tolist()).logits(task.query.x.numpy())  # type: ignore[union-attr,attr-defined]
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)


def test_keys_do_not_depend_on_the_size_of_features() -> None:
    learner, task = make_learner("experience_replay"), make_tasks()[0]
    keys = learner.learn(task.support.x, task.support, None)["key"]  # type: ignore[operator]
    torch.testing.assert_close(learner.learn(100 * task.support.x, task.support, None)["key"], keys)  # type: ignore[operator]
    torch.testing.assert_close(keys.square().sum(1), torch.full((3,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize(
    ("changes", "words"), [({"memory": 0}, "memory is 0; expected"), ({"scale": 0.0}, "scale is 0.0; expected more than 0")]
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        on_rows(**changes)
