"""The prior-fitted network: padding and the kernel of attention change nothing, many classes work, and files take short rows."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest
import torch
from builders import Prototypes, case
from torch import Tensor

from quickstudy import FewShotClassifier, FewShotRegressor
from quickstudy.errors import ConfigError, TaskError
from quickstudy.export.bundle import to_bundle
from quickstudy.inputs.rows import RowsSpec
from quickstudy.inputs.table import TableSpec
from quickstudy.layers import cells
from quickstudy.learners import prior_fitted
from quickstudy.learners.prior_fitted import PriorFitted
from quickstudy.nets.identity import Identity
from quickstudy.objectives.classes import OneHot, one_hot
from quickstudy.objectives.values import Values
from quickstudy.runtime import Learner, bundle
from quickstudy.task import Examples, Task
from quickstudy.tasks.table_prior import TablePrior
from quickstudy.training.begin import begin_with
from quickstudy.training.evaluate import evaluate
from quickstudy.training.saving import SavedLearner, load_learner

WIDTH = 12


def learner(columns: int = WIDTH, **changes: int) -> PriorFitted:
    """Return a small learner whose blocks do something; the same for any number of columns."""
    torch.manual_seed(0)
    made = PriorFitted(Identity(columns), **(case("prior_fitted", "SMALL") | {"blocks": 2} | changes))
    with torch.no_grad():
        for value in made.state_dict().values():
            value.add_(0.3 * torch.randn_like(value))
    return made


def support(columns: int, ways: int = 3, count: int = 20) -> Examples:
    random = torch.Generator().manual_seed(columns)
    return Examples(torch.randn(count, columns, generator=random), one_hot(torch.arange(count) % ways, ways))


def answers(made: PriorFitted, examples: Examples, x: Tensor) -> Tensor:
    with torch.no_grad():
        return made.predict(made.adapt(examples), x)


def test_columns_of_padding_change_nothing() -> None:
    made, bare, examples, x = learner(), learner(4), support(4), torch.randn(5, 4)
    assert isinstance(examples.x, Tensor)
    padded = dataclasses.replace(examples, x=torch.nn.functional.pad(examples.x, (0, WIDTH - 4)))
    found = answers(made, padded, torch.nn.functional.pad(x, (0, WIDTH - 4)))
    torch.testing.assert_close(found, answers(bare, examples, x))
    strange = torch.nn.functional.pad(x, (0, WIDTH - 4), value=3.0)  # nothing was learned about these columns
    torch.testing.assert_close(answers(made, padded, strange), found)


def test_what_is_looked_at_only_saves_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers stay the same if padding is not cut off, and if attention does not use torch's kernel."""
    made, examples, x = learner(6), support(6), torch.randn(5, 6)
    masked = dataclasses.replace(examples, mask=torch.arange(20) < 17)
    expected = answers(made, masked, x)
    for module in (cells, prior_fitted):
        monkeypatch.setattr(module, "may_look", lambda: False)
    torch.testing.assert_close(answers(made, masked, x), expected, rtol=1e-4, atol=1e-5)


def test_more_classes_than_codes_are_told_apart_by_their_examples() -> None:
    made, examples, x = learner(5, codes=4), support(5, ways=9, count=27), torch.randn(6, 5)
    found = answers(made, examples, x)
    assert found.shape == (6, 9)
    assert len(found[0].unique()) == 9
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    renamed = dataclasses.replace(examples, y=OneHot(examples.y.rows[:, order]))
    torch.testing.assert_close(answers(made, renamed, x), found[:, order])


def test_answers_are_means_over_the_orders_of_columns_of_which_every_second_has_ranks() -> None:
    made, examples, x = learner(4), support(4), torch.randn(5, 4)
    several = learner(4, orders=3)
    assert isinstance(examples.x, Tensor)
    shown = examples.x
    orders = (torch.arange(4.0) @ prior_fitted._orders(torch.ones(4), 3)).long()
    assert orders[0].tolist() == [0, 1, 2, 3]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders.tolist())
    assert len({tuple(order) for order in orders.tolist()}) == 3
    ranked = [prior_fitted._ranked(rows, shown, torch.ones(20)) for rows in (shown, x)]
    views = [(ranked if place % 2 else (shown, x), order) for place, order in enumerate(orders)]
    alone = [
        answers(made, dataclasses.replace(examples, x=first[:, order]), x[:, order]).softmax(-1) for (first, x), order in views
    ]
    torch.testing.assert_close(answers(several, examples, x).softmax(-1), torch.stack(alone).mean(0))
    told = dataclasses.replace(examples, y=Values(torch.randn(20, 1)))
    values = [answers(made, dataclasses.replace(told, x=first[:, order]), x[:, order]) for (first, x), order in views]
    torch.testing.assert_close(answers(several, told, x), torch.stack(values).mean(0))


def test_ranks_are_the_same_in_any_unit_and_never_far_away() -> None:
    examples, weight = torch.randn(12, 3), (torch.arange(12) < 10).float()
    rows = torch.cat([examples, 1e6 * torch.randn(4, 3)])
    found = prior_fitted._ranked(rows, examples, weight)
    torch.testing.assert_close(prior_fitted._ranked((rows / 1e5).sinh(), (examples / 1e5).sinh(), weight), found)
    torch.testing.assert_close(
        prior_fitted._ranked(rows, examples[:10], weight[:10]), found
    )  # padding is not among the examples
    torch.testing.assert_close(found[:10].mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[:10].std(0, correction=0), torch.ones(3))
    assert found.abs().max() < 4
    assert (prior_fitted._ranked(torch.ones(2, 1), torch.ones(5, 1), torch.ones(5)) == 0).all()


def test_columns_of_padding_come_last_in_every_order() -> None:
    used = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])
    padded = torch.arange(5.0) @ prior_fitted._orders(used, 4)
    assert set(padded[:, 3:].flatten().tolist()) == {3.0, 4.0}
    torch.testing.assert_close(padded[:, :3], torch.arange(3.0) @ prior_fitted._orders(used[:3], 4))


def test_a_training_goes_on_with_all_that_another_of_its_kind_and_size_knows() -> None:
    made, trained = learner(), learner()
    with torch.no_grad():
        for value in trained.parameters():
            value.add_(1)
    begin_with(made, trained, "runs/first")
    assert all(torch.equal(*pair) for pair in zip(made.state_dict().values(), trained.state_dict().values(), strict=True))
    for other in (learner(width=16), Prototypes(Identity(WIDTH))):  # the net, which has no weights, is all that is common
        with pytest.raises(ConfigError, match=r"nothing that is trained is common to runs/first .* and PriorFitted\) differs"):
            begin_with(made, other, "runs/first")


def test_padding_is_neither_computed_nor_captured_when_tasks_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []
    passed = PriorFitted._passed
    monkeypatch.setattr(
        PriorFitted, "_passed", lambda self, cells, *how: widths.append(cells.shape[0]) or passed(self, cells, *how)
    )
    tasks = TablePrior(examples=10, queries=4, columns=2, width=WIDTH, classes=2)
    evaluate(learner(), tasks, 200)
    assert len(widths) == 400  # each task learns and answers by itself
    assert min(widths) < WIDTH + 1


def test_an_exported_learner_takes_tables_of_few_and_of_many_columns(tmp_path: pathlib.Path) -> None:
    spec = TableSpec(width=WIDTH, scaling="task")
    saved = SavedLearner(learner(blocks=1, orders=2), spec)
    bundle.write(tmp_path / "tables.qs", to_bundle(saved))
    shipped = Learner.load(tmp_path / "tables.qs")
    assert shipped.manifest.programs["adapt"].inputs["support.table"] == ("example", 1, "column")
    random = np.random.default_rng(0)
    labels = np.array(["yes", "no"] * 10)
    for columns in (2, 7, WIDTH):
        rows = random.normal(size=(20, columns))
        skill, ours = shipped.adapt(rows, labels), FewShotClassifier(saved).fit(rows, labels)
        asked = random.normal(size=(9, columns))
        np.testing.assert_allclose(skill.predict_proba(asked), ours.predict_proba(asked), atol=1e-4)
        assert skill.state["features"].shape == (20, columns)  # without padding
        skill.save(tmp_path / "mine.qs")
        loaded = FewShotClassifier.load(tmp_path / "mine.qs")
        np.testing.assert_allclose(loaded.predict_proba(asked), ours.predict_proba(asked), atol=1e-4)
        skill.add(rows[:3], ["maybe"] * 3)
        assert skill.predict_proba(asked).shape == (9, 3)
    again = load_learner(tmp_path / "tables.qs")  # as the training has it, whose network pads
    assert again.spec == spec
    np.testing.assert_allclose(
        FewShotClassifier(again).fit(rows, labels).predict_proba(asked), ours.predict_proba(asked), atol=1e-6
    )


def test_values_are_answered_in_their_own_unit() -> None:
    """Predictions move and stretch as the values do, and neither padding nor the order of the examples changes them."""
    made, x, asked = learner(5), torch.randn(12, 5), torch.randn(7, 5)
    values = torch.randn(12, 2)
    found = answers(made, Examples(x, Values(values)), asked)
    torch.testing.assert_close(
        answers(made, Examples(x, Values(300 * values - 40)), asked), 300 * found - 40, rtol=1e-4, atol=1e-2
    )
    assert found.std(0).min() > 1e-3
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(answers(made, Examples(x[order], Values(values[order])), asked), found, rtol=1e-4, atol=1e-5)
    padded = Examples(torch.cat([x, torch.randn(3, 5)]), Values(torch.cat([values, torch.randn(3, 2)])), torch.arange(15) < 12)
    torch.testing.assert_close(answers(made, padded, asked), found, rtol=1e-4, atol=1e-5)


def test_values_of_any_size_and_equal_ones_are_answered() -> None:
    made, x, asked = learner(5), torch.randn(12, 5), torch.randn(7, 5)
    values = torch.randn(12, 1)
    found = answers(made, Examples(x, Values(values)), asked)
    for size in (1e25, 1e-25):
        torch.testing.assert_close(answers(made, Examples(x, Values(size * values)), asked) / size, found, rtol=1e-4, atol=1e-4)
    for count in (1, 12):
        alone = answers(made, Examples(x[:count], Values(torch.full((count, 1), 3.0))), asked)
        assert torch.isfinite(alone).all()
        assert (alone - 3).abs().max() < 10  # in units of one, as there is no spread


def test_values_are_trained_on_as_they_are_answered() -> None:
    """The loss passes both sets at once; a state that goes on, and a learner that may not look at padding, know the same."""
    made, random = learner(5), torch.Generator().manual_seed(1)
    x, y = torch.randn(20, 5, generator=random), torch.randn(20, 2, generator=random)
    support, query = Examples(x[:12], Values(y[:12]), torch.arange(12) < 10), Examples(x[12:], Values(y[12:]))
    found = answers(made, support, x[12:])
    expected = query.y.loss(found, query.weight)
    torch.testing.assert_close(made.loss(Task(support, query)), expected)
    begun = made.adapt(Examples(x[:6], Values(y[:6])))
    with torch.no_grad():
        later = made.predict(made.adapt(Examples(x[6:10], Values(y[6:10])), begun), query.x)
    torch.testing.assert_close(later, found)


def test_more_values_than_codes_are_refused() -> None:
    with pytest.raises(ConfigError, match="codes is 2, but each example has 3 values"):
        learner(5, codes=2).adapt(Examples(torch.randn(6, 5), Values(torch.randn(6, 3))))


def test_an_exported_learner_says_how_many_values_it_takes(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "two.qs"
    bundle.write(file, to_bundle(SavedLearner(learner(5, codes=2, blocks=1), RowsSpec(5), target="values"), licence="CC0-1.0"))
    runnable, x = Learner.load(file), np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    assert runnable.adapt(x, x[:, :2]).logits(x).shape == (6, 2)
    message = "the task has 3 values per example, but this learner takes 2 at most; ask for fewer values"
    with pytest.raises(TaskError, match=message):
        runnable.adapt(x, x[:, :3])
    with pytest.raises(TaskError, match=message):
        FewShotRegressor.from_pretrained(file).fit(x, x[:, :3])


@pytest.mark.parametrize(("changes", "message"), [({"width": 9}, "width is 9"), ({"blocks": 0}, "blocks is 0")])
def test_impossible_sizes_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PriorFitted(Identity(3), **({"heads": 2} | changes))
