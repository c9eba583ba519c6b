"""AlignTime: the part of a spectrogram in which something is said, stretched to the whole picture, and levels counted from their mean.

Two people who say one word differ in how long they take, and how much their rooms add to the pauses; neither tells words apart. This is
linear time normalisation, in place of which Sakoe and Chiba 1978, "Dynamic programming algorithm optimization for spoken word recognition",
warp time by dynamic programming. Here the ends of a word are where it is loud enough, and nothing is warped between them.
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
    between lies as it lay, by linear interpolation. Levels below `floor` count as `floor`. The mean is taken off, so that how loud the
    whole is does not matter as long as nothing of it crosses the two levels.

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
        weights = (1 - (places[:, None, :] - time[None, :, None]).abs()).relu()  # [example, column of x, column of the result]
        stretched = (x.clamp(min=self.floor).flatten(1, 2) @ weights).view_as(x)
        return stretched - stretched.mean((1, 2, 3), keepdim=True)
