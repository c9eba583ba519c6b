"""Labelled images from anywhere: known sets by name; your own folder, zip, npz or idx file by path. No torch here."""

from quickstudy.data.dataset import DataWarning, ImageDataset
from quickstudy.data.loading import OwnData, load
from quickstudy.data.readers.npz import from_arrays
from quickstudy.data.splits import SplitOptions
from quickstudy.inputs.image import ImageSpec, load_image

__all__ = ["DataWarning", "ImageDataset", "ImageSpec", "OwnData", "SplitOptions", "from_arrays", "load", "load_image"]
