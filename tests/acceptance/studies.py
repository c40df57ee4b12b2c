"""Studies that acceptance tests send: simulated ultrasound as real DICOM, bent as a test needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from models.simulation.case import SimulatedCase, simulate_case
from models.simulation.dicom_seg import reader_segmentation
from models.simulation.dicom_us import colour_image, grey_image


@dataclass(frozen=True)
class SentStudy:
    """The files of one study: images, then the SEG that refers to them."""

    images: tuple[Path, ...]
    seg: Path

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self.images, self.seg)

    @property
    def seg_uid(self) -> str:
        return str(dcmread(self.seg, stop_before_pixels=True).SOPInstanceUID)

    @property
    def study_uid(self) -> str:
        return str(dcmread(self.seg, stop_before_pixels=True).StudyInstanceUID)


@cache
def _case(index: int) -> SimulatedCase:
    return simulate_case(index, seed=4242)


def a_study(folder: Path, index: int = 1, *, colour: bool = True, **header: str) -> SentStudy:
    """Write a simulated case as a study of its own; header elements are set on every file."""
    folder.mkdir(parents=True, exist_ok=True)
    case = _case(index)
    grey, flow = grey_image(case), colour_image(case)
    seg = reader_segmentation(case, case.readings[0], grey, flow)
    if not colour:
        _drop_second_segment(seg)
    renamed = {old: generate_uid() for old in _uids((grey, flow, seg))}
    paths = []
    for name, dataset in (("grey", grey), ("colour", flow), ("seg", seg)):
        for keyword, value in header.items():
            setattr(dataset, keyword, value)
        _rename(dataset, renamed)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = folder / f"{name}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    images = paths[:2] if colour else paths[:1]
    return SentStudy(tuple(images), paths[2])


def _uids(datasets: tuple[Dataset, ...]) -> set[str]:
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return {str(dataset[keyword].value) for dataset in datasets for keyword in keywords}


def _rename(dataset: Dataset, renamed: dict[str, str]) -> None:
    """Give new UIDs, so that one simulated case can be sent as many studies."""
    for element in dataset.iterall():
        if element.VR == "UI" and str(element.value) in renamed:
            element.value = renamed[str(element.value)]


def _drop_second_segment(seg: Dataset) -> None:
    """Leave only the grey image's segment: the lesion then has no Doppler mask."""
    frame_bytes = int(seg.Rows) * int(seg.Columns) // 8
    assert int(seg.Rows) * int(seg.Columns) % 8 == 0
    seg.PixelData = seg.PixelData[:frame_bytes] + b"\0" * (frame_bytes % 2)
    seg.NumberOfFrames = 1
    for keyword in ("SegmentSequence", "PerFrameFunctionalGroupsSequence"):
        setattr(seg, keyword, [seg[keyword].value[0]])
    series = seg.ReferencedSeriesSequence[0]
    series.ReferencedInstanceSequence = [series.ReferencedInstanceSequence[0]]
    seg.SourceImageSequence = [seg.SourceImageSequence[0]]
