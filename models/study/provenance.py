"""What a bundle was trained from, as hashes: the cohort's table, every DICOM file, the weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydicom import dcmread

from models.bundles.seen import TrainingImages
from models.study.cohort import AGAIN, TABLE, CohortCase


def input_hashes(
    cohort: Path, cases: Sequence[CohortCase], backbone: Path | None, settings_sha256: str
) -> dict[str, Any]:
    """Return the SHA-256 of every input.

    Args:
        cohort: Folder of the cohort.
        cases: Whose files are counted: all rows of the table.
        backbone: Weights, or None.
        settings_sha256: Of the feature settings.

    Returns:
        `table`, `dicom` (of the sorted hashes of all distinct files, one a line), `dicom_files`
        (their count), `backbone` ("" without one) and `feature_settings`.
    """
    files = sorted({path for case in cases for path in _files(case) if path.is_file()})
    return {
        "table": _sha256(cohort / TABLE),
        "dicom": _of_all(files),
        "dicom_files": len(files),
        "backbone": "" if backbone is None else _sha256(backbone),
        "feature_settings": settings_sha256,
    }


def again_hashes(cohort: Path, cases: Sequence[CohortCase]) -> dict[str, str]:
    """Return the SHA-256 of what the first reader outlined again; {} where nothing was."""
    files = sorted(
        {c.again_seg for c in cases if c.again_seg is not None and c.again_seg.is_file()}
    )
    if not files:
        return {}
    return {"again_table": _sha256(cohort / AGAIN), "again_dicom": _of_all(files)}


def _of_all(files: Sequence[Path]) -> str:
    hashes = sorted(map(_sha256, files))
    return hashlib.sha256("".join(f"{one}\n" for one in hashes).encode()).hexdigest()


def image_uids(cases: Iterable[CohortCase]) -> tuple[str, ...]:
    """Return the SOP Instance UIDs of the images that the cases were assessed on."""
    return tuple(
        str(
            dcmread(case.grey, stop_before_pixels=True, specific_tags=["SOPInstanceUID"])[
                "SOPInstanceUID"
            ].value
        )
        for case in cases
    )


def training_images(cases: Iterable[CohortCase]) -> TrainingImages:
    """Return what recognises the images of the training cases."""
    return TrainingImages.of(image_uids(cases))


def _files(case: CohortCase) -> tuple[Path, ...]:
    return tuple(p for p in (case.grey, case.colour, case.seg, case.second_seg) if p is not None)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
