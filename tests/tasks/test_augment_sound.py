"""Changes of sounds: each by its own numbers, silence stays silent, and each changes what its name says and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from quickstudy.inputs.sound import SoundSpec
from quickstudy.tasks.augment.sound import AUGMENTATIONS, MOST, everyday, gain, mask, noise, pitch, shift, speaker, speed

SPEC = SoundSpec()


def tone(hertz: float, seconds: float = 0.4) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(int(8000 * seconds)) / 8000)


SOUNDS = torch.from_numpy(SPEC.to_network(SPEC.read_all([tone(hertz) for hertz in range(300, 2300, 100)]))["sound"])


def numbers(count: int, *row: float) -> Tensor:
    """Return the same numbers for every sound, or random ones."""
    generator = torch.Generator().manual_seed(0)
    return torch.tensor(row).expand(len(SOUNDS), -1) if row else torch.rand(len(SOUNDS), count, generator=generator)


def heard(sounds: Tensor) -> Tensor:
    return (sounds > 0).any(2).float()[:, 0]


def middle(weights: Tensor) -> Tensor:
    """Return the centre of weights along the last axis."""
    return (weights * torch.arange(weights.shape[-1])).sum(-1) / weights.sum(-1)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_augmentations_keep_shape_and_range_and_change_something_by_each_sounds_own_numbers(name: str) -> None:
    change, count = AUGMENTATIONS[name]
    before, random = SOUNDS.clone(), numbers(count)
    found = change(SOUNDS, random)
    assert torch.equal(SOUNDS, before)
    assert found.shape == SOUNDS.shape
    assert found.dtype == SOUNDS.dtype
    assert 0 <= found.min() <= found.max() <= 1
    assert (found != SOUNDS).flatten(1).any(1).float().mean() > 0.8
    torch.testing.assert_close(change(SOUNDS[7:8], random[7:8]), found[7:8], rtol=0, atol=1e-6)
    assert not change(torch.zeros_like(SOUNDS), random).any()  # silence has no noise of its own


def test_a_shift_moves_in_time_and_a_pitch_along_the_bands() -> None:
    later = shift(SOUNDS, numbers(2, 1.0, 0.0))
    torch.testing.assert_close(later[..., 4:], SOUNDS[..., :-4], rtol=0, atol=1e-4)
    assert MOST["shift"] * 40 == 4
    higher = pitch(SOUNDS, numbers(2, 1.0, 0.0)).mean(3)[:, 0]
    moved = middle(higher**8) - middle(SOUNDS.mean(3)[:, 0] ** 8)
    torch.testing.assert_close(moved, torch.full_like(moved, MOST["pitch"] * 40), rtol=0, atol=0.3)


def test_another_speed_is_longer_or_shorter_around_the_middle() -> None:
    for number, factor in ((1.0, MOST["speed"]), (0.0, 1 / MOST["speed"])):
        changed = speed(SOUNDS, numbers(2, number, 0.0))
        lengths = heard(changed).sum(1) / heard(SOUNDS).sum(1)
        torch.testing.assert_close(lengths, torch.full_like(lengths, factor), rtol=0, atol=0.12)
        torch.testing.assert_close(middle(heard(changed)), middle(heard(SOUNDS)), rtol=0, atol=0.6)
    torch.testing.assert_close(speed(SOUNDS, numbers(2, 0.5, 0.0)), SOUNDS, rtol=0, atol=1e-5)


def test_a_gain_without_colour_lowers_what_is_heard_by_as_many_decibels() -> None:
    softer = gain(SOUNDS, numbers(4, 1.0, 0.5, 0.5, 0.5))
    expected = (SOUNDS - MOST["gain"] / 80).clamp(0)
    torch.testing.assert_close(softer, expected, rtol=0, atol=1e-6)


def test_noise_adds_powers() -> None:
    """Noise lies 10 dB below the loudest place: louder places stay, softer ones rise to its level, and equal ones gain 3 dB."""
    found = 80 * noise(SOUNDS, numbers(2, 0.0, 0.5)) - 80
    before = 80 * SOUNDS - 80
    expected = 10 * torch.log10(10 ** (before / 10) + 10**-1.0)
    inside = heard(SOUNDS).bool()[:, None, None].expand_as(SOUNDS)
    torch.testing.assert_close(found[inside], expected.clamp(max=0)[inside], rtol=0, atol=1e-3)
    assert (found[~inside] == -80).all()


def test_masks_cover_whole_bands_and_whole_frames_up_to_a_fifth() -> None:
    sounds = torch.ones(500, 1, 40, 40)
    kept = mask(sounds, torch.rand(500, 4, generator=torch.Generator().manual_seed(0)))[:, 0]
    bands, frames = ~kept.any(2).bool(), ~kept.any(1).bool()
    torch.testing.assert_close(kept == 0, bands[:, :, None] | frames[:, None, :])
    for covered in (bands, frames):
        assert covered.sum(1).max() == 8
        assert 3 < covered.sum(1).float().mean() < 5
        assert covered.any(0).all()  # every place is covered in some sound
        assert (covered.int().diff(dim=1).abs().sum(1) <= 2).all()  # one stripe


def neutral() -> Tensor:
    """Return the numbers with which a speaker changes nothing, and noise is as soft as can be."""
    random = torch.full((1, 14), 0.5)
    random[0, 3], random[0, 7] = 0.0, 1.0
    return random


def word(frame: int = 20, band: int = 20) -> Tensor:
    """Return twenty frames in the middle of a picture, with one louder frame and one louder band."""
    sound = torch.zeros(1, 1, 40, 40)
    sound[..., 10:30] = 0.5
    sound[:, :, band, 10:30] = 0.7
    sound[..., frame] = 1.0
    return sound


def test_a_speaker_without_own_ways_is_everyday() -> None:
    random = numbers(14)
    random[:, 9:] = 0.5
    torch.testing.assert_close(speaker(SOUNDS, random), everyday(SOUNDS, random), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("place", "frame", "moved"), [(10, 20, -2), (9, 15, 1), (9, 25, -1)])
def test_a_speaker_is_slow_at_another_place_of_a_word_between_the_same_ends(place: int, frame: int, moved: int) -> None:
    """With all other numbers in the middle, a marked moment moves by what its number says: half the word is ten frames long."""
    for number, sign in ((1.0, 1), (0.0, -1)):
        random = neutral()
        random[0, place] = number
        found = speaker(word(frame), random)
        assert abs(found[0, 0, 5].argmax() - frame - sign * moved) <= 1
        assert found[0, 0, 5].argmax() != frame
        assert heard(found)[0].nonzero().flatten().tolist() == list(range(10, 30))


def test_a_speakers_throat_moves_the_quarters_of_the_bands_and_not_their_middle() -> None:
    for number, sign in ((1.0, -1), (0.0, 1)):
        random = neutral()
        random[0, 11] = number
        at = {band: int(speaker(word(band=band), random)[0, 0, :, 12].argmax()) - band for band in (9, 20, 30)}
        assert at == {9: -sign, 20: 0, 30: sign}  # 0.06 of 20 bands


def test_a_speaker_stresses_an_end_or_the_middle_of_a_word() -> None:
    ends = [80 * (speaker(word(), with_number(12, number)) - speaker(word(), neutral()))[0, 0, 5] for number in (0.0, 1.0)]
    inside = 0.85 * MOST["stress"]  # the two frames lie a frame and a half from the ends of a word of twenty
    assert ends[1][28] - ends[1][11] == pytest.approx(inside, abs=0.5)
    torch.testing.assert_close(ends[0][11:29], -ends[1][11:29], rtol=0, atol=0.5)
    middle_of = 80 * (speaker(word(), with_number(13, 1.0)) - speaker(word(), neutral()))[0, 0, 5]
    assert middle_of[18] > 4 > -4 > middle_of[11]


def with_number(place: int, number: float) -> Tensor:
    """Return the neutral numbers with another one at a place."""
    random = neutral()
    random[0, place] = number
    return random
