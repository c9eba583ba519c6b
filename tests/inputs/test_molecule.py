"""Molecules: fingerprints are those of rdkit's other interface, of the molecule and not of its spelling; what is none is named."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from quickstudy.errors import ConfigError, DataError
from quickstudy.inputs import molecule
from quickstudy.inputs.molecule import MoleculeSpec

SMILES = ["CCO", "c1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "[Na+].[Cl-]"]
"""Ethanol, benzoic acid, caffeine and salt."""


@pytest.mark.parametrize("radius", [0, 2])
@pytest.mark.parametrize("smiles", SMILES)
def test_bits_are_those_of_rdkit(smiles: str, radius: int) -> None:
    spec = MoleculeSpec(bits=256, radius=radius)
    expected = rdMolDescriptors.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(smiles), radius, nBits=256)
    assert np.flatnonzero(spec.read(smiles)["molecule"]).tolist() == list(expected.GetOnBits())


@pytest.mark.parametrize("smiles", SMILES)
def test_another_spelling_is_the_same_molecule(smiles: str) -> None:
    spec = MoleculeSpec()
    spelled = Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 5, randomSeed=1)
    found = spec.read_all([smiles, *spelled])["molecule"]
    assert (found == found[0]).all()


@pytest.mark.parametrize("wrong", ["C(", "", "  ", None, 3.0, "my molecule"])
def test_what_is_no_molecule_is_named_and_counted(wrong: object) -> None:
    with pytest.raises(DataError, match=r"molecule 1 is .*cannot read as SMILES \(2 of 4 cannot be read\)"):
        MoleculeSpec().read_all(["CCO", wrong, "CC", "C(C"])


def test_rdkit_prints_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert MoleculeSpec().fingerprint("C(") is None
    assert capfd.readouterr() == ("", "")


def test_without_rdkit_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    molecule._tools.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'quickstudy\[molecules\]'"):
        MoleculeSpec().read("CCO")
    molecule._tools.cache_clear()


def test_other_numbers_than_the_learners_are_refused() -> None:
    with pytest.raises(DataError, match="bits 64 was given, but this learner takes molecules as 1024 bits"):
        MoleculeSpec().how(bits=64)
    with pytest.raises(DataError, match="fingerprints have 3 bits; expected 1024"):
        MoleculeSpec().read_all(np.zeros((2, 3), np.uint8))
    stored = MoleculeSpec(radius=3).read_all(SMILES)["molecule"]
    with pytest.raises(
        DataError, match=r"fingerprints have the radius 3, but .* up to 2 bonds .* give the molecules as SMILES"
    ):
        MoleculeSpec().read_all(stored, **MoleculeSpec(radius=3).as_read())
    assert MoleculeSpec.own(bits=64) == MoleculeSpec(64)


def test_far_larger_molecules_are_unlike() -> None:
    spec = MoleculeSpec()
    statistics = spec.statistics(spec.read_all(["CCO", "CC"]))
    assert spec.unlike(statistics, spec.read_all(["CCC", "CO"])) is None
    words = spec.unlike(statistics, spec.read_all(SMILES[1:3]))
    assert words is not None
    assert "give molecules of that size" in words
