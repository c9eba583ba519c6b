"""Waves from log-mel pictures, so that people can hear what a learner hears. NumPy alone.

A picture has lost the phases, the loudness and everything between its bands. Griffin and Lim 1984, "Signal estimation from modified
short-time Fourier transform", find phases that fit each other; the bands are spread over the frequencies below them.
"""

from __future__ import annotations

import io
import wave

import numpy as np

from quickstudy.inputs import _waves

FOUND = {"rounds": 32, "peak": 0.5}
"""Number of rounds in which phases are made to fit; loudest sample of a wave, where 1 is the most that a file can hold."""


def wave_of(picture: np.ndarray, rate: int, window: int, hop: int, seed: int = 0) -> np.ndarray:
    """Return a wave `[sample]` whose picture is nearly this one.

    Args:
        picture: bytes `[mel, frame]`, 0 for 80 dB below the loudest place, 255 for the loudest.
        rate: samples per second.
        window: samples of a window, at least twice `hop`.
        hop: samples from one frame to the next.
        seed: which random phases come first.

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    >>> level = _waves.decibels(_waves.mel_power(tone, 8000, 40, 400, 200))
    >>> found = wave_of(np.rint((1 + level / 80) * 255).astype(np.uint8), 8000, 400, 200)
    >>> abs(int(np.abs(np.fft.rfft(found)).argmax()) - 440) < 57  # a band is 57 Hz wide
    True
    """
    size, frames = _waves.transform_size(window), picture.shape[1]
    filters = _waves.mel_filters(rate, size, len(picture))
    power = 10 ** (_waves.LEVELS["range"] / 10 * (picture / 255 - 1.0)) * (picture > 0)
    magnitudes = np.sqrt(np.maximum(np.linalg.pinv(filters) @ power, 0.0)).T
    shape = _waves.hann(window, size)
    phases = np.exp(2j * np.pi * np.random.default_rng(seed).random(magnitudes.shape))
    for _ in range(FOUND["rounds"]):
        found = _overlapped(np.fft.irfft(magnitudes * phases, size) * shape, shape, hop)
        spectrum = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(found, size)[::hop][:frames] * shape)
        phases = spectrum / np.maximum(np.abs(spectrum), 1e-12)
    found = _overlapped(np.fft.irfft(magnitudes * phases, size) * shape, shape, hop)[size // 2 :][: frames * hop]
    return found * (FOUND["peak"] / max(float(np.abs(found).max()), 1e-12))


def wav(samples: np.ndarray, rate: int) -> bytes:
    """Return a WAV file of samples `[sample]`: one channel, 16 bits.

    >>> wav(np.zeros(8), 8000)[:4]
    b'RIFF'
    """
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def _overlapped(frames: np.ndarray, shape: np.ndarray, hop: int) -> np.ndarray:
    """Return the wave that frames `[frame, sample]` add up to, `hop` samples apart, divided by the sum of the squared windows."""
    found, total = (np.zeros(hop * (len(frames) - 1) + len(shape)) for _ in range(2))
    for place, frame in enumerate(frames):
        begin = place * hop
        found[begin : begin + len(frame)] += frame
        total[begin : begin + len(frame)] += shape**2
    return found / np.maximum(total, 1e-3)
