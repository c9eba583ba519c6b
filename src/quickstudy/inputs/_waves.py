"""Resampling, trimming and log-mel pictures of waves, in NumPy alone: a runtime without SciPy hears what the training heard."""

from __future__ import annotations

import fractions
import functools
import math

import numpy as np

RESAMPLING = {"crossings": 32, "beta": 9.0, "kept": 0.945, "denominator": 1000}
"""Zero crossings of the sinc on either side, at the lower of the two rates; shape of its Kaiser window; share of the lower rate's band
that is kept, which leaves what would alias 80 dB down; largest denominator of a ratio of rates: all usual rates have smaller ones, and
others are met to a few parts in a million."""
LEVELS = {"range": 80.0, "least": 1e-10, "ends": 40.0, "block": 10.0, "margin": 2}
"""Decibels below a sound's loudest point at which a picture is black, and power that counts as nothing, as librosa's `power_to_db` has
them; decibels below the loudest block at which an end is silent; milliseconds of a block; blocks of a silent end that stay, because a soft
consonant may lie in them."""


def resampled(wave: np.ndarray, before: int, after: int) -> np.ndarray:
    """Return a wave of `before` samples per second with `after` of them, by a windowed sinc in as many phases as the ratio has.

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)
    >>> again = resampled(tone, 48000, 8000)
    >>> bool(np.abs(again - np.sin(2 * np.pi * 440 * np.arange(8000) / 8000))[100:-100].max() < 1e-3)
    True
    """
    if before == after:
        return wave
    ratio = fractions.Fraction(after, before).limit_denominator(RESAMPLING["denominator"])
    up, down = ratio.numerator, ratio.denominator
    kernels, half = _kernels(up, down)
    count = -(-len(wave) * up // down)
    found = np.empty(count)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(wave, half), kernels.shape[1])
    for phase in range(min(up, count)):
        begin, fraction = divmod(phase * down, up)
        places = windows[begin::down][: len(range(phase, count, up))]  # a view: nothing is copied
        found[phase::up] = places @ kernels[fraction]
    return found


@functools.lru_cache(8)
def _kernels(up: int, down: int) -> tuple[np.ndarray, int]:
    """Return weights `[phase, tap]` of the samples around a place `phase / up` behind a sample, and how many lie on either side."""
    band = min(1.0, up / down) * RESAMPLING["kept"]
    reach = RESAMPLING["crossings"] * max(1.0, down / up)
    half = math.ceil(reach)
    distance = np.arange(-half, half + 1) - np.arange(up)[:, None] / up
    window = np.i0(RESAMPLING["beta"] * np.sqrt(np.clip(1 - (distance / reach) ** 2, 0, None))) / np.i0(RESAMPLING["beta"])
    kernels = np.where(np.abs(distance) < reach, band * np.sinc(band * distance) * window, 0.0)
    return kernels / kernels.sum(1, keepdims=True), half


def trimmed(wave: np.ndarray, rate: int) -> np.ndarray:
    """Return a wave without the silence at its ends.

    >>> wave = np.concatenate([np.zeros(8000), np.ones(800), np.zeros(8000)])
    >>> len(trimmed(wave, 8000))
    1120
    """
    size = max(1, round(rate * LEVELS["block"] / 1000))
    blocks = np.pad(wave, (0, -len(wave) % size)).reshape(-1, size)
    power = (blocks**2).mean(1)
    loud = np.flatnonzero(power > power.max() * 10 ** (-LEVELS["ends"] / 10))
    if not len(loud):
        return wave
    begin, end = max(0, loud[0] - LEVELS["margin"]), loud[-1] + 1 + LEVELS["margin"]
    return wave[int(begin) * size : int(end) * size]


def centred(wave: np.ndarray, length: int) -> np.ndarray:
    """Return the middle of a wave that is longer than this many samples, and a shorter one with as much silence on either side.

    >>> centred(np.array([1.0, 2.0]), 5).tolist(), centred(np.arange(6.0), 2).tolist()
    ([0.0, 1.0, 2.0, 0.0, 0.0], [2.0, 3.0])
    """
    rest = length - len(wave)
    return wave[-rest // 2 :][:length] if rest < 0 else np.pad(wave, (rest // 2, rest - rest // 2))


def transform_size(window: int) -> int:
    """Return the length of the Fourier transform of a window: the next power of two."""
    return 1 << max(1, window - 1).bit_length()


@functools.lru_cache(8)
def mel_filters(rate: int, size: int, mels: int) -> np.ndarray:
    """Return the weight of each frequency in each mel band, `[mel, frequency]`: triangles of one area on Slaney's scale.

    They go from 0 Hz to half the rate. Slaney's Auditory Toolbox (1998) has bands of equal width up to 1000 Hz and of equal ratio above,
    which is what librosa takes too."""
    edges = _from_mel(np.linspace(0, _to_mel(rate / 2), mels + 2))
    frequencies = np.linspace(0, rate / 2, size // 2 + 1)
    slopes = (frequencies - edges[:, None]) / np.diff(edges, append=np.inf)[:, None]
    rising, falling = slopes[:-2], 1 - slopes[1:-1]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


def _to_mel(hertz: float) -> float:
    """Return a frequency on Slaney's scale: 200/3 Hz to a mel up to 1000 Hz, 27 mels to a factor of 6.4 above."""
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000) / math.log(6.4)


def _from_mel(mels: np.ndarray) -> np.ndarray:
    """Return frequencies in Hz: `_to_mel` undone."""
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * math.log(6.4) / 27))


def mel_power(wave: np.ndarray, rate: int, mels: int, window: int, hop: int) -> np.ndarray:
    """Return the power of a wave in each mel band and frame, `[mel, frame]`.

    These are the numbers of librosa's `feature.melspectrogram`: periodic Hann windows, whose middles are `hop` samples apart, the first at
    the wave's beginning, with silence before and behind it. A frame that would lie at the very end is left out, so that a wave of
    `frames * hop` samples has that many frames.

    Args:
        wave: samples.
        rate: samples per second.
        mels: number of bands.
        window: samples of a window.
        hop: samples from one frame to the next.
    """
    size = transform_size(window)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, size // 2), size)[::hop][: max(1, len(wave) // hop)]
    return mel_filters(rate, size, mels) @ (np.abs(np.fft.rfft(frames * hann(window, size))) ** 2).T


def hann(window: int, size: int) -> np.ndarray:
    """Return a periodic Hann window in the middle of `size` samples, with zeros on either side.

    >>> hann(4, 6).round(3).tolist()
    [0.0, 0.0, 0.5, 1.0, 0.5, 0.0]
    """
    begin = (size - window) // 2
    return np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window), (begin, size - window - begin))


def decibels(power: np.ndarray) -> np.ndarray:
    """Return power in decibels below its largest value, from -80 to 0: librosa's `power_to_db(power, ref=np.max)`.

    >>> decibels(np.array([1.0, 0.1, 0.0])).tolist()
    [0.0, -10.0, -80.0]
    """
    found = 10 * np.log10(np.maximum(power, LEVELS["least"]))
    return np.maximum(found - found.max(), -LEVELS["range"])
