"""Correctness anchored outside: closed forms, torch's own layers and optimizers, and scikit-learn."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from builders import Descent, Prototypes, apart, furthest, gradients, make_net, make_tasks
from torch import Tensor, nn

from quickstudy.errors import ConfigError, ModelError
from quickstudy.functional.call import call
from quickstudy.functional.descent import gradient_descent
from quickstudy.functional.distances import distances, squared_distances
from quickstudy.functional.losses import cross_entropy, squared_error
from quickstudy.layers.batch_norm import BatchNorm, batch_statistics, set_population_statistics
from quickstudy.layers.check import check_net
from quickstudy.layers.convert import convert
from quickstudy.layers.norm import make_norm
from quickstudy.objectives.classes import one_hot
from quickstudy.training.engine import meta_gradient

# ---------------------------------------------------------------------------------------------------- functions


def test_a_query_on_its_prototype_has_a_finite_gradient() -> None:
    rows = torch.eye(3, 5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(distances(rows, rows.detach()).sum(), rows)
    assert gradient.isfinite().all()
    apart = rows - rows.detach().roll(1, 0), rows - rows.detach().roll(2, 0)
    torch.testing.assert_close(
        gradient, sum((way / way.norm(dim=1, keepdim=True) for way in apart), torch.zeros(3, 5).double())
    )


def test_gradient_descent_is_torch_sgd() -> None:
    """On a quadratic, for 5 steps."""
    root = torch.randn(4, 4).double()
    start = torch.randn(4).double()

    def loss(w: Tensor) -> Tensor:
        return w @ (root @ root.t()) @ w + w.sum()

    theirs = nn.Parameter(start.clone())
    optimizer = torch.optim.SGD([theirs], lr=0.02)
    for steps in range(6):
        for first_order in (False, True):
            ours = gradient_descent(lambda p: loss(p["w"]), {"w": start}, inner_lr=0.02, steps=steps, first_order=first_order)
            assert apart(ours["w"], theirs) < 1e-12
        optimizer.zero_grad()
        loss(theirs).backward()
        optimizer.step()


def test_losses_are_torch_losses() -> None:
    logits, y = torch.randn(7, 3).double(), torch.arange(7) % 3
    weight = torch.tensor([1.0, 1, 0, 1, 0, 1, 1]).double()
    kept = weight > 0
    assert float(cross_entropy(logits, one_hot(y, 3).rows.double(), weight)) == pytest.approx(
        float(F.cross_entropy(logits[kept], y[kept]))
    )
    target = torch.randn(7, 3).double()
    assert float(squared_error(logits, target, weight)) == pytest.approx(float(F.mse_loss(logits[kept], target[kept])))
    assert apart(squared_distances(logits, target), torch.cdist(logits, target).square()) < 1e-12


# ---------------------------------------------------------------------------------------------------- normalisation

MASK = torch.tensor([True, False, True, True, False, True])
each_shape = pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4, 2)], ids=["rows", "images"])
each_way = pytest.mark.parametrize(("mask", "keep"), [(None, False), (None, True), (MASK, False), (MASK, True)])


def batch_norm(channels: int = 3) -> BatchNorm:
    layer = BatchNorm(channels).double()
    with torch.no_grad():
        for value in layer.state_dict().values():
            value.add_(torch.rand_like(value))
    return layer


@each_shape
@each_way
def test_batch_norm_is_torch_batch_norm(shape: tuple[int, ...], mask: Tensor | None, keep: bool) -> None:
    """In training mode, on the examples that count."""
    ours, x = batch_norm(), 3 + 2 * torch.randn(shape).double()
    theirs = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(3, momentum=None).double()
    theirs.load_state_dict({"weight": ours.weight, "bias": ours.bias}, strict=False)
    kept = torch.ones(6, dtype=torch.bool) if mask is None else mask
    with batch_statistics(mask, keep=keep) as recording:
        found = ours(x)
    assert apart(found[kept], theirs(x[kept])) < 1e-12
    count = kept.sum() * x[0, 0].numel()
    if keep:
        statistics = recording.of(nn.Sequential(ours))  # nothing of another net, and every name with its prefix
        assert set(statistics) == {"0.mean", "0.var"}
        assert apart(statistics["0.mean"], theirs.running_mean) < 1e-12
        assert apart(statistics["0.var"] * count / (count - 1), theirs.running_var) < 1e-12
    else:
        assert recording.of(ours) == {}


@each_shape
@each_way
def test_batch_norm_has_exact_first_and_second_derivatives(shape: tuple[int, ...], mask: Tensor | None, keep: bool) -> None:
    """Against finite differences, with respect to the inputs, the weight and the bias."""
    layer, x = batch_norm(), torch.randn(shape).double().requires_grad_()

    def normalised(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        with batch_statistics(mask, keep=keep):
            return call(layer, {"weight": weight, "bias": bias}, x).sin()

    arguments = (x, layer.weight, layer.bias)
    assert torch.autograd.gradcheck(normalised, arguments)
    assert torch.autograd.gradgradcheck(normalised, arguments)


@each_shape
def test_stored_statistics_are_torch_eval_mode_and_differentiable(shape: tuple[int, ...]) -> None:
    layer, x = batch_norm(), torch.randn(shape).double().requires_grad_()
    expected = F.batch_norm(x, layer.mean, layer.var, layer.weight, layer.bias, eps=layer.eps)
    assert apart(layer(x), expected) < 1e-12

    def normalised(x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return call(layer, {"mean": mean, "var": var}, x).sin()

    statistics = [value.clone().requires_grad_() for value in (layer.mean, layer.var)]
    assert torch.autograd.gradgradcheck(normalised, (x, *statistics))


def test_batch_norm_of_one_value_per_channel_is_its_bias() -> None:
    """One example, one position: torch's layer refuses it, an inner loop meets it (1 way, 1 shot)."""
    layer = batch_norm()
    with batch_statistics():
        assert apart(layer(torch.randn(1, 3).double()), layer.bias[None]) < 1e-12


@pytest.mark.parametrize("channels", [1, 2, 4, 6, 8, 12, 15, 64])
def test_group_norms_are_torch_norms(channels: int) -> None:
    x = torch.randn(3, channels, 4, 5).double()
    assert apart(make_norm("layer", channels).double()(x), F.layer_norm(x, x.shape[1:])) < 1e-9
    assert apart(make_norm("instance", channels).double()(x), nn.InstanceNorm2d(channels)(x)) < 1e-9
    grouped = make_norm("group", channels)
    assert isinstance(grouped, nn.GroupNorm)
    assert channels % grouped.num_groups == 0
    assert grouped.num_groups <= 8
    assert grouped.num_groups < channels or channels == 1, "groups of one channel are instance norm, and a constant on rows"
    assert make_norm("group", 64).num_groups == 8  # type: ignore[union-attr]


def test_unknown_norm_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"norm is 'bach'.*batch, group, layer, instance, none"):
        make_norm("bach", 4)  # type: ignore[arg-type]


def test_population_statistics_are_those_of_the_pooled_data() -> None:
    """Of the first layer exactly, for batches of equal size."""
    net = nn.Sequential(batch_norm(), nn.Linear(3, 4).double(), nn.ReLU(), batch_norm(4))
    batches = [2 * torch.randn(10, 3).double() + i for i in range(5)]
    seen = []
    for batch in batches:
        with batch_statistics(keep=True) as recording:
            net(batch)
        seen.append(recording.of(net))
    set_population_statistics(net, seen)
    pooled = torch.cat(batches)
    assert apart(net[0].mean, pooled.mean(0)) < 1e-12
    assert apart(net[0].var, pooled.var(0, correction=0)) < 1e-12
    assert {"0.mean", "0.var", "3.mean", "3.var"} == set(seen[0])
    assert apart(net[3].mean, torch.stack([entry["3.mean"] for entry in seen]).mean(0)) < 1e-12


# ---------------------------------------------------------------------------------------------------- memory for time


@pytest.mark.parametrize("recompute", [False, True])
def test_a_learned_step_size_has_its_gradient(recompute: bool) -> None:
    """Two steps of size a on x^2 / 2 from x lead to x (1 - a)^2, whose derivative by a is -2 x (1 - a)."""

    def adapted(rate: torch.Tensor) -> torch.Tensor:
        start = {"x": torch.tensor(3.0)}
        return gradient_descent(lambda p: p["x"].square() / 2, start, inner_lr=rate, steps=2, recompute=recompute)["x"]

    assert float(torch.func.grad(adapted)(torch.tensor(0.25))) == pytest.approx(-2 * 3 * 0.75)
    rate = torch.tensor(0.25, requires_grad=True)
    adapted(rate).backward()
    assert float(rate.grad) == pytest.approx(-2 * 3 * 0.75)


# ---------------------------------------------------------------------------------------------------- the pitfall


def layer_norm_net() -> nn.Module:
    net = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Tanh())
    net.features = 8
    return net


@pytest.mark.parametrize(("net", "mended"), [(make_net(norm="batch"), True), (layer_norm_net(), False)], ids=["batch", "layer"])
def test_engine_is_exact_where_the_gradient_of_vmap_is_not(net: nn.Module, mended: bool) -> None:
    """`vmap(loss).mean().backward()` is silently wrong, in second order, through torch's norms; the engine does not rely on it.

    Two steps, since in the first one a head that starts at zero sends no gradient into the net.
    """
    learner, tasks = Descent(net, inner_lr=0.5, inner_steps=2).double(), make_tasks(3)
    meta_gradient(learner, tasks, "loop")
    looped = gradients(learner)
    meta_gradient(learner, tasks, "vmap")
    assert furthest(gradients(learner), looped) < 1e-12
    learner.zero_grad()
    torch.func.vmap(learner.loss)(tasks).mean().backward()
    wrong = furthest(gradients(learner), looped)
    if mended:  # our own batch norm, which brings its derivatives along
        assert wrong < 1e-12
    else:
        assert wrong > 1e-4 or not torch.__version__.startswith("2.13"), (
            "exact by now: the warning in capture.py is out of date"
        )


# ---------------------------------------------------------------------------------------------------- nets of one's own


class Lists(nn.Module):
    """A net with one layer that learners cannot use, deep inside."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.features = 3
        self.blocks = nn.ModuleList([nn.Linear(3, 3), nn.Sequential(nn.ReLU(), layer)])

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks[1](self.blocks[0](x))


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(3),
        nn.BatchNorm2d(3),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.InstanceNorm2d(3, track_running_stats=True),
        nn.Dropout(0.2),
        nn.Dropout2d(0.1),
        nn.RReLU(),
        nn.MultiheadAttention(4, 2, dropout=0.5),
        nn.LSTM(3, 3),
        nn.GRU(3, 3),
        nn.LazyLinear(3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_check_net_names_the_layer(layer: nn.Module) -> None:
    for make in (Prototypes, Descent, check_net):
        with pytest.raises(ModelError, match=rf"layer 'blocks\.1\.1' is {type(layer).__name__}"):
            make(Lists(layer))


@pytest.mark.parametrize(
    "layer", [nn.Dropout(0.0), nn.InstanceNorm1d(3), nn.MultiheadAttention(4, 2), BatchNorm(3), nn.LayerNorm(3)]
)
def test_check_net_lets_pure_layers_pass(layer: nn.Module) -> None:
    net = Lists(layer)
    assert check_net(net) is net


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("affine", [True, False])
def test_converted_net_gives_the_same_outputs(dtype: torch.dtype, affine: bool) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4, affine=affine),
        nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5, eps=1e-3, affine=affine)),
    ).to(dtype)
    for _ in range(3):
        net(1 + 2 * torch.randn(8, 1, 6, 6, dtype=dtype))  # moves the running averages
    x = torch.randn(8, 1, 6, 6, dtype=dtype)
    expected = net.eval()(x)
    assert convert(net) is net
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in net.modules())
    assert {value.dtype for value in net.state_dict().values()} == {dtype}
    assert apart(net(x), expected) < (1e-12 if dtype == torch.float64 else 1e-5)
    check_net(net)
    alone = nn.BatchNorm1d(3)
    assert isinstance(convert(alone), BatchNorm)
