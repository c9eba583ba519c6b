"""Changes of sounds, given as log-mel pictures, batched and driven by given random numbers.

Pictures are `[sound, 1, mel, frame]`; 0 is silence, 1 the loudest place, and their distance 80 decibels. Frames that are wholly silent
lie beyond the ends of a sound, where nothing is heard, not even noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from quickstudy.inputs._waves import LEVELS

Pictures = Float[Tensor, "sound channel mel frame"]
Numbers = Float[Tensor, "sound number"]

MOST = {
    "shift": 0.1,  # share of the frames by which a sound is shifted
    "gain": 15.0,  # decibels by which it grows softer, which lets its softest parts vanish
    "colour": 12.0,  # decibels by which bands rise or fall
    "noise": 55.0,  # decibels by which noise may be softer than the loudest noise
    "loudest_noise": 10.0,  # decibels by which the loudest noise lies below the loudest place
    "speed": 1.25,  # factor by which a sound grows longer or shorter
    "pitch": 0.08,  # share of the bands by which pitches are moved
    "masked": 0.2,  # share of the bands, and of the frames, that a mask covers, as Park et al. (2019) mask speech
    "pace": 0.12,  # part of half a word's length by which its quarters come earlier or later
    "lag": 0.2,  # part of half a word's length by which its middle comes earlier or later
    "throat": 0.06,  # part of half the bands by which the bands at a quarter and at three quarters move
    "stress": 10.0,  # decibels by which the end of a word differs from its beginning, and its middle from its ends
}
"""The most that each change of a sound does."""


def shift(sounds: Pictures, random: Numbers) -> Pictures:
    """Move sounds in time; silence comes in.

    Args:
        sounds: log-mel pictures.
        random: uniform in [0, 1), `[sound, number]`.
    """
    zeros = torch.zeros_like(random[:, 0])
    return _moved(sounds, 1 + zeros, 2 * MOST["shift"] * _signed(random[:, 0]), zeros)


def speed(sounds: Pictures, random: Numbers) -> Pictures:
    """Stretch or squeeze sounds in time, around the middle, at the same pitch."""
    zeros = torch.zeros_like(random[:, 0])
    return _moved(sounds, MOST["speed"] ** _signed(random[:, 0]), zeros, zeros)


def pitch(sounds: Pictures, random: Numbers) -> Pictures:
    """Move sounds along the mel bands, as speakers with longer or shorter throats do."""
    zeros = torch.zeros_like(random[:, 0])
    return _moved(sounds, 1 + zeros, zeros, 2 * MOST["pitch"] * _signed(random[:, 0]))


def gain(sounds: Pictures, random: Numbers) -> Pictures:
    """Raise and lower bands along a random slope and wave, as rooms and microphones do, and make the whole softer."""
    bands = torch.linspace(-1, 1, sounds.shape[2], dtype=sounds.dtype, device=sounds.device)
    slope, height, phase = (_signed(random[:, place]).unsqueeze(1) for place in (1, 2, 3))
    colour = MOST["colour"] * (slope * bands + height * torch.sin(math.pi * (1.5 * bands + phase))) / 2
    level = (colour - MOST["gain"] * random[:, :1]) / LEVELS["range"]
    return (sounds + level[:, None, :, None]).clamp_(0, 1).mul_(_heard(sounds))


def noise(sounds: Pictures, random: Numbers) -> Pictures:
    """Add steady noise of a random loudness and slope: powers add up, which decibels do not."""
    bands = torch.linspace(-1, 1, sounds.shape[2], dtype=sounds.dtype, device=sounds.device)
    level = -MOST["noise"] * random[:, :1] + 0.5 * MOST["colour"] * _signed(random[:, 1:2]) * bands - MOST["loudest_noise"]
    steady = (1 + level / LEVELS["range"])[:, None, :, None]
    octaves = LEVELS["range"] * math.log2(10) / 10  # powers of two in a whole picture's range: exp2 is faster than logaddexp
    power = (octaves * sounds).exp2_().add_((octaves * steady).exp2_())
    return power.log2_().div_(octaves).clamp_(0, 1).mul_(_heard(sounds))


def mask(sounds: Pictures, random: Numbers) -> Pictures:
    """Silence one stripe of bands, and one of frames: SpecAugment, Park et al., Interspeech 2019."""
    for axis, first in ((2, 0), (3, 2)):
        size = sounds.shape[axis]
        width = (random[:, first : first + 1] * (MOST["masked"] * size + 1)).floor()
        begin = (random[:, first + 1 : first + 2] * (size - width + 1)).floor()
        places = torch.arange(size, device=sounds.device)
        covered = (places >= begin) & (places < begin + width)
        sounds = sounds.masked_fill(covered[:, None, :, None] if axis == 2 else covered[:, None, None, :], 0.0)
    return sounds


def everyday(sounds: Pictures, random: Numbers) -> Pictures:
    """Change speed, pitch, place, colour and loudness, and add noise: what differs between speakers, rooms and microphones."""
    moved = _taken_from(sounds, *_everyday_places(sounds, random))
    return noise(gain(moved, random[:, 3:7]), random[:, 7:9])


def everyday_and_mask(sounds: Pictures, random: Numbers) -> Pictures:
    """Change sounds as `everyday` does, and mask a stripe of bands and one of frames."""
    return mask(everyday(sounds, random[:, :9]), random[:, 9:13])


def speaker(sounds: Pictures, random: Numbers) -> Pictures:
    """Change sounds as `everyday` does, and change what differs between people who say the same word: where in it they are slow, which of
    its pitches lie higher, and which moment they stress.

    A word is taken to lie in the middle; pace and lag leave its ends where speed and shift put them.
    """
    x, y = _everyday_places(sounds, random)
    half = _heard(sounds).flatten(1).to(sounds.dtype).mean(1, keepdim=True).clamp(min=1 / sounds.shape[3])
    place = (x / half).clamp(-1, 1)  # in the word
    pace, lag = MOST["pace"] * _signed(random[:, 9:10]), MOST["lag"] * _signed(random[:, 10:11])
    x = x + half * (pace * torch.sin(math.pi * place) + lag * (1 - place.square()))
    y = y + MOST["throat"] * _signed(random[:, 11:12]) * torch.sin(math.pi * y)
    said = _taken_from(sounds, x, y)
    stress = MOST["stress"] * (_signed(random[:, 12:13]) * place + _signed(random[:, 13:14]) * torch.cos(math.pi * place)) / 2
    said = (said + (stress / LEVELS["range"])[:, None, None, :]).clamp_(0, 1).mul_(_heard(said))
    return noise(gain(said, random[:, 3:7]), random[:, 7:9])


def _signed(random: Tensor) -> Tensor:
    """Return uniform numbers from -1 to 1."""
    return 2 * random - 1


def _heard(sounds: Pictures) -> Bool[Tensor, "sound channel 1 frame"]:
    """Return which frames lie between the ends of each sound."""
    return sounds.amax(2, keepdim=True) > 0


def _moved(
    sounds: Pictures, longer: Float[Tensor, " sound"], later: Float[Tensor, " sound"], higher: Float[Tensor, " sound"]
) -> Pictures:
    """Return sounds at another speed, place and pitch, interpolated; silence comes in.

    Args:
        sounds: log-mel pictures.
        longer: factor of their time.
        later: half widths by which they come later.
        higher: half heights by which they lie higher.
    """
    return _taken_from(sounds, *_places(sounds, longer, later, higher))


def _everyday_places(sounds: Pictures, random: Numbers) -> tuple[Float[Tensor, "sound frame"], Float[Tensor, "sound mel"]]:
    """Return where frames and bands lay before their speed, place and pitch were changed."""
    speed, shift, pitch = (_signed(random[:, place]) for place in range(3))
    return _places(sounds, MOST["speed"] ** speed, 2 * MOST["shift"] * shift, 2 * MOST["pitch"] * pitch)


def _places(
    sounds: Pictures, longer: Float[Tensor, " sound"], later: Float[Tensor, " sound"], higher: Float[Tensor, " sound"]
) -> tuple[Float[Tensor, "sound frame"], Float[Tensor, "sound mel"]]:
    """Return where frames and bands of sounds lay before they were moved, from -1 to 1; the arguments are those of `_moved`."""
    frames, bands = (_centres(sounds.shape[axis], sounds) for axis in (3, 2))
    return (frames - later.unsqueeze(1)) / longer.unsqueeze(1), bands - higher.unsqueeze(1)


def _taken_from(sounds: Pictures, x: Float[Tensor, "sound frame"], y: Float[Tensor, "sound mel"]) -> Pictures:
    """Return sounds made of other places of themselves, interpolated.

    Args:
        sounds: log-mel pictures.
        x: for each frame of the result, where in the sounds it lies; -1 is the beginning and 1 the end.
        y: the same for each band, from the lowest pitch to the highest.
    """
    grid = torch.stack([x.unsqueeze(1).expand(-1, y.shape[1], -1), y.unsqueeze(2).expand(-1, -1, x.shape[1])], dim=-1)
    return F.grid_sample(sounds, grid, align_corners=False)


def _centres(size: int, like: Tensor) -> Float[Tensor, " place"]:
    """Return where the middles of the places of one axis lie between its ends at -1 and 1."""
    return (2 * torch.arange(size, dtype=like.dtype, device=like.device) + 1) / size - 1


AUGMENTATIONS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], int]] = {
    "shift": (shift, 2),
    "speed": (speed, 2),
    "pitch": (pitch, 2),
    "gain": (gain, 4),
    "noise": (noise, 2),
    "mask": (mask, 4),
    "everyday": (everyday, 10),
    "everyday_and_mask": (everyday_and_mask, 14),
    "speaker": (speaker, 14),
}
"""Changes by the name that `Draw` takes, with how many random numbers each draws per sound; rows of an even number stay aligned."""
