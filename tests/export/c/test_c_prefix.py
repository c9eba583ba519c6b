"""Two learners with names of their own link into one program, and each keeps its answers."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import torch
from builders import Descent, Prototypes

from quickstudy.errors import ConfigError
from quickstudy.export.c.firmware import FirmwareSettings, write_firmware
from quickstudy.inputs.image import ImageSpec
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.training.saving import SavedLearner

from .conftest import call

MAIN = """
#include <stdio.h>
#include "doors/learner.h"
#include "walls/learner.h"

int main(void)
{
    static doors_input rows[2 * DOORS_VALUES];
    static walls_input images[2 * WALLS_VALUES];
    static doors_state door;
    static walls_state wall;
    static const int32_t labels[2] = {0, 1};
    doors_score few[DOORS_WAYS];
    walls_score many[WALLS_WAYS];
    for (int i = 0; i < DOORS_VALUES; i++)
        rows[i] = 1, rows[DOORS_VALUES + i] = -1;
    for (int i = 0; i < WALLS_VALUES; i++)
        images[i] = 250 * (i % 3 == 0), images[WALLS_VALUES + i] = 250 * (i % 5 == 0);
    if (doors_adapt(&door, rows, labels, 2, 0) != DOORS_OK || walls_adapt(&wall, images, labels, 2, 0) != WALLS_OK)
        return 1;
    printf("%d %d", doors_predict(&door, rows + DOORS_VALUES, few), walls_predict(&wall, images + WALLS_VALUES, many));
    return 0;
}
"""


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_two_learners_link_into_one_program(precision: str, tmp_path: pathlib.Path) -> None:
    torch.manual_seed(0)
    rows = SavedLearner(Descent(MLP(in_features=4, hidden=(8,)), inner_lr=0.5))
    write_firmware(tmp_path / "doors", rows, FirmwareSettings(ways=2, prefix="doors"))
    images = SavedLearner(Prototypes(Conv4(1, 16, channels=4)), ImageSpec(16, 16, 1))
    settings = FirmwareSettings(ways=3, precision=precision, prefix="walls")  # type: ignore[arg-type]
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), np.uint8)
    write_firmware(tmp_path / "walls", images, settings, calibration=pixels)
    for file in [*tmp_path.glob("*/*.[ch]"), *tmp_path.glob("*/README.md")]:
        assert "qs_" not in file.read_text()
        assert "QS_" not in file.read_text()
    (tmp_path / "main.c").write_text(MAIN)
    sources = ["main.c", "doors/learner.c", "walls/learner.c"]
    call(["gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-o", "both", *sources, "-lm"], tmp_path)
    assert call([str(tmp_path / "both")]) == "1 1"


def test_a_prefix_that_is_no_name_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"prefix is '9 lives'; expected a C name"):
        FirmwareSettings(prefix="9 lives")
