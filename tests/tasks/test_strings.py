"""Strings: what is joined is what the transcript says, in its order, of recordings that support set and query set do not share."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
import torch

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset, DataWarning
from quickstudy.errors import DataError, TaskError
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.sound import SoundSpec
from quickstudy.targets.sequences import SequenceTarget
from quickstudy.tasks._draw import Draw
from quickstudy.tasks._strings import Strings
from quickstudy.tasks.strings import StringTasks

SPEC = SoundSpec(seconds=1.0, mels=4)
LABELS = (" ", "a", "b", "c")


def recordings(takes: int = 6) -> Dataset:
    """Return sounds of two voices, whose bytes say which symbol, voice and take they are of: 3 to 5 columns in the middle."""
    rows, labels = [], []
    for voice, name in enumerate(("ann", "bob")):
        for symbol, letter in enumerate("abc"):
            for take in range(takes):
                row = np.zeros((1, 4, 40), np.uint8)
                row[:, :, 18 : 21 + symbol] = 1 + 100 * voice + 30 * symbol + take
                rows.append(row)
                labels.append(f"{name}/{letter}")
    return from_arrays(np.stack(rows), labels, spec=SPEC, name="made")


def heard(x: torch.Tensor) -> list[tuple[int, int, int]]:
    """Return voice, symbol and take of each sound in a string."""
    columns = (255 * x[0, 0]).round().long().tolist()
    starts = [value for before, value in zip([0, *columns], columns, strict=False) if value and value != before]
    return [((value - 1) // 100, (value - 1) % 100 // 30, (value - 1) % 30) for value in starts]


def merged(symbols: Iterable[str]) -> list[str]:
    """Return symbols without those that equal the one before."""
    return [symbol for symbol, _ in itertools.groupby(symbols)]


def test_transcripts_are_what_is_heard() -> None:
    tasks = StringTasks(recordings(), shots=4, queries=5, strings=Strings((1, 5)))
    assert tasks.input == SPEC
    task = tasks.batch(range(12))
    takes = {"support": set(), "query": set()}
    for part, name in ((task.support, "support"), (task.query, "query")):
        for x, places in zip(part.x.flatten(0, 1), part.y.places.flatten(0, 1).numpy(), strict=True):  # type: ignore[union-attr]
            (text,) = SequenceTarget().given(places[None], LABELS)
            sounds = heard(x)
            # neighbours may be one take, which is heard as one sound
            assert merged("abc"[symbol] for _, symbol, _ in sounds) == merged(text)
            assert len(sounds) <= len(text)
            assert len({voice for voice, _, _ in sounds}) == 1
            takes[name] |= {(symbol, take) for _, symbol, take in sounds}
    assert not takes["support"] & takes["query"]
    voices = [{voice for x in of_task for voice, _, _ in heard(x)} for of_task in task.query.x]  # type: ignore[union-attr]
    assert all(len(one) == 1 for one in voices)
    assert len(set.union(*voices)) == 2


def test_a_string_lies_in_the_middle_and_in_its_order() -> None:
    task = StringTasks(recordings(takes=2), shots=1, queries=40, strings=Strings(3))[0]
    for x, places in zip(task.query.x, task.query.y.places.numpy(), strict=True):  # type: ignore[union-attr]
        (text,) = SequenceTarget().given(places[None], LABELS)
        there = x[0, 0].nonzero().flatten()
        assert abs(int(there[0]) - (39 - int(there[-1]))) <= 4
        if len(set(text)) == 3:
            assert ["abc"[symbol] for _, symbol, _ in heard(x)] == list(text)


def test_what_does_not_fit_is_left_out_and_said() -> None:
    with pytest.warns(DataWarning, match=r"strings of 12 need about 7\d columns, but the sounds of made have 40, .* --seconds"):
        task = StringTasks(recordings(), shots=2, queries=20, strings=Strings(12))[0]
    lengths = (1 - task.query.y.places[..., 0]).sum(-1)
    assert 5 <= int(lengths.min()) < 12
    counts = [len(heard(x)) for x in task.query.x]  # type: ignore[union-attr]
    assert all(count <= int(length) for count, length in zip(counts, lengths, strict=True))


def test_whole_examples_are_different_ones_of_one_group() -> None:
    data = from_arrays(
        np.arange(40, dtype=np.uint8)[:, None, None, None] + np.ones((40, 1, 4, 40), np.uint8),
        ["v/one", "w/two b"] * 20,
        spec=SPEC,
    )
    for task in (StringTasks(data, shots=8, queries=12)[index] for index in range(4)):
        x = torch.cat([task.support.x, task.query.x])[:, 0, 0, 0]  # type: ignore[list-item]
        assert len(set(x.tolist())) == 20
        texts = set(SequenceTarget().given(torch.cat([task.support.y.places, task.query.y.places]).numpy(), (" ", *"benotw")))
        assert texts in ({"one"}, {"two b"})
    with pytest.raises(TaskError, match="'v' of arrays has 20 sounds, but 8 shots \\+ 13 queries need 21"):
        StringTasks(data, shots=8, queries=13)


def test_shuffled_symbols_differ_from_task_to_task_and_not_within() -> None:
    plain, moved = (StringTasks(recordings(), strings=Strings((1, 4), shuffled=shuffled)) for shuffled in (False, True))
    orders = set()
    for index in range(8):
        before, after = plain[index].query.y.ids, moved[index].query.y.ids
        order = {int(one): int(other) for one, other in zip(before.flatten(), after.flatten(), strict=True)}
        assert [order[int(one)] for one in before.flatten()] == after.flatten().tolist()
        assert order[0] == 0
        assert len(set(order.values())) == len(order)
        orders.add(tuple(sorted(order.items())))
        assert torch.equal(plain[index].query.x, moved[index].query.x)  # type: ignore[arg-type]
    assert len(orders) > 2
    assert plain.describe()["symbols"] == " abc"
    assert "symbols" not in moved.describe()


def test_an_alphabet_may_be_larger_and_not_smaller() -> None:
    tasks = StringTasks(recordings(), strings=Strings((1, 2), "abcdef"))
    assert tasks[0].query.y.outputs == 8
    with pytest.raises(DataError, match="transcript 2, 'c', has 'c', which is not in the alphabet ' ab'"):
        StringTasks(recordings(), strings=Strings((1, 2), "ab"))
    with pytest.raises(TaskError, match=r"'ann/a' of made has a single one .* length=1 if classes are whole"):
        StringTasks(recordings(takes=1), strings=Strings((1, 2)))


def test_augmentation_changes_sounds_and_no_transcript() -> None:
    plain, changed = (
        StringTasks(recordings(), strings=Strings((1, 4)), draw=Draw(augment=name)) for name in ("none", "everyday")
    )
    assert torch.equal(plain[3].query.y.ids, changed[3].query.y.ids)
    assert not torch.equal(plain[3].query.x, changed[3].query.x)  # type: ignore[arg-type]
    assert plain.fingerprint(5) != changed.fingerprint(5)


def test_pictures_are_joined_from_left_to_right_on_their_ground() -> None:
    pictures = np.full((8, 6, 12, 1), 255, np.uint8)
    pictures[:4, 2, 3:5] = 0  # two columns of dark ink: "i"
    pictures[4:, 1:5, 3:6] = 0  # three: "m"
    data = from_arrays(pictures, ["hand/i"] * 4 + ["hand/m"] * 4, spec=ImageSpec(6, 12, 1, ink="light"), how={"ink": "dark"})
    task = StringTasks(data, shots=2, queries=6, strings=Strings(2))[0]
    for x, places in zip(task.query.x, task.query.y.places.numpy(), strict=True):  # type: ignore[union-attr]
        (text,) = SequenceTarget().given(places[None], (" ", "i", "m"))
        inked = x[0].amax(0)
        assert x.shape == (1, 6, 12)
        assert int((inked > 0.5).sum()) == sum({"i": 2, "m": 3}[letter] for letter in text)
        assert float(x.min()) == 0
