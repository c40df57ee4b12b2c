"""Many lesions at once, on all cores or on a cluster."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.extract import DEFAULT, extract
from models.features.radiomics.refusals import RadiomicsRefusal
from models.features.radiomics.settings import RadiomicsSettings
from models.parallel import in_parallel

Item = tuple[NDArray[np.generic], NDArray[np.bool_], tuple[float, float]]
"""Image, mask and spacing (row_mm, column_mm), as `extract` takes them."""

Outcome = dict[str, float] | RadiomicsRefusal
"""The features of a lesion, or why it has none."""

T = TypeVar("T")


def _same(outcomes: Iterable[T]) -> Iterable[T]:
    return outcomes


def _measure(item: Item, settings: RadiomicsSettings) -> Outcome:
    try:
        return extract(*item, settings)
    except RadiomicsRefusal as refusal:
        return refusal


def extract_many(
    items: Iterable[Item],
    settings: RadiomicsSettings = DEFAULT,
    jobs: int = -1,
    progress: Callable[[Iterable[Outcome]], Iterable[Outcome]] = _same,
    *,
    backend: str = "threading",
) -> list[Outcome]:
    """Measure every lesion; one that cannot be measured does not stop the others.

    Args:
        items: the lesions; read as they are needed.
        settings: the same for all.
        jobs: lesions at a time, -1 for one on each core.
        progress: wraps the stream of outcomes, for instance a progress bar's iterator.
        backend: where, as `models.parallel` takes it. The kernels leave the GIL, so threads
            serve on one machine.

    Returns:
        Features or refusal of each lesion, in the order of the items.

    Raises:
        BackendError: if the backend cannot be had.
    """
    measure = partial(_measure, settings=settings)
    return list(progress(in_parallel(measure, items, jobs=jobs, backend=backend)))
