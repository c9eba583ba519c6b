"""Splits by class, and the front door: names, paths and what is neither."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quickstudy.data import Dataset, SplitOptions, load
from quickstudy.data.dataset import joined
from quickstudy.data.known.omniglot import rotated
from quickstudy.data.shares import _of_label_sets
from quickstudy.data.splits import assigned
from quickstudy.errors import ConfigError, DataError, NotFoundError

NAMES = [f"class{number:03d}" for number in range(200)]


def test_splits_have_the_stated_sizes() -> None:
    found = assigned(NAMES, NAMES, SplitOptions())
    assert [found.count(split) for split in ("train", "val", "test")] == [128, 32, 40]


def test_split_depends_on_names_and_seed_and_not_on_order() -> None:
    found = dict(zip(NAMES, assigned(NAMES, NAMES, SplitOptions()), strict=True))
    backwards = dict(zip(NAMES[::-1], assigned(NAMES[::-1], NAMES[::-1], SplitOptions()), strict=True))
    other = dict(zip(NAMES, assigned(NAMES, NAMES, SplitOptions(seed=1)), strict=True))
    assert found == backwards
    assert found != other


def test_split_is_the_same_in_another_process() -> None:
    code = "from quickstudy.data.splits import *; n = list('abcdefghij'); print(*assigned(n, n, SplitOptions()))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert run.stdout.split() == assigned(list("abcdefghij"), list("abcdefghij"), SplitOptions())


@given(
    units=st.integers(3, 60),
    fractions=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)).filter(lambda parts: sum(parts) > 0),
)
def test_every_wanted_split_gets_a_class_and_no_other_does(units: int, fractions: tuple[int, int, int]) -> None:
    shares = tuple(part / sum(fractions) for part in fractions)
    found = assigned(NAMES[:units], NAMES[:units], SplitOptions(shares))  # type: ignore[arg-type]
    assert len(found) == units
    for split, share in zip(("train", "val", "test"), shares, strict=True):
        assert (found.count(split) > 0) == (share > 0)
        assert abs(found.count(split) - units * share) <= 2


def test_by_group_puts_whole_groups_into_splits() -> None:
    groups = [name[:-1] for name in NAMES]
    found = assigned(NAMES, groups, SplitOptions(by="groups"))
    for group in set(groups):
        assert len({split for split, own in zip(found, groups, strict=True) if own == group}) == 1
    assert set(found) == {"train", "val", "test"}


def test_rows_are_shared_out_class_by_class() -> None:
    digits = load("digits", "all")
    parts = [SplitOptions(by="rows").select(digits, split) for split in ("train", "val", "test")]
    for part, share in zip(parts, SplitOptions().fractions, strict=True):
        assert part.classes == digits.classes
        assert np.abs(part.counts - share * digits.counts).max() <= 1
    assert (sum(part.counts for part in parts) == digits.counts).all()
    hashes = [{row.tobytes() for row in part.examples["image"]} for part in parts]
    assert len(set.union(*hashes)) == len({row.tobytes() for row in digits.examples["image"]})
    assert sum(map(len, hashes)) < len(set.union(*hashes)) + 10  # a few drawings are equal; no row is in two splits
    again = SplitOptions(by="rows").select(digits, "val")
    assert again.fingerprint == parts[1].fingerprint
    assert SplitOptions(by="rows", seed=1).select(digits, "val").fingerprint != again.fingerprint


def test_rows_of_label_sets_give_every_label_its_share() -> None:
    rng = np.random.default_rng(3)
    sets = rng.random((600, 5)) < [0.5, 0.2, 0.1, 0.05, 0.02]
    sets[:60] &= [True, True, True, False, False]
    found = _of_label_sets(sets, np.array([0.64, 0.16, 0.20]), 0)
    for split, share in enumerate((0.64, 0.16, 0.20)):
        assert abs((found == split).mean() - share) < 0.01
        assert np.abs(sets[found == split].sum(0) - share * sets.sum(0)).max() <= 2
    by_chance = np.random.default_rng(0).permutation(found)
    assert np.abs(sets[by_chance == 1].sum(0) - 0.16 * sets.sum(0)).max() > 2


def test_splits_of_rows_refuse_classes_that_are_too_small_and_data_with_splits_of_its_own(tmp_path: pathlib.Path) -> None:
    small = tmp_path / "small.csv"
    small.write_text("x,label\n" + "".join(f"{n},{name}\n" for n, name in enumerate("aaaabbbbcc")))
    with pytest.raises(DataError, match=r"1 classes \(c\) have fewer than 3 rows, so that not each of 3 splits can have some"):
        load(small, "train", split_by="rows", label="label")
    with pytest.raises(ConfigError, match="digits has splits of its own; leave split_by='rows' out"):
        load("digits", "train", split_by="rows")
    with pytest.raises(ConfigError, match="by is 'row'; expected"):
        SplitOptions(by="row")  # type: ignore[arg-type]


def test_groups_of_a_table_stay_whole_if_they_are_shared_out(tmp_path: pathlib.Path) -> None:
    table = tmp_path / "people.csv"
    rows = [f"{n}.5,{word},{person}" for person in "abcdef" for n, word in enumerate(["yes", "no"] * 4)]
    table.write_text("\n".join(["x,word,person", *rows]))
    parts = [load(table, split, split_by="groups", label="word", group="person") for split in ("train", "val", "test")]
    people = [set(part.groups) for part in parts]
    assert set.union(*people) == set("abcdef")
    assert sum(map(len, people)) == 6
    assert all(
        set(part.classes) == {f"{person}/{word}" for person in group for word in ("yes", "no")}
        for part, group in zip(parts, people, strict=True)
    )


def test_too_few_classes_and_bad_fractions_are_named() -> None:
    with pytest.raises(DataError, match=r"2 classes \(a, b\), too few for 3 splits"):
        assigned(["a", "b"], ["a", "b"], SplitOptions())
    with pytest.raises(DataError, match="add up to 1"):
        SplitOptions((0.5, 0.2, 0.2))
    with pytest.raises(DataError, match="from 0 on"):
        SplitOptions((1.2, -0.2, 0.0))


def test_unknown_names_paths_splits_and_kinds_are_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown data set 'omniglott'. Did you mean: omniglot"):
        load("omniglott")
    with pytest.raises(NotFoundError, match=r"there is no file or folder .*absent"):
        load(tmp_path / "absent")
    with pytest.raises(NotFoundError, match=r"no file or folder 'absent\.zip'"):
        load("absent.zip")
    with pytest.raises(DataError, match="digits has no split 'training'; expected one of train, val, test, all"):
        load("digits", "training")
    with pytest.raises(DataError, match="no split 'training'"):
        load(tmp_path, "training")
    (tmp_path / "table.xlsx").write_text("a,b")
    with pytest.raises(
        DataError, match=r"one of: a folder of tables, a folder, an idx file, \.npz, \.csv, .* of texts, .* categories, \.zip"
    ):
        load(tmp_path / "table.xlsx")
    with pytest.raises(DataError, match="size is 0"):
        load("digits", size=0)
    with pytest.raises(DataError, match="whose ink is fixed"):
        load("digits", ink="dark")
    with pytest.raises(ConfigError, match="no option 'inc'; expected some of size, channels, ink"):
        load("digits", inc="dark")


def test_loading_images_needs_no_torch() -> None:
    code = "import sys, quickstudy.data.loading, quickstudy.data.known; print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert run.stdout == "False\n"


def test_select_and_rotate() -> None:
    digits = load("digits", "all", size=8)
    chosen = digits.select([7, 2])
    assert chosen.classes == ("7", "2")
    assert (chosen.examples["image"][: chosen.counts[0]] == digits.examples["image"][digits.labels == 7]).all()
    turned = rotated(chosen)
    assert turned.classes == ("7/rot000", "2/rot000", "7/rot090", "2/rot090", "7/rot180", "2/rot180", "7/rot270", "2/rot270")
    assert (
        turned.examples["image"][turned.starts[3]] == chosen.examples["image"][chosen.starts[1]].transpose(1, 0, 2)[::-1]
    ).all()
    assert len({digits.fingerprint, chosen.fingerprint, turned.fingerprint}) == 3
    with pytest.raises(DataError, match="no classes are left"):
        digits.select([])


def test_a_selection_is_a_view_of_the_same_pixels() -> None:
    digits = load("digits", "all", size=8)
    scattered, together = digits.select([7, 2, 4]), digits.select([3, 4, 5])
    assert scattered.stored["image"] is together.stored["image"] is digits.stored["image"]
    for view in (scattered, together, scattered.select([2, 0])):
        wanted = [digits.examples["image"][digits.labels == int(name)] for name in view.classes]
        assert (view.examples["image"] == np.concatenate(wanted)).all()
        assert all((view.examples["image"][view.labels == c] == wanted[c]).all() for c in range(len(wanted)))
        assert [int(start) for start in view.starts] == [sum(map(len, wanted[:c])) for c in range(len(wanted))]
    assert np.shares_memory(together.examples["image"], digits.stored["image"])  # no copy where none is needed
    assert scattered.select([2, 0]).classes == ("4", "7")


def test_a_compact_selection_owns_its_pixels() -> None:
    digits = load("digits", "all", size=8)
    view = digits.select([3, 4, 5])
    copy = view.compact()
    assert not np.shares_memory(copy.stored["image"], digits.stored["image"])
    assert len(copy.stored["image"]) == view.counts.sum()
    assert (copy.examples["image"] == view.examples["image"]).all()
    assert copy.fingerprint == view.fingerprint
    assert digits.compact() is digits
    others = [joined([part, digits.select([9, 0])], "j").examples["image"] for part in (view, copy.compact())]
    assert np.array_equal(*others)
    assert (rotated(view).examples["image"] == rotated(copy).examples["image"]).all()


def test_a_split_of_a_folder_stays_on_the_disk(cache: pathlib.Path, make_folder: Callable[..., pathlib.Path]) -> None:
    root = make_folder(*"abcdefghij")
    found = load(root, "train", size=6)
    assert len(found.classes) == 6
    assert isinstance(found.stored["image"], np.memmap)
    assert len(found.stored["image"]) == 30
    assert len(found.examples["image"]) == 18


def test_dataset_that_does_not_add_up_is_refused() -> None:
    digits = load("digits", "test", size=8)
    with pytest.raises(DataError, match="counts add up to"):
        Dataset(digits.examples["image"][:-1], digits.counts, digits.classes, digits.groups, digits.spec, "d", "f")
    with pytest.raises(DataError, match="one of each for every class"):
        Dataset(digits.examples["image"], digits.counts, digits.classes[:1], digits.groups, digits.spec, "d", "f")
