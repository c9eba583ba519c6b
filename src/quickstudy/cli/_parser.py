"""Options derived from signatures: the constructor of the chosen learner or net is the only definition of its hyperparameters."""

from __future__ import annotations

import codecs
import dataclasses
import difflib
import inspect
import pathlib
import re
import shlex
import typing
from collections.abc import Collection, Sequence
from typing import Any

import jsonargparse
import yaml

from quickstudy import discovery
from quickstudy.cli import _described
from quickstudy.errors import ConfigError
from quickstudy.storage import check_file

NET = "learner.net"
"""Key of a learner's net in full; on the command line and in configs it is `net` for short."""

MESSAGES = {
    "unrecognized": re.compile(r"unrecognized arguments: (?P<words>.*)", re.IGNORECASE),
    "refused": re.compile(r"Group '(?P<group>[^']+)' does not accept option '(?P<inner>[^']+)'"),
    "not accepted": re.compile(r"Option '(?P<option>[^']+)' is not accepted"),
    "invalid": re.compile(r'Parser key "(?P<key>[^"]+)":.*(?:Given|Got) value: (?P<value>.*)$'),
    "missing": re.compile(r"the following arguments are required: (?P<names>.*)"),
}
"""Messages of jsonargparse, in the versions that pyproject.toml allows; a test elicits each one."""


_SPOKEN: list[str] = []
"""Options of the verb that runs: the words in which its errors are told."""


class Parser(jsonargparse.ArgumentParser):
    """A parser whose errors are ours: they name the option, and the nearest ones that exist."""

    def error(self, message: str, ex: Exception | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Raise a ConfigError in place of jsonargparse's own error."""
        del ex
        raise ConfigError(self._explained(message))

    def options(self) -> list[str]:
        """Return all options as they are spelled on the command line."""
        return [word for action in self._actions for word in action.option_strings if word.startswith("--")]

    def parse(self, arguments: Sequence[str]) -> jsonargparse.Namespace:
        """Return the options, or raise a ConfigError."""
        _SPOKEN[:] = self.options()
        try:
            return self.parse_args(self._with_values(arguments))
        except jsonargparse.ArgumentError as error:
            raise ConfigError(self._explained(str(error))) from error

    def _with_values(self, arguments: Sequence[str]) -> list[str]:
        """Return `--strict` alone as `--strict=true`, and `--ways 3-10` as `--ways [3,10]`; so for all options of these types."""
        flags = self._with_type(bool)
        following = [*arguments[1:], "-"]  # the last word is followed by nothing
        words = [
            f"{word}=true" if word in flags and after.startswith("-") else word
            for word, after in zip(arguments, following, strict=False)
        ]
        ranges, before = set().union(*map(self._with_type, _described.RANGES)), ["", *words]
        return [
            _as_list(word) if last in ranges or word.partition("=")[0] in ranges else word
            for last, word in zip(before, words, strict=False)
        ]

    def _with_type(self, wanted: Any) -> set[str]:
        """Return all spellings of the options whose values are of this type, or may be."""
        hints = ((action, self._hint(action.dest)) for action in self._actions)
        return {
            word
            for action, hint in hints
            if hint == wanted or wanted in typing.get_args(hint)
            for word in action.option_strings
        }

    def _explained(self, message: str) -> str:
        """Return jsonargparse's message in our words."""
        message = " ".join(message.split()).removeprefix('Parser key "config": ')
        help_line = f"See '{self.prog} --help'."
        if message.endswith(help_line):  # explained already, inside a config
            return message
        return f"{self._in_our_words(message)} {help_line}"

    def _in_our_words(self, message: str) -> str:
        kind, said = next(((kind, said) for kind, form in MESSAGES.items() if (said := form.match(message))), ("", None))
        if said and kind == "unrecognized":
            options = [word for word in said["words"].split() if word.startswith("--")]
            return self._unknown(options[0].partition("=")[0], "--") if options else f"unexpected argument: {said['words']}."
        if said and kind == "refused":
            return self._unknown(f"{said['group']}.{said['inner']}", "")
        if said and kind == "not accepted":
            return self._unknown(said["option"], "")
        if said and kind == "invalid" and (hint := self._hint(said["key"])) is not None:
            nearest = _nearest(said["value"], _choices(hint))
            return f"{said['key']} is {said['value']!r}; expected {_described.expected(hint)}.{nearest}"
        if said and kind == "missing":
            return f"the command line lacks {' and '.join(self._spelling(name) for name in said['names'].split(', '))}."
        return f"{message.removesuffix('.')}."

    def _unknown(self, option: str, dashes: str) -> str:
        """Return a message that names `option`, as it was spelled, and the nearest ones that exist.

        Args:
            option: the option that does not exist.
            dashes: `--`, or empty in a config file.
        """
        return f"unknown option {option}." + _nearest(option, [dashes + word.removeprefix("--") for word in self.options()])

    def _spelling(self, name: str) -> str:
        """Return how an argument is written on the command line."""
        action = next((action for action in self._actions if name in (action.dest, action.metavar)), None)
        if action is None or not action.option_strings:
            return str((action and action.metavar) or name).upper()
        return action.option_strings[-1]

    def _hint(self, key: str) -> Any:
        """Return the type of an option's values, None if it has none."""
        return next((getattr(action, "_typehint", None) for action in self._actions if action.dest == key), None)


def make_parser(verb: str, description: str | None) -> Parser:
    """Return an empty parser for a verb."""
    return Parser(prog=f"quickstudy {verb}", description=description, exit_on_error=False, formatter_class=_described.Formatter)


def add_settings(parser: Parser, kind: type, title: str, key: str | None = None, skip: Collection[str] = ()) -> None:
    """Add an option for each argument of a class's constructor, under a title in the help.

    Args:
        parser: to add them to.
        kind: the class.
        title: words above the options.
        key: what the options' names begin with, None for nothing.
        skip: arguments that get no option.
    """
    before = len(parser._action_groups)
    parser.add_class_arguments(kind, key, skip={*skip}, sub_configs=False)
    for number, group in enumerate(parser._action_groups[before:]):
        inner = next((name for name, found in (parser.groups or {}).items() if found is group), "")
        group.title = f"{title}: {inner}" if number else title
    for action in parser._actions:
        if action.dest in (parser.groups or {}):  # `--learner FILE`; here `--learner NAME` chooses by name
            action.help = jsonargparse.SUPPRESS


def in_options(message: str, options: Sequence[str] = _SPOKEN) -> str:
    """Return a message of the library in the words of the command line, if the command line has the option.

    >>> in_options("Use split='all', or strict=False.", ["--split", "--strict"])
    'Use --split all, or --strict false.'
    """

    def spelled(said: re.Match[str]) -> str:
        option = next((word for word in options if word == f"--{said['name']}" or word.endswith(f".{said['name']}")), None)
        value = {"True": "true", "False": "false", "None": "null"}.get(said["value"], said["value"])
        return said[0] if option is None else f"{option} {shlex.quote(value)}"

    return re.sub(r"(?<![\w.-])(?P<name>[a-z_]+)=(?P<quote>['\"]?)(?P<value>[\w.]*\w)(?P=quote)(?![\w(])", spelled, message)


def add_chosen(parser: Parser, key: str, folder: str, name: str, skip: Collection[str] = ()) -> None:
    """Add options `--KEY.name` and `--KEY.HYPERPARAMETER` of the class that `name` stands for."""
    parser.add_argument(
        f"--{key}.name", default=name, help=f"which {key}: {', '.join(discovery.names(folder))}; --{key} NAME for short"
    )
    add_settings(parser, discovery.load(folder, name), f"options of the {key.rpartition('.')[2]} {name}", key, skip)


def add_learner(parser: Parser, arguments: Sequence[str], learner: str, net: str) -> None:
    """Add the options of a learner, and of each module that its constructor takes: its net as `--net`, others as `--learner.ARG`.

    Args:
        parser: to add them to.
        arguments: of the command line, in which the choices are read.
        learner: name of the learner if the command line chooses none.
        net: name of every module that the command line does not choose.
    """
    from quickstudy.nets import _sizes  # the verbs that need no torch import this file too

    name = chosen_name(arguments, "learner", learner)
    modules = module_arguments(name)
    add_chosen(parser, "learner", "learners", name, skip=modules)
    for key in modules.values():
        chosen = chosen_name(arguments, key, net)
        add_chosen(parser, key, "nets", chosen, skip=_sizes.from_data(discovery.load("nets", chosen)))


def module_arguments(learner: str) -> dict[str, str]:
    """Return the modules that a learner's constructor takes, each with its key on the command line.

    >>> module_arguments("maml")
    {'net': 'net'}
    """
    from torch import nn  # the verbs that need no torch import this file too

    hints = typing.get_type_hints(discovery.load("learners", learner).__init__)
    names = [name for name, hint in hints.items() if inspect.isclass(hint) and issubclass(hint, nn.Module)]
    return {name: "net" if name == "net" else f"learner.{name}" for name in names}


def given(kind: type, options: jsonargparse.Namespace) -> dict[str, Any]:
    """Return the arguments of a class that have options, a group of settings built of the options below its name."""
    hints: dict[str, Any] = {name: hint for name, hint in typing.get_type_hints(kind.__init__).items() if name in options}
    groups = [name for name, hint in hints.items() if dataclasses.is_dataclass(hint)]
    built = {name: hints[name](**given(hints[name], options[name])) for name in groups}
    return {name: options[name] for name in hints} | built


def chosen_name(arguments: Sequence[str], key: str, default: str) -> str:
    """Return the name given by `--KEY NAME`, `--KEY.name NAME` or a config, read before the parser can be built; the last one counts.

    Of several names in a list, the first one is returned.
    """
    name = default
    for index, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        if option == "--config":
            chosen: Any = yaml.safe_load(value)
            for part in key.split("."):
                chosen = chosen.get(part) if isinstance(chosen, dict) else None
            chosen = chosen[0] if isinstance(chosen, list) and chosen else chosen
            chosen = chosen.get("name") if isinstance(chosen, dict) else chosen
            name = chosen if isinstance(chosen, str) else name
        elif option in (f"--{key}", f"--{key}.name"):
            name = value if equals else (arguments[index + 1] if index + 1 < len(arguments) else name)
    return name


def spelled_out(arguments: Sequence[str], learner: str, keys: Sequence[str] = ()) -> list[str]:
    """Return a command line without short forms, and with `--print_config` last, as it prints what it has read so far.

    `--learner maml` is `--learner.name maml`, `--learner.net.channels` is `--net.channels`, and `--config FILE` is `--config=CONTENT`, with
    `learner: maml` spelled out too.

    Args:
        arguments: words of the command line.
        learner: name of the learner if nothing chooses one.
        keys: what else is chosen by name, beside the learner and its modules.
    """
    read = _with_configs(arguments)
    keys = ["learner", *module_arguments(chosen_name(read, "learner", learner)).values(), *keys]
    result = []
    for word in read:
        option, equals, value = word.partition("=")
        if option == "--config":
            result.append(f"--config={plain_yaml(_chosen_by_name(yaml.safe_load(value), keys))}")
        else:
            result.append(f"{option}.name{equals}{value}" if option.removeprefix("--") in keys else word)
    return sorted(result, key=lambda word: word.startswith("--print_config"))


def _chosen_by_name(values: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return a config's values with `learner: maml` as `learner: {name: maml}`, and so for every key, also inside."""
    result = {}
    for name, value in values.items():
        inner = [key.removeprefix(f"{name}.") for key in keys if key.startswith(f"{name}.")]
        result[name] = {"name": value} if name in keys and isinstance(value, str) else value
        if isinstance(value, dict) and inner:
            result[name] = _chosen_by_name(value, inner)
    return result


def _with_configs(arguments: Sequence[str]) -> list[str]:
    """Return a command line with each config's content in place of its file, and the learner's net as `net`."""
    result, words = [], iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--config":
            result += _config_as_words(value if equals else next(words, ""))
        else:
            net = option == f"--{NET}" or option.startswith(f"--{NET}.")
            result.append(f"--{word.removeprefix('--learner.')}" if net else word)
    return result


def _config_as_words(file: str) -> list[str]:
    """Return a config file's content, checked, as words of the command line: one YAML text, and what YAML cannot hold."""
    values = read_config(pathlib.Path(file))
    inner = values.get("learner")
    if isinstance(inner, dict) and "net" in inner:
        values = values | {"net": inner["net"], "learner": {name: value for name, value in inner.items() if name != "net"}}
    names = {name: value for name, value in values.items() if isinstance(value, str) and not _is_text(value)}
    plain = {name: value for name, value in values.items() if name not in names}
    return [f"--config={plain_yaml(plain)}", *(f"--{name}={value}" for name, value in names.items())]


def read_config(path: pathlib.Path) -> dict[str, Any]:
    """Return the options and values of a config file.

    Raises:
        ConfigError: it is no YAML, or holds no options.
    """
    advice = "rite one with --print_config > run.yaml"
    check_file(path, f"expected a config; w{advice}")
    try:
        values = yaml.safe_load(_decoded(path.read_bytes()))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not YAML: {reason}. W{advice}.", subject=str(path), expected="YAML") from error
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(
            f"{path} holds a {type(values).__name__}; expected options and values, as --print_config writes them."
        )
    return values


def _decoded(content: bytes) -> str:
    """Return the text of a file: UTF-8, or what its byte order mark says (Windows PowerShell writes UTF-16)."""
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"} | marks  # a mark of UTF-32 begins like one of UTF-16
    return content.decode(next((encoding for mark, encoding in marks.items() if content.startswith(mark)), "utf-8"))


def _is_text(value: str) -> bool:
    """Say whether a text can be encoded; names of files that are no UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _as_list(word: str) -> str:
    """Return `3-10` as `[3,10]`, also behind an option's name.

    >>> [_as_list(word) for word in ("3-10", "--ways=3-10", "0.8-1.2", "5")]
    ['[3,10]', '--ways=[3,10]', '[0.8,1.2]', '5']
    """
    return re.sub(r"(^|=)(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$", r"\1[\2,\3]", word)


def _choices(hint: Any) -> list[str]:
    """Return the words among a type's values."""
    if typing.get_origin(hint) is typing.Literal:
        return [str(value) for value in typing.get_args(hint)]
    return [word for one in typing.get_args(hint) for word in _choices(one)]


def _nearest(word: str, known: Sequence[str]) -> str:
    """Return a question that offers the nearest words; empty if none is near."""
    found = difflib.get_close_matches(word, known, n=3)
    return f" Did you mean: {', '.join(found)}?" if found else ""


class _Dumper(yaml.SafeDumper):
    """Writes YAML for readers of both dialects: a text that version 1.2 takes for a number, such as `1e5`, is quoted."""


def _quoted(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    """Return a text as a node, in quotes if it could be read as a number."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if re.match(r"[-+.]?\d", value) else None)


_Dumper.add_representer(str, _quoted)


def plain_yaml(values: dict[str, Any]) -> str:
    """Return options as YAML; tuples are written as lists."""
    return yaml.dump(_plain(values), Dumper=_Dumper, sort_keys=False)


def _plain(value: Any) -> Any:
    """Return a value with lists in place of its tuples."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
