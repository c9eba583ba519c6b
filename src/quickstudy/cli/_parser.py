"""Options derived from signatures: the constructor of the chosen learner or net is the only definition of its hyperparameters."""

from __future__ import annotations

import contextlib
import difflib
import pathlib
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

    def _explained(self, message: str) -> str:
        message = " ".join(message.split())
        unknown = [word for word in message.partition("Unrecognized arguments:")[2].split() if word.startswith("--")]
        known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        for word in unknown:
            nearest = difflib.get_close_matches(word.partition("=")[0], known, n=3)
            message = f"unknown option {word}." + (f" Did you mean: {', '.join(nearest)}?" if nearest else "")
        return f"{message.removesuffix('.')}. See '{self.prog} --help'."

    def parse(self, arguments: Sequence[str]) -> jsonargparse.Namespace:
        """The options, or a ConfigError."""
        try:
            return self.parse_args(list(arguments))
        except (jsonargparse.ArgumentError, TypeError) as error:
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


def chosen_name(arguments: Sequence[str], config: dict[str, Any], key: str, default: str) -> str:
    """The name given by `--KEY NAME`, `--KEY.name NAME` or the config file, read before the parser can be built."""
    found = (config.get(key) or {}).get("name", default) if isinstance(config.get(key), dict | None) else str(config[key])
    for index, word in enumerate(arguments):
        option, _, value = word.partition("=")
        if option in (f"--{key}", f"--{key}.name"):
            found = value or (arguments[index + 1] if index + 1 < len(arguments) else found)
    return found


def spelled_out(arguments: Sequence[str], keys: Sequence[str]) -> list[str]:
    """`--learner maml` as `--learner.name maml`, and so on."""
    result = []
    for word in arguments:
        option, equals, value = word.partition("=")
        result.append(f"{option}.name{equals}{value}" if option in {f"--{key}" for key in keys} else word)
    return result


def read_config(arguments: Sequence[str]) -> dict[str, Any]:
    """The config file that `--config` names, as plain values; empty without one."""
    for index, word in enumerate(arguments):
        option, _, value = word.partition("=")
        if option == "--config":
            path = pathlib.Path(value or (arguments[index + 1] if index + 1 < len(arguments) else ""))
            if not path.is_file():
                raise ConfigError(f"config file {str(path)!r} does not exist; write one with --print_config > run.yaml.")
            with contextlib.suppress(UnicodeDecodeError):
                return _as_mapping(path, path.read_text())
    return {}


def _as_mapping(path: pathlib.Path, content: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(content) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}; expected options and values, as --print_config writes them.")
    return values


def plain_yaml(values: dict[str, Any]) -> str:
    """Options as YAML; tuples are written as lists."""
    return yaml.safe_dump(_plain(values), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
