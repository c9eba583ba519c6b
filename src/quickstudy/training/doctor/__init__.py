"""Doctor: what may be wrong with a trained learner. One file is one check: its first line is a question, `check(patient)` answers it."""

from __future__ import annotations

from quickstudy import discovery
from quickstudy.errors import QuickstudyError
from quickstudy.training.doctor._patient import Finding, Patient, does_not_apply

FOLDER = "training/doctor"
"""Folder of the checks."""


def questions() -> dict[str, str]:
    """Return the question of each check, by its name.

    >>> questions()["overlap"]
    'Do two splits share a class, or an example?'
    """
    return {name: discovery.summary(FOLDER, name) for name in discovery.names(FOLDER)}


def examine(patient: Patient) -> dict[str, Finding]:
    """Return what each check finds, by its name; a check that cannot be made does not apply, and says why."""
    return {name: _finding(name, patient) for name in questions()}


def _finding(name: str, patient: Patient) -> Finding:
    """Return what one check finds."""
    try:
        return discovery.module(FOLDER, name).check(patient)
    except QuickstudyError as error:
        return does_not_apply(f"it cannot be checked: {error}")
