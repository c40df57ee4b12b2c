"""The features of one lesion, from files or from bare arrays: what `crdl features` runs."""

from __future__ import annotations

import dataclasses
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.features.radiomics import RadiomicsSettings
from models.features.radiomics import extract as extract_radiomics
from node.config import ModelSettings, load_settings
from node.errors import InputError

_SLICE_MM = 1.0


def features_of_arrays(path: Path, feature_set: str, engine: str) -> dict[str, Any]:
    """Measure `image` and `mask` (2D) of an npz file as they are, without resampling.

    `spacing` is in mm: one number for square pixels, (row, column) as DICOM's Pixel Spacing, or
    (x, y, z) as SimpleITK's, where z is 1.

    Raises:
        InputError: If the file does not hold these arrays.
        ModelsError: If the lesion cannot be measured.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            image, mask, spacing = data["image"], data["mask"], np.ravel(data["spacing"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} must hold image, mask and spacing: {error}") from error
    settings = RadiomicsSettings(feature_set=feature_set, engine=engine)  # type: ignore[arg-type]
    radiomics = extract_radiomics(image, mask.astype(bool), _in_plane(spacing), settings)
    return {"radiomics": _json_numbers(radiomics), "settings": {"radiomics": settings.to_dict()}}


def features_of_files(
    files: Sequence[Path], feature_set: str, engine: str, settings: ModelSettings
) -> dict[str, Any]:
    """Measure the lesion of an image and a SEG exactly as the served bundle does.

    Raises:
        InputError: If the files are not one lesion on an ultrasound image.
        ModelsError: If the lesion cannot be measured.
    """
    from node.pipeline.assess import Pipeline  # noqa: PLC0415 - torch on demand
    from node.service.offline import pair_files, read_instances  # noqa: PLC0415

    pipeline = Pipeline.load(settings)
    instances = read_instances(files)
    case = pair_files(instances, load_settings())[0]
    wanted = dataclasses.replace(
        pipeline.settings,
        radiomics=dataclasses.replace(
            pipeline.settings.radiomics,
            feature_set=feature_set,  # type: ignore[arg-type]
            engine=engine,  # type: ignore[arg-type]
        ),
    )
    extraction = pipeline.measure(case, instances, wanted)
    features = extraction.features
    return {
        "radiomics": _json_numbers(dict(features.radiomics)),
        "deep": [float(value) for value in features.deep],
        "semantic": {
            one.name: {
                "value": one.value,
                "unit": one.unit,
                "provenance": one.provenance,
                "confidence": one.confidence,
            }
            for one in features.semantic
        },
        "settings": wanted.to_dict() | {"sha256": wanted.sha256},
    }


def _in_plane(spacing: np.ndarray[Any, Any]) -> tuple[float, float]:
    match [float(value) for value in spacing]:
        case [both]:
            return both, both
        case [row, column]:
            return row, column
        case [x, y, z] if z == _SLICE_MM:
            return y, x
        case _:
            raise InputError("spacing is one number, (row, column), or (x, y, 1.0), in millimetres")


def _json_numbers(values: dict[str, float]) -> dict[str, float | None]:
    """JSON knows no NaN: a feature that is not defined becomes null."""
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
