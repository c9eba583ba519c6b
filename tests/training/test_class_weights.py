"""Classes of unequal size: scores that count every class alike, as scikit-learn has them, and losses that do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from builders import Prototypes, as_values, case, make_learner, make_tasks, rows, shown
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from torch.func import vmap

from quickstudy import discovery
from quickstudy.data.dataset import Dataset
from quickstudy.errors import ConfigError
from quickstudy.functional.losses import cross_entropy
from quickstudy.inputs.rows import RowsSpec
from quickstudy.learner import Learner
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.task import Task, concatenate
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.classes import ClassTasks
from quickstudy.training.class_weights import check_class_weights, with_balanced_queries
from quickstudy.training.evaluate import Evaluator, evaluate
from quickstudy.training.fit import fit
from quickstudy.training.meta_gradient import summed_gradient, tensors_of
from quickstudy.training.settings import TrainingSettings

from .conftest import weights

Make = Callable[..., Any]
LEARNERS = [name for name in discovery.names("learners") if OneHot in discovery.load("learners", name).targets]
SIZES = (6, 2, 1)


def unequal(learner_seed: int = 0) -> Task:
    """Return a task whose queries are 6, 2 and 1 of the classes, in float64."""
    task = make_tasks(1, seed=learner_seed, queries=6)[0]
    place = torch.cat([way + 3 * torch.arange(size) for way, size in enumerate(SIZES)])
    return dataclasses.replace(task, query=rows(task.query, place))


def repeated(task: Task) -> Task:
    """Return the same task, whose smaller classes are asked for several times, so that all have as many queries."""
    times = torch.tensor([max(SIZES) // SIZES[way] for way in task.query.y.rows.argmax(-1).tolist()])
    return dataclasses.replace(task, query=rows(task.query, torch.arange(len(times)).repeat_interleave(times)))


def balanced(task: Task) -> Task:
    """Return the task as a training with class weights sees it."""
    return with_balanced_queries(task)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Return 5 classes of 60 to 6 rows, which overlap."""
    counts = np.array([60, 40, 20, 10, 6])
    random = np.random.default_rng(0)
    points = random.normal(size=(5, 4))[np.repeat(np.arange(5), counts)] + random.normal(size=(counts.sum(), 4))
    return Dataset(points.astype(np.float32), counts, tuple("abcde"), ("",) * 5, RowsSpec(4), "unequal", "f1")


# ------------------------------------------------------------------------------------------------------------- scores


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.choice(5, size=40, p=[0.6, 0.25, 0.1, 0.05, 0.0])  # the last class is never asked for
    logits = torch.from_numpy(random.normal(size=(40, 5)) + np.eye(5)[labels])
    logits[:, 4] = -1e30 if seed % 2 else logits[:, 4]  # nor, half of the time, ever said
    mask = torch.from_numpy(random.random(40) < 0.8)
    scores = one_hot(torch.from_numpy(labels), 5, torch.float64).scores(logits, mask.double())
    wanted, found = labels[mask.numpy()], logits.argmax(-1)[mask].numpy()
    assert list(scores) == [measure.key for measure in OneHot.measure.measures]
    assert float(scores["accuracy"]) == pytest.approx(accuracy_score(wanted, found))
    assert float(scores["balanced_accuracy"]) == pytest.approx(balanced_accuracy_score(wanted, found))
    assert float(scores["macro_f1"]) == pytest.approx(f1_score(wanted, found, average="macro", zero_division=0))


def test_scores_map_over_tasks() -> None:
    tasks = make_tasks(3, ragged=True)
    logits = torch.randn(3, 9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def scores(y: OneHot, prediction: torch.Tensor, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        return y.scores(prediction, weight)

    mapped = vmap(scores)(tasks.query.y, logits, tasks.query.weight)
    for index in range(3):
        alone = scores(tasks[index].query.y, logits[index], tasks[index].query.weight)
        assert {key: float(score[index]) for key, score in mapped.items()} == {
            key: float(score) for key, score in alone.items()
        }


def test_they_are_told_where_classes_are_unequal_and_nowhere_else(data: Dataset, make_learner: Make) -> None:
    learner = make_learner()
    natural = ClassTasks(data, ways=3, shots=2, queries=8, draw=Draw(frequencies="natural"))
    result = evaluate(learner, natural, 20)
    judged = next(Evaluator(learner).judged(natural, range(16)))
    expected = [
        balanced_accuracy_score(wanted, found)
        for wanted, found in zip(
            judged.tasks.query.y.rows.argmax(-1).numpy(), judged.predictions.argmax(-1).numpy(), strict=True
        )
    ]
    np.testing.assert_allclose(result.beside["balanced_accuracy"][:16], expected, rtol=1e-6)
    plain = result.to_dict()
    assert plain["balanced_accuracy"] == pytest.approx(100 * result.beside["balanced_accuracy"].mean(), abs=1e-3)
    assert {"macro_f1", "macro_f1_ci95", "balanced_accuracy_ci95"} <= plain.keys()
    for equal in (ClassTasks(data, 3, 2, 4), ClassTasks(data, (2, 4), (1, 2), 4)):  # padding is no class of another size
        even = evaluate(learner, equal, 20)
        assert not even.beside
        assert not {"balanced_accuracy", "macro_f1"} & even.to_dict().keys()


# ------------------------------------------------------------------------------------------------------------- losses


def test_weights_are_inverse_frequencies_with_the_mean_one() -> None:
    mask = torch.tensor([True] * 9 + [False] * 3)
    y = one_hot(torch.tensor([0] * 6 + [1] * 2 + [2] + [1] * 3), 4, torch.float64)  # of the fourth class, there is none
    found = y.balanced(mask.double())[mask]
    torch.testing.assert_close(found, torch.tensor([0.5] * 6 + [1.5] * 2 + [3.0], dtype=torch.float64))
    assert float(found.mean()) == pytest.approx(1.0)
    sizes = torch.stack([found[y.labels[mask] == way].sum() for way in range(3)])
    torch.testing.assert_close(sizes, torch.full_like(sizes, 3.0))  # all classes have the same share


def test_the_loss_is_the_mean_over_classes_of_their_own_losses() -> None:
    query = balanced(unequal()).query
    logits = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    own = [cross_entropy(logits[part], query.y.rows[part], torch.ones(int(part.sum()))) for part in query.y.rows.bool().t()]
    assert float(query.y.loss(logits, query.weight)) == pytest.approx(float(sum(own)) / 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_classes_have_the_unweighted_loss_to_the_last_bit(dtype: torch.dtype) -> None:
    for queries in (1, 3, 7, 11):
        for tasks in (make_tasks(4, queries=queries, dtype=dtype), make_tasks(4, queries=queries, ragged=True, dtype=dtype)):
            weighed = with_balanced_queries(tasks).query
            assert torch.equal(weighed.weight, tasks.query.weight)


def test_so_a_training_on_equal_classes_is_the_same(rows: Make, make_learner: Make, settings: Make) -> None:
    ends = []
    for choice in ("none", "balanced"):
        learner = make_learner()
        fit(learner, rows(), None, settings(class_weights=choice))
        ends.append(weights(learner))
    assert torch.equal(*ends)


def make_learner_of(name: str) -> Learner:
    return make_learner(name, **case(name, "SMALL", {}))


@pytest.mark.parametrize("name", LEARNERS, ids=shown)
def test_every_learner_of_classes_weighs_them(name: str) -> None:
    learner, task = make_learner_of(name), unequal()
    tasks = ClassTasks(
        Dataset(np.zeros((8, 6), np.float32), np.array([4, 4]), ("a", "b"), ("", ""), RowsSpec(6), "d", "f"), 2, 1, 1
    )
    if not learner.trains_on_query:
        with pytest.raises(ConfigError, match=r"trains on support sets alone.*--draw.resample over"):
            check_class_weights(learner, tasks)
        return
    check_class_weights(learner, tasks)
    plain, weighed, more = (float(learner.loss(one).detach()) for one in (task, balanced(task), repeated(task)))
    assert plain != pytest.approx(weighed, rel=1e-6)
    if learner.loss_of_predictions and not learner.transductive:
        assert weighed == pytest.approx(more, rel=case(name, "REPEATED", 1e-9))


def test_the_meta_gradient_is_that_of_repeated_queries_also_under_vmap() -> None:
    learner = make_learner(Prototypes.__module__.rpartition(".")[2])
    tasks = [unequal(seed) for seed in range(2)]

    def stacked(change: Callable[[Task], Task]) -> Task:
        return torch.utils._pytree.tree_map(lambda *leaves: torch.stack(leaves), *map(change, tasks))

    found = {how: summed_gradient(learner, how)(*tensors_of(learner), stacked(balanced)) for how in ("loop", "vmap")}
    expected, _ = summed_gradient(learner, "loop")(*tensors_of(learner), stacked(repeated))
    assert max(float(value.abs().max()) for value in expected.values()) > 1e-6
    for gradient, _ in found.values():
        for name, value in expected.items():
            torch.testing.assert_close(gradient[name], value, rtol=1e-9, atol=1e-12)


def test_sets_that_are_put_together_keep_their_weights() -> None:
    task = balanced(unequal())
    both = concatenate(task.support, task.query)
    assert both.mask is None
    torch.testing.assert_close(both.weight, torch.cat([torch.ones_like(task.support.weight), task.query.weight]))


def test_what_has_no_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="class weights are for classes, but these tasks ask for values"):
        with_balanced_queries(as_values(make_tasks(2)))
    with pytest.raises(ConfigError, match="class_weights is 'rare'"):
        dataclasses.replace(TrainingSettings(), class_weights="rare")  # type: ignore[arg-type]
