"""Small ultrasound images, regions and segmentations that the imaging tests talk about."""

from __future__ import annotations

import io

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import compress
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless, generate_uid

US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
US_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
STUDY, SERIES, IMAGE = "1.2.826.0.1.1", "1.2.826.0.1.2", "1.2.826.0.1.3"


def a_gradient(rows: int = 64, columns: int = 96) -> NDArray[np.uint8]:
    """Return a grey image that no two shifts or swaps leave unchanged."""
    row, column = np.indices((rows, columns))
    return ((7 * row + 5 * column) % 256).astype(np.uint8)


def a_colour_gradient(rows: int = 64, columns: int = 96) -> NDArray[np.uint8]:
    """Return a smooth RGB image whose channels differ."""
    row, column = np.indices((rows, columns))
    channels = [40 + 5 * row, 40 + 4 * column, 200 - 3 * row]
    return np.stack(channels, axis=-1).astype(np.uint8)


def a_disc(shape: tuple[int, int], centre: tuple[float, float], radius: float) -> NDArray[np.bool_]:
    """Return a round mask."""
    row, column = np.indices(shape)
    return np.hypot(row - centre[0], column - centre[1]) <= radius


def an_ultrasound(pixels: NDArray[np.generic], *, frames: int = 0, **elements: object) -> Dataset:
    """Return an uncompressed ultrasound image; `frames` > 0 says that axis 0 counts frames."""
    pixels = np.ascontiguousarray(pixels)
    colour = pixels.ndim == (4 if frames else 3)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = US_MULTIFRAME if frames else US_IMAGE
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = IMAGE
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID = (
        IMAGE,
        SERIES,
        STUDY,
    )
    dataset.Modality = "US"
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = "P1", "Test^Case", ""
    dataset.PatientSex = ""
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20260102", "120000", ""
    dataset.StudyID, dataset.ReferringPhysicianName = "1", ""
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.Manufacturer = "TEST"
    if frames:
        dataset.NumberOfFrames = frames
    dataset.Rows, dataset.Columns = pixels.shape[1:3] if frames else pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    dataset.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def a_compressed_ultrasound(pixels: NDArray[np.uint8], syntax: str, **options: object) -> Dataset:
    """Return a still compressed by a pydicom encoder."""
    dataset = an_ultrasound(pixels)
    if syntax == RLELossless:
        # GDCM's RLE encoder aborts the process on some sizes.
        options["encoding_plugin"] = "pydicom"
    compress(dataset, syntax, generate_instance_uid=False, **options)
    return dataset


def a_baseline_jpeg(pixels: NDArray[np.uint8]) -> Dataset:
    """Return a colour still as JPEG baseline with 4:2:2 chroma, as many systems export it."""
    dataset = an_ultrasound(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling="4:2:2")
    return with_encoded_frame(dataset, buffer.getvalue(), JPEGBaseline8Bit, "YBR_FULL_422")


def with_encoded_frame(dataset: Dataset, frame: bytes, syntax: str, photometric: str) -> Dataset:
    """Replace the pixel data by one encoded frame."""
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PhotometricInterpretation = photometric
    return dataset


def a_region(
    box: tuple[int, int, int, int],
    *,
    delta: float | tuple[float, float] = 0.01,
    data_type: int = 1,
    **elements: object,
) -> Dataset:
    """Return a 2D region in cm; `box` is (x0, y0, x1, y1), `delta` cm a pixel or (x, y)."""
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, data_type, 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = box[0], box[1]
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box[2], box[3]
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    across, down = delta if isinstance(delta, tuple) else (delta, delta)
    region.PhysicalDeltaX, region.PhysicalDeltaY = across, down
    for keyword, value in elements.items():
        setattr(region, keyword, value)
    return region


def a_segmentation(
    image: Dataset,
    masks: NDArray[np.generic],
    kind: str = "BINARY",
    **options: object,
) -> Dataset:
    """Return highdicom's SEG of (frames, rows, columns[, segments]) masks on an image."""
    count = masks.shape[3] if masks.ndim == 4 else max(1, int(np.max(masks, initial=0)))
    if kind == "FRACTIONAL":
        count = 1
        options.setdefault("fractional_type", "PROBABILITY")
    description = [
        hd.seg.SegmentDescription(
            number,
            f"Lesion {number}",
            codes.SCT.MorphologicallyAbnormalStructure,
            codes.SCT.Mass,
            hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in range(1, count + 1)
    ]
    return hd.seg.Segmentation(
        [image],
        masks,
        kind,
        description,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="TEST",
        manufacturer_model_name="TEST",
        software_versions="1",
        device_serial_number="1",
        **options,
    )
