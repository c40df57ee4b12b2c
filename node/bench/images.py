"""Ultrasound images as a sender holds them: encoded once, given a new identity for each send."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

ROWS: Final = 640
COLUMNS: Final = 800
_STUDY, _SERIES, _INSTANCE = (f"2.25.{digit * 20}" for digit in "123")
TRANSFER_SYNTAX: Final = str(ExplicitVRLittleEndian)
_SEED = 4242
_IMAGES_PER_STUDY = 20
_REGION = {
    "RegionSpatialFormat": 1,  # 2D, PS3.3 section C.8.5.5.1.1
    "RegionDataType": 1,  # tissue
    "RegionFlags": 0,
    "RegionLocationMinX0": 0,
    "RegionLocationMinY0": 0,
    "RegionLocationMaxX1": COLUMNS - 1,
    "RegionLocationMaxY1": ROWS - 1,
    "PhysicalUnitsXDirection": 3,  # cm
    "PhysicalUnitsYDirection": 3,
    "PhysicalDeltaX": 0.005,
    "PhysicalDeltaY": 0.005,
}


@dataclass(frozen=True)
class Encoded:
    """A data set as it goes over the network.

    Attributes:
        data_set: Its bytes in its transfer syntax.
        head_bytes: How many bytes from its start hold every UID.
    """

    sop_class_uid: str
    transfer_syntax_uid: str
    data_set: bytes
    head_bytes: int


@dataclass(frozen=True)
class Image:
    """An uncompressed grey ultrasound image or clip, 8 bits a pixel, Explicit VR Little Endian.

    Attributes:
        name: What it is called in tables.
        frames: 1 is a still of ROWS x COLUMNS bytes (0.51 MB); more are a clip.
    """

    name: str
    frames: int

    @property
    def sop_class_uid(self) -> str:
        """Ultrasound Image or Ultrasound Multi-frame Image Storage."""
        still = self.frames == 1
        return UltrasoundImageStorage if still else UltrasoundMultiFrameImageStorage

    @cached_property
    def encoded(self) -> Encoded:
        """The image as it is sent, with placeholders for its UIDs."""
        dataset = Dataset()
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
        dataset.SOPClassUID = self.sop_class_uid
        dataset.SOPInstanceUID = _INSTANCE
        dataset.StudyDate, dataset.StudyTime = "20240102", "101112"
        dataset.AccessionNumber = "BENCH"
        dataset.Modality = "US"
        dataset.Manufacturer = "Bench"
        dataset.ReferringPhysicianName = ""
        dataset.StudyDescription = "Soft tissue ultrasound"
        dataset.PatientName, dataset.PatientID = "Bench^Ingest", "BENCH-1"
        dataset.PatientBirthDate, dataset.PatientSex = "19600101", "O"
        region = Dataset()
        for keyword, value in _REGION.items():
            setattr(region, keyword, value)
        dataset.SequenceOfUltrasoundRegions = [region]
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = _STUDY, _SERIES
        dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns = ROWS, COLUMNS
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit, dataset.PixelRepresentation = 7, 0
        if self.frames > 1:
            dataset.NumberOfFrames, dataset.FrameTime = self.frames, "33"
            dataset.FrameIncrementPointer = 0x00181063
        frame = random.Random(_SEED).randbytes(ROWS * COLUMNS)  # noqa: S311 - pixels, no secret
        dataset.PixelData = frame * self.frames
        dataset["PixelData"].VR = "OB"
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = False, True
        write_dataset(buffer, dataset)
        data_set = buffer.getvalue()
        head = len(data_set) - self.frames * ROWS * COLUMNS
        return Encoded(self.sop_class_uid, TRANSFER_SYNTAX, data_set, head)


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs of one sent image, each as long as its placeholder."""

    study: str
    series: str
    instance: str

    @classmethod
    def of(cls, run: int, number: int) -> Identity:
        """Name image `number` of run `run`; so many images make a study."""
        study = number // _IMAGES_PER_STUDY
        return cls(
            f"2.25.1{run:09d}{study:010d}",
            f"2.25.2{run:09d}{study:010d}",
            f"2.25.3{run:09d}{number:010d}",
        )

    @property
    def renaming(self) -> dict[bytes, bytes]:
        """What takes the place of the placeholders."""
        named = ((_STUDY, self.study), (_SERIES, self.series), (_INSTANCE, self.instance))
        return {old.encode(): new.encode() for old, new in named}


#: 0.51 MB, a still as most machines store it.
STILL: Final = Image("0.5 MB still", 1)
#: 60.4 MB, four seconds of a clip.
CLIP: Final = Image("60 MB clip", 118)
