"""Are its probabilities right as often as they say?"""

from __future__ import annotations

from quickstudy.training.doctor._limits import LIMITS
from quickstudy.training.doctor._patient import Finding, Patient, does_not_apply


def check(patient: Patient) -> Finding:
    """Give the expected calibration error at the learner's temperature, and at temperature 1."""
    after, before = patient.result.ece, patient.result.ece_uncalibrated
    if after is None or before is None:
        return does_not_apply(f"calibration is measured of classes, and the tasks ask for {patient.tasks.target}")
    text = f"calibration error {before:.1%} before, {after:.1%} after its temperature"
    figures = {"ece_uncalibrated": before, "ece": after}
    ways = patient.tasks.describe().get("ways")
    if isinstance(ways, int):  # else each task has a temperature of its own
        figures["temperature"] = patient.saved.temperature_of(ways)
        text = f"{text} of {figures['temperature']:.3g}"
    if after <= LIMITS.confident:
        return Finding("good", text, figures=figures)
    advice = "train with validation tasks of the size that it is used for: the temperature is fitted on them"
    if (patient.saved.temperature, patient.saved.temperature_power) == (1, 0):
        advice = "the learner has no temperature: train it with fit, which measures one"
    return Finding("bad" if after > LIMITS.overconfident else "look", text, advice, figures)
