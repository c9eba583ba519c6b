"""CTC: how likely a sequence of symbols is if each frame of an input says a symbol, or none, and nobody says which frame says which.

Graves, Fernandez, Gomez and Schmidhuber 2006, "Connectionist Temporal Classification", section 4.1, in log space. A transcript is told by
every path that becomes it when neighbouring equal symbols are merged and blanks are taken out; `ctc` sums over all of them, frame by frame.

torch's own loss has no second derivative, and is mapped slowly. So there are two forms of one number, and one rule: `ctc_loss` is
torch's own for plain tensors, as in evaluation and in the ordinary training of a net; and `ctc` inside of everything that `torch.func`
differentiates or maps, or that is captured, as all inner loops are. The loop over frames is Python's: it stands inside the loop over
inner steps, and an exported program holds no loop inside another, so that there it is written out, frame by frame, with a derivative of
its own that has a fifth of the operations.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from quickstudy.functional.call import is_plain
from quickstudy.functional.classes import ABSENT
from quickstudy.functional.loop import exporting


def ctc_loss(
    logits: Float[Tensor, "example frame symbol"],
    places: Float[Tensor, "example place symbol"],
    frames: Int[Tensor, " example"] | None = None,
) -> Float[Tensor, " example"]:
    """Return the negative logarithm of the probability of each transcript, in nats, by the form that suits where it is called.

    Args:
        logits: of each symbol in each frame; column 0 is the blank, which says nothing.
        places: the transcripts, one-hot `[example, place, symbol]`; places behind the end of a transcript are blanks.
        frames: how many frames of each example count, 1 or more; None if all do.

    >>> logits = torch.zeros(1, 2, 2)  # of two frames, each blank or "a": the paths a-, -a and aa say "a"
    >>> ctc_loss(logits, torch.tensor([[[0.0, 1.0]]])).neg().exp()
    tensor([0.7500])
    """
    log_probabilities = _wide(logits).log_softmax(-1)
    if not is_plain(logits):
        return ctc(log_probabilities, places.to(log_probabilities.dtype), frames)
    count = logits.shape[1]
    lengths = places[..., 0].lt(0.5).sum(-1)
    if frames is None:
        frames = torch.full_like(lengths, count)
    found = F.ctc_loss(log_probabilities.transpose(0, 1), places.argmax(-1), frames, lengths, reduction="none")
    return found.to(log_probabilities.dtype)


def ctc(
    log_probabilities: Float[Tensor, "example frame symbol"],
    places: Float[Tensor, "example place symbol"],
    frames: Int[Tensor, " example"] | None = None,
) -> Float[Tensor, " example"]:
    """Return what `ctc_loss` does, from logarithms of probabilities, with derivatives of every order.

    The forward variables (the paper's alpha, section 4.1) belong to the transcript with a blank before, between and behind its symbols. A
    transcript that has no path, since there are too few frames, has about 1e30, where torch
    has infinity, whose derivatives are no numbers.

    Args:
        log_probabilities: of each symbol in each frame.
        places: as `ctc_loss` takes them.
        frames: as `ctc_loss` takes them.
    """
    jumps = _jumps(places)
    emitted = log_probabilities @ _extended(places).mT
    if exporting() and frames is None:
        return _WithGradient.apply(emitted, jumps, _at_end(places))[0]  # pyright: ignore[reportOptionalSubscript]
    alpha = torch.where(torch.arange(jumps.shape[1], device=places.device) < 2, emitted[:, 0], ABSENT)
    for frame in range(1, log_probabilities.shape[1]):
        before = F.pad(alpha, (2, 0), value=ABSENT)
        ways = torch.stack([before[:, 2:], before[:, 1:-1], before[:, :-2] + jumps])
        moved = ways.logsumexp(0) + emitted[:, frame]
        alpha = moved if frames is None else torch.where((frame < frames).unsqueeze(-1), moved, alpha)
    return -torch.where(_at_end(places), alpha, ABSENT).logsumexp(-1)


class _WithGradient(torch.autograd.Function):
    """The loss and its first derivative, from the forward and the backward variables together, in few operations per frame.

    An exported program holds them all, and none of autograd's. The derivative with respect to what is emitted at a frame and position is
    minus the probability of being there (Graves et al. 2006, equations 9 to 15). The backward variables run over the reversed frames
    as the forward ones do over the frames, so that both are steps of one batch.
    """

    @staticmethod
    def forward(emitted: Tensor, jumps: Tensor, at_end: Tensor) -> tuple[Tensor, Tensor]:
        position = torch.arange(jumps.shape[1], device=jumps.device)
        further = position - position.unsqueeze(-1)
        moves = (further == 0) | (further == 1) | ((further == 2) & (jumps.unsqueeze(1) > ABSENT / 2))
        ways = torch.where(torch.cat([moves.mT, moves]), torch.zeros_like(jumps[:1, :1, None]), ABSENT)  # [2 example, to, from]
        both = torch.cat([emitted, emitted.flip(1)])
        begins = torch.cat([(position < 2).expand_as(at_end), at_end])
        reached = [torch.where(begins, both[:, 0], ABSENT)]
        for frame in range(1, emitted.shape[1]):
            reached.append(_log_sum_exp(ways + reached[-1].unsqueeze(1)) + both[:, frame])
        alpha, gamma = torch.stack(reached, 1).chunk(2)
        log_probability = _log_sum_exp(torch.where(at_end, alpha[:, -1], ABSENT))
        there = (alpha + gamma.flip(1) - emitted - log_probability.view(-1, 1, 1)).exp()
        return -log_probability, there

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        (there,) = ctx.saved_tensors
        return -there * grads[0].view(-1, 1, 1), None, None


def _log_sum_exp(values: Tensor) -> Tensor:
    """Return the logarithm of the sum of powers along the last axis; no value is infinite."""
    largest = values.amax(-1, keepdim=True)
    return (values - largest).exp().sum(-1).log() + largest.squeeze(-1)


def _wide(logits: Tensor) -> Tensor:
    """Return logits in a type that can hold `ABSENT`, the logarithm of the probability of what cannot be."""
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


def _extended(places: Tensor) -> Tensor:
    """Return transcripts with a blank before, between and behind their symbols, one-hot `[example, 2 place + 1, symbol]`."""
    blank = (torch.arange(places.shape[-1], device=places.device) == 0).to(places.dtype)
    pairs = torch.stack([blank.expand_as(places), places], 2).flatten(1, 2)
    return torch.cat([pairs, blank.expand(places.shape[0], 1, -1)], 1)


def _at_end(places: Tensor) -> Tensor:
    """Return whether a path may end at each position: the last symbol, and the blank behind it."""
    last = 2 * (1 - places[..., 0]).sum(-1, keepdim=True)
    position = torch.arange(2 * places.shape[1] + 1, device=places.device)
    return ((last - position).abs() < 0.5) | ((last - 1 - position).abs() < 0.5)


def _jumps(places: Tensor) -> Tensor:
    """Return 0 where a path may leave out the blank before a symbol, and `ABSENT` elsewhere: at blanks, and between equal symbols."""
    same = (places * F.pad(places, (0, 0, 1, 0))[:, :-1]).sum(-1)
    to_symbols = torch.where(same > 0.5, ABSENT, torch.zeros_like(same))
    pairs = torch.stack([torch.full_like(to_symbols, ABSENT), to_symbols], 2).flatten(1, 2)
    return F.pad(pairs, (0, 1), value=ABSENT)
