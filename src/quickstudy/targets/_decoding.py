"""Decoding of what each frame says into sequences of symbols. No torch here."""

from __future__ import annotations

import itertools

import numpy as np

from quickstudy.errors import check_at_least


def greedy(logits: np.ndarray) -> list[int]:
    """Return the symbols that the most likely path says: neighbours that are equal are merged, and then blanks (0) are taken out.

    Args:
        logits: `[frame, symbol]`.

    >>> greedy(np.eye(3)[[1, 1, 0, 1, 2]])
    [1, 1, 2]
    """
    return [int(symbol) for symbol, _ in itertools.groupby(logits.argmax(-1)) if symbol]


def beam_search(logits: np.ndarray, width: int = 8) -> list[int]:
    """Return the most likely sequence of symbols, each being as likely as all of its paths together, by a prefix beam search.

    Graves 2012, "Supervised Sequence Labelling with Recurrent Neural Networks", section 7.5.3, without a dictionary or a model of
    language. If the beam is wide enough, nothing is more likely than what it finds; the most likely path, which `greedy` reads, may say
    something else.

    Args:
        logits: `[frame, symbol]`; column 0 is the blank.
        width: sequences that are kept from frame to frame, 1 or more.

    >>> probabilities = np.array([[0.6, 0.4], [0.6, 0.4]])  # the best path is blank, but "a" has the paths a-, -a and aa
    >>> greedy(np.log(probabilities)), beam_search(np.log(probabilities))
    ([], [1])
    """
    check_at_least("width", width, 1)
    log_probabilities = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
    beams = {(): (0.0, -np.inf)}  # of each sequence: log-probabilities of its paths that end in a blank, and in its last symbol
    for frame in log_probabilities:
        found: dict[tuple[int, ...], tuple[float, float]] = {}
        for sequence, (blank, symbol) in beams.items():
            either = np.logaddexp(blank, symbol)
            again = symbol + frame[sequence[-1]] if sequence else -np.inf
            _add(found, sequence, either + frame[0], again)
            for following in range(1, len(frame)):
                before = blank if sequence and following == sequence[-1] else either
                _add(found, (*sequence, following), -np.inf, before + frame[following])
        best = sorted(found, key=lambda sequence: np.logaddexp(*found[sequence]), reverse=True)[:width]
        beams = {sequence: found[sequence] for sequence in best}
    return list(next(iter(beams)))


def _add(found: dict[tuple[int, ...], tuple[float, float]], sequence: tuple[int, ...], blank: float, symbol: float) -> None:
    """Add paths to those of a sequence."""
    before = found.get(sequence, (-np.inf, -np.inf))
    found[sequence] = float(np.logaddexp(before[0], blank)), float(np.logaddexp(before[1], symbol))
