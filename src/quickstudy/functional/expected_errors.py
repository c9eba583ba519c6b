"""Expected word errors: how many words a sequence model gets wrong on average, as a loss with a gradient, by sampled paths.

Graves and Jaitly 2014, "Towards End-To-End Speech Recognition with Recurrent Neural Networks", section 4 (expected transcription loss);
Shannon 2017, "Optimizing expected word error rate via sampling for speech recognition", section 3. Frames are independent given the
input, so that a path is a symbol drawn in each frame. The gradient is that of the score function, with the mean of all samples of an
example as the baseline, which lowers the variance.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstudy.functional import random
from quickstudy.functional.edits import edit_distance, spoken, words


def expected_word_errors(
    logits: Float[Tensor, "example frame symbol"], wanted: Int[Tensor, "example place"], key: Int[Tensor, ""], samples: int = 8
) -> Float[Tensor, " example"]:
    """Return about how many words of each example are wrong, per word that is wanted, over paths drawn by their probability.

    The value is the mean of the samples. Its derivative is an estimate, without bias, of that of the expectation.

    Args:
        logits: of each symbol in each frame; column 0 is the blank.
        wanted: numbers of the symbols that are said; 0 stands for none, and 1 for the space.
        key: `Task.key`, on which the samples depend.
        samples: paths of each example, 2 or more.

    >>> sure = torch.eye(4)[[2, 0, 3]].unsqueeze(0) * 50  # says symbols 2 and 3 as one word
    >>> expected_word_errors(sure, torch.tensor([[2, 3]]), torch.tensor(0)).item()
    0.0
    >>> expected_word_errors(sure, torch.tensor([[2, 1, 3]]), torch.tensor(0)).item()  # "2 3" are two words: one replaced, one lost
    1.0
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # bfloat16 would round rare symbols away
    log_probabilities = logits.log_softmax(-1)
    noise = random.uniform(key, (samples, *logits.shape), stream=47, dtype=logits.dtype)
    least = torch.finfo(logits.dtype).tiny
    gumbel = -(-noise.clamp(min=least).log()).clamp(min=least).log()
    drawn = log_probabilities.detach() + gumbel  # whose largest one is each symbol as often as the symbol is likely
    symbols = torch.arange(logits.shape[-1], device=logits.device)
    path = (drawn.argmax(-1, keepdim=True) == symbols).to(logits.dtype)
    likely = (path * log_probabilities).sum((-1, -2))
    found, right = words(spoken(path.flatten(0, 1))), words(wanted)
    edits = edit_distance(found, right.repeat(samples, 1)).view(samples, -1)
    errors = edits.to(logits.dtype) / right.gt(0).sum(-1).clamp(min=1)
    above = (errors - errors.mean(0)) * samples / (samples - 1)
    estimate = (above * likely).mean(0)
    return errors.mean(0) + estimate - estimate.detach()
