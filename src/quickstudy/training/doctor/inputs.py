"""Are support inputs like those of training?"""

from __future__ import annotations

from quickstudy.training.calibration import stored_inputs
from quickstudy.training.doctor._limits import LIMITS
from quickstudy.training.doctor._patient import Finding, Patient, does_not_apply


def check(patient: Patient) -> Finding:
    """Compare each support set with the statistics of training inputs that travel with the learner."""
    spec, statistics = patient.saved.spec, patient.saved.statistics
    if spec is None or not statistics:
        return does_not_apply("the learner brings no statistics of its training inputs along")
    said = [spec.unlike(statistics, stored_inputs(spec, task.support)) for task in patient.each()]
    unlike = [text for text in said if text]
    figures = {"unlike": len(unlike), "of_tasks": len(said)}
    if not unlike:
        return Finding("good", f"the support sets of {len(said)} tasks are like those of training", figures=figures)
    text = f"{len(unlike)} of {len(said)} support sets are unlike: {unlike[0]}"
    return Finding(
        "bad" if len(unlike) > LIMITS.unlike * len(said) else "look", text, "prepare inputs as those of training were", figures
    )
