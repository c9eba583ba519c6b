"""Handwriting made from typefaces: a pen of another width draws the letters, and an affine and an elastic map bend them.

All pixels are whole numbers, so that the drawings are the same on every machine.
"""

from __future__ import annotations

import numpy as np

SIDE, FINE = 28, 3
"""Pixels of an image's side; how many times finer than the image a letter is drawn: on 84 x 84 pixels."""


def handwritten(letters: np.ndarray, copies: int, random: np.random.Generator) -> np.ndarray:
    """Return distorted copies of one class.

    Args:
        letters: ink of the letter in each typeface, uint8 `[typeface, 84, 84]`.
        copies: number of copies; they go through the typefaces in turn, in random order.
        random: source of all random numbers.

    Returns:
        Ink, uint8 `[copy, 28, 28]`.
    """
    turns = -(-copies // len(letters))
    typeface = np.concatenate([random.permutation(len(letters)) for _ in range(turns)])[:copies]
    inked = with_pen(letters, typeface, random.uniform(1.4, 2.9, copies) * FINE)
    bend = _elastic(copies, random)
    matrix = _affine(copies, random)
    matrix, centre = _fitted(matrix, inked, 1.5 + np.abs(bend).max((1, 2, 3)), random)
    pixels = (np.arange(2 * SIDE) + 0.5) / 2 - SIDE / 2  # twice as fine as the image, 0 in the middle
    wanted = np.stack(np.meshgrid(pixels, pixels)) + bend - centre[:, :, None, None]
    source = (np.linalg.inv(matrix) @ wanted.reshape(copies, 2, -1)).reshape(wanted.shape)
    sampled = sample(inked, FINE * (source + SIDE / 2) - 0.5)
    rows = sampled[:, ::2] + sampled[:, 1::2]
    return ((rows[:, :, ::2] + rows[:, :, 1::2]) // 4).astype(np.uint8)


def grow(ink: np.ndarray) -> np.ndarray:
    """Return the largest value among each pixel and its 8 neighbours, `[image, row, column]`."""
    rows = ink.copy()
    np.maximum(rows[:, 1:], ink[:, :-1], out=rows[:, 1:])
    np.maximum(rows[:, :-1], ink[:, 1:], out=rows[:, :-1])
    grown = rows.copy()
    np.maximum(grown[:, :, 1:], rows[:, :, :-1], out=grown[:, :, 1:])
    np.maximum(grown[:, :, :-1], rows[:, :, 1:], out=grown[:, :, :-1])
    return grown


def shrink(ink: np.ndarray) -> np.ndarray:
    """Return letters drawn with a thinner pen, `[image, row, column]`: strokes lose a pixel on each side unless they are too thin."""
    smallest = 255 - grow(255 - ink)
    return np.maximum(smallest, ink - np.minimum(ink, grow(smallest)))


def with_pen(letters: np.ndarray, typeface: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return letters drawn with pens of the wanted mean widths (fine pixels, `[copy]`) as far as two pixels each side allow.

    A stroke of width w loses the share 2 / w of its ink when it loses a pixel on each side: that measures w.
    """
    thinner, thicker = shrink(letters), grow(letters)
    levels = np.stack([shrink(thinner), thinner, letters, thicker, grow(thicker)])
    core = 255 - grow(255 - letters)
    ink, core = (drawn.reshape(len(letters), -1).sum(1, dtype=np.uint32) for drawn in (letters, core))
    now = 2 * ink / (ink - core)
    sixteenths = np.rint(16 * (2 + np.clip((width - now[typeface]) / 2, -2, 2))).astype(np.int64)
    low = np.minimum(sixteenths // 16, 3)  # between this level and the next
    part = (sixteenths - 16 * low).astype(np.uint16)[:, None, None]
    return ((levels[low, typeface] * (16 - part) + levels[low + 1, typeface] * part) // 16).astype(np.uint8)


def _elastic(copies: int, random: np.random.Generator) -> np.ndarray:
    """Return smooth random displacements in image pixels, `[copy, (x, y), 56, 56]`: sums of bumps, one at each knot of a 6 x 6 grid."""
    knots, places = np.linspace(0, 2 * SIDE - 1, 6), np.arange(2 * SIDE)
    bumps = np.exp(-0.5 * ((places[:, None] - knots) / 10.0) ** 2)
    bumps /= np.sqrt((bumps**2).sum(1, keepdims=True))
    size = random.uniform(0.3, 1.0, (copies, 1, 1, 1))
    field = bumps @ random.standard_normal((copies, 2, 6, 6)) @ bumps.T
    return size * np.clip(field - field.mean((2, 3), keepdims=True), -2, 2)


def _affine(copies: int, random: np.random.Generator) -> np.ndarray:
    """Return a random rotation (15 degrees at most), stretch and slant, `[copy, 2, 2]` on (x, y)."""
    angle = np.deg2rad(random.uniform(-15, 15, copies))
    wide, high = np.exp(random.uniform(-0.2, 0.12, (2, copies)))
    slant = random.uniform(-0.25, 0.25, copies)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([cos, -sin, sin, cos], -1).reshape(copies, 2, 2)
    zero = np.zeros(copies)
    return turn @ np.stack([wide, slant * high, zero, high], -1).reshape(copies, 2, 2)


def _fitted(
    matrix: np.ndarray, inked: np.ndarray, margin: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Scale each map down until its letter stays `margin` pixels inside the image, and choose a random place in which it fits.

    Returns:
        The maps `[copy, 2, 2]`, and where they send the middle of the drawing: pixels off the image's middle, `[copy, (x, y)]`.
    """
    full = inked > 0
    middle = (np.arange(SIDE * FINE) + 0.5) / FINE - SIDE / 2
    left, right = middle[full.argmax(2)], middle[::-1][full[:, :, ::-1].argmax(2)]
    y = np.broadcast_to(middle, left.shape)
    outline = np.stack([np.concatenate([left, right], 1), np.concatenate([y, y], 1)], 1)  # the ends of every row
    moved = matrix @ outline
    seen = np.tile(full.any(2), 2)[:, None]
    low, high = np.where(seen, moved, np.inf).min(2), np.where(seen, moved, -np.inf).max(2)
    scale = np.minimum(1, (SIDE - 2 * margin) / (high - low).max(1))[:, None]
    room = np.minimum(2.0, np.maximum(0, SIDE / 2 - margin[:, None] - scale * (high - low) / 2))
    shift = random.uniform(-1, 1, room.shape) * room - scale * (low + high) / 2
    return matrix * scale[:, :, None], shift


def sample(inked: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the bilinear interpolation of `[copy, 84, 84]` at `[copy, (x, y), row, column]`, in steps of 1/16 pixel, which are exact."""
    side = inked.shape[1] + 2
    padded = np.pad(inked, ((0, 0), (1, 1), (1, 1))).reshape(-1).astype(np.int32)
    fixed = np.rint(16 * np.clip(at + 1, 0, side - 1.0625)).astype(np.int32)
    whole, part = fixed >> 4, fixed & 15
    corner = whole[:, 1] * side + whole[:, 0] + (np.arange(len(inked), dtype=np.int32) * side * side)[:, None, None]
    right, down = part[:, 0], part[:, 1]
    upper = padded[corner] * (16 - right) + padded[corner + 1] * right
    lower = padded[corner + side] * (16 - right) + padded[corner + side + 1] * right
    return (upper * (16 - down) + lower * down) >> 8
