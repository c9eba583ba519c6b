"""Boards that QEMU emulates: start-up code, linker script, and how firmware is built, run and measured there."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from quickstudy.errors import ConfigError

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Board:
    """An emulated board.

    Args:
        machine: QEMU's name of it.
        flags: compiler flags for its processor.
        processor: its name.
    """

    machine: str
    flags: tuple[str, ...]
    processor: str


BOARDS = {
    "m4": Board("mps2-an386", ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"), "Cortex-M4F"),
    "m7": Board("mps2-an500", ("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv5-sp-d16"), "Cortex-M7F"),
}
FLAGS = (
    "-std=gnu99",
    "-O2",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wall",
    "-Wextra",
)
TOOLS = ("arm-none-eabi-gcc", "arm-none-eabi-size", "arm-none-eabi-nm", "qemu-system-arm")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a run on a board took.

    Args:
        output: lines that the program printed, `name value`.
        flash: bytes of code and constants, less those of `excluded` symbols.
        ram: bytes of variables, less those of `excluded` symbols, and the deepest stack.
        stack: bytes of that stack.
    """

    output: Mapping[str, Sequence[int]]
    flash: int
    ram: int
    stack: int


def missing_tools() -> list[str]:
    """Programs that are not installed."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def run(folder: pathlib.Path, board: Board, extra: Sequence[str] = (), excluded: str = r"test_\w*") -> Measured:
    """Build `main.c` with the firmware in a folder, run it on an emulated board, and measure it.

    `main.c` includes `board.h`, prints with `report("name", value)`, and returns 0. One tick of `ticks()` is 25 MHz of emulated time; at
    `-icount shift=0` the processor runs one instruction per nanosecond, so a tick is 40 instructions.

    Args:
        folder: what `write_firmware` wrote, and `main.c`.
        board: from `BOARDS`.
        extra: further compiler flags.
        excluded: pattern of symbols that are the test's own data.

    Raises:
        ConfigError: tools are missing, or the build or the program failed.
    """
    if missing_tools():
        raise ConfigError(
            f"{', '.join(missing_tools())} not found; install gcc-arm-none-eabi, libnewlib-arm-none-eabi, qemu-system-arm."
        )
    image = folder / "firmware.elf"
    sources = [str(folder / "main.c"), str(folder / "learner.c"), str(HERE / "boot.c")]
    link = ["-Wl,--gc-sections", "-nostartfiles", "--specs=nano.specs", "-T", str(HERE / "mps2.ld"), f"-I{HERE}", f"-I{folder}"]
    _call(["arm-none-eabi-gcc", *board.flags, *FLAGS, *extra, *link, "-o", str(image), *sources, "-lm"])
    command = f"qemu-system-arm -M {board.machine} -nographic -monitor none -serial none -icount shift=0"
    text = _call([*command.split(), "-semihosting-config", "enable=on,target=native", "-kernel", str(image)])
    output: dict[str, list[int]] = {}
    for name, value in re.findall(r"^(\w+) (-?\d+)$", text, re.MULTILINE):
        output.setdefault(name, []).append(int(value))
    code, data, bss = (int(word) for word in _call(["arm-none-eabi-size", str(image)]).splitlines()[1].split()[:3])
    constant, variable = _symbols(image, excluded)
    stack = output["stack"][0]
    return Measured(output, code + data - constant, data + bss - variable + stack, stack)


def _symbols(image: pathlib.Path, pattern: str) -> tuple[int, int]:
    """Bytes of matching constants and variables."""
    constant = variable = 0
    for line in _call(["arm-none-eabi-nm", "-S", str(image)]).splitlines():
        parts = line.split()
        if len(parts) == 4 and re.fullmatch(pattern, parts[3]):
            size = int(parts[1], 16)
            if parts[2] in "rRtT":
                constant += size
            else:
                variable += size
    return constant, variable


def _call(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode != 0:
        raise ConfigError(f"{command[0]} failed ({done.returncode}): {(done.stderr + done.stdout).strip()[-2000:]}")
    return done.stdout + done.stderr
