"""Wrong calls return codes and never crash: under the address and undefined-behaviour sanitizers, on this machine."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
import torch
from builders import Descent, HeadDescent, Memory, Prototypes, learner_class
from networks import one_layer

from quickstudy.export.c.firmware import FirmwareSettings, write_firmware
from quickstudy.inputs.image import ImageSpec
from quickstudy.learner import Learner
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.training.saving import SavedLearner

SANITIZED = [
    "gcc",
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-g",
    "-O1",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]

CHECKS = """
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "learner.h"
#define COUNT QS_MAX_SUPPORT

int main(void)
{
    qs_input *x = calloc(COUNT * QS_VALUES, sizeof *x), *query = calloc(QS_VALUES, sizeof *query);
    qs_target *y = calloc(COUNT, sizeof *y);
    qs_score scores[QS_WAYS];
    qs_state *state = calloc(1, sizeof *state);
    assert(qs_predict(state, query, scores) == QS_NOT_ADAPTED);
    for (int i = 0; i < COUNT * QS_VALUES; i++)
        x[i] = (qs_input)((i * 7919) % 251 / (sizeof(qs_input) == 1 ? 1 : 251.0));
    assert(qs_adapt(NULL, x, y, 1, NULL) == QS_BAD_POINTER && qs_adapt(state, NULL, y, 1, NULL) == QS_BAD_POINTER);
    assert(qs_adapt(state, x, NULL, 1, NULL) == QS_BAD_POINTER);
    const int counts[] = {0, -1, COUNT + 1, 1 << 30};
    for (int i = 0; i < 4; i++)
        assert(qs_adapt(state, x, y, counts[i], NULL) == QS_BAD_COUNT);
    assert(qs_adapt(state, x, y, COUNT, NULL) == QS_SINGLE_CLASS && qs_adapt(state, x, y, 1, NULL) == QS_SINGLE_CLASS);
    y[1] = QS_WAYS;
    assert(qs_adapt(state, x, y, COUNT, NULL) == QS_BAD_LABEL);
    y[1] = -1;
    assert(qs_adapt(state, x, y, COUNT, NULL) == QS_BAD_LABEL);
    assert(qs_predict(state, query, scores) == QS_NOT_ADAPTED);
    y[1] = 1;
    assert(qs_adapt(state, x, y, 2, NULL) == QS_OK && qs_adapt(state, x, NULL, 2, NULL) == QS_BAD_POINTER);
    assert(qs_predict(state, query, scores) == QS_NOT_ADAPTED); /* nor the task before */
    for (int count = 2; count <= COUNT; count++) {
        for (int i = 0; i < count; i++)
            y[i] = i % 2;
        assert(qs_adapt(state, x, y, count, NULL) == QS_OK && state->examples == count);
        const int answer = qs_predict(state, x, scores);
        assert(answer == 0 || answer == 1);
    }
    assert(qs_predict(state, NULL, scores) == QS_BAD_POINTER && qs_predict(NULL, query, scores) == QS_BAD_POINTER);
    const qs_state kept = *state;
    state->examples = 1 << 30; /* a damaged state */
    assert(qs_predict(state, query, scores) == QS_NOT_ADAPTED);
    state->learner++;
    assert(qs_predict(state, query, scores) == QS_OTHER_LEARNER);
    *state = kept;
    assert(qs_predict(state, query, scores) >= 0);
    MORE
    free(x), free(y), free(query), free(state);
    return 0;
}
"""
FLOATS = """
    x[3] = NAN;
    assert(qs_adapt(state, x, y, COUNT, NULL) == QS_NOT_FINITE && qs_predict(state, query, scores) == QS_NOT_ADAPTED);
    x[3] = INFINITY;
    assert(qs_adapt(state, x, y, COUNT, NULL) == QS_NOT_FINITE);
    x[3] = 0;
    assert(qs_adapt(state, x, y, COUNT, NULL) == QS_OK);
    query[0] = NAN;
    assert(qs_predict(state, query, scores) == QS_NOT_FINITE);
"""
SETTINGS = """
    qs_settings settings = {-1.0f, 3};
    assert(qs_adapt(state, x, y, COUNT, &settings) == QS_BAD_SETTING);
    settings.inner_lr = NAN;
    assert(qs_adapt(state, x, y, COUNT, &settings) == QS_BAD_SETTING);
    settings = (qs_settings){0.1f, 0};
    assert(qs_adapt(state, x, y, COUNT, &settings) == QS_OK);
    settings = (qs_settings){1e38f, 20};
    assert(qs_adapt(state, x, y, COUNT, &settings) == QS_NOT_FINITE); /* it diverges */
    assert(qs_predict(state, x, scores) == QS_NOT_ADAPTED);
"""
ADD = """
    assert(qs_add(NULL, x, 0) == QS_BAD_POINTER && qs_add(state, NULL, 0) == QS_BAD_POINTER);
    assert(qs_add(state, x, QS_WAYS) == QS_BAD_LABEL && qs_add(state, x, -1) == QS_BAD_LABEL);
    assert(qs_add(state, x, 0) == QS_BAD_COUNT); /* it is full */
    state->learner++;
    assert(qs_add(state, x, 0) == QS_OTHER_LEARNER);
    memset(state, 0, sizeof *state);
    for (int i = 0; i < COUNT; i++)
        assert(qs_add(state, x + i * QS_VALUES, y[i]) == QS_OK);
    assert(memcmp(state, &kept, sizeof kept) == 0);
    assert(qs_adapt(state, x, y, 2, NULL) == QS_OK);
    for (int i = 2; i < COUNT; i++)
        assert(qs_add(state, x + i * QS_VALUES, y[i]) == QS_OK);
    assert(memcmp(state, &kept, sizeof kept) == 0); /* in two parts as at once */
"""
MiniBatches = learner_class(takes="adapt_steps inner_batch inner_optimizer")
IMAGE = ImageSpec(16, 16)
CASES: dict[str, tuple[Callable[[], Learner], ImageSpec | None, str]] = {
    "gradient steps on rows": (lambda: Descent(MLP(6, (8,))), None, FLOATS + SETTINGS),
    "gradient steps on images": (lambda: Descent(one_layer("none")), IMAGE, SETTINGS),
    "gradient steps with batch norm": (lambda: Descent(one_layer("batch")), IMAGE, ""),
    "gradient steps of the head": (lambda: HeadDescent(MLP(6, (8,), norm="batch")), None, FLOATS),
    "mini-batches in order": (lambda: MiniBatches(MLP(6, (8,)), adapt_steps=7, inner_batch=3), None, FLOATS),
    "examples": (lambda: Memory(MLP(6, (8,))), None, FLOATS),
    "prototypes on rows": (lambda: Prototypes(MLP(6, (8,))), None, FLOATS),
    "prototypes, int8": (lambda: Prototypes(Conv4(channels=5, image_size=16)), IMAGE, ADD),
}


@pytest.mark.parametrize("name", CASES)
def test_codes(name: str, tmp_path: pathlib.Path) -> None:
    make, spec, more = CASES[name]
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), np.uint8)
    write_firmware(tmp_path, SavedLearner(make(), spec), FirmwareSettings(ways=3, examples=7), calibration=images)
    (tmp_path / "main.c").write_text(CHECKS.replace("MORE", more))
    commands = [[*SANITIZED, "-c", "learner.c"]]
    for main in ("main.c", "example.c"):
        commands += [[*SANITIZED, "-o", "program", main, "learner.o", "-lm"], ["./program"]]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_of_a_learner_of_values_predicts_values(tmp_path: pathlib.Path) -> None:
    saved = SavedLearner(Descent(MLP(6, (8,))), target="values")
    write_firmware(tmp_path, saved, FirmwareSettings(ways=2, examples=7))
    assert "of 2 values per example from up to 7 examples" in (tmp_path / "README.md").read_text()
    for command in ([*SANITIZED, "-o", "program", "example.c", "learner.c", "-lm"], ["./program"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split(": values ") for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["an input of 0.5", "an input of 1.5"]
    assert all(len(line[1].split()) == 2 for line in lines)


def test_the_same_c_every_time(tmp_path: pathlib.Path) -> None:
    learner = Descent(one_layer("group"))
    texts = set()
    for name in ("a", "b"):
        torch.manual_seed(1)
        write_firmware(tmp_path / name, SavedLearner(learner, IMAGE))
        texts.add((tmp_path / name / "learner.c").read_text())
    assert len(texts) == 1


def test_a_state_knows_its_learner(tmp_path: pathlib.Path) -> None:
    """Its number is that of the weights and of the layout, not of how many examples the learner was built for."""
    one, other = (Prototypes(MLP(6, (8,))) for _ in range(2))
    numbers = []
    for learner, options in ((one, {}), (one, {"examples": 9}), (one, {"ways": 4}), (other, {})):
        write_firmware(tmp_path, SavedLearner(learner), FirmwareSettings(**options))
        numbers += [line for line in (tmp_path / "learner.h").read_text().splitlines() if "define QS_LEARNER " in line]
    assert len(numbers) == 4
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 3
