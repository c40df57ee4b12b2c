"""From a cohort on disk to measured lesions: in parallel, and resumable."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from models.backbone.runner import DeepRunner
from models.errors import ModelsError
from models.features.clinical import CLINICAL_NAMES, ClinicalInput, clinical_vector
from models.features.deep import feature_names
from models.features.extract import FeatureSettings, View, extract_features
from models.features.radiomics import names_of
from models.features.semantic import SemanticMeasurements, SemanticThresholds, classify
from models.fusion.table import FeatureTable
from models.imaging.geometry import pixel_geometry
from models.imaging.masks import SegmentMask, largest_frame, read_masks
from models.imaging.read import read_frame
from models.parallel import in_parallel
from models.study.cohort import CohortCase, CohortError

Progress = Callable[[int, int], None]
_FORMAT = "crdl-features-1"


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredCase:
    """One lesion of a cohort with everything that is measured before any threshold.

    Attributes:
        case: Its row.
        radiomics: (features,) float64 in the order of the settings' feature set.
        deep: (512,) float32, or (0,) without a backbone.
        measurements: What the semantic features rest on.
        clinical: Age and sex.
        simulated: The image says that it is no patient's.
    """

    case: CohortCase
    radiomics: NDArray[np.float64]
    deep: NDArray[np.float32]
    measurements: SemanticMeasurements
    clinical: ClinicalInput
    simulated: bool


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A case that could not be measured, and why."""

    id: str
    reason: str


def measure_cohort(
    cases: Sequence[CohortCase],
    settings: FeatureSettings,
    backbone: Path | None,
    *,
    cache_folder: Path | None = None,
    jobs: int = 1,
    backend: str | None = None,
    progress: Progress | None = None,
) -> tuple[tuple[MeasuredCase, ...], tuple[Exclusion, ...]]:
    """Measure every lesion; one that cannot be measured does not stop the others.

    Args:
        cases: Rows of the cohort.
        settings: How features are measured; thresholds play no part yet.
        backbone: Weights, pinned by `settings.backbone_sha256`; None leaves deep features out.
        cache_folder: Where measured cases are kept between runs, by the hash of files and
            settings; None keeps none.
        jobs: Cases at a time, 0 for one a core.
        backend: Where they are measured, as `models.parallel` takes it: processes of this
            machine unless it says otherwise.
        progress: Called with cases done and cases in all.

    Returns:
        The measured cases in the order of the rows, and those left out.

    Raises:
        BackendError: The backend cannot be had.
    """
    if cache_folder is not None:
        cache_folder.mkdir(parents=True, exist_ok=True)
    measure = partial(
        _measure_or_refuse, settings=settings, backbone=backbone, cache_folder=cache_folder
    )
    done: list[MeasuredCase | Exclusion] = []
    for outcome in in_parallel(measure, cases, jobs=jobs or -1, backend=backend):
        done.append(outcome)
        if progress is not None:
            progress(len(done), len(cases))
    return (
        tuple(outcome for outcome in done if isinstance(outcome, MeasuredCase)),
        tuple(outcome for outcome in done if isinstance(outcome, Exclusion)),
    )


def feature_table(
    measured: Iterable[MeasuredCase], settings: FeatureSettings, thresholds: SemanticThresholds
) -> FeatureTable:
    """Code measured cases as a table: clinical, radiomics, deep.

    Args:
        measured: The cases.
        settings: That they were measured with.
        thresholds: Where their semantic measurements become classes.
    """
    rows = tuple(measured)
    deep = feature_names(len(rows[0].deep))
    names = (*CLINICAL_NAMES, *names_of(settings.radiomics.feature_set), *deep)
    values = np.array([_values(row, thresholds) for row in rows], dtype=np.float64)
    return FeatureTable(
        ids=tuple(row.case.id for row in rows),
        patients=tuple(row.case.patient for row in rows),
        labels=np.array([row.case.label for row in rows], dtype=np.int64),
        names=names,
        values=values.reshape(len(rows), len(names)),
    )


def _values(row: MeasuredCase, thresholds: SemanticThresholds) -> list[float]:
    clinical = clinical_vector(row.clinical, classify(row.measurements, thresholds))
    known = [np.nan if value is None else value for value in clinical.values()]
    return [*known, *row.radiomics.tolist(), *row.deep.tolist()]


def _measure_or_refuse(
    case: CohortCase, settings: FeatureSettings, backbone: Path | None, cache_folder: Path | None
) -> MeasuredCase | Exclusion:
    try:
        key = _key(case, settings)
        kept = None if cache_folder is None else cache_folder / f"{key}.npz"
        if kept is not None and kept.is_file():
            return _from_bytes(case, kept.read_bytes())
        measured = measure_case(case, settings, backbone)
    except (ModelsError, InvalidDicomError, OSError) as error:
        return Exclusion(case.id, str(error))
    if kept is not None:
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_bytes(_to_bytes(measured))
        partial.rename(kept)
    return measured


def measure_case(
    case: CohortCase, settings: FeatureSettings, backbone: Path | None
) -> MeasuredCase:
    """Measure one lesion, as the served node does.

    Raises:
        ModelsError: It cannot be measured.
        InvalidDicomError: A file is no DICOM.
        OSError: A file is not there.
    """
    grey, masks = dcmread(case.grey), read_masks(dcmread(case.seg))
    view = _view(grey, masks)
    if view is None:
        raise CohortError(f"case {case.id!r}: the segmentation was drawn on another image")
    colour = None if case.colour is None else dcmread(case.colour)
    clinical = _clinical(case, grey)
    extraction = extract_features(
        view,
        clinical,
        settings,
        None if backbone is None else _runner(backbone, settings.backbone_sha256),
        doppler=None if colour is None else _view(colour, masks),
    )
    return MeasuredCase(
        case=case,
        radiomics=np.array(list(extraction.features.radiomics.values()), dtype=np.float64),
        deep=extraction.features.deep,
        measurements=extraction.measurements,
        clinical=clinical,
        simulated="SIMULATED" in str(grey.get("ImageComments", "")),
    )


def _view(image: Dataset, masks: Sequence[SegmentMask]) -> View | None:
    """The lesion on one image; None where no mask refers to it."""
    own = [mask for mask in masks if mask.source and mask.source[0] == image.SOPInstanceUID]
    if not own:
        return None
    best = largest_frame(own, own[0].segment_number)
    frame = read_frame(image, best.source[1] if best.source else 1)
    return View(frame, best.mask, pixel_geometry(image, best.mask))


def _clinical(case: CohortCase, grey: Dataset) -> ClinicalInput:
    header = ClinicalInput.from_dataset(grey)
    table = ClinicalInput.from_header(
        patient_age=f"{int(float(case.age)):03d}Y" if case.age else "", patient_sex=case.sex
    )
    age = table.age_years if header.age_years is None else header.age_years
    return replace(header, age_years=age, sex=table.sex if header.sex == "unknown" else header.sex)


@cache
def _runner(backbone: Path, sha256: str) -> DeepRunner:
    """One warm backbone a process."""
    return DeepRunner.from_file(backbone, device="cpu", threads=1, sha256=sha256)


def _key(case: CohortCase, settings: FeatureSettings) -> str:
    """Hash of all that a measurement rests on: files, settings, age and sex of the table."""
    timeless = replace(settings, semantic=SemanticThresholds())
    digest = hashlib.sha256(f"{_FORMAT} {timeless.sha256} {case.age} {case.sex}".encode())
    for path in (case.grey, case.seg, case.colour):
        digest.update(b"-" if path is None else hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _to_bytes(measured: MeasuredCase) -> bytes:
    text = {
        "measurements": measured.measurements.to_dict(),
        "age_years": measured.clinical.age_years,
        "sex": measured.clinical.sex,
        "simulated": measured.simulated,
    }
    buffer = io.BytesIO()
    np.savez(
        buffer,
        radiomics=measured.radiomics,
        deep=measured.deep,
        text=np.frombuffer(json.dumps(text).encode(), dtype=np.uint8),
    )
    return buffer.getvalue()


def _from_bytes(case: CohortCase, content: bytes) -> MeasuredCase:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        text = json.loads(archive["text"].tobytes())
        measurements = text["measurements"]
        measurements["diameter_ends"] = tuple(tuple(end) for end in measurements["diameter_ends"])
        return MeasuredCase(
            case=case,
            radiomics=archive["radiomics"],
            deep=archive["deep"],
            measurements=SemanticMeasurements(**measurements),
            clinical=ClinicalInput(text["age_years"], text["sex"]),
            simulated=text["simulated"],
        )
