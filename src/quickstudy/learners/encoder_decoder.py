"""An encoder-decoder: the support set becomes codes, from which one part answers queries and another part reconstructs the inputs.

Edwards and Storkey 2017, "Towards a Neural Statistician", section 3: each example has a code, and the mean of codes, passed through a
network, is the code of the whole set, on which the reconstruction of each example depends. Le, Patterson and White 2018, "Supervised
Autoencoders: Improving Generalization Performance with Unsupervised Regularizers", section 2: prediction and reconstruction share the code
and are learned together, by the sum of both losses. Deviations: codes are plain vectors, where the first paper samples them and bounds a
likelihood; an answer is the product of what the query's code and the code of a way (or of a value) become in the light of the task's code,
so that any number of ways fits; the decoder gives a value for each place of an input (Lu et al. 2021, "Learning Nonlinear Operators via
DeepONet", eq. 2), so that it fits images and rows of any size; and, as in `protonet`, batch norm uses the batch in meta-training and
population statistics afterwards.
"""

import dataclasses
import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from quickstudy.errors import check_at_least
from quickstudy.functional.features import feature_count
from quickstudy.functional.linear import with_ones
from quickstudy.functional.losses import weighted_mean
from quickstudy.learner import State
from quickstudy.learners._embedding import EmbeddingLearner, embed_task
from quickstudy.learners._moments import add_up, mean_codes
from quickstudy.learners._process import perceptron
from quickstudy.learners._weights import counted, hide_unseen
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input, Task, concatenate

COORDINATES = 4
"""Numbers that say where a value of an input lies: in which of several parts, and where along three axes; earlier axes count as one."""
WAVES = 6
"""Octaves of sines and cosines by which the decoder tells places apart: the shortest wave is 1/16 of an axis."""


@dataclasses.dataclass(eq=False, repr=False)
class EncoderDecoder(EmbeddingLearner):
    """State: the code of the task `[width]`, and what the predictor makes of the code of each output, `known` `[output, width]` and `bias`
    `[output]`; to go on from, the sums `moment` and `total` that these come from; and how often each way was seen.

    Args:
        net: the embedding, `[example, ...]` to `[example, feature]`.
        width: length of codes, and of hidden layers.
        terms: functions of a place of which the decoder composes an input.
        reconstruction: weight of the reconstruction error beside the loss of predictions. The error is the share of the inputs' variance in
            a task that the decoder leaves unexplained, so that it has no unit.
    """

    width: int = 64
    terms: int = 64
    reconstruction: float = 0.1

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    gradient_free_adapt: ClassVar[bool] = True
    continues: ClassVar[bool] = True
    loss_of_predictions: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least("width", self.width, 1)
        check_at_least("terms", self.terms, 1)
        check_at_least("reconstruction", self.reconstruction, 0)
        width = self.width
        self.encoder = perceptron(feature_count(self.net), width, width)
        self.together = perceptron(width + 1, width, width)
        self.ask, self.key = perceptron(2 * width, width, width), perceptron(2 * width + 1, width, width + 1)
        self.branch, self.trunk = (
            perceptron(2 * width, width, self.terms),
            perceptron(2 * WAVES * COORDINATES, width, self.terms + 1),
        )

    def learn(self, features: Float[Tensor, "example feature"], support: Examples, state: State | None) -> State:
        return self.read(self.encoder(features), support, state)

    def read(self, codes: Float[Tensor, "example code"], support: Examples, state: State | None) -> State:
        """Return what is learned from the codes of a support set."""
        sums = add_up(codes, support, state)
        outputs, mean = mean_codes(sums, support)
        task = self.together(mean.unsqueeze(0)).squeeze(0)
        known = self.key(torch.cat([outputs, task.expand(outputs.shape[0], -1)], dim=1))
        known, bias = outputs[:, :-1] + known[:, :-1], known[:, -1]
        return {**sums, "task": task, "known": known, "bias": bias, **counted(support, state)}

    def answer(self, state: State, features: Float[Tensor, "example feature"]) -> Float[Tensor, "example output"]:
        return self.predicted(state, self.encoder(features))

    def predicted(self, state: State, codes: Float[Tensor, "example code"]) -> Float[Tensor, "example output"]:
        """Return predictions for codes."""
        asked = codes + self.ask(in_task(codes, state["task"]))
        return hide_unseen(asked @ state["known"].t() / self.width**0.5 + state["bias"], state)

    def loss(self, task: Task) -> Float[Tensor, ""]:
        """Return the loss of predictions on the query set, plus `reconstruction` times the reconstruction error of all examples."""
        task = self.matched(task)
        support, query = (self.encoder(features) for features in embed_task(self.net, task))
        state = self.read(support, task.support, None)
        of_queries = task.query.y.loss(self.predicted(state, query), task.query.weight)
        error = self.unexplained(torch.cat([support, query]), state["task"], concatenate(task.support, task.query))
        return of_queries + self.reconstruction * error

    def unexplained(
        self, codes: Float[Tensor, "example code"], task: Float[Tensor, " code"], examples: Examples
    ) -> Float[Tensor, ""]:
        """Return the squared error of reconstructed inputs, relative to their variance around their mean over examples and places."""
        parts = [part.to(codes.dtype) for part in in_parts(examples.x)]
        trunk = self.trunk(torch.cat([waves(places(part, index, len(parts))) for index, part in enumerate(parts)]))
        found = with_ones(self.branch(in_task(codes, task))) @ trunk.t()  # [example, place]
        given = torch.cat([part.flatten(1) for part in parts], dim=1)
        mean = weighted_mean(given.mean(1), examples.weight)
        variance = weighted_mean((given - mean).square().mean(1), examples.weight).clamp(min=1e-6)
        errors = (found - (given - mean) / variance.sqrt()).square().mean(1)
        return weighted_mean(errors, examples.weight)


def in_task(codes: Float[Tensor, "example code"], task: Float[Tensor, " code"]) -> Float[Tensor, "example both"]:
    """Return each code beside that of the task."""
    return torch.cat([codes, task.expand(codes.shape[0], -1)], dim=1)


def in_parts(x: Input) -> list[Float[Tensor, "example first second third"]]:
    """Return the tensors of an input, several in the order of their names, with three axes behind that of examples."""
    parts = [x] if isinstance(x, Tensor) else [x[name] for name in sorted(x)]
    few = [part.flatten(1, max(1, part.dim() - 3)) for part in parts]
    return [part.view(part.shape[0], *(1,) * (4 - part.dim()), *part.shape[1:]) for part in few]


def places(
    part: Float[Tensor, "example first second third"], index: int = 0, parts: int = 1
) -> Float[Tensor, "place coordinate"]:
    """Return where each value of an example lies, from 0 to 1 along each axis, after where part `index` of several parts lies.

    >>> places(torch.zeros(5, 1, 1, 2))
    tensor([[0.5000, 0.5000, 0.5000, 0.2500],
            [0.5000, 0.5000, 0.5000, 0.7500]])
    """
    along = [(torch.arange(size, dtype=part.dtype, device=part.device) + 0.5) / size for size in (parts, *part.shape[1:])]
    grid = torch.meshgrid(along[0][index : index + 1], *along[1:], indexing="ij")
    return torch.stack([coordinate.flatten() for coordinate in grid], dim=1)


def waves(places: Float[Tensor, "place coordinate"]) -> Float[Tensor, "place wave"]:
    """Return cosines and sines of each coordinate, in octaves."""
    octaves = math.pi * 2.0 ** torch.arange(WAVES, dtype=places.dtype, device=places.device)
    angles = (places.unsqueeze(-1) * octaves).flatten(1)
    return torch.cat([angles.cos(), angles.sin()], dim=1)
