"""MoleculeSpec: a molecule, written as SMILES, as the bits of its circular fingerprint; needs rdkit."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import annotated_types
import numpy as np

from quickstudy.errors import ConfigError, DataError
from quickstudy.inputs._layout import InputSpec, Shown, TensorLayout, check_several, listed

UNLIKE = 3.0
"""Ratio of mean numbers of bits beyond which molecules are called far larger or smaller than those of training."""


class MoleculeSpec(InputSpec, frozen=True):
    """The molecule that a network expects: which substructures around its atoms it has, as bits.

    Rogers and Hahn 2010, "Extended-Connectivity Fingerprints" (ECFP): every bit stands for the surroundings of an atom up to a radius, by
    their hash; so a bit may stand for several of them. Two molecules are alike in what their SMILES mean, not in how these are written.
    Only molecules that one assay was made of can be compared, so tasks are drawn from one group of classes.

    Args:
        bits: length of the fingerprint.
        radius: bonds from an atom to the rim of its surroundings.

    >>> spec = MoleculeSpec(bits=64)
    >>> ethanol, again = (spec.read(smiles)["molecule"] for smiles in ("CCO", "OCC"))
    >>> bool((ethanol == again).all()), int(ethanol.sum())
    (True, 6)
    """

    nouns: ClassVar[str] = "molecules"
    column: ClassVar[str] = "smiles"
    words: ClassVar[Mapping[str, str]] = {
        "bits": "length of the fingerprints of your own molecules",
        "radius": "bonds from an atom to the rim of what a bit of the fingerprint stands for",
    }

    kind: Literal["molecule"] = "molecule"
    bits: Annotated[int, annotated_types.Interval(ge=8, le=2**16)] = 1024
    radius: Annotated[int, annotated_types.Interval(ge=0, le=8)] = 2

    def __init__(self, bits: int = 1024, radius: int = 2, **fields: Any) -> None:
        super().__init__(bits=bits, radius=radius, **fields)

    def __str__(self) -> str:
        return f"molecules as {self.bits} bits of their fingerprints, up to {self.radius} bonds around each atom"

    @property
    def by_group(self) -> bool:
        """Return whether only molecules of one group can be compared: an assay's classes mean nothing beside another's."""
        return True

    @classmethod
    def named(cls, words: Sequence[str]) -> list[Any]:
        """Return the molecules that words of a command line name: the words themselves, as SMILES."""
        return list(words)

    @classmethod
    def takes(cls, array: np.ndarray) -> bool:
        """Return that no array looks like molecules, as SMILES look like any text; whoever has some names their column."""
        return False

    @classmethod
    def own(  # pyright: ignore[reportIncompatibleMethodOverride]  # the wishes of this kind, by name
        cls, array: np.ndarray | None = None, *, bits: int | None = None, radius: int | None = None
    ) -> Self:
        """Return the spec for molecules of a user's own.

        Args:
            array: the SMILES, if they are an array.
            bits: length of the fingerprint; None: 1024.
            radius: bonds around an atom; None: 2.

        Raises:
            DataError: the array holds no texts, or a number is impossible.
        """
        if array is not None and not (array.ndim == 1 and array.dtype.kind in "OU"):
            raise DataError(f"molecules are {array.dtype} of shape {tuple(array.shape)}; expected a list of SMILES.")
        return cls(**{name: value for name, value in {"bits": bits, "radius": radius}.items() if value is not None})

    def how(self, *, bits: int | None = None, radius: int | None = None) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return no options of `read`, as molecules have none.

        Raises:
            DataError: other numbers than this spec's.
        """
        for name, value in {"bits": bits, "radius": radius}.items():
            if value not in (None, getattr(self, name)):
                raise DataError(f"{name} {value} was given, but this learner takes {self}; leave it out.")
        return {}

    def as_read(self) -> dict[str, Any]:
        """Return what another spec must know of stored fingerprints, which do not tell it themselves."""
        return {"radius": self.radius}

    def layout(self) -> dict[str, TensorLayout]:
        """Return the layout of the one part, `molecule`: bits, which enter the network as 0 and 1."""
        return {"molecule": TensorLayout(axes=(self.bits,), order=(0,), dtype="uint8")}

    def read(self, thing: str | np.ndarray, **how: Any) -> dict[str, np.ndarray]:
        """Return one stored fingerprint, uint8 `[bits]`; one that is stored already as it is.

        Raises:
            DataError: it is no molecule.
            ConfigError: rdkit is not installed.
        """
        things = thing[None] if isinstance(thing, np.ndarray) and thing.ndim == 1 else [thing]
        return {name: rows[0] for name, rows in self.read_all(things, **how).items()}

    def read_all(self, things: Any, **how: Any) -> dict[str, np.ndarray]:
        """Return stored fingerprints, uint8 `[example, bits]`.

        Args:
            things: a list, array or column of SMILES; or fingerprints as they are stored.
            how: `radius`, which stored fingerprints have; molecules have no other options.

        Raises:
            DataError: there is no molecule, or SMILES cannot be understood: the first of them, and how many.
            ConfigError: rdkit is not installed.
        """
        others = [name for name in how if name != "radius"]
        if others:
            raise DataError(f"{', '.join(others)} was given, but molecules have no such option; leave it out.")
        if how.get("radius", self.radius) != self.radius:
            raise DataError(
                f"the fingerprints have the radius {how['radius']}, but {self} are expected; give the molecules as SMILES, so that they "
                "are read anew."
            )
        check_several(things, (str, bytes, bytearray, pathlib.Path), "molecule")
        if isinstance(things, np.ndarray) and things.dtype == np.uint8 and things.ndim == 2:
            return {"molecule": self._checked(things)}
        smiles = listed(things, "molecules")
        found = [self.fingerprint(one) for one in smiles]
        wrong = [place for place, bits in enumerate(found) if bits is None]
        if wrong:
            first = smiles[wrong[0]]
            raise DataError(
                f"molecule {wrong[0]} is {str(first)[:80]!r}, which rdkit cannot read as SMILES ({len(wrong)} of {len(smiles)} cannot be "
                "read); correct them, or leave them out."
            )
        return {"molecule": np.stack([bits for bits in found if bits is not None])}

    def fingerprint(self, smiles: Any) -> np.ndarray | None:
        """Return the bits of one molecule, uint8 `[bits]`; None if it is none.

        Raises:
            ConfigError: rdkit is not installed.
        """
        if not isinstance(smiles, str) or not smiles.strip():
            return None
        chemistry, logs, generator = _tools(self.bits, self.radius)
        with logs():  # what is wrong is said by us
            molecule = chemistry.MolFromSmiles(smiles.strip())
        if molecule is None or not molecule.GetNumAtoms():
            return None
        return generator.GetFingerprintAsNumPy(molecule).astype(np.uint8)

    def statistics(self, stored: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the mean number of bits of a molecule, which grows with its size."""
        return {"bits_of_each": float(stored["molecule"].sum(1).mean())}

    def unlike(self, statistics: Mapping[str, float], stored: Mapping[str, np.ndarray], **how: Any) -> str | None:
        """Return a warning if the molecules are far larger or smaller than those of training."""
        here, there = self.statistics(stored)["bits_of_each"], statistics["bits_of_each"]
        if max(here, there) <= UNLIKE * max(min(here, there), 1.0):
            return None
        return (
            f"the molecules have {here:.0f} bits on average, but those that the learner was trained on had {there:.0f}; give molecules of "
            "that size."
        )

    def shown(self, stored: Mapping[str, np.ndarray]) -> Shown:
        """Return the places of the bits of one stored fingerprint, as text: the molecule itself is not stored."""
        places = ", ".join(map(str, np.flatnonzero(stored["molecule"]).tolist()))
        return Shown("text/plain", f"fingerprint with the bits {places}".encode())

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        """Return stored fingerprints, if they are of this length."""
        if rows.shape[1] != self.bits:
            raise DataError(f"fingerprints have {rows.shape[1]} bits; expected {self.bits}.")
        return rows


@functools.lru_cache(maxsize=8)
def _tools(bits: int, radius: int) -> tuple[Any, Any, Any]:
    """Return rdkit's module that reads SMILES, what keeps it from printing, and what makes fingerprints.

    Raises:
        ConfigError: rdkit is not installed.
    """
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import rdFingerprintGenerator
    except ImportError:
        raise ConfigError("molecules are read by rdkit, which is not installed: pip install 'quickstudy[molecules]'.") from None
    return Chem, rdBase.BlockLogs, rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
