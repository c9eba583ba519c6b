"""Labelled examples from anywhere: known sets by name; your own folder, zip, npz or idx file by path. No torch here."""

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import Dataset, DataWarning
from quickstudy.data.loading import load
from quickstudy.data.splits import SplitOptions

__all__ = ["DataWarning", "Dataset", "SplitOptions", "from_arrays", "load"]
