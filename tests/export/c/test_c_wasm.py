"""The same C as WebAssembly, without a C library: equal to this machine, in Node."""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
from builders import Descent, Prototypes

from quickstudy.inputs.image import ImageSpec
from quickstudy.learner import Learner
from quickstudy.nets.conv4 import Conv4
from quickstudy.training.saving import SavedLearner

pytestmark = pytest.mark.toolchain

HEADERS = {
    "string.h": "#include <stddef.h>\n#define memcpy __builtin_memcpy\n#define memset __builtin_memset\n",
    "math.h": "#define INFINITY __builtin_inff()\n#define sqrtf __builtin_sqrtf\n#define fabsf __builtin_fabsf\n"
    "float expf(float); float logf(float); float powf(float, float);\n",
}
GLUE = """
#include "learner.h"
static qs_input inputs[QS_MAX_SUPPORT * QS_VALUES];
static qs_target targets[QS_MAX_SUPPORT];
static qs_state state;
static qs_score scores[QS_WAYS];
void *place(int which) { void *places[] = {inputs, targets, scores}; return places[which]; }
int adapt(int count) { return qs_adapt(&state, inputs, targets, count, 0); }
int predict(void) { return qs_predict(&state, inputs, scores); }
"""
SCRIPT = """
const fs = require('fs'), task = JSON.parse(fs.readFileSync('task.json'));
const env = { expf: Math.exp, logf: Math.log, powf: Math.pow };
const program = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync('learner.wasm')), { env }).exports;
const bytes = (text) => new Uint8Array(Buffer.from(text, 'base64'));
const put = (which, text) => new Uint8Array(program.memory.buffer).set(bytes(text), program.place(which));
put(0, task.support);
put(1, task.targets);
const code = program.adapt(task.count), answers = [], scores = [];
for (const query of task.queries) {
    put(0, query);
    answers.push(program.predict());
    scores.push(Buffer.from(program.memory.buffer, program.place(2), task.ways * 4).toString('base64'));
}
console.log(JSON.stringify({ code, answers, scores }));
"""
LEARNERS: dict[str, Callable[[], Learner]] = {
    "int8": lambda: Prototypes(Conv4(channels=8, image_size=16)),
    "float32": lambda: Descent(Conv4(channels=4, image_size=16, norm="none", halving="stride"), inner_lr=0.5),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_equal_to_this_machine(name: str, build: Callable) -> None:
    random = np.random.default_rng(0)
    images, targets = random.integers(0, 256, (16, 16, 16, 1), np.uint8), np.arange(10) % 5
    host = build(SavedLearner(LEARNERS[name](), ImageSpec(16, 16)), examples=10, calibration=images)
    assert host.adapt(images[:10], targets) == 0
    answers, scores = host.predict(images[10:])
    task = {
        "support": _text(images[:10]),
        "targets": _text(targets.astype(np.int32)),
        "queries": [_text(image) for image in images[10:]],
        "count": 10,
        "ways": 5,
    }
    for file, text in {**HEADERS, "glue.c": GLUE, "run.js": SCRIPT, "task.json": json.dumps(task)}.items():
        (host.folder / file).write_text(text)
    _compile(host.folder)
    found = json.loads(_run(host.folder, "node run.js"))
    assert found["code"] == 0
    assert found["answers"] == answers.tolist()
    kind = np.int32 if name == "int8" else np.float32
    theirs = np.stack([np.frombuffer(base64.b64decode(text), kind) for text in found["scores"]])
    np.testing.assert_allclose(theirs, scores, rtol=0, atol=0 if name == "int8" else 1e-5)


def _text(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _compile(folder: pathlib.Path) -> None:
    link = "-nostdlib -Wl,--no-entry -Wl,--export-all -Wl,--allow-undefined"
    _run(folder, f"clang --target=wasm32 -std=c99 -O2 -mbulk-memory -I. {link} -o learner.wasm glue.c learner.c")


def _run(folder: pathlib.Path, command: str) -> str:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout
