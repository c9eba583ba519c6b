"""Every error of the tree has an exit code and a status, carries data, and is equal after JSON and after pickle."""

from __future__ import annotations

import inspect
import json
import pickle
import re

import pytest

from quickstudy import errors
from quickstudy.errors import ConfigError, QuickstudyError

TREE = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, QuickstudyError)]
DATA = {"subject": "ways", "expected": "2 or more", "remedy": "Raise ways."}


@pytest.mark.parametrize("error", TREE)
def test_every_error_has_an_exit_code_and_a_status(error: type[QuickstudyError]) -> None:
    assert error.exit_code in (1, 2)
    assert (error.exit_code == 2) == (400 <= error.http_status < 500)
    assert (error.exit_code == 2) == issubclass(error, errors.UserError)
    assert error.__doc__


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"(\w+Error) +(\d) +(\d{3})", errors.__doc__ or "")
    assert drawn == [(error.__name__, str(error.exit_code), str(error.http_status)) for error in sorted(TREE[1:], key=_place)]


def _place(error: type[QuickstudyError]) -> int:
    return (errors.__doc__ or "").index(f" {error.__name__} ")


@pytest.mark.parametrize(
    ("name", "status"), [("NotFoundError", 404), ("ConflictError", 409), ("TooLargeError", 413), ("BusyError", 503)]
)
def test_a_service_finds_the_status_it_answers_with(name: str, status: int) -> None:
    assert getattr(errors, name).http_status == status


@pytest.mark.parametrize("error", TREE)
def test_an_error_as_plain_values(error: type[QuickstudyError]) -> None:
    raised = error("ways is 0; expected 2 or more.", **DATA)
    expected = {"type": error.__name__, "message": "ways is 0; expected 2 or more.", "status": error.http_status, **DATA}
    assert json.loads(json.dumps(raised.to_dict())) == expected
    again = pickle.loads(pickle.dumps(raised))
    assert type(again) is error
    assert again.to_dict() == expected


@pytest.mark.parametrize("error", TREE)
def test_data_is_optional_and_given_by_name(error: type[QuickstudyError]) -> None:
    assert set(error("words").to_dict()) == {"type", "message", "status"}
    with pytest.raises(TypeError):
        error("words", "subject")  # type: ignore[misc]


def test_errors_of_names_and_values_carry_data() -> None:
    unknown = errors.unknown_name("net", "conv5", ["conv4", "mlp"])
    assert (unknown.subject, unknown.remedy) == ("conv5", "Did you mean: conv4?")
    assert str(unknown) == "unknown net 'conv5'. Did you mean: conv4? Known: conv4, mlp."
    with pytest.raises(ConfigError) as raised:
        errors.check_at_least("steps", 0, 1)
    assert (raised.value.subject, raised.value.expected) == ("steps", "1 or more")
    for check, expected in ((errors.check_at_least, "0 or more"), (errors.check_above, "more than 0")):
        with pytest.raises(ConfigError, match=f"scale is inf; expected a finite number, {expected}"):
            check("scale", float("inf"), 0)
        with pytest.raises(ConfigError, match=f"scale is nan; expected {expected}"):
            check("scale", float("nan"), 0)
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match=r"decay is .*; expected a number from 0 to 1") as raised:
            errors.check_between("decay", value, 0, 1)
        assert (raised.value.subject, raised.value.expected) == ("decay", "a number from 0 to 1")
