"""Thirty varied cases that the real pipeline answers: what hospitals send, bent in every way.

Every study is a simulated case, or a real ultrasound file of the pydicom wheel; every report is
what `crdl assess` would write for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.sr.codedict import codes
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from deploy.demo.studies import real_studies, segmentation
from models.simulation.case import simulate_case
from models.simulation.dicom_us import clip, grey_image
from node.case import CaseResult, Reading
from node.config import Settings, load_settings
from node.jobs.stages import AssessmentRequest
from node.pipeline.assess import Pipeline
from node.service.offline import pair_files, read_instances
from node.service.reporting import make_report
from tests.acceptance.studies import a_study

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
Files = Sequence[Path]
# Enough to give the clip's case a clip: every fifth has one.
_WITH_CLIP = 0


@dataclass(frozen=True)
class VariedCase:
    """One way to send a case.

    Attributes:
        study: Writes the files into a folder.
        settings: Sections of node.toml.
        read: What a radiologist read, if anybody did.
        abstains: The pipeline is made to give no class; a bundle that was trained before
            abstention cannot.
    """

    study: Callable[[Path], Files]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    read: Mapping[str, float | str] = field(default_factory=dict)
    abstains: bool = False


@dataclass(frozen=True)
class AnsweredCase:
    """What the pipeline said and wrote: files by kind of object."""

    results: tuple[CaseResult, ...]
    objects: Mapping[str, Path]


def answer(name: str, folder: Path) -> AnsweredCase:
    """Send a case through the pipeline; write the report's objects into the folder."""
    varied = CASES[name]
    settings = load_settings(**varied.settings)
    instances = read_instances(varied.study(folder / "in"))
    cases = pair_files(instances, settings)
    if varied.read:
        reading = Reading("2.25.4711", "Reader^Renée", "2026-01-02T11:00:00", varied.read)
        cases = tuple(replace(case, reading=reading) for case in cases)
    request = AssessmentRequest("2.25.0", cases[0].seg_uid, 1, cases, instances, None, NOON)
    pipeline = _pipeline(settings)
    results = tuple(pipeline.assess(cases, instances))
    if varied.abstains:
        results = tuple(_without_class(result) for result in results)
    written = {}
    for thing in make_report(request, results, pipeline, settings.report):
        written[thing.kind] = folder / f"{thing.kind}.dcm"
        written[thing.kind].write_bytes(thing.data)
    return AnsweredCase(results, written)


def _without_class(result: CaseResult) -> CaseResult:
    return replace(
        result,
        finding=replace(result.finding, malignancy=None),
        evidence=replace(result.evidence, abstention="No single class holds at 2 % wrong classes."),
    )


_LOADED: dict[str, Pipeline] = {}


def _pipeline(settings: Settings) -> Pipeline:
    key = settings.model.model_dump_json()
    if key not in _LOADED:
        _LOADED[key] = Pipeline.load(settings.model)
    return _LOADED[key]


def _simulated(index: int, *, colour: bool = True, **header: Any) -> Callable[[Path], Files]:
    return lambda folder: a_study(folder, index, colour=colour, **header).files


def _real(number: int) -> Callable[[Path], Files]:
    return lambda folder: list(real_studies(folder))[number].files


def _bent(index: int, bend: Callable[[Dataset], None]) -> Callable[[Path], Files]:
    """Change the grey image of a study without Doppler."""

    def study(folder: Path) -> Files:
        files = a_study(folder, index, colour=False).files
        image = dcmread(files[0])
        bend(image)
        image.save_as(files[0], enforce_file_format=True)
        return files

    return study


def _compressed(syntax: str) -> Callable[[Dataset], None]:
    def bend(image: Dataset) -> None:
        if image.file_meta.TransferSyntaxUID.is_compressed:
            image.decompress(generate_instance_uid=False)
        image.compress(syntax, generate_instance_uid=False)

    return bend


def _palette(image: Dataset) -> None:
    """Show a grey picture through a palette, as older machines do."""
    if image.file_meta.TransferSyntaxUID.is_compressed:
        image.decompress(generate_instance_uid=False)
    pixels = image.pixel_array
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "PALETTE COLOR"
    if "PlanarConfiguration" in image:
        del image.PlanarConfiguration
    ramp = (np.arange(256, dtype="<u2") * 257).tobytes()
    for colour in ("Red", "Green", "Blue"):
        table = f"{colour}PaletteColorLookupTable"
        image.add_new(tag_for_keyword(f"{table}Descriptor"), "US", [256, 0, 16])
        image.add_new(tag_for_keyword(f"{table}Data"), "OW", ramp)
    image.PixelData = np.ascontiguousarray(grey).tobytes()


def _without_scale(image: Dataset) -> None:
    del image.SequenceOfUltrasoundRegions


def _without_person(image: Dataset) -> None:
    image.PatientBirthDate = image.PatientSex = ""
    if "PatientAge" in image:
        del image.PatientAge


def _other_patient(image: Dataset) -> None:
    image.PatientID = "SOMEBODY-ELSE"


@cache
def _lesion(index: int) -> tuple[Dataset, NDArray[np.bool_]]:
    case = simulate_case(index, seed=4242)
    return grey_image(case), case.mask


def _clip_study(folder: Path) -> Files:
    """A clip, outlined on its third frame."""
    case = simulate_case(_WITH_CLIP, seed=4242)
    image = clip(case)
    rows, columns = np.nonzero(case.mask)
    half = max(4, int(np.ptp(rows)) // 2), max(4, int(np.ptp(columns)) // 2)
    seg = segmentation(deepcopy(image), int(rows.mean()), int(columns.mean()), *half, 3)
    return _written(folder, image, seg)


def _several(number: int, *, one_pixel: bool = False) -> Callable[[Path], Files]:
    """Several segments on one image: the lesion and its halves, the last perhaps one pixel."""

    def study(folder: Path) -> Files:
        image, mask = _lesion(2)
        middle = int(np.nonzero(mask)[1].mean())
        left, right = mask.copy(), mask.copy()
        left[:, middle:] = False
        right[:, :middle] = False
        masks = [mask, left, right][:number]
        if one_pixel:
            masks[-1] = np.zeros_like(mask)
            masks[-1][np.nonzero(mask)[0][0], np.nonzero(mask)[1][0]] = True
        return _written(folder, image, _segments(image, masks))

    return study


def _segments(image: Dataset, masks: Sequence[NDArray[np.bool_]]) -> Dataset:
    return hd.seg.Segmentation(
        source_images=[image],
        pixel_array=np.stack(masks, axis=-1)[None].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=f"Mass {number}",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Mass,
                algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
                tracking_uid=hd.UID(),
                tracking_id=f"Lesion {number}",
            )
            for number in range(1, len(masks) + 1)
        ],
        series_instance_uid=hd.UID(),
        series_number=100,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="Test",
        manufacturer_model_name="Masks",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=False,
    )


def _written(folder: Path, image: Dataset, seg: Dataset) -> Files:
    folder.mkdir(parents=True, exist_ok=True)
    image.save_as(folder / "image.dcm", enforce_file_format=True)
    seg.save_as(folder / "seg.dcm", enforce_file_format=True)
    return [folder / "image.dcm", folder / "seg.dcm"]


_UTF8 = "ISO_IR 192"
CASES: Mapping[str, VariedCase] = {
    "still-1": VariedCase(_simulated(1)),
    "still-2": VariedCase(_simulated(2)),
    "still-3": VariedCase(_simulated(3)),
    "still-4": VariedCase(_simulated(4)),
    "clip": VariedCase(_clip_study),
    "three-lesions": VariedCase(_several(3)),
    "two-lesions-one-refused": VariedCase(_several(2, one_pixel=True)),
    "rle": VariedCase(_bent(1, _compressed(RLELossless))),
    "jpeg2000": VariedCase(_bent(2, _compressed(JPEG2000Lossless))),
    "jpeg-ls": VariedCase(_bent(3, _compressed(JPEGLSLossless))),
    "palette": VariedCase(_bent(1, _palette)),
    "fallback-without-doppler": VariedCase(_simulated(1, colour=False)),
    "fallback-without-age-and-sex": VariedCase(_bent(2, _without_person)),
    "refused-one-pixel": VariedCase(_several(1, one_pixel=True)),
    "refused-no-calibration": VariedCase(_bent(3, _without_scale)),
    "refused-other-patient": VariedCase(_bent(1, _other_patient)),
    "abstained": VariedCase(_simulated(2), abstains=True),
    "prevalence": VariedCase(_simulated(1), {"model": {"prevalence": 0.05}}),
    "name-latin-1": VariedCase(
        _simulated(1, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg")
    ),
    "name-japanese": VariedCase(
        _simulated(
            1,
            SpecificCharacterSet=["", "ISO 2022 IR 87"],
            PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう",
        )
    ),
    "name-chinese": VariedCase(
        _simulated(2, SpecificCharacterSet="GB18030", PatientName="Wang^XiaoDong=王^小东=")
    ),
    "name-greek": VariedCase(
        _simulated(3, SpecificCharacterSet=_UTF8, PatientName="Ελληνικά^Όνομα")
    ),
    "reading": VariedCase(
        _simulated(1),
        read={"maximum_diameter": 31.5, "morphology": "irregular", "boundary": "unclear"},
    ),
    "reading-instead-of-doppler": VariedCase(
        _simulated(2, colour=False), read={"flow_grade": "2-3", "internal_echo": "uneven"}
    ),
    "comprehensive": VariedCase(
        _simulated(1), {"report": {"sop_class": "comprehensive", "title": "imaging"}}
    ),
    "german": VariedCase(_simulated(2), {"report": {"language": "de"}}),
    "chinese": VariedCase(_simulated(3), {"report": {"language": "zh"}}),
    "real-palette": VariedCase(_real(0)),
    "real-jpeg-clip": VariedCase(_real(1)),
    "real-rgb": VariedCase(_real(2)),
    "real-jpeg2000": VariedCase(_real(3)),
}
