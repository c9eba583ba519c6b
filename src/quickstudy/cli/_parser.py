"""Options derived from signatures: the constructor of the chosen learner or net is the only definition of its hyperparameters."""

from __future__ import annotations

import difflib
import pathlib
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

import jsonargparse
import yaml

from quickstudy import discovery
from quickstudy.errors import ConfigError

FROM_DATA = {"in_channels", "image_size", "in_features"}
"""Hyperparameters of nets that the data decides."""


class Parser(jsonargparse.ArgumentParser):
    """A parser whose errors are ours: they name the option, and the nearest ones that exist."""

    def error(self, message: str, ex: Exception | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        del ex
        raise ConfigError(self._explained(message))

    def _with_values(self, arguments: Sequence[str]) -> list[str]:
        """`--strict` alone is `--strict=true`, and so for every option that is true or false."""
        flags = {word for action in self._actions if self._hint(action.dest) is bool for word in action.option_strings}
        following = [*arguments[1:], "-"]  # the last word is followed by nothing
        return [
            f"{word}=true" if word in flags and after.startswith("-") else word
            for word, after in zip(arguments, following, strict=False)
        ]

    def _explained(self, message: str) -> str:
        """jsonargparse's message in our words."""
        message = " ".join(message.split()).removeprefix('Parser key "config": ')
        help_line = f"See '{self.prog} --help'."
        if message.endswith(help_line):  # explained already, inside a config
            return message
        return f"{self._in_our_words(message)} {help_line}"

    def _in_our_words(self, message: str) -> str:
        unrecognized = re.match("unrecognized arguments: (.*)", message, re.IGNORECASE)
        refused = re.match(r"Group '([^']+)' does not accept option '([^']+)'|Option '([^']+)' is not accepted", message)
        invalid = re.match(r'Parser key "([^"]+)":.*(?:Given|Got) value: (.*)$', message)
        missing = re.match("the following arguments are required: (.*)", message)
        if unrecognized:
            options = [word for word in unrecognized[1].split() if word.startswith("--")]
            return self._unknown(options[0].partition("=")[0], "--") if options else f"unexpected argument: {unrecognized[1]}."
        if refused:
            return self._unknown(".".join(part for part in refused.groups() if part), "")
        if invalid and (hint := self._hint(invalid[1])) is not None:
            return f"{invalid[1]} is {invalid[2]!r}; expected {_expected(hint)}." + _nearest(invalid[2], _choices(hint))
        if missing:
            return f"the command line lacks {' and '.join(self._spelling(name) for name in missing[1].split(', '))}."
        return f"{message.removesuffix('.')}."

    def _unknown(self, option: str, dashes: str) -> str:
        """`option`, as it was spelled, with the nearest ones that exist; `dashes` are `--`, or empty in a config file."""
        known = [word for action in self._actions for word in action.option_strings if word.startswith("--")]
        return f"unknown option {option}." + _nearest(option, [dashes + word.removeprefix("--") for word in known])

    def _spelling(self, name: str) -> str:
        """How an argument is written on the command line."""
        options = [word for action in self._actions if action.dest == name for word in action.option_strings]
        return options[-1] if options else name.upper()

    def _hint(self, key: str) -> Any:
        """The type of an option's values, None where there is none to be had."""
        return next((getattr(action, "_typehint", None) for action in self._actions if action.dest == key), None)

    def parse(self, arguments: Sequence[str]) -> jsonargparse.Namespace:
        """The options, or a ConfigError."""
        try:
            return self.parse_args(self._with_values(arguments))
        except jsonargparse.ArgumentError as error:
            raise ConfigError(self._explained(str(error))) from error


def make_parser(verb: str, description: str | None) -> Parser:
    """An empty parser for a verb."""
    return Parser(prog=f"quickstudy {verb}", description=description, exit_on_error=False)


def add_chosen(parser: Parser, key: str, folder: str, name: str) -> None:
    """Options `--KEY.name` and `--KEY.HYPERPARAMETER` of the class that `name` stands for."""
    parser.add_argument(
        f"--{key}.name", default=name, help=f"which {key}: {', '.join(discovery.names(folder))}; --{key} NAME for short"
    )
    chosen = discovery.load(folder, name)
    parser.add_class_arguments(chosen, key, skip={"net", *FROM_DATA}, sub_configs=False)


def chosen_name(arguments: Sequence[str], key: str, default: str) -> str:
    """The name given by `--KEY NAME`, `--KEY.name NAME` or a config, read before the parser can be built; the last one counts."""
    found = default
    for index, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        if option == "--config":
            chosen = yaml.safe_load(value).get(key)
            found = str(chosen.get("name", found)) if isinstance(chosen, dict) else found
        elif option in (f"--{key}", f"--{key}.name"):
            found = value if equals else (arguments[index + 1] if index + 1 < len(arguments) else found)
    return found


def spelled_out(arguments: Sequence[str], keys: Sequence[str]) -> list[str]:
    """`--learner maml` as `--learner.name maml`, `--config FILE` as `--config=CONTENT`, with `learner: maml` spelled out too, and
    `--print_config` last, as it prints what it has read so far.
    """
    result, words = [], iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--config":
            result.append(f"--config={_read_config(value if equals else next(words, ''), keys)}")
        else:
            result.append(f"{option}.name{equals}{value}" if option in {f"--{key}" for key in keys} else word)
    return sorted(result, key=lambda word: word.startswith("--print_config"))


def _read_config(file: str, keys: Sequence[str]) -> str:
    """A config file's content, checked, as one YAML text."""
    path = pathlib.Path(file)
    if not path.is_file():
        raise ConfigError(f"config file {file!r} does not exist; write one with --print_config > run.yaml.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not YAML: {' '.join(str(error).split())}. Write one with --print_config > run.yaml."
        ) from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} holds a {type(values).__name__}; expected options and values, as --print_config writes them."
        )
    short = {key: {"name": values[key]} for key in keys if isinstance(values.get(key), str)}
    return plain_yaml(values | short)


def _expected(hint: Any) -> str:
    """The values of a type, in words.

    >>> _expected(int | tuple[int, int] | None)
    'a whole number, or a list [a whole number, a whole number], or null'
    """
    of = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return f"one of {', '.join(str(value) for value in of)}"
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return ", or ".join(_expected(one) for one in of)
    if typing.get_origin(hint) is tuple:
        return f"a list [{', '.join(_expected(one) for one in of)}]"
    if of:  # a list or another sequence
        return f"a list [{_expected(of[0])}, ...]"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    return words.get(hint, getattr(hint, "__name__", str(hint)))


def _choices(hint: Any) -> list[str]:
    """The words among a type's values."""
    if typing.get_origin(hint) is typing.Literal:
        return [str(value) for value in typing.get_args(hint)]
    return [word for one in typing.get_args(hint) for word in _choices(one)]


def _nearest(word: str, known: Sequence[str]) -> str:
    found = difflib.get_close_matches(word, known, n=3)
    return f" Did you mean: {', '.join(found)}?" if found else ""


def plain_yaml(values: dict[str, Any]) -> str:
    """Options as YAML; tuples are written as lists."""
    return yaml.safe_dump(_plain(values), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
