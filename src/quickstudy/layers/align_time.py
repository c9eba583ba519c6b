"""AlignTime: the part of a spectrogram in which something is said, stretched to the whole picture, without silence and loudness.

Two people who say one word differ in how long they take, how loud they are and how much their room adds in the pauses; none of that tells
words apart. Linear time normalisation is as old as the recognition of single words (Sakoe and Chiba 1978, "Dynamic programming algorithm
optimization for spoken word recognition", compares with it).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstudy.errors import ConfigError

Pictures = Float[Tensor, "example channel band time"]


class AlignTime(nn.Module):
    """`[example, channel, band, time]` to the same shape, with a mean of zero for each example.

    The first and the last column in which any band is louder than `heard` become the first and the last one of the result; what is
    between lies as it lay, by linear interpolation. Bands that are quieter than `floor` count as just as loud.

    Args:
        heard: level above which a column belongs to the word, from 0 to 1. In a `SoundSpec`'s pictures 1 is the loudest place and 0 is
            80 dB below it.
        floor: the lowest level that is told apart, below `heard`.

    >>> import torch
    >>> picture = torch.zeros(1, 1, 1, 5)
    >>> picture[..., 1:4] = torch.tensor([0.6, 1.0, 0.8])
    >>> AlignTime(heard=0.5, floor=0.0)(picture) + 0.82
    tensor([[[[0.6000, 0.8000, 1.0000, 0.9000, 0.8000]]]])
    """

    def __init__(self, heard: float = 0.65, floor: float = 0.4) -> None:
        super().__init__()
        if not 0 <= floor < heard < 1:
            raise ConfigError(f"floor is {floor:g} and heard is {heard:g}; expected 0 <= floor < heard < 1.")
        self.heard, self.floor = heard, floor

    def forward(self, x: Pictures) -> Pictures:
        time = torch.arange(x.shape[-1], dtype=x.dtype, device=x.device)
        last = x.shape[-1] - 1
        said = x.amax((1, 2)) > self.heard
        end = torch.where(said, time, 0.0).amax(1, keepdim=True)
        begin = last - torch.where(said, last - time, 0.0).amax(1, keepdim=True)
        begin = torch.minimum(begin, end)  # nothing is heard: the end is 0
        places = begin + (end - begin) * (time / max(last, 1))
        weights = (1 - (places[:, None, :] - time[None, :, None]).abs()).relu()  # of columns in those of the result
        stretched = x.clamp(min=self.floor) @ weights[:, None]
        return stretched - stretched.mean((1, 2, 3), keepdim=True)
