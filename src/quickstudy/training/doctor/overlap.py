"""Do two splits share a class, or an example?"""

from __future__ import annotations

import hashlib
import itertools

from quickstudy.data.dataset import Dataset
from quickstudy.training.doctor._limits import LIMITS
from quickstudy.training.doctor._patient import Finding, Patient, does_not_apply

NOUN = {"classes": "class", "groups": "group", "labels": "label"}
"""Singular of each noun."""


def check(patient: Patient) -> Finding:
    """Compare the names of classes, and hashes of the stored examples, of every two splits."""
    if len(patient.splits) < 2:
        return does_not_apply("there are no two splits of one data set to compare")
    hashes = {name: hashed(split) for name, split in patient.splits.items()}
    classes, examples, worst, nouns = 0, 0, ("", 0.0), next(iter(patient.splits.values())).nouns
    shared: list[str] = []
    for one, other in itertools.combinations(patient.splits, 2):
        names = _names(patient.splits[one]) & _names(patient.splits[other])
        same = len(hashes[one] & hashes[other])
        share = same / max(1, min(len(hashes[one]), len(hashes[other])))
        classes, examples = classes + len(names), examples + same
        worst = max(worst, (f"{one} and {other}", share), key=lambda pair: pair[1])
        if names:
            shared.append(f"{one} and {other} share {len(names)} {nouns}, such as {min(names)!r}")
        elif same:
            shared.append(f"{one} and {other} share {same} equal examples ({share:.2%})")
    figures = {"classes": classes, "examples": examples, "largest_share": worst[1]}
    if not shared:
        return Finding(
            "good",
            f"{', '.join(patient.splits)} have no {NOUN[nouns]} and no example in common",
            figures=figures,
        )
    if nouns == "labels" and not classes:
        advice = "splits of one table differ in their labels alone: for figures of examples that are new too, evaluate on another table"
        return Finding("look", "; ".join(shared), advice, figures)
    verdict = "bad" if classes or worst[1] > LIMITS.equal else "look"
    advice = (
        f"results on {nouns} that were trained on say nothing of new ones: choose splits that share nothing, and train again"
    )
    return Finding(verdict, "; ".join(shared), advice, figures)


def _names(split: Dataset) -> set[str]:
    """Return the names of what tasks are drawn from: classes, groups or labels."""
    return set(split.classes if split.label_sets is None else split.label_names)


def hashed(split: Dataset) -> set[bytes]:
    """Return a hash of each stored example of a split, with its values if it has some."""
    parts = [*split.examples.values(), *(() if split.values is None else (split.values[split.rows],))]
    found = set()
    for row in range(len(parts[0])):
        digest = hashlib.blake2b(digest_size=12)
        for part in parts:
            digest.update(part[row].tobytes())
        found.add(digest.digest())
    return found
