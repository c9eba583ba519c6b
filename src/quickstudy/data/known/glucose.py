"""Glucose: 600 simulated patients who drink 75 g of glucose, whose blood sugar is measured every ten minutes for four hours. No download.

No patient is real. The curves come from the minimal model of glucose and insulin (Bergman, Ider, Bowden and Cobelli 1979, "Quantitative
estimation of insulin sensitivity"), with glucose that appears in the blood as a gamma curve, and insulin that follows glucose above the
level at which the patient fasts. The rates of each patient are drawn at random around usual ones; a quarter are short of insulin and
answer to it weakly. A patient is a group of 25 rows: `minutes` since the drink, and `glucose` in mg/dL, which is to be predicted, with
the error of a meter (3 mg/dL). Splits are patients.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from quickstudy.data import splits
from quickstudy.data.dataset import Dataset
from quickstudy.data.readers._values import dataset_of
from quickstudy.inputs._columns import Column
from quickstudy.inputs.table import TableSpec
from quickstudy.targets import ValueScale

MEASURED = {"patients": 600, "ill": 0.25, "minutes": 240, "every": 10, "error": 3.0, "seed": 0}
"""Number of patients; share of those who are short of insulin; minutes that are measured, and from one measurement to the next; standard
deviation of a measurement's error, in mg/dL; seed of everything."""
SPEC = TableSpec(columns=(Column(name="minutes", type="number", mean=120.0, scale=72.1),), scaling="training")
SCALE = ValueScale(names=("glucose",), location=(122.8,), spread=(41.0,))
"""Scale of learners: mean and standard deviation over the patients of training, which a test measures again."""
SPLITS = splits.SPLITS
TARGET = "values"


class _Rates(NamedTuple):
    """One rate of the model.

    Attributes:
        usual: median over patients.
        spread: standard deviation of its logarithm over patients.
        ill: factor for the quarter of them who are ill.
    """

    usual: float
    spread: float
    ill: float


RATES = {
    "fasting": _Rates(90.0, 0.06, 1.35),
    "effectiveness": _Rates(0.02, 0.25, 0.9),
    "fading": _Rates(0.03, 0.3, 1.0),
    "sensitivity": _Rates(1.2e-5, 0.4, 0.4),
    "clearance": _Rates(0.09, 0.25, 1.0),
    "secretion": _Rates(0.08, 0.3, 0.4),
    "insulin": _Rates(8.0, 0.3, 1.3),
    "absorption": _Rates(35.0, 0.3, 1.1),
    "appearance": _Rates(350.0, 0.15, 1.0),
}
"""Rates by name. Fasting glucose is in mg/dL, and fasting `insulin` in µU/mL. Per minute, `effectiveness` is the share of glucose that is
used without insulin, `fading` the share of insulin's action that is lost, `sensitivity` the action that each µU/mL adds, `clearance` the
share of insulin that is lost, and `secretion` the µU/mL that each mg/dL above fasting adds. `absorption` is the minute at which most
glucose of the drink appears, and `appearance` the mg/dL by which all of it would raise glucose."""


def read(split: str, spec: TableSpec, data_dir: str | pathlib.Path | None, strict: bool) -> Dataset:
    """Return the patients of one split. They are simulated: `data_dir` and `strict` change nothing."""
    curves = simulated(MEASURED["patients"], MEASURED["seed"])
    count, points = curves.shape
    minutes = np.tile(np.arange(points) * MEASURED["every"], count)
    stored = spec.read_all({"minutes": minutes.astype(float)})
    names = [f"patient{number:03d}" for number in range(count)]
    groups = names, np.full(count, points)
    return splits.chosen(
        dataset_of(stored, curves.reshape(-1, 1), SCALE, groups, (spec, "glucose")), split, splits.SplitOptions()
    )


def simulated(count: int, seed: int) -> np.ndarray:
    """Return measured glucose in mg/dL, float64 `[patient, measurement]`, rounded to a tenth.

    >>> curves = simulated(3, seed=0)
    >>> curves.shape, bool((curves > 40).all())
    ((3, 25), True)
    """
    random = np.random.default_rng(seed)
    ill = random.random(count) < MEASURED["ill"]
    rates = {
        name: one.usual * np.exp(one.spread * random.normal(size=count)) * np.where(ill, one.ill, 1.0)
        for name, one in RATES.items()
    }
    curves = followed(rates)[:, :: int(MEASURED["every"])]
    return (curves + MEASURED["error"] * random.normal(size=curves.shape)).round(1)


def followed(rates: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return glucose without errors in mg/dL, `[patient, minute]`, by steps of a minute, from the rates `[patient]` by name."""
    glucose, action, insulin = rates["fasting"], np.zeros_like(rates["fasting"]), rates["insulin"]
    found = [glucose]
    for minute in range(int(MEASURED["minutes"])):
        time = (minute + 0.5) / rates["absorption"]
        appears = rates["appearance"] / rates["absorption"] * time * np.exp(-time)
        change = appears - (rates["effectiveness"] + action) * glucose + rates["effectiveness"] * rates["fasting"]
        called = rates["secretion"] * np.maximum(glucose - rates["fasting"], 0) - rates["clearance"] * (
            insulin - rates["insulin"]
        )
        action = action + rates["sensitivity"] * (insulin - rates["insulin"]) - rates["fading"] * action
        glucose, insulin = glucose + change, insulin + called
        found.append(glucose)
    return np.stack(found, axis=1)
