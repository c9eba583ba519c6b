"""Labelled images from anywhere: known sets by name; your own folder, zip, npz or idx file by path. No torch here."""

from quickstudy.data.arrays import from_arrays
from quickstudy.data.dataset import DataWarning, ImageDataset
from quickstudy.data.image import ImageSpec, load_image
from quickstudy.data.loading import OwnData, load
from quickstudy.data.splits import SplitOptions

__all__ = ["DataWarning", "ImageDataset", "ImageSpec", "OwnData", "SplitOptions", "from_arrays", "load", "load_image"]
