"""Joined: what is missing says nothing, batch norm does not count it, gates are those of the paper, and the nets of parts can be chosen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from quickstudy.errors import ConfigError
from quickstudy.inputs.image import ImageSpec
from quickstudy.inputs.rows import RowsSpec
from quickstudy.inputs.several import SeveralSpec
from quickstudy.inputs.sound import SoundSpec
from quickstudy.inputs.text import TextSpec
from quickstudy.layers.batch_norm import batch_statistics
from quickstudy.nets.joined import Joined

SPEC = SeveralSpec({"picture": ImageSpec(16, 16), "caption": TextSpec(12)})
THERE = {"picture": torch.tensor([1.0, 1, 1, 0, 0, 1]), "caption": torch.tensor([1.0, 1, 0, 1, 1, 0])}


def drawn(spec: SeveralSpec = SPEC) -> dict[str, Tensor]:
    """Return six examples, of which some lack a part; there is something in its place, which must not be looked at."""
    torch.manual_seed(0)
    found = {}
    for name, part in spec.parts.items():
        (layout,) = part.layout().values()
        found[name] = torch.randint(1, 120, (6, *layout.shape)) * layout.scale
        found[f"{name}_there"] = THERE[name].unsqueeze(1)
    return found


@pytest.mark.parametrize("join", ["gated", "beside"])
def test_what_lies_in_place_of_a_missing_part_changes_nothing(join: str) -> None:
    net, x = Joined(**Joined.fit_to(SPEC), join=join), drawn()
    other = {name: x[name] + 7 * (1 - THERE[name]).view(-1, *(1,) * (x[name].dim() - 1)) for name in SPEC.parts}
    assert not torch.equal(other["picture"], x["picture"])
    for statistics in (False, True):
        if statistics:
            with batch_statistics():
                found, again = net(x), net(x | other)
        else:
            found, again = net(x), net(x | other)
        torch.testing.assert_close(again, found, rtol=1e-5, atol=1e-5)


def test_batch_norm_sees_the_examples_that_have_the_part_and_records_what_it_saw() -> None:
    net, x = Joined(**Joined.fit_to(SPEC), join="beside"), drawn()
    some, body = THERE["picture"] > 0, net.bodies["of_picture"]
    with batch_statistics(keep=True) as whole:
        found = net(x)
    with batch_statistics(keep=True) as alone:
        expected = body(x["picture"][some])
    start = net.features - body.features
    torch.testing.assert_close(found[some, start:], expected, rtol=1e-4, atol=1e-4)
    ours, theirs = whole.of(net), alone.of(body, "bodies.of_picture.")
    assert ours.keys() == theirs.keys()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_gate_of_two_parts_is_a_logistic_function_and_a_single_part_has_all_of_it() -> None:
    """AM3, equations 5 and 6: a convex combination whose weight is a logistic function of a learned score."""
    net, x = Joined(**Joined.fit_to(SPEC), features=7), drawn()
    features = {name: net.bodies[f"of_{name}"](x[name]) for name in SPEC.parts}
    brought = {name: net.projections[f"of_{name}"](features[name]) for name in SPEC.parts}
    scores = {name: net.importance[f"of_{name}"](features[name]) for name in SPEC.parts}
    share = torch.sigmoid(scores["picture"] - scores["caption"])
    found = net(x)
    torch.testing.assert_close(found[:2], (share * brought["picture"] + (1 - share) * brought["caption"])[:2])
    torch.testing.assert_close(found[3:5], brought["caption"][3:5])
    torch.testing.assert_close(found[5], brought["picture"][5])


def test_nets_are_chosen_by_part_or_by_kind() -> None:
    spec = SeveralSpec({"a": TextSpec(9), "b": TextSpec(12), "word": SoundSpec(), "numbers": RowsSpec(3)})
    inputs = Joined.fit_to(spec)
    usual = [type(net).__name__ for net in Joined(**inputs).bodies.values()]
    assert usual == ["NGrams", "NGrams", "MLP", "Conv4"]
    net = Joined(**inputs, nets={"text": {"name": "text_cnn", "filters": 2}, "b": "transformer", "rows": {"hidden": [5]}})
    assert [type(body).__name__ for body in net.bodies.values()] == ["TextCNN", "Transformer", "MLP", "Conv4"]
    assert net.bodies["of_a"].features == 6
    assert net.bodies["of_numbers"].features == 5
    for nets, words in [
        ({"image": "conv4"}, "nets names 'image'; expected some of a, b, numbers, rows, sound, text, word"),
        ({"text": "conv5"}, "the net of a is 'conv5'; expected"),
        ({"b": "conv4"}, "the part 'b': conv4 takes images"),
        ({"word": "frames"}, "the part 'word' has the net frames, which gives features of each frame"),
        ({"word": {"name": "conv4", "widths": 3}}, "the part 'word': .*widths"),
    ]:
        with pytest.raises(ConfigError, match=words):
            Joined(**inputs, nets=nets)
    with pytest.raises(ConfigError, match="inputs describe texts; expected examples of several parts"):
        Joined({"kind": "text", "length": 4})
    with pytest.raises(ConfigError, match="join is 'sum'; expected one of gated, beside"):
        Joined(join="sum")  # type: ignore[arg-type]


def test_a_part_may_be_called_as_anything() -> None:
    spec = SeveralSpec({"type": RowsSpec(2), "forward": RowsSpec(2), "front view (left)": RowsSpec(1)})
    net = Joined(**Joined.fit_to(spec), features=3)
    x = spec.to_network(spec.read_all({"type": [[1, 2]], "forward": [[3, 4]], "front view (left)": [[5]]}))
    assert net({name: torch.from_numpy(part) for name, part in x.items()}).shape == (1, 3)
