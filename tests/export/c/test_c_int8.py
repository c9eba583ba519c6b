"""Integer learners: the C code bit for bit as an independent numpy reference, and close to the float learner."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from builders import PROTOTYPES, Memory, Prototypes
from torch import Tensor, nn

from quickstudy.errors import ConfigError, ModelError
from quickstudy.export.c.firmware import FirmwareSettings, write_firmware
from quickstudy.export.c.int8 import fraction_bits, integer_layers
from quickstudy.export.c.program import Request
from quickstudy.inputs.image import ImageSpec
from quickstudy.layers.batch_norm import BatchNorm, batch_statistics, set_population_statistics
from quickstudy.learner import Learner
from quickstudy.nets.conv4 import Conv4
from quickstudy.nets.mlp import MLP
from quickstudy.nets.resnet12 import ResNet12
from quickstudy.objectives.classes import one_hot
from quickstudy.task import Examples
from quickstudy.tasks._inputs import to_input
from quickstudy.training.saving import SavedLearner

WAYS = 5


def learner(net: nn.Module) -> Learner:
    """One whose batch norms have statistics and weights of every sign."""
    made = Prototypes(net)
    for name, value in [*made.named_parameters(), *made.named_buffers()]:
        if value.dim() == 1:
            value.data = torch.rand_like(value) + 0.5 if name.endswith("var") else torch.randn_like(value)
    return made


def drawings(count: int, spec: ImageSpec) -> tuple[np.ndarray, np.ndarray]:
    """Images of four classes, with noise."""
    random = np.random.default_rng(0)
    patterns = random.integers(0, 256, (4, *spec.shape))
    classes = np.arange(count) % 4
    return np.clip(patterns[classes] + random.normal(0, 30, (count, *spec.shape)), 0, 255).astype(np.uint8), classes


NETS = {
    "pooling, dark": (lambda: Conv4(channels=6, image_size=21), ImageSpec(21, 21, 1, "dark")),
    "pooling, colour": (lambda: Conv4(channels=4, in_channels=3, image_size=16), ImageSpec(16, 16, 3)),
    "strides, bias": (lambda: Conv4(channels=8, image_size=19, norm="none", halving="stride"), ImageSpec(19, 19)),
    "windows of 5 and 1": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 5, stride=2, padding=1), nn.ReLU(), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        ),
        ImageSpec(16, 16),
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_bit_for_bit(name: str, build: Callable) -> None:
    make, spec = NETS[name]
    made = learner(make())
    images, classes = drawings(24, spec)
    request = Request(WAYS, 20, spec)
    layers = integer_layers(made, request, lambda: images)
    host = build(SavedLearner(made, spec), ways=WAYS, examples=20, calibration=images)
    assert host.adapt(images[:14], classes[:14]) == 0
    answers, scores = host.predict(images[14:])
    x = 255 - images if spec.ink == "dark" else images
    for layer in layers:
        x = layer(x)
    features = x.reshape(len(x), -1).astype(np.int64)
    assert 5 < features.mean() < 250
    sums = np.stack([features[:14][classes[:14] == way].sum(0) for way in range(4)])
    state = host.state.view(np.int32)
    assert state[0] == 14
    np.testing.assert_array_equal(state[2 : 2 + sums.size], sums.ravel())
    bits, counts = fraction_bits(features.shape[1]), np.bincount(classes[:14])[:, None]
    prototypes = ((sums << bits) + counts // 2) // counts
    distances = (((features[14:, None] << bits) - prototypes) ** 2).sum(-1)
    np.testing.assert_array_equal(scores[:, :4], -distances)
    assert (scores[:, 4] == np.iinfo(np.int32).min).all()
    np.testing.assert_array_equal(answers, distances.argmin(1))


def test_close_to_float(build: Callable) -> None:
    spec = ImageSpec(21, 21, 1, "dark")
    images, classes = drawings(60, spec)
    made = Prototypes(Conv4(channels=16, image_size=21))
    with torch.no_grad(), batch_statistics(keep=True) as recording:
        made.net(to_input(torch.from_numpy(images), spec.layout()["image"]))
    set_population_statistics(made.net, [recording.of(made.net)])
    host = build(SavedLearner(made, spec), ways=WAYS, examples=20, calibration=images)
    host.adapt(images[:12], classes[:12])
    x = to_input(torch.from_numpy(images), spec.layout()["image"])
    with torch.no_grad():
        state = made.adapt(Examples(x[:12], one_hot(torch.from_numpy(classes[:12]), WAYS)))
        exact = made.predict(state, x[12:])[:, :4].numpy()
    answers, scores = host.predict(images[12:])
    assert np.corrcoef(scores[:, :4].ravel(), exact.ravel())[0, 1] > 0.999
    assert (answers == exact.argmax(1)).mean() >= 0.95


@pytest.mark.parametrize("features", [1, 16, 64, 100, 1024, 4096])
def test_the_largest_distance_fits(features: int) -> None:
    assert features * (255 << fraction_bits(features)) ** 2 < 2**31


class Do(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Shift(nn.Module):
    """Of each column, not of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


def then(*after: nn.Module | Callable[[Tensor], Tensor]) -> nn.Module:
    """Return a convolution of 3 channels, and something after it."""
    layers = [layer if isinstance(layer, nn.Module) else Do(layer) for layer in after]
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), *layers, nn.Flatten())


REFUSED: dict[str, tuple[Callable[[], Learner], str]] = {
    "group norm": (lambda: Prototypes(Conv4(image_size=16, norm="group", channels=4)), "operator"),
    "residual net": (lambda: Prototypes(ResNet12(1, (4, 4, 6, 6))), "operator"),
    "support statistics": (
        lambda: Prototypes(Conv4(image_size=16, channels=4), statistics="support"),
        "statistics='population'",
    ),
    "a norm after pooling": (
        lambda: learner(then(nn.MaxPool2d(2), BatchNorm(3), nn.ReLU())),
        r"mul.*layer net.2",
    ),
    "a slice": (lambda: Prototypes(then(lambda x: x[:, :, 1:-1], nn.ReLU())), "slice"),
    "a flip of axes": (
        lambda: Prototypes(then(nn.ReLU(), lambda x: x.transpose(2, 3), nn.Conv2d(3, 2, 3), nn.ReLU())),
        "convolution",
    ),
    "a shift along columns": (lambda: Prototypes(then(nn.ReLU(), nn.Conv2d(3, 3, 14), Shift(), nn.ReLU())), "add"),
    "a skip": (lambda: Prototypes(then(lambda x: x * x, nn.ReLU())), "mul"),
    "a linear layer": (lambda: Prototypes(then(nn.ReLU(), nn.Flatten(), nn.Linear(768, 8))), "mm"),
    "too many features": (lambda: Prototypes(then(nn.ReLU(), nn.Conv2d(3, 130, 1), nn.ReLU())), "33,280 features"),
    "cosine distance": (
        lambda: Prototypes(Conv4(1, 16, 4), distance="cosine"),
        "does not prefer the class whose mean is nearest by squared distance",
    ),
    "manhattan distance": (
        lambda: Prototypes(Conv4(1, 16, 4), distance="manhattan"),
        "does not prefer the class whose mean is nearest by squared distance",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_integer_form_is_named_and_goes_in_float32(name: str, tmp_path: pathlib.Path) -> None:
    make, words = REFUSED[name]
    saved, (images, _) = SavedLearner(make(), ImageSpec(16, 16)), drawings(4, ImageSpec(16, 16))
    with pytest.raises(ModelError, match=rf"(?s){words}.*float32"):
        write_firmware(tmp_path, saved, FirmwareSettings(precision="int8"), calibration=images)
    assert not list(tmp_path.iterdir())
    assert write_firmware(tmp_path, saved, calibration=images).precision == "float32"
    assert "(float32)" in (tmp_path / "README.md").read_text()


def test_a_scale_after_pooling_that_turns_no_maximum_around() -> None:
    """Is the same before it, and so has an integer form."""
    spec = ImageSpec(16, 16)
    images, _ = drawings(24, spec)
    net = then(nn.MaxPool2d(2), lambda x: x * 0.5 + 0.25, nn.ReLU())
    x = to_input(torch.from_numpy(images), spec.layout()["image"])
    layers = integer_layers(Prototypes(net), Request(WAYS, 20, spec), lambda: images)
    with torch.no_grad():
        exact = net(x).unflatten(1, (3, 8, 8)).permute(0, 2, 3, 1).numpy()
    mine = layers[0](images) * (exact.max() / 255)
    assert np.abs(mine - exact).max() < 0.03 * exact.max()


def test_a_learner_without_prototypes_is_told_which_learners_have_them(tmp_path: pathlib.Path) -> None:
    for saved in (SavedLearner(Memory(Conv4(1, 16, 4)), ImageSpec(16, 16)), SavedLearner(Prototypes(MLP(4, (4,))))):
        with pytest.raises(ModelError, match=rf"whose state holds prototypes \([^)]*{PROTOTYPES}.*inputs of bytes.*float32"):
            write_firmware(tmp_path, saved, FirmwareSettings(precision="int8"))
        assert write_firmware(tmp_path, saved, FirmwareSettings(precision="auto")).precision == "float32"


def test_colours_need_images(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match="give calibration"):
        write_firmware(tmp_path, SavedLearner(Prototypes(Conv4(3, 16, 4)), ImageSpec(16, 16, 3)))
