"""Why an image or a mask cannot become a lesion: one named refusal per reason.

Every class carries the `code` of its refusal; the message of an instance says what was met,
`remedy` says what a person can do about it. `str(error)` gives both on one line.
"""

from __future__ import annotations

from typing import ClassVar

from models.errors import ModelsError


def one_line(error: BaseException) -> str:
    """Return what a library says of an error, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


class ImagingError(ModelsError):
    """An image or a mask cannot be used.

    Attributes:
        code: The refusal's code, kebab-case.
        remedy: What to do about it, one sentence.
    """

    code: ClassVar[str] = "imaging"
    remedy: ClassVar[str] = ""

    def __init__(self, detail: str) -> None:
        super().__init__(f"{detail}. {self.remedy}")
        self.detail = detail


class UndecodablePixelsError(ImagingError):
    """No decoder could turn the pixel data into the image that the header describes."""

    code = "undecodable-pixels"
    remedy = "Export the image again, best uncompressed (Explicit VR Little Endian)"


class VideoNotSupportedError(ImagingError):
    """The pixel data is an MPEG or HEVC stream: no still frame was segmented."""

    code = "video"
    remedy = "Draw the mask on a still image or on an image-by-image multi-frame clip"


class FrameNumberError(ImagingError):
    """The instance holds no frame of that number (frames are numbered from 1)."""

    code = "frame-not-found"
    remedy = "Make the segmentation refer to a frame that the image holds"


class PixelBudgetError(ImagingError):
    """Decoding would need more memory than one image may take."""

    code = "image-too-large"
    remedy = "Send a smaller image or raise the pixel budget"


class MalformedSegmentationError(ImagingError):
    """The instance is no segmentation, or its frames cannot be told apart."""

    code = "malformed-segmentation"
    remedy = "Write the mask as a DICOM Segmentation or Label Map Segmentation"


class MaskOutsideImageError(ImagingError):
    """The mask's raster is not the image's raster, so it does not lie on this image."""

    code = "mask-outside-image"
    remedy = "Draw the mask on the image that the segmentation refers to"


class EmptyMaskError(ImagingError):
    """The segment holds no pixel."""

    code = "empty-mask"
    remedy = "Outline the lesion and send the segmentation again"


class MaskTooSmallError(ImagingError):
    """The segment is a single pixel, or becomes one at the model's spacing: no texture in it."""

    code = "one-pixel-mask"
    remedy = "Outline the whole lesion and send the segmentation again"


class NoCalibrationError(ImagingError):
    """No ultrasound region and no pixel spacing gives the image a size in millimetres."""

    code = "no-calibration"
    remedy = "Export the image with its ultrasound region calibration"


class StaleCalibrationError(ImagingError):
    """The ultrasound regions describe another raster: the image was rescaled after calibration."""

    code = "stale-calibration"
    remedy = "Export the image at its original size"


class MaskOutsideRegionError(ImagingError):
    """Calibrated regions exist, but no single one of them holds the whole mask."""

    code = "mask-outside-region"
    remedy = "Keep the outline inside one image area"
