"""MAML++: MAML made stable, by losses after every inner step, rates that are learned, and batch norm that knows the step.

Antoniou, Edwards and Storkey 2019, "How to train your MAML", section 4; each improvement is a switch, and with all of them off this is
`maml`. The multi-step loss sums the query losses after each step; their weights go from equal ones to the last one alone. Rates are
learned for each step and each weight tensor, and so are batch norm's weights and biases for each step, which gradient steps then leave
alone. The cosine schedule of the outer rate is what every learner here has. Head and statistics are as in `maml`, and so there are no
running statistics to be kept for each step: every step normalises the support set by its own statistics. Deviations: the weights of
earlier losses fade to zero, where the authors' code stops at 0.03 of their start and then leaves them out; and second derivatives
are there from the beginning unless `first_order_until` says otherwise.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from quickstudy.errors import check_at_least, check_between
from quickstudy.functional.call import Parameters, trainable
from quickstudy.functional.descent import sgd
from quickstudy.functional.loop import scan
from quickstudy.layers.batch_norm import BatchNorm
from quickstudy.learner import Learner, State
from quickstudy.learners import _weights
from quickstudy.objectives.classes import OneHot
from quickstudy.objectives.values import Values
from quickstudy.task import Answers, Examples, Input, Task

Each = Mapping[str, Parameters]
"""Learned numbers of one step, or of all: `rates` and `norms`, each by the names of what they belong to."""


@dataclasses.dataclass(eq=False, repr=False)
class MAMLPlusPlus(Learner):
    """State: every weight after adaptation, the statistics of batch norm, and how often each way was seen.

    Args:
        net: `[example, ...]` to `[example, feature]`, with an attribute `features`.
        inner_lr: step size of the inner loop, alpha, or where the learned ones start.
        inner_steps: gradient steps on the support set.
        rate_scale: number that multiplies every step; may be changed after training. The loss is a mean over examples, so that on tasks of
            another number of ways, the ratio of the ways keeps the steps of a head as they were in training.
        multi_step: fraction of meta-training during which the query losses after earlier steps count, less and less; 0 for the loss after
            the last step alone, as in `maml`.
        step_rates: learn a step size for each step and each weight tensor.
        step_norms: learn batch norm's weights and biases for each step, in place of adapting them.
        first_order_until: fraction of meta-training that leaves out second derivatives, and takes less time for each step.
        head_ways: number of ways of a learned head; None for a head that starts at zero and fits every task.
        statistics: what batch norm normalises queries by: the adapted `support` set, or the `query` batch (transductive).
    """

    net: nn.Module
    inner_lr: float = 0.1
    inner_steps: int = 3
    rate_scale: float = 1.0
    multi_step: float = 0.1
    step_rates: bool = True
    step_norms: bool = True
    first_order_until: float = 0.0
    head_ways: int | None = None
    statistics: _weights.BatchStatistics = "support"

    targets: ClassVar[tuple[type[Answers], ...]] = (OneHot, Values)
    adjustable: ClassVar[tuple[str, ...]] = ("rate_scale",)
    rate: ClassVar[str] = "rate_scale"
    anneals: ClassVar[bool] = True
    phases: ClassVar[tuple[str, ...]] = ("multi_step", "first_order_until")

    def __post_init__(self) -> None:
        check_between("multi_step", self.multi_step, 0, 1)
        check_between("first_order_until", self.first_order_until, 0, 1)
        check_at_least("inner_steps", self.inner_steps, 1)
        check_at_least("rate_scale", self.rate_scale, 0)
        self.head, self.ways = _weights.make_head(self), self.head_ways
        norms = _norms(self.net) if self.step_norms else {}
        adapted = [f"net.{name}" for name, _ in self.net.named_parameters() if f"net.{name}" not in norms]
        rates = [*adapted, "head.weight", "head.bias"] if self.step_rates else []
        # each number of batch norm in a step is that of the net, and what is learned to be added in this step
        self.rates = nn.ParameterDict(
            {_weights.key_of(name): torch.full((self.inner_steps,), float(self.inner_lr)) for name in rates}
        )
        self.norms = nn.ParameterDict(
            {_weights.key_of(name): torch.zeros(self.inner_steps, value.numel()) for name, value in norms.items()}
        )

    def adapt(self, support: Examples, state: State | None = None) -> State:
        support = self.matched(support)
        start, front, seen = self._begin(support, state)

        def step(_: int | Tensor, weights: Parameters, each: Each) -> tuple[Parameters, tuple[()]]:
            return self._step(weights, each, front, seen), ()

        weights, _ = scan(step, start, self._steps(), times=self.inner_steps, name="inner_steps")
        return _weights.to_state(self, weights | self._norms_of(self._steps(self.inner_steps - 1)), front, seen)

    def predict(self, state: State, x: Input) -> Float[Tensor, "example output"]:
        return _weights.predict(self, state, self.matched(x))

    def loss(self, task: Task) -> Float[Tensor, ""]:
        task = self.matched(task)
        (weights, front, seen), losses = self._begin(task.support, None), []
        first_order, last_alone = not self.over("first_order_until"), self.over("multi_step")
        for index in range(self.inner_steps):
            each = self._steps(index)
            weights = self._step(weights, each, front, seen, first_order)
            if last_alone and index < self.inner_steps - 1:
                continue
            state = _weights.to_state(self, weights | self._norms_of(each), front, seen)
            losses.append(task.query.y.loss(self.predict_padded(state, task.query.x, task.query.mask), task.query.weight))
        return losses[-1] if last_alone else (self.importance() * torch.stack(losses)).sum()

    def importance(self) -> Float[Tensor, " step"]:
        """Return the weights of the query losses after each step, whose sum is 1: equal ones at first, in the end the last one alone."""
        earlier = (1 - self.progress / self.multi_step).clamp(min=0) / self.inner_steps
        last = torch.arange(self.inner_steps, device=earlier.device) == self.inner_steps - 1
        return torch.where(last, 1 - (self.inner_steps - 1) * earlier, earlier)

    def _begin(self, support: Examples, state: State | None) -> tuple[Parameters, _weights.Front, State]:
        """Return the weights at the beginning, the support set after what stays frozen, and how often each way was seen."""
        norms = self._norms_of(self._steps(0))
        start = {name: value for name, value in _weights.start(self, support, state).items() if name not in norms}
        front = _weights.pass_front(self, support, _weights.check_moves(start) | norms)
        return start, front, _weights.counted(support, state)

    def _steps(self, index: int | None = None) -> Each:
        """Return the learned rates, and what is added to batch norm's numbers that train, for one step, or stacked for all."""
        trains = trainable(self.net).keys()
        numbers = {
            "rates": {_weights.name_of(key): self.rate_scale * value for key, value in self.rates.items()},
            "norms": {
                _weights.name_of(key): value
                for key, value in self.norms.items()
                if _weights.name_of(key).removeprefix("net.") in trains
            },
        }
        return numbers if index is None else tree_map(lambda values: values[index], numbers)

    def _norms_of(self, each: Each) -> Parameters:
        """Return the weights and biases of batch norm in one step."""
        shared = trainable(self.net)
        return {name: shared[name.removeprefix("net.")] + more for name, more in each["norms"].items()}

    def _step(
        self, weights: Parameters, each: Each, front: _weights.Front, seen: State, first_order: bool = False
    ) -> Parameters:
        """Return the weights after one step of gradient descent, without second derivatives if it is of `first_order`."""
        norms = self._norms_of(each)
        gradients = torch.func.grad(lambda weights: _weights.loss(self, weights | norms, front.support, seen, front.depth))(
            weights
        )
        if first_order:
            gradients = {name: value.detach() for name, value in gradients.items()}
        return sgd(weights, gradients, each["rates"] if self.step_rates else self.rate_scale * self.inner_lr)


def _norms(net: nn.Module) -> dict[str, Tensor]:
    """Return the weights and biases of every batch norm of a net, by their names in a state."""
    layers = [(name, layer) for name, layer in nn.ModuleDict({"net": net}).named_modules() if isinstance(layer, BatchNorm)]
    return {f"{place}.{name}": value for place, layer in layers for name, value in layer.named_parameters()}
