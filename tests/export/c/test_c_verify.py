"""The check between the compiler's passes finds wrong declarations, and accepts right ones."""

from __future__ import annotations

import pytest

from quickstudy.export.c.ir import Begin, Buffer, End, Item, Kernel
from quickstudy.export.c.plan import Arena
from quickstudy.export.c.verify import InvalidProgramError, check_arena, check_items

given, a, b = Buffer("given", 4, outside=True), Buffer("a", 4), Buffer("b", 4)


def kernel(code: str, reads: tuple[Buffer, ...], writes: tuple[Buffer, ...], over: tuple[Buffer, ...] = ()) -> Kernel:
    return Kernel(code, frozenset(reads), frozenset(writes), frozenset(over))


FIRST = kernel("a[0] = given[0];", (given,), (a,))
SECOND = kernel("b[0] = a[0];", (a,), (b,))
IN_PLACE = kernel("b[0] = a[0];", (a,), (b,), (a,))
LAST = kernel("given[0] = a[0] + b[0];", (a, b), (given,))

WRONG: dict[str, tuple[list[Item], str]] = {
    "unwritten": ([SECOND, FIRST], "after scheduling: item 0 reads a before anything wrote it"),
    "end": ([FIRST, End()], "item 1 ends a loop that never began"),
    "begin": ([FIRST, Begin("for (;;)")], "1 loops are not closed"),
    "overwrites": ([kernel("b[0] = 1;", (), (b,), (a,))], "may overwrite a, which it does not read"),
    "writes": ([kernel("a[0] = 1;", (), (a, b))], "says that it writes b and does not"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_programs_are_found(kind: str) -> None:
    items, words = WRONG[kind]
    with pytest.raises(InvalidProgramError, match=words):
        check_items(items, "scheduling")


def test_right_programs_pass() -> None:
    check_items([FIRST, Begin("for (;;)"), SECOND, End(), LAST], "lowering")
    check_arena([FIRST, SECOND, LAST], Arena({a: 0, b: 16}, 32))
    check_arena([FIRST, IN_PLACE], Arena({a: 0, b: 0}, 16))


@pytest.mark.parametrize(
    ("items", "offsets"),
    [([FIRST, SECOND], {a: 0, b: 0}), ([FIRST, SECOND, LAST], {a: 0, b: 12}), ([FIRST, IN_PLACE, LAST], {a: 0, b: 0})],
    ids=["not declared", "half", "declared, but needed later"],
)
def test_memory_shared_while_both_are_needed_is_found(items: list[Item], offsets: dict[Buffer, int]) -> None:
    with pytest.raises(InvalidProgramError, match="a and b share memory while both are needed"):
        check_arena(items, Arena(offsets, 32))


def test_an_arena_that_is_too_small_is_found() -> None:
    with pytest.raises(InvalidProgramError, match="b ends at byte 32 of an arena of 24"):
        check_arena([FIRST, SECOND], Arena({a: 0, b: 16}, 24))
