"""The simulated cohort that the backbone is pretrained on: crops and targets, no DICOM.

It has a seed of its own. A backbone that had seen the study's lesions would carry their labels
into its features, and every cross-validated figure with it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from models.backbone.pretrain import Samples
from models.features.deep import DeepSettings, prepare_crop
from models.imaging.boxes import Box
from models.imaging.geometry import PixelGeometry
from models.imaging.preparation import ImagingSettings, prepare_lesion
from models.imaging.read import Frame
from models.simulation import simulate_case

Progress = Callable[[int, int], None]
Sample = tuple[NDArray[np.float32], dict[str, float]]


def simulated_samples(
    cases: int,
    seed: int,
    imaging: ImagingSettings,
    deep: DeepSettings,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Samples:
    """Simulate lesions as the backbone sees them, with the first reader's contour and reads.

    Args:
        cases: How many, at most 9999.
        seed: Of the pretraining cohort; never that of a study.
        imaging: How lesions are prepared.
        deep: How crops are made.
        jobs: Processes.
        progress: Called with cases done and cases in all.
    """
    calls = (delayed(_sample)(index, seed, imaging, deep) for index in range(cases))
    crops: list[NDArray[np.float32]] = []
    targets: list[dict[str, float]] = []
    for crop, target in Parallel(n_jobs=jobs, return_as="generator")(calls):
        crops.append(crop)
        targets.append(target)
        if progress is not None:
            progress(len(crops), cases)
    return Samples(
        crops=np.stack(crops),
        targets={name: np.array([target[name] for target in targets]) for name in targets[0]},
        source=f"{cases} simulated cases of site 1, seed {seed}",
    )


def _sample(index: int, seed: int, imaging: ImagingSettings, deep: DeepSettings) -> Sample:
    case = simulate_case(index, seed)
    region = case.grey_region
    geometry = PixelGeometry(
        spacing=(case.spacing_mm, case.spacing_mm),
        box=Box(region.top, region.left, region.bottom, region.right),
        source="ultrasound region",
    )
    reading = case.readings[0]
    lesion = prepare_lesion(Frame(case.grey), reading.mask, geometry, imaging)
    read = reading.semantics
    targets = {
        "label": float(case.label),
        "diameter_mm": read.diameter_mm,
        "morphology": float(read.irregular),
        "boundary": float(read.unclear),
        "echo": float(read.uneven),
        "adler": float(read.adler),
    }
    return prepare_crop(lesion.image, lesion.mask, deep)[0, 0], targets
