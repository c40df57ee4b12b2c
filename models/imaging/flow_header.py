"""What the header says about colour flow, before any pixel is looked at."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset

from models.imaging.boxes import Box, region_box

_COLOUR_FLOW_REGION = 2
# Image Type value 4 is a bitmap in hexadecimal (PS3.3 section C.8.5.6.1.1):
# 0010 colour Doppler, 0100 colour power mode.
_COLOUR_MODES = 0x0010 | 0x0100


@dataclass(frozen=True, slots=True)
class FlowHeader:
    """Whether colour Doppler was on, and where.

    Attributes:
        declared: A colour-flow region or the Image Type says that colour Doppler was on; without
            it, only coloured pixels can.
        boxes: The colour-flow regions; empty where none is given.
    """

    declared: bool = False
    boxes: tuple[Box, ...] = ()


def flow_header(dataset: Dataset) -> FlowHeader:
    """Read the colour-flow facts of an ultrasound header.

    Args:
        dataset: Any image; a header without the elements gives `FlowHeader()`.

    Returns:
        The regions of Region Data Type 2 "Color Flow" (PS3.3 section C.8.5.5.1.2) and whether
        colour Doppler was on.
    """
    boxes = tuple(
        region_box(region)
        for region in dataset.get("SequenceOfUltrasoundRegions") or ()
        if region.get("RegionDataType") == _COLOUR_FLOW_REGION
    )
    return FlowHeader(bool(boxes) or _image_type_says_colour(dataset), boxes)


def _image_type_says_colour(dataset: Dataset) -> bool:
    image_type = dataset.get("ImageType")
    values = [image_type] if isinstance(image_type, str) else list(image_type or ())
    if len(values) < 4:
        return False
    try:
        return bool(int(str(values[3]), 16) & _COLOUR_MODES)
    except ValueError:
        return False
