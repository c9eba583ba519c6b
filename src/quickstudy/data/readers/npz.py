"""Examples and labels in an .npz file, as numpy.savez writes them."""

from __future__ import annotations

import pathlib
import zipfile
import zlib

import numpy as np

from quickstudy.data.arrays import from_arrays
from quickstudy.data.readers import Found, Wanted
from quickstudy.data.tree import printable
from quickstudy.errors import DataError
from quickstudy.inputs import kinds

EXPECTED = ".npz"
LABEL_KEYS = ("labels", "y")
CLASS_KEY = "classes"


def recognises(path: pathlib.Path) -> bool:
    """Return whether a path ends in .npz."""
    return path.suffix.lower() == ".npz"


def kind(path: pathlib.Path) -> str | None:
    """Return the kind of input whose noun is the name of an array; None if the examples are called `x`."""
    with zipfile.ZipFile(path) as file:
        arrays = {name.lower().removesuffix(".npy") for name in file.namelist()}
    return next((name for name, found in kinds().items() if found.nouns in arrays), None)


def read(path: pathlib.Path, wanted: Wanted) -> Found:
    """Return the classes of an .npz file."""
    examples, labels, classes = read_npz(path)
    named = kind(path)
    spec, how = wanted.of_array(examples) if named is None else wanted.of_kind(kinds()[named], examples)
    return Found(from_arrays(examples, labels, classes=classes, spec=spec, how=how, name=printable(path.name)))


def read_npz(file: str | pathlib.Path) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """Return the arrays of an .npz file. Pickles are refused.

    Returns:
        Examples (array `images`, `rows`, `sounds`, `texts` or `x`) `[example, ...]`, labels (`labels` or `y`) `[example]`, and names of
        the classes (`classes`) or None.
    """
    try:
        with pathlib.Path(file).open("rb") as stream:
            arrays = np.load(stream, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise DataError(f"{str(file)!r} is a single array; expected examples and labels, as numpy.savez writes them.")
            lower = {key.lower(): key for key in arrays.files}
            examples = arrays[_key(lower, (*(kind.nouns for kind in kinds().values() if not kind.tabular), "x"), file)]
            labels = arrays[_key(lower, LABEL_KEYS, file)]
            classes = [str(name) for name in arrays[lower[CLASS_KEY]]] if CLASS_KEY in lower else None
    except DataError:
        raise
    except PermissionError as error:
        raise DataError(f"{str(file)!r} may not be read ({error.strerror}); change its permissions.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        hint = "save plain arrays of numbers and strings" if "pickle" in str(error) else "it may be cut short: copy it again"
        raise DataError(f"{str(file)!r} cannot be read as .npz ({error}); {hint}.") from error
    return examples, labels, classes


def _key(lower: dict[str, str], wanted: tuple[str, ...], file: str | pathlib.Path) -> str:
    """Return the first of the wanted names that the file has, as it spells it."""
    for key in wanted:
        if key in lower:
            return lower[key]
    expected = f"{', '.join(wanted[:-1])} or {wanted[-1]}"
    raise DataError(f"{str(file)!r} has no array {expected}; it has {', '.join(sorted(lower.values())) or 'none'}.")
