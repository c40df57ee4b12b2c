"""Burned-in text: everything outside the ultrasound regions is blanked, calipers inside stay.

Names, dates and settings stand in the margins of a screen; PS3.3 section C.8.5.5 says where the
ultrasound is. What lies inside a region (calipers, body marks, a typed note) is left: it cannot be
told from the image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from models.imaging.boxes import region_box, whole
from models.imaging.read import number_of_frames, read_frame
from node.errors import InputError

_TWO_DIMENSIONAL = 1  # Region Spatial Format: 2D, tissue or flow


class BurnedInError(InputError):
    """An image may show text, and nothing says where its ultrasound is."""


def regions_mask(dataset: Dataset) -> NDArray[np.bool_] | None:
    """Return (rows, columns), true where a two-dimensional region lies; None without any."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    mask = np.zeros((rows, columns), dtype=bool)
    found = False
    for region in dataset.get("SequenceOfUltrasoundRegions") or []:
        if region.get("RegionSpatialFormat") != _TWO_DIMENSIONAL:
            continue
        box = region_box(region).clipped(whole((rows, columns)))
        mask[box.slices] = True
        found = True
    return mask if found else None


def blank_outside(dataset: Dataset) -> None:
    """Decode the frames, blank them outside the regions, and write them uncompressed, in place.

    The grey or RGB values inside are those that training and serving read: nothing else of the
    stored stream is left, no comment and no marker of a codec.

    Raises:
        BurnedInError: If there is no region, and the header does not say that nothing is burned in.
        ImagingError: If a frame cannot be decoded.
    """
    mask = regions_mask(dataset)
    if mask is None and dataset.get("BurnedInAnnotation") != "NO":
        raise BurnedInError("it has no ultrasound region, and may show a name: left out")
    frames = []
    bits = 8
    for number in range(1, number_of_frames(dataset) + 1):
        frame = read_frame(dataset, number)
        bits = frame.bits
        pixels = np.array(frame.pixels)
        if mask is not None:
            pixels[~mask] = 0
        frames.append(pixels)
    _store(dataset, np.stack(frames), bits)
    dataset.BurnedInAnnotation = "NO"


def _store(dataset: Dataset, frames: NDArray[np.generic], bits: int) -> None:
    """Write frames (n, rows, columns) grey or (n, rows, columns, 3) RGB (PS3.3 section C.7.6.3)."""
    colour = frames.ndim == 4
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    for keyword in ("PlanarConfiguration", "PixelAspectRatio"):
        if keyword in dataset and keyword == "PlanarConfiguration":
            del dataset[keyword]
    if colour:
        dataset.PlanarConfiguration = 0
    wide = bits > 8
    dataset.BitsAllocated = 16 if wide else 8
    dataset.BitsStored = bits if wide else 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    for keyword in _PALETTE:
        if keyword in dataset:
            del dataset[keyword]
    data = frames.astype("<u2" if wide else "u1").tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW" if wide else "OB"
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


_PALETTE = tuple(
    f"{colour}PaletteColorLookupTable{what}"
    for colour in ("Red", "Green", "Blue")
    for what in ("Descriptor", "Data")
)
