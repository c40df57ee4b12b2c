"""A small ultrasound study with a SEG and constructed findings, for the tests of the report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage, UltrasoundImageStorage
from pydicom.uid import UltrasoundMultiFrameImageStorage as MultiFrame

from node.case import (
    BundleIdentity,
    Case,
    CaseResult,
    Evidence,
    Finding,
    FrameReference,
    Reading,
    Refusal,
    SemanticFinding,
)
from node.config import ReportSettings
from node.report import PriorAssessment, ReportedBundle, ReportRequest

ROWS, COLUMNS = 300, 400
STUDY = "2.25.1001"
SHA256 = "5e" * 32
SENTENCE = "The segment holds one pixel. Draw the whole lesion and send the segmentation again."


def a_uid(kind: str) -> str:
    """Give a UID that hangs on the object kind alone."""
    return f"2.25.{int.from_bytes(kind.encode(), 'big')}"[:64]


def an_ellipse(
    column: float = 200, row: float = 150
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Give a mask of half axes 80 and 50 pixels and its closed outline."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    mask = ((columns - column) / 80) ** 2 + ((rows - row) / 50) ** 2 < 1
    angle = np.linspace(0, 2 * np.pi, 49)
    outline = np.c_[column + 80 * np.cos(angle), row + 50 * np.sin(angle)]
    outline[-1] = outline[0]
    return mask, outline


def a_picture() -> NDArray[np.uint8]:
    """Give a speckled frame with a dark lesion, (rows, columns, 3)."""
    rng = np.random.default_rng(0)
    grey = np.clip(90 + rng.gamma(2.0, 18.0, (ROWS, COLUMNS)), 0, 255)
    grey[an_ellipse()[0]] *= 0.45
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def an_image(frames: int = 0, study: str = STUDY, instance: str = "2.25.2001") -> Dataset:
    """Give an ultrasound image; `frames` above 0 makes it a clip."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = MultiFrame if frames else UltrasoundImageStorage
    dataset.SOPInstanceUID = instance
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, "2.25.1002"
    dataset.PatientName, dataset.PatientID = "Müller^Jörg", "ST-0001"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19700203", "M", "055Y"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20250910", "101500", "1"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "A1", ""
    dataset.StudyDescription = "US soft tissue thigh"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "US", 1, 1
    dataset.Manufacturer = "Synthetic"
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.BurnedInAnnotation = "NO"
    picture = a_picture()
    if frames:
        dataset.NumberOfFrames = frames
    dataset.PixelData = picture.tobytes() * max(1, frames)
    return dataset


def a_seg(image: Dataset, segments: int = 1) -> Dataset:
    """Give the header of a SEG of the image's patient and study; the report reads no mask."""
    seg = Dataset()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex"):
        setattr(seg, keyword, image.get(keyword, ""))
    for keyword in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        setattr(seg, keyword, image.get(keyword, ""))
    seg.SpecificCharacterSet = image.SpecificCharacterSet
    seg.SOPClassUID, seg.SOPInstanceUID = SegmentationStorage, "2.25.2002"
    seg.StudyInstanceUID, seg.SeriesInstanceUID = image.StudyInstanceUID, "2.25.1003"
    seg.SegmentSequence = [Dataset() for _ in range(segments)]
    for number, segment in enumerate(seg.SegmentSequence, start=1):
        segment.SegmentNumber, segment.SegmentLabel = number, f"Mass {number}"
    return seg


SEMANTIC = {
    "maximum_diameter": SemanticFinding(32.04, "mm", "measured", 0.97),
    "flow_grade": SemanticFinding("2-3", "", "measured", 0.71),
    "morphology": SemanticFinding("irregular", "", "read"),
    "boundary": SemanticFinding("unclear", "", "measured", 0.83),
    "internal_echo": SemanticFinding("uneven", "", "measured", 0.64),
}


def a_finding(case: str, **changes: object) -> Finding:
    """Give an assessed finding, malignant at 83.1 %."""
    finding = Finding(
        case=case,
        status="assessed",
        probability=0.8310429,
        malignancy="malignant",
        threshold=0.42,
        model="CRDL",
        fallback_reason="",
        refusal=None,
        semantic=SEMANTIC,
        features_sha256="ab" * 32,
        bundle=BundleIdentity("simulated", "1.0.0", SHA256),
        device="cpu",
    )
    return replace(finding, **changes)


def a_refusal(case: str, code: str = "mask-too-small") -> Finding:
    """Give a finding that says "not assessed"."""
    return a_finding(
        case,
        status="refused",
        probability=None,
        malignancy=None,
        threshold=None,
        model=None,
        refusal=Refusal(code, SENTENCE),
        semantic={},
    )


def a_result(image: Dataset, number: int = 1, *, refused: bool = False) -> CaseResult:
    """Give what the pipeline says about one segment of the SEG."""
    name = f"2.25.2002#{number}"
    frame = FrameReference(image.SOPInstanceUID, 3 if "NumberOfFrames" in image else 1)
    case = Case(
        name=name,
        seg_uid="2.25.2002",
        segment_number=number,
        label=f"Mass {number}",
        tracking_uid=f"2.25.300{number}",
        tracking_id=f"Soft tissue lesion {number}",
        sources=(frame,),
    )
    _, outline = an_ellipse([200, 120, 280][number - 1])
    evidence = Evidence(
        frame=frame,
        seg_frame_number=number,
        outline=np.empty((0, 2)) if refused else outline,
        diameter=None if refused else np.array([outline[0], outline[24]]),
        picture=a_picture(),
        sensitivity=None if refused else 0.856,
        specificity=None if refused else 0.812,
        influences=() if refused else (("clinical_size", 0.41), ("wavelet-LLH_glcm_Idn", -0.27)),
    )
    finding = a_refusal(name) if refused else a_finding(name)
    return CaseResult(case, finding, evidence)


def a_read_result(image: Dataset, number: int = 1) -> CaseResult:
    """Give a result whose morphology a named person read."""
    result = a_result(image, number)
    reading = Reading("2.25.9", "Leserin^Anna", "2025-09-09T10:00:00", {"morphology": "irregular"})
    return replace(result, case=replace(result.case, reading=reading))


ABSTAINED = (
    "Both classes are possible at a tolerated error of 10 %; the score is too close to call."
)


def an_abstention(image: Dataset, number: int = 1) -> CaseResult:
    """Give a result with a probability and no class."""
    result = a_result(image, number)
    return replace(
        result,
        finding=replace(result.finding, malignancy=None),
        evidence=replace(result.evidence, abstention=ABSTAINED),
    )


def a_prior(**changes: object) -> PriorAssessment:
    """Give an earlier assessment of lesion 1 by the same bundle."""
    prior = PriorAssessment(
        date(2025, 1, 2), 0.34, 21.0, "2.25.771", "simulated", "1.0.0", "2.25.3001"
    )
    return replace(prior, **changes)


def a_request(
    image: Dataset | None = None,
    results: tuple[CaseResult, ...] | None = None,
    **changes: object,
) -> ReportRequest:
    """Give a request for one lesion on a still, answered by a simulated bundle."""
    shown = an_image() if image is None else image
    said = (a_result(shown),) if results is None else results
    request = ReportRequest(
        findings=said,
        seg=a_seg(shown, len(said)),
        images={shown.SOPInstanceUID: shown},
        bundle=ReportedBundle(
            "simulated", "1.0.0", SHA256, "e5" * 32, True, "516 simulated cases, two vendors", 0.384
        ),
        uids=a_uid,
        when=datetime(2025, 9, 10, 12, 0, 0, tzinfo=UTC),
        settings=ReportSettings(),
        software_version="0.1.0",
    )
    return replace(request, **changes)
