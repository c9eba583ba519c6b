"""Tasks of one style after another: what all classes are known by is of one style, and what is asked for is of others."""

from __future__ import annotations

import pathlib

import numpy as np
import PIL.Image
import pytest

from quickstudy.data import Dataset, load
from quickstudy.data.dataset import joined
from quickstudy.errors import ConfigError, DataError, TaskError
from quickstudy.tasks._draw import Draw
from quickstudy.tasks.classes import ClassTasks
from quickstudy.tasks.pooled import PooledTasks
from quickstudy.tasks.strings import StringTasks

STYLES = ("chalk", "ink", "oil")
ONE = Draw(same_style=True)


def drawn(folder: pathlib.Path, styles: tuple[str, ...] = STYLES, classes: str = "abcde") -> Dataset:
    """Return classes of a picture in each style, whose single grey says which style it is."""
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, style in enumerate(styles):
            PIL.Image.fromarray(np.full((4, 4), 50 * number, np.uint8)).save(folder / name / f"{style}.png")
    return load(folder, "all", size=4, channels=1, ink="light")


def styles_in(tasks: ClassTasks, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return the style of each support example and query, `[task, example, way]`."""
    batch = tasks.batch(range(count))
    both = [(part.x.flatten(2)[..., 0] * 255 / 50).round().long().numpy() for part in (batch.support, batch.query)]
    return tuple(part.reshape(count, -1, tasks.ways[1]) for part in both)  # type: ignore[return-value]


def test_all_classes_of_a_task_are_of_one_style_and_queries_of_others(tmp_path: pathlib.Path) -> None:
    data = drawn(tmp_path)
    assert data.styles == STYLES == data.select([3, 1]).styles == data.compact().styles == joined([data, data], "both").styles
    support, query = styles_in(ClassTasks(data, 4, 1, 1, ONE))
    assert (support == support[..., :1]).all()
    assert (query == query[..., :1]).all()
    assert (support != query).all()
    pairs = np.unique(np.stack([support[:, 0, 0], query[:, 0, 0]], 1), axis=0)
    assert len(pairs) == 6  # each style after each other one
    mixed, _ = styles_in(ClassTasks(data, 4, 1, 1))
    assert (mixed != mixed[..., :1]).any()


def test_it_is_a_fact_of_the_tasks(tmp_path: pathlib.Path) -> None:
    data = drawn(tmp_path)
    one, any_ = ClassTasks(data, 4, 1, 1, ONE), ClassTasks(data, 4, 1, 1)
    assert one.describe() == any_.describe() | {"same_style": True}
    assert one.fingerprint(9) != any_.fingerprint(9)


def test_data_without_styles_is_refused(tmp_path: pathlib.Path, patterns: Dataset) -> None:
    with pytest.raises(TaskError, match=r"patterns knows no styles of its examples\. Call the files of a style alike"):
        ClassTasks(patterns, 4, 1, 1, ONE)
    drawn(tmp_path)
    (tmp_path / "a" / "oil.png").rename(tmp_path / "a" / "paint.png")
    data = load(tmp_path, "all", size=4)
    assert data.styles == ()
    assert joined([data, data], "both").styles == ()
    with pytest.raises(ConfigError, match="same_style goes with frequencies='equal' only"):
        ClassTasks(drawn(tmp_path / "other"), 4, 1, 1, Draw(same_style=True, frequencies="natural"))


def test_a_style_is_one_example_of_every_class(tmp_path: pathlib.Path) -> None:
    data = drawn(tmp_path)
    with pytest.raises(DataError, match="there are 2 styles; expected one example of each in every class"):
        Dataset(data.examples, data.counts, data.classes, data.groups, data.spec, "wrong", "f", styles=("chalk", "ink"))


def test_numbers_are_no_styles_nor_are_there_any_of_one_class(tmp_path: pathlib.Path) -> None:
    assert drawn(tmp_path / "numbered", ("001", "002")).styles == ()
    assert drawn(tmp_path / "single", STYLES, "a").styles == ()


def test_batches_and_strings_refuse_what_they_do_not_have(tmp_path: pathlib.Path) -> None:
    with pytest.raises(TaskError, match="batches of all classes have no support set"):
        PooledTasks(drawn(tmp_path / "set"), draw=ONE)
    with pytest.raises(TaskError, match="are for tasks of classes, not for strings"):
        StringTasks(drawn(tmp_path / "other"), draw=ONE)
