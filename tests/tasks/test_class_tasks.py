"""Sampling: which classes and images make up a task, as statistics over many tasks, and tasks as a function of (seed, index)."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from quickstudy.data.dataset import Dataset
from quickstudy.data.known.omniglot import rotated
from quickstudy.errors import ConfigError, TaskError
from quickstudy.inputs.image import ImageSpec
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples, Task, concatenate
from quickstudy.tasks._draw import Draw
from quickstudy.tasks._inputs import to_input
from quickstudy.tasks._random import bits, distinct, keys, uniform
from quickstudy.tasks.augment.image import AUGMENTATIONS, affine, flip
from quickstudy.tasks.classes import ClassTasks

RARE = 1e-4
"""A statistic less likely than this is not chance; the seeds are fixed, so that a test passes always or never."""


@pytest.fixture(scope="session")
def numbered() -> Dataset:
    """8 classes in groups of 3 and 5, of 10 to 13 images; the two pixels of an image are its row and its class."""
    counts = np.array([10, 11, 12, 13, 10, 11, 12, 13])
    images = np.stack([np.arange(counts.sum()), np.repeat(np.arange(8), counts)], axis=1).astype(np.uint8).reshape(-1, 1, 2, 1)
    groups = ("few",) * 3 + ("many",) * 5
    return Dataset(images, counts, tuple("abcdefgh"), groups, ImageSpec(1, 2), "numbered", "f1")


def drawn(part: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row in the data set, class, and label of every example, `[task, example]`; -1 for padding."""
    pixels = (part.x.flatten(2) * 255).round().long()
    mask = torch.ones(part.y.rows.shape[:-1], dtype=torch.bool) if part.mask is None else part.mask
    found = (pixels[..., 0], pixels[..., 1], part.y.labels)
    return tuple(torch.where(mask, value, -1).numpy() for value in found)  # type: ignore[return-value]


def even(counts: np.ndarray) -> bool:
    """Whether counts look like draws of equally likely things (chi-square)."""
    return scipy.stats.chisquare(counts.ravel()).pvalue > RARE


# ---------------------------------------------------------------------------------------------------- what is drawn


def test_shapes_and_values(numbered: Dataset) -> None:
    tasks = ClassTasks(numbered, ways=3, shots=2, queries=4).batch(range(5))
    assert tasks.support.x.shape == (5, 6, 1, 1, 2)
    assert tasks.query.x.shape == (5, 12, 1, 1, 2)
    assert tasks.support.y.rows.shape == (5, 6, 3)
    assert tasks.support.mask is None
    assert tasks.query.mask is None
    assert tasks.support.y.labels[0].tolist() == [0, 1, 2, 0, 1, 2]
    assert tasks.support.x.dtype == tasks.support.y.rows.dtype == torch.float32


def test_what_is_printed_is_short(numbered: Dataset) -> None:
    assert repr(numbered) == "<Dataset numbered: 92 images of 8 classes>"
    assert repr(ClassTasks(numbered, ways=(3, 5), queries=4)) == "<ClassTasks of numbered: ways 3-5, shots 1, queries 4>"


def test_classes_are_equally_frequent_and_take_every_label(numbered: Dataset) -> None:
    _, classes, label = drawn(ClassTasks(numbered, ways=3, shots=1, queries=1).batch(range(4000)).support)
    table = np.zeros((8, 3))
    np.add.at(table, (classes, label), 1)
    assert even(table)
    assert len({tuple(row) for row in classes}) == 8 * 7 * 6  # every ordered choice occurs


def test_images_are_equally_frequent_within_their_class(numbered: Dataset) -> None:
    tasks = ClassTasks(numbered, ways=3, shots=2, queries=3).batch(range(3000))
    for part in (tasks.support, tasks.query):
        rows, classes, _ = drawn(part)
        for c in range(8):
            assert even(np.bincount(rows[classes == c] - numbered.starts[c], minlength=numbered.counts[c]))


@pytest.mark.parametrize(
    "options", [{}, {"ways": (2, 5), "shots": (1, 6), "draw": Draw(unequal=True)}, {"draw": Draw(within_groups=True)}]
)
def test_no_image_occurs_twice_in_a_task(numbered: Dataset, options: dict) -> None:
    tasks = ClassTasks(numbered, **({"ways": 3, "shots": 4, "queries": 4} | options)).batch(range(300))
    rows, classes, label = (np.concatenate(pair, axis=1) for pair in zip(drawn(tasks.support), drawn(tasks.query), strict=True))
    for task in range(300):
        real = rows[task] >= 0
        assert len(set(rows[task][real])) == real.sum()
        assert (numbered.labels[rows[task][real]] == classes[task][real]).all()
        pairs = set(zip(classes[task][real], label[task][real], strict=True))
        assert len(pairs) == len({c for c, _ in pairs}) == len({w for _, w in pairs}), (
            "a label means one class, and one label it"
        )


def test_a_class_of_just_enough_images_uses_them_all(numbered: Dataset) -> None:
    tasks = ClassTasks(numbered, ways=2, shots=4, queries=6).batch(range(100))
    rows, classes, _ = (np.concatenate(pair, axis=1) for pair in zip(drawn(tasks.support), drawn(tasks.query), strict=True))
    smallest = [set(rows[t][classes[t] == 0]) for t in range(100) if (classes[t] == 0).any()]
    assert smallest
    assert all(found == set(range(10)) for found in smallest)


def test_ranges_of_ways_and_shots_reach_both_ends_evenly(numbered: Dataset) -> None:
    tasks = ClassTasks(numbered, ways=(2, 5), shots=(1, 3), queries=2).batch(range(3000))
    counts = (tasks.support.y.rows * tasks.support.mask.unsqueeze(-1)).sum(1).numpy().astype(int)  # [task, way]
    ways = (counts > 0).sum(1)
    assert set(ways) == {2, 3, 4, 5}
    assert even(np.bincount(ways)[2:])
    assert all((counts[t, : ways[t]] > 0).all() for t in range(3000)), "the ways that exist come first"
    shots = counts[:, 0]
    assert even(np.bincount(shots)[1:])
    assert set(shots) == {1, 2, 3}
    assert all(set(counts[t, : ways[t]]) == {shots[t]} for t in range(3000)), "without unequal, a task has one number of shots"
    queries = (tasks.query.y.rows * tasks.query.mask.unsqueeze(-1)).sum(1).numpy()
    assert ((queries == 2) == (counts > 0)).all()
    assert scipy.stats.pearsonr(ways, shots).pvalue > RARE


def test_unequal_draws_shots_for_each_class(numbered: Dataset) -> None:
    tasks = ClassTasks(numbered, ways=3, shots=(1, 4), queries=2, draw=Draw(unequal=True)).batch(range(2000))
    counts = (tasks.support.y.rows * tasks.support.mask.unsqueeze(-1)).sum(1).numpy().astype(int)
    assert len({tuple(row) for row in counts}) == 4**3
    assert all(even(np.bincount(counts[:, way])[1:]) for way in range(3))


def test_padding_repeats_images_of_the_task(numbered: Dataset) -> None:
    tasks = ClassTasks(numbered, ways=(2, 4), shots=(1, 3), queries=2).batch(range(200))
    for part in (tasks.support, tasks.query):
        rows = (part.x.flatten(2)[..., 0] * 255).round().long()
        for task in range(200):
            assert set(rows[task].tolist()) == set(rows[task][part.mask[task]].tolist())
        assert bool((~part.mask).any())


def test_within_groups(numbered: Dataset) -> None:
    _, classes, _ = drawn(
        ClassTasks(numbered, ways=3, shots=1, queries=1, draw=Draw(within_groups=True)).batch(range(2000)).support
    )
    few = (classes < 3).all(1)
    assert (few | (classes >= 3).all(1)).all()
    assert even(np.array([few.sum(), (~few).sum()]))
    assert even(np.bincount(classes[~few].ravel())[3:])
    only_many = ClassTasks(numbered, ways=4, shots=1, queries=1, draw=Draw(within_groups=True)).batch(range(50))
    assert (drawn(only_many.support)[1] >= 3).all(), "a group with too few classes is left out"


# ---------------------------------------------------------------------------------------------------- pure in (seed, index)


def same(first: Task, second: Task) -> bool:
    leaves = [torch.utils._pytree.tree_leaves(task) for task in (first, second)]
    return len(leaves[0]) == len(leaves[1]) and all(torch.equal(a, b) for a, b in zip(*leaves, strict=True))


@pytest.mark.parametrize(
    "options", [{}, {"ways": (2, 4), "shots": (1, 3)}, {"draw": Draw(augment="affine")}, {"draw": Draw(augment="flip")}]
)
def test_a_task_is_a_pure_function_of_seed_and_index(patterns: Dataset, options: dict) -> None:
    def source(seed: int) -> ClassTasks:
        return ClassTasks(patterns, **({"ways": 3, "shots": 2, "queries": 3} | options), seed=seed)

    tasks = source(0)
    assert same(tasks.batch([3, 7])[1], tasks[7])
    assert same(source(0).batch(range(2**40, 2**40 + 3))[2], tasks[2**40 + 2])
    assert same(tasks.batch(np.array([7, 7]))[0], tasks[7])
    assert not same(tasks[7], tasks[8])
    assert not same(tasks[7], source(1)[7])
    assert not same(tasks[7], source(8)[0])
    assert not same(tasks[7], source(7)[0])


def test_fingerprint(patterns: Dataset) -> None:
    def hashed(dataset: Dataset = patterns, count: int = 20, **options: object) -> str:
        return ClassTasks(dataset, **({"ways": 3, "shots": 1, "queries": 2} | options)).fingerprint(count)  # type: ignore[arg-type]

    others = [
        hashed(seed=1),
        hashed(count=21),
        hashed(ways=2),
        hashed(shots=2),
        hashed(queries=3),
        hashed(draw=Draw(augment="flip")),
        hashed(dataclasses.replace(patterns, fingerprint="another")),
        hashed(rotated(patterns)),
    ]
    assert hashed() == hashed()
    assert hashed(count=1, shots=1, queries=3) != hashed(count=1, shots=2, queries=2), "the same images, otherwise shared out"
    assert len({hashed(), *others}) == 9


def test_tasks_stay_the_same_from_version_to_version(numbered: Dataset) -> None:
    """Or published results could not be repeated."""
    assert ClassTasks(numbered, 3, (1, 2), 2, draw=Draw(unequal=True), seed=1).fingerprint(20) == "3a0b2f2966f30b15"
    assert uniform(seed=5, index=np.array([9]), count=1, stream=2)[0, 0] == float.fromhex("0x1.acbbc4ab0baf8p-3")


def test_describe_names_the_protocol(patterns: Dataset) -> None:
    found = ClassTasks(patterns, ways=(2, 3), shots=1, queries=2, draw=Draw(within_groups=True), seed=4).describe()
    assert found == {
        "source": "classes",
        "dataset": "patterns",
        "classes": 12,
        "ways": "2-3",
        "shots": 1,
        "queries": 2,
        "input": "grey images of 16x16, ink light",
        "seed": 4,
        "within_groups": True,
    }


# ---------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"shots": 7, "queries": 4},
            TaskError,
            r"class 'a' of numbered has 10 images, but 7 shots \+ 4 queries need 11 \(2 of 8 classes are too small\)\. With queries=3 ",
        ),
        ({"ways": 9}, TaskError, r"numbered has 8 classes, but a task needs 9 ways"),
        ({"ways": (2, 9)}, TaskError, r"numbered has 8 classes, but a task needs 9 ways"),
        (
            {"ways": 6, "draw": Draw(within_groups=True)},
            TaskError,
            r"the largest group of numbered has 5 classes, but a task needs 6 ways",
        ),
        ({"ways": 0}, ConfigError, "ways is 0"),
        ({"ways": (4, 2)}, ConfigError, r"ways is \(4, 2\)"),
        ({"shots": 0}, ConfigError, "shots is 0"),
        ({"shots": (0, 2)}, ConfigError, r"shots is \(0, 2\)"),
        ({"queries": 0}, ConfigError, "queries is 0"),
        ({"draw": Draw(augment="flop")}, ConfigError, "augment is 'flop'; expected one of none, "),
    ],
)
def test_impossible_tasks_are_refused(numbered: Dataset, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ClassTasks(numbered, **({"ways": 2, "shots": 1, "queries": 1} | options))


# ---------------------------------------------------------------------------------------------------- random numbers


def test_uniform_is_uniform() -> None:
    values = uniform(seed=0, index=np.arange(2000), count=50)
    assert values.shape == (2000, 50)
    assert values.min() >= 0
    assert values.max() < 1
    assert abs(values.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / values.size)
    assert abs(values.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / values.size)
    assert scipy.stats.kstest(values.ravel(), "uniform").pvalue > RARE
    assert len(np.unique(values)) == values.size


def test_neighbouring_numbers_have_nothing_to_do_with_each_other() -> None:
    a = uniform(seed=0, index=np.arange(3000), count=20)
    others = {
        "index": uniform(seed=0, index=np.arange(1, 3001), count=20),
        "stream": uniform(seed=0, index=np.arange(3000), count=20, stream=1),
        "seed": uniform(seed=1, index=np.arange(3000), count=20),
        "far index": uniform(seed=0, index=np.arange(2**40, 2**40 + 3000), count=20),
        "position": np.roll(a, 1, axis=1),
        "index and position": np.roll(uniform(seed=0, index=np.arange(1, 3001), count=20), 1, axis=1),
    }
    for name, b in others.items():
        assert scipy.stats.pearsonr(a.ravel(), b.ravel()).pvalue > RARE, name
        assert not (a == b).any(), name
        table = np.histogram2d(a.ravel(), b.ravel(), bins=8)[0]
        assert even(table), name


def test_uniform_rows_depend_on_nothing_else() -> None:
    alone = uniform(seed=5, index=np.array([9]), count=3, stream=2)
    assert (uniform(seed=5, index=np.array([1, 9, 4]), count=7, stream=2)[1, :3] == alone[0]).all()
    assert (uniform(seed=-1, index=np.array([0]), count=3) != uniform(seed=1, index=np.array([0]), count=3)).all()


def test_streams_are_splitmix64() -> None:
    """The numbers that Vigna's C code gives for the state 1234567."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert bits(np.array([1234567], dtype=np.uint64), 5)[0].tolist() == expected


def test_lanes_are_streams_of_their_own() -> None:
    found = bits(keys(3, np.arange(50), stream=1, lanes=20), 30)
    assert found.shape == (50, 20, 30)
    assert len(np.unique(found)) == found.size
    assert (keys(3, np.array([7]), 1, lanes=2)[0] == keys(3, np.arange(50), 1, lanes=20)[7, :2]).all()


@pytest.mark.parametrize(("below", "count"), [(1, 1), (7, 1), (3, 2), (4, 2), (5, 2), (3, 3), (9, 3), (10, 3)])
def test_every_ordered_draw_without_replacement_is_equally_likely(below: int, count: int) -> None:
    """Few of many, and many of few, which are drawn in different ways."""
    possible = {draw: number for number, draw in enumerate(itertools.permutations(range(below), count))}
    drawn = distinct(keys(1, np.arange(40 * len(possible) + 2000))[:, 0], np.full(40 * len(possible) + 2000, below), count)
    assert below == count == 1 or even(np.bincount([possible[tuple(row)] for row in drawn.tolist()], minlength=len(possible)))


def test_few_of_many_are_the_first_different_numbers_of_the_stream() -> None:
    """Against whole numbers of any length, in Python."""
    streams, below = keys(2, np.arange(200))[:, 0], np.resize([25, 30, 2**20, 2**32], 200)
    for key, most, row in zip(streams, below.tolist(), distinct(streams, below, 5).tolist(), strict=True):
        stream = (int(number) * most >> 64 for number in bits(key[None], 100)[0])
        assert row == list(itertools.islice(dict.fromkeys(stream), 5))


def test_a_draw_depends_on_its_own_row_alone() -> None:
    streams, below = keys(4, np.arange(300))[:, 0], np.resize([6, 20, 35, 36, 37, 5000], 300)
    together = distinct(streams, below, 6)
    assert all(len(set(row)) == 6 for row in together.tolist())
    assert (together.min(1) >= 0).all()
    assert (together.max(1) < below).all()
    for row in range(0, 300, 7):
        assert (distinct(streams[row : row + 1], below[row : row + 1], 6)[0] == together[row]).all()


# ---------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize("ink", ["light", "dark"])
def test_colour_images_arrive_with_their_channels_first(ink: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3)).astype(np.uint8)
    spec = ImageSpec(5, 4, 3, ink)  # type: ignore[arg-type]
    dataset = Dataset(pixels, np.array([3, 3]), ("a", "b"), ("a", "b"), spec, "colour", "f")
    tasks = ClassTasks(dataset, ways=2, shots=1, queries=2).batch(range(3))
    assert tasks.query.x.shape == (3, 4, 3, 5, 4)
    assert tasks.query.x[0].is_contiguous(memory_format=torch.channels_last)
    light = pixels if ink == "light" else 255 - pixels
    wanted = {row.transpose(2, 0, 1).tobytes() for row in light}
    for task in range(3):
        found = torch.cat([tasks.support.x[task], tasks.query.x[task]])
        assert {(image * 255).round().to(torch.uint8).numpy().tobytes() for image in found} == wanted


def test_flip_mirrors_half_of_the_images() -> None:
    images, random = torch.rand(2000, 1, 4, 5), torch.rand(2000, 6)
    flipped = flip(images, random)
    turned = (flipped == images.flip(-1)).flatten(1).all(1)
    assert bool((turned | (flipped == images).flatten(1).all(1)).all())
    assert scipy.stats.binomtest(int(turned.sum()), 2000).pvalue > RARE


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_augmentations_keep_shape_and_range_and_change_something(name: str) -> None:
    images, random = torch.rand(50, 3, 12, 10), torch.rand(50, AUGMENTATIONS[name][1])
    given = images.clone()
    changed = AUGMENTATIONS[name][0](images, random)
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1 + 1e-6
    assert torch.equal(images, given)
    assert not torch.equal(changed, images)
    assert torch.equal(AUGMENTATIONS[name][0](images[7:8], random[7:8]), changed[7:8]), "each image by its own numbers"


def test_affine_is_centred_and_small() -> None:
    """With numbers in the middle nothing moves; at the ends a dot in the centre stays within 8 % of the width, plus a pixel."""
    images = torch.rand(1, 1, 21, 21)
    assert torch.allclose(affine(images, torch.full((1, 6), 0.5)), images, atol=1e-5)
    dot = torch.zeros(64, 1, 41, 41)
    dot[:, :, 20, 20] = 1
    ends = (torch.arange(64).unsqueeze(1) >> torch.arange(6)) % 2
    moved = affine(dot, ends.to(torch.float32) * 0.999)
    rows, columns = torch.meshgrid(torch.arange(41.0), torch.arange(41.0), indexing="ij")
    weight = moved.flatten(1).sum(1)
    assert float(weight.min()) > 0.5
    for position in (rows, columns):
        shift = (moved[:, 0] * position).flatten(1).sum(1) / weight - 20
        assert 2 < float(shift.abs().max()) < 0.08 * 41 * 1.45 + 1


@pytest.mark.parametrize(("ink", "expected"), [("light", [0.0, 0.2, 1.0]), ("dark", [1.0, 0.8, 0.0])])
def test_strokes_are_light_in_every_network(ink: Any, expected: list[float]) -> None:
    stored = torch.tensor([[0, 51, 255]], dtype=torch.uint8).unsqueeze(-1)
    layout = ImageSpec(1, 3, ink=ink).layout()["image"]
    found = to_input(stored, layout)
    assert torch.allclose(found, torch.tensor([[expected]]))
    assert np.allclose(layout.to_network(stored.unsqueeze(0).numpy())[0], found.numpy(), atol=1e-6)


def test_augmented_tasks_differ_only_in_their_pixels(patterns: Dataset) -> None:
    plain, flipped = (ClassTasks(patterns, 3, 2, 2, draw=Draw(augment=how))[0] for how in ("none", "flip"))
    mirrored = (flipped.query.x == plain.query.x.flip(-1)).flatten(1).all(1)
    kept = (flipped.query.x == plain.query.x).flatten(1).all(1)
    assert bool((mirrored ^ kept).all())
    assert torch.equal(flipped.query.y.rows, plain.query.y.rows)


def test_rotations_are_classes_of_their_own(numbered: Dataset, patterns: Dataset) -> None:
    turned = rotated(patterns)
    assert len(turned.classes) == 4 * len(patterns.classes) == len(set(turned.classes))
    assert len(turned.examples["image"]) == 4 * len(patterns.examples["image"])
    assert turned.fingerprint != patterns.fingerprint
    for quarter in range(4):
        c = quarter * len(patterns.classes) + 3
        assert turned.classes[c] == f"class03/rot{90 * quarter:03d}"
        expected = np.rot90(patterns.examples["image"][patterns.labels == 3], quarter, axes=(1, 2))
        assert (turned.examples["image"][turned.labels == c] == expected).all()
    tasks = ClassTasks(turned, ways=40, shots=1, queries=1).batch(range(3))
    assert tasks.support.x.shape == (3, 40, 1, 16, 16)
    with pytest.raises(TaskError, match=re.escape("patterns has 12 classes, but a task needs 40 ways")):
        ClassTasks(patterns, ways=40, shots=1, queries=1)


def test_tasks_of_a_selection_are_those_of_a_copy(patterns: Dataset) -> None:
    view = patterns.select([9, 0, 4, 5, 11])
    options = {"ways": (2, 4), "shots": (1, 3), "queries": 2}
    of_view, of_copy = ClassTasks(view, **options), ClassTasks(view.compact(), **options)  # type: ignore[arg-type]
    assert same(of_view.batch(range(40)), of_copy.batch(range(40)))
    assert of_view.fingerprint(40) == of_copy.fingerprint(40)
    assert of_view.fingerprint(40) != ClassTasks(patterns.select([0, 9, 4, 5, 11]), **options).fingerprint(40)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------- Task and Examples


def test_task_is_a_tree_of_tensors(patterns: Dataset) -> None:
    tasks = ClassTasks(patterns, ways=(2, 3), shots=(1, 2), queries=2).batch(range(4))
    assert len(torch.utils._pytree.tree_leaves(tasks)) == 7
    assert tasks[1:3].support.x.shape[0] == 2
    assert same(tasks[1:3][0], tasks[1])
    assert same(tasks.to(torch.device("cpu")), tasks)
    assert ClassTasks(patterns, 2, 1, 1)[0].to(torch.device("cpu")).support.mask is None


def test_concatenate_keeps_masks() -> None:
    bare = Examples(torch.zeros(2, 3), one_hot(torch.tensor([0, 1]), 2))
    padded = dataclasses.replace(bare, mask=torch.tensor([True, False]))
    assert concatenate(bare, bare).mask is None
    assert concatenate(bare, padded).mask.tolist() == [True, True, True, False]
    assert concatenate(padded, bare).weight.tolist() == [1, 0, 1, 1]
    both = concatenate(
        dataclasses.replace(bare, x={"a": torch.zeros(2, 3), "b": torch.ones(2)}),
        dataclasses.replace(padded, x={"a": torch.ones(2, 3), "b": torch.zeros(2)}),
    )
    assert both.x["b"].tolist() == [1, 1, 0, 0]


def test_one_hot_is_torchs_and_vmaps() -> None:
    index = torch.randint(0, 5, (4, 7))
    expected = torch.nn.functional.one_hot(index, 5).float()
    assert torch.equal(one_hot(index, 5).rows, expected)
    assert torch.equal(torch.func.vmap(lambda row: one_hot(row, 5).rows)(index), expected)
    assert torch.equal(one_hot(index, 5).labels, index)
