"""The threshold for unknown classes rejects what it should, and the manifest says how well."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pytest

from quickstudy import FewShotClassifier, load_learner, save_learner
from quickstudy.errors import ConfigError, TaskError
from quickstudy.export import calibrate as unknown
from quickstudy.export.pack import Packing, pack
from quickstudy.export.source import Source
from quickstudy.runtime import bundle as bundles
from quickstudy.runtime.learner import Learner

pytestmark = pytest.mark.xdist_group("trained learners")


def test_a_twentieth_of_known_queries_is_rejected_and_most_others_are(shipped: Learner, prototypes: Source) -> None:
    tasks, known = prototypes.tasks_with_others("train")
    found = unknown.calibrate(shipped, tasks, known, count=60)
    assert 0.02 < found.rejected < 0.1  # measured on other tasks than those it was chosen on
    assert found.detected > 3 * found.rejected
    assert "30 tasks of set.npz" in found.tasks


def test_the_threshold_is_the_quantile_that_was_asked_for(shipped: Learner, prototypes: Source) -> None:
    tasks, known = prototypes.tasks_with_others("train")
    thresholds = [unknown.calibrate(shipped, tasks, known, 20, rejected).threshold for rejected in (0.01, 0.05, 0.5)]
    assert thresholds == sorted(thresholds)
    of_known = np.concatenate([unknown._largest(shipped, tasks, known, index)[0] for index in range(10)])
    assert np.mean(of_known < thresholds[2]) == pytest.approx(0.5, abs=0.02)


def test_both_engines_find_and_use_the_same_threshold(shipped: Learner, prototypes: Source, tmp_path: pathlib.Path) -> None:
    tasks, known = prototypes.tasks_with_others("train")
    here, there = (unknown.calibrate(one, tasks, known, 20) for one in (prototypes.saved, shipped))
    assert here.threshold == pytest.approx(there.threshold, rel=1e-4)
    assert (here.rejected, here.detected) == pytest.approx((there.rejected, there.detected), abs=0.01)
    saved = dataclasses.replace(prototypes.saved, threshold=there.threshold)
    bundles.write(
        tmp_path / "learner.qs",
        dataclasses.replace(shipped.bundle, manifest=shipped.manifest.model_copy(update={"unknown": there})),
    )
    save_learner(tmp_path / "learner.safetensors", saved)
    split = prototypes.split("train")
    (images,), labels = split.examples.values(), split.labels
    shown = labels < known
    found = [
        FewShotClassifier(one).fit(images[shown], labels[shown]).unknown(images)
        for one in (tmp_path / "learner.qs", tmp_path / "learner.safetensors", load_learner(tmp_path / "learner.qs"), saved)
    ]
    assert found[0].mean() == pytest.approx((~shown).mean(), abs=0.3)  # neither none nor all
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])
    with pytest.raises(ConfigError, match="no calibrated threshold"):
        FewShotClassifier(prototypes.saved).fit(images[shown], labels[shown]).unknown(images)


def test_separation_is_how_often_a_known_query_has_the_larger_logit(shipped: Learner, prototypes: Source) -> None:
    tasks, known = prototypes.tasks_with_others("train")
    found = [unknown._largest(shipped, tasks, known, index) for index in range(6)]
    of_known, of_others = (np.concatenate(part) for part in zip(*found, strict=True))
    pairs = np.sign(of_known[:, None] - of_others)
    assert unknown.separation(shipped, tasks, known, 6) == pytest.approx((pairs.mean() + 1) / 2)
    assert 0.6 < unknown.separation(prototypes.saved, tasks, known, 6) <= 1


def test_others_are_never_shown(shipped: Learner, prototypes: Source) -> None:
    tasks, known = prototypes.tasks_with_others("train")
    of_known, of_others = unknown._largest(shipped, tasks, known, 0)
    assert len(of_known) == known * tasks.queries
    assert len(of_others) == (tasks.ways[0] - known) * tasks.queries


def test_tasks_without_other_classes_are_refused(shipped: Learner, prototypes: Source) -> None:
    with pytest.raises(TaskError, match="more than the 5"):
        unknown.calibrate(shipped, prototypes.tasks("train", 1, 1), 5)
    with pytest.raises(ConfigError, match="count is 1"):
        unknown.calibrate(shipped, prototypes.tasks("train", 1, 1), 2, count=1)


def test_packing_writes_threshold_and_both_protocols(prototypes: Source) -> None:
    manifest = pack(prototypes.saved, prototypes, Packing(count=10)).bundle.manifest
    assert manifest.unknown is not None
    rows = manifest.results["measured"]
    assert [(row["shots"], row["protocol"]) for row in rows] == [
        (1, "inductive"),
        (1, "transductive"),
        (5, "inductive"),
        (5, "transductive"),
    ]
    assert all(row["accuracy"] > 40 for row in rows)
    assert all(row["dataset"] == "set.npz/test" for row in rows)


def test_without_data_it_says_so(prototypes: Source) -> None:
    packed = pack(prototypes.saved)
    assert packed.bundle.manifest.unknown is None
    assert "--data" in packed.notes[0]


def test_data_that_cannot_be_loaded_is_named(prototypes: Source) -> None:
    with pytest.raises(ConfigError, match=r"set\.npz.*that data with --data"):  # the name of the file is known, not its place
        pack(prototypes.saved, Source(prototypes.saved), int8=True)
