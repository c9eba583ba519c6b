"""The program espeak-ng, which speaks a text in many languages and timbres. It is not part of this package, and makes data only."""

from __future__ import annotations

import concurrent.futures
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import rich.console
import rich.progress

from quickstudy.errors import DataError

PROGRAM = "espeak-ng"
LIST = """
m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 croak klatt klatt2 klatt4 klatt5 Alex Alicia Andrea Andy Annie Denis Diogo Gene Henrique Hugo
Jacky Lee Marco Mario Michael Mike Nguyen adam anika antonio aunty belinda benjamin boris caleb david ed edward gustave john linda max
michel miguel norbert pablo paul pedro quincy rob robert sandro shelby steph travis victor zac
"""
TIMBRES = tuple(LIST.split())
"""Names of espeak-ng's variants of a voice that sound like people."""


class Voice(NamedTuple):
    """A voice, and how it speaks a text.

    Attributes:
        name: voice of espeak-ng, such as `en-us+f3`.
        speed: words per minute.
        pitch: from 0 to 99.
        mark: punctuation behind the text, which makes its melody.
    """

    name: str
    speed: int
    pitch: int
    mark: str


def release() -> str:
    """Return what espeak-ng says of its release, which voices depend on."""
    words = subprocess.run([program(), "--version"], check=True, capture_output=True, text=True).stdout
    return " ".join(re.findall(r"\d+(?:\.\d+)+", words)[:1])


def program() -> str:
    """Return the path of espeak-ng.

    Raises:
        DataError: it is not installed.
    """
    found = shutil.which(PROGRAM)
    if found is None:
        remedy = (
            "Install it: apt install espeak-ng, dnf install espeak-ng, brew install espeak-ng, or winget install espeak-ng."
        )
        raise DataError(
            f"voices are spoken by the program {PROGRAM}, which is not there. {remedy}", subject=PROGRAM, remedy=remedy
        )
    return found


def speak(program: str, text: str, voice: Voice) -> tuple[np.ndarray, int]:
    """Return the samples of a text in a voice, and how many there are in a second.

    Raises:
        DataError: espeak-ng fails.
    """
    command = [program, "-v", voice.name, "-s", str(voice.speed), "-p", str(voice.pitch), "--stdout", text + voice.mark]
    ended = subprocess.run(command, capture_output=True)
    if ended.returncode or len(ended.stdout) <= 44:
        said = ended.stderr.decode("utf-8", "replace").strip()[:200]
        raise DataError(
            f"{PROGRAM} spoke nothing ({said or 'no reason given'}); try it alone: {' '.join(command[:-2])} {text!r}"
        )
    # a head of 44 bytes, whose length is unknown while it is written, and then 16-bit samples
    wave = np.frombuffer(ended.stdout[44 : 44 + (len(ended.stdout) - 44) // 2 * 2], "<i2") / 2**15
    return wave, int.from_bytes(ended.stdout[24:28], "little")


def in_parallel(speaks: Callable[[str], np.ndarray], texts: Sequence[str], title: str) -> list[np.ndarray]:
    """Return what a function says of each text, in their order, while a bar with this title shows how far it is."""
    console = rich.console.Console(stderr=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(speaks, texts)
        return list(
            rich.progress.track(found, title, len(texts), console=console, transient=True, disable=not console.is_terminal)
        )
