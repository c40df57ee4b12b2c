"""The studies that the demonstration sends: simulated cases, and real ultrasound with a SEG."""

from __future__ import annotations

import copy
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes

from models.simulation.cohort import write_cohort

# Real ultrasound from the pydicom wheel, and an ellipse on it: (row, column, half height, half
# width, frame). The outlines are arbitrary tissue: they show the way, not a finding.
_REAL = {
    "examples_palette.dcm": (210, 400, 45, 70, 1),
    "examples_ybr_color.dcm": (140, 170, 25, 35, 12),
    "examples_rgb_color.dcm": (120, 150, 25, 35, 1),
    "examples_jpeg2k.dcm": (240, 300, 40, 60, 1),
}


@dataclass(frozen=True, slots=True)
class Study:
    """One study to send: images first, the SEG last."""

    title: str
    study_instance_uid: str
    patient: str
    truth: str
    files: tuple[Path, ...]


def simulated_studies(folder: Path, cases: int, seed: int) -> Iterator[Study]:
    """Simulate cases and yield the first reader's study of each."""
    table = write_cohort(cases, seed, folder)
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            files = [folder / row[column] for column in ("grey", "colour", "reader1_seg")]
            header = dcmread(files[0], stop_before_pixels=True)
            yield Study(
                title=f"simulated {row['id']}",
                study_instance_uid=header.StudyInstanceUID,
                patient=str(header.PatientName),
                truth="malignant" if row["label"] == "1" else "benign",
                files=tuple(files),
            )


def real_studies(folder: Path) -> Iterator[Study]:
    """Yield the pydicom wheel's ultrasound files, each with a SEG of our own."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, ellipse in _REAL.items():
        source = get_testdata_file(name, download=False)
        if source is None:
            continue
        image = dcmread(source)
        seg = segmentation(image, *ellipse)
        path = folder / name.replace(".dcm", "_seg.dcm")
        seg.save_as(path, enforce_file_format=True)
        yield Study(
            title=name,
            study_instance_uid=image.StudyInstanceUID,
            patient=str(image.get("PatientName", "")),
            truth="",
            files=(Path(str(source)), path),
        )


def segmentation(
    image: Dataset, row: int, column: int, half_height: int, half_width: int, frame: int
) -> Dataset:
    """Outline an ellipse on one frame of an image, as a binary SEG."""
    rows, columns = np.ogrid[: image.Rows, : image.Columns]
    mask = ((rows - row) / half_height) ** 2 + ((columns - column) / half_width) ** 2 < 1
    clip = int(image.get("NumberOfFrames", 1)) > 1
    seg = hd.seg.Segmentation(
        source_images=[_one_frame(image) if clip else _complete(image)],
        pixel_array=mask.astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=1,
                segment_label="Soft tissue mass",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Mass,
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
                tracking_uid=hd.UID(),
                tracking_id="Lesion 1",
            )
        ],
        series_instance_uid=hd.UID(),
        series_number=100,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Demonstration",
        manufacturer_model_name="Ellipse",
        software_versions="1",
        device_serial_number="1",
        series_description="Outline of the demonstration",
    )
    if clip:
        for group in seg.PerFrameFunctionalGroupsSequence:
            source = group.DerivationImageSequence[0].SourceImageSequence[0]
            source.ReferencedFrameNumber = frame
    return seg


def _complete(image: Dataset) -> Dataset:
    """Give an old image the type 2 attributes that highdicom copies."""
    complete = copy.copy(image)
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
    ):
        if keyword not in complete:
            setattr(complete, keyword, "")
    return complete


def _one_frame(image: Dataset) -> Dataset:
    """Show highdicom a clip as a still: it takes only multi-frame images with a geometry."""
    still = _complete(image)
    still.NumberOfFrames = 1
    measures = Dataset()
    measures.PixelSpacing = [1, 1]
    measures.SliceThickness = 1
    groups = Dataset()
    groups.PixelMeasuresSequence = [measures]
    still.SharedFunctionalGroupsSequence = [groups]
    return still
