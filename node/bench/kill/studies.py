"""Small studies that a modality sends, as many as are wanted: a grey still and its SEG."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from models.simulation.case import simulate_case
from models.simulation.dicom_us import grey_image

_SEED = 4242


@dataclass(frozen=True, slots=True)
class Study:
    """The files of one study in the order in which they are sent, and the UIDs in them."""

    files: tuple[Path, ...]
    instances: frozenset[str]
    study_uid: str
    seg_uid: str


def studies(folder: Path, cases: int = 3) -> Iterator[Study]:
    """Yield studies without end, each written when it is asked for; simulated, with new UIDs.

    Args:
        folder: Gets a folder a study.
        cases: So many different lesions take turns.
    """
    folder.mkdir(parents=True, exist_ok=True)
    moulds = [_mould(index) for index in range(1, cases + 1)]
    for number in count():
        image, seg = (deepcopy(part) for part in moulds[number % cases])
        yield _written(folder / f"{number:05d}", image, seg)


def _mould(index: int) -> tuple[Dataset, Dataset]:
    case = simulate_case(index, seed=_SEED)
    image = grey_image(case)
    lesion = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Tumour",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Mass,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        tracking_uid=hd.UID(),
        tracking_id="Soft tissue tumour 1",
    )
    seg = hd.seg.Segmentation(
        source_images=[image],
        pixel_array=case.readings[0].mask[None].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[lesion],
        series_instance_uid=hd.UID(),
        series_number=100,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Bench",
        manufacturer_model_name="Simulated reading station",
        software_versions="1",
        device_serial_number="1",
    )
    return image, seg


def _written(folder: Path, image: Dataset, seg: Dataset) -> Study:
    tracking = seg.SegmentSequence[0].TrackingUID
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    old = {str(part[keyword].value) for part in (image, seg) for keyword in keywords}
    new = {uid: generate_uid() for uid in old | {str(tracking)}}
    folder.mkdir()
    files = []
    for name, part in (("image", image), ("seg", seg)):
        for element in part.iterall():
            if element.VR == "UI" and str(element.value) in new:
                element.value = new[str(element.value)]
        part.file_meta.MediaStorageSOPInstanceUID = part.SOPInstanceUID
        files.append(folder / f"{name}.dcm")
        part.save_as(files[-1], enforce_file_format=True)
    uids = frozenset(str(part.SOPInstanceUID) for part in (image, seg))
    return Study(tuple(files), uids, str(seg.StudyInstanceUID), str(seg.SOPInstanceUID))
