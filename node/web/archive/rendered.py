"""A frame as a picture for a person: the codes' colours, or grey levels over their range."""

from __future__ import annotations

import numpy as np
from PIL import Image
from pydicom import Dataset

from models.imaging.read import read_frame


def picture(dataset: Dataset, frame_number: int, longest: int | None = None) -> Image.Image:
    """Draw a frame.

    Args:
        dataset: An image with its pixels.
        frame_number: 1-based.
        longest: Pixels of the longer side at most; None keeps the size.

    Raises:
        ModelsError: The frame cannot be decoded.
    """
    pixels = read_frame(dataset, frame_number).eight_bit()
    page = Image.fromarray(np.ascontiguousarray(pixels))
    if longest is not None:
        page.thumbnail((longest, longest))
    return page
