"""How options are read and written: jsonargparse's messages, configs in any encoding, texts that look like numbers, modules by name."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import jsonargparse
import pytest
import yaml
from builders import DESCENT, PROTOTYPES
from torch import nn

from quickstudy import discovery
from quickstudy.cli import _parser
from quickstudy.cli.train import build_parser
from quickstudy.errors import ConfigError
from quickstudy.learner import Learner

Call = Callable[..., Any]


class Kind:
    """A class with a hyperparameter."""

    def __init__(self, rate: float = 0.1, way: Literal["near", "far"] = "near") -> None:
        self.rate, self.way = rate, way


def message(*words: str) -> str:
    """Return what jsonargparse itself says about a command line."""
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_argument("--steps", type=int)
    parser.add_argument("data", type=str)
    parser.add_class_arguments(Kind, "kind")
    with pytest.raises(jsonargparse.ArgumentError) as raised:
        parser.parse_args(words)
    return " ".join(str(raised.value).split()).removeprefix('Parser key "config": ')


ELICITED = {
    "unrecognized": (["x", "--stps", "3"], {"words": "--stps 3"}),
    "refused": (["x", "--config", "kind: {rat: 1}"], {"group": "kind", "inner": "rat"}),
    "not accepted": (["x", "--config", "stps: 1"], {"option": "stps"}),
    "invalid": (["x", "--steps", "many"], {"key": "steps", "value": "many"}),
    "missing": ([], {"names": "data"}),
}


@pytest.mark.parametrize("kind", _parser.MESSAGES)
def test_jsonargparse_says_what_we_read(kind: str) -> None:
    words, parts = ELICITED[kind]
    said = _parser.MESSAGES[kind].match(message(*words))
    assert said is not None, message(*words)
    assert said.groupdict() == parts
    assert [other for other, form in _parser.MESSAGES.items() if form.match(message(*words))] == [kind]


@pytest.mark.parametrize("where", ["x --kind.rate soon", "x --config {kind:\u00a0{rate:\u00a0soon}}", "x --kind.way fr"])
def test_a_bad_value_is_read_wherever_it_stands(where: str) -> None:
    said = _parser.MESSAGES["invalid"].match(message(*(word.replace("\u00a0", " ") for word in where.split(" "))))
    assert said is not None
    assert (said["key"], said["value"]) in {("kind.rate", "soon"), ("kind.way", "fr")}


NUMBERS = ["1e5", "5e12", "1E5", "1.5e3", "+1e5", "-1e5", ".5e3", "1.", "-.5", "007", "0o17", "0x1F", "1_000", "1:30"]
WORDS = ["true", "no", "null", "inf", "nan", ".nan", "e5", "2024-01-01", "a: b", "- x", "x #y", "[a]", "{a: 1}", "\u00e4"]
NAMELESS = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("text", [*NUMBERS, *WORDS, NAMELESS])
def test_a_text_in_a_config_stays_that_text(npz: pathlib.Path, tmp_path: pathlib.Path, text: str) -> None:
    values = {"data": text, "data_dir": text, "split": text, "out": text}
    (tmp_path / "run.yaml").write_text(_parser.plain_yaml(values), encoding="utf-8")
    words = _parser.spelled_out(["--config", str(tmp_path / "run.yaml")], PROTOTYPES)
    options = build_parser(words).parse(words)
    found = {name: options[name] for name in values}
    assert found == values | ({"data_dir": None} if text == "null" else {})


@pytest.mark.parametrize("name", ["1e5", "5e12"])
def test_a_folder_named_like_a_number_is_trained_on_resumed_and_repeated(
    cli: Call, train: Call, own_images: Call, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    own_images(tmp_path / name)
    own = {"size": 16, "channels": 1, "validation__split": "null", "steps": 1, "queries": 2}
    assert cli(*train(tmp_path / "run", data=name, **own)).code == 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"] == name
    assert cli("train", "--resume", "run").code == 0
    assert cli("train", "--config", "run/config.yaml", "--out", "again").code == 0


@pytest.mark.parametrize("words", [["--ways", "3-10"], ["--ways=3-10"], ["--ways", "[3,10]"], ["--ways=[3, 10]"]])
def test_a_range_is_written_in_either_way(words: list[str]) -> None:
    assert chosen(*words).ways == (3, 10)


def test_a_text_that_looks_like_a_range_stays_a_text() -> None:
    assert chosen("--data", "3-10", "--out=3-10").data == "3-10"
    assert chosen("--data", "3-10", "--out=3-10").out == "3-10"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_config_of_any_encoding_is_read(cli: Call, npz: pathlib.Path, tmp_path: pathlib.Path, encoding: str) -> None:
    printed = cli("train", "--data", npz, "--learner", DESCENT, "--steps", 7, "--out", "caf\u00e9", "--print_config").out
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""  # the others write theirs
    (tmp_path / "run.yaml").write_bytes((mark + printed).replace("\n", "\r\n").encode(encoding))
    again = cli("train", "--config", tmp_path / "run.yaml", "--print_config")
    assert yaml.safe_load(again.out) == yaml.safe_load(printed)
    assert yaml.safe_load(again.out)["out"] == "caf\u00e9"


# ---------------------------------------------------------------------------------------------------- modules by name


@dataclasses.dataclass(eq=False, repr=False)
class Pair(Learner):
    """A learner with two modules."""

    net: nn.Module
    relation: nn.Module
    rate: float = 0.5

    def adapt(self, support: Any, state: Any = None) -> Any: ...

    def predict(self, state: Any, x: Any) -> Any: ...


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line know a learner with two modules."""
    load = discovery.load
    monkeypatch.setattr(discovery, "load", lambda folder, name: Pair if name == "pair" else load(folder, name))


def chosen(*words: str) -> jsonargparse.Namespace:
    spelled = _parser.spelled_out(["--data", "digits", *words], PROTOTYPES)
    return build_parser(spelled).parse(spelled)


@pytest.mark.usefixtures("pair")
def test_each_module_of_a_learner_is_chosen_by_name() -> None:
    plain = chosen("--learner", "pair")
    assert (plain.net.name, plain.learner.relation.name) == ("conv4", "conv4")
    words = ["--learner", "pair", "--learner.relation", "mlp", "--learner.relation.hidden", "[3]", "--net", "resnet12"]
    options = chosen(*words, "--learner.rate", "0.25")
    assert (options.net.name, options.learner.relation.name, [*options.learner.relation.hidden]) == ("resnet12", "mlp", [3])
    assert options.learner.rate == 0.25


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize(
    "text",
    [
        "learner: {name: pair, relation: mlp, net: identity}",
        "learner: {name: pair, relation: {name: mlp}}\nnet: identity",
        "learner: {name: pair, relation: mlp, net: {name: identity}}",
    ],
)
def test_modules_are_chosen_in_a_config(tmp_path: pathlib.Path, text: str) -> None:
    (tmp_path / "run.yaml").write_text(text)
    options = chosen("--config", str(tmp_path / "run.yaml"))
    assert (options.learner.name, options.net.name, options.learner.relation.name) == ("pair", "identity", "mlp")


@pytest.mark.parametrize(
    "words",
    [
        ["--net", "mlp", "--net.hidden", "[7]"],
        ["--learner.net", "mlp", "--learner.net.hidden=[7]"],
        ["--learner.net.name=mlp", "--net.hidden=[7]"],
    ],
)
def test_net_is_short_for_the_learners_net(words: list[str]) -> None:
    options = chosen(*words)
    assert (options.net.name, [*options.net.hidden]) == ("mlp", [7])


@pytest.mark.usefixtures("pair")
def test_an_unknown_module_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown net 'mpl'\. Did you mean: mlp\?"):
        chosen("--learner", "pair", "--learner.relation", "mpl")
    with pytest.raises(ConfigError, match=r"unknown option --learner\.relaton.*--learner\.relation"):
        chosen("--learner", "pair", "--learner.relaton", "mlp")


# ---------------------------------------------------------------------------------------------------- words of the command line

OPTIONS = ["--split", "--strict", "--resume", "--net.halving", "--learner.statistics"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("use split='all'.", "use --split all."),
        ("or read with strict=False.", "or read with --strict false."),
        ("Go on with resume=True, or", "Go on with --resume true, or"),
        ("or halving='stride'.", "or --net.halving stride."),
        ("pass an instance as net=.", "pass an instance as net=."),
        ("inner_lr=1e+30 is too large", "inner_lr=1e+30 is too large"),
        ("own=OwnData(split=3)", "own=OwnData(--split 3)"),
        ("a file x.split=all", "a file x.split=all"),
    ],
)
def test_the_library_speaks_in_options(message: str, expected: str) -> None:
    assert _parser.in_options(message, OPTIONS) == expected
