"""A written content tree as plain pydicom items: walking it and reading codes and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from sr_templates.codes import Code


def children(item: Dataset) -> list[Dataset]:
    """Return the items directly below one."""
    return list(item.get("ContentSequence", ()))


def walk(item: Dataset) -> Iterator[Dataset]:
    """Yield every item below one, in the order of the tree."""
    for child in children(item):
        yield child
        yield from walk(child)


def named(items: Iterable[Dataset], concept: Code) -> list[Dataset]:
    """Return the items of that concept name."""
    wanted = (concept.scheme, concept.value)
    return [
        item
        for item in items
        if "ConceptNameCodeSequence" in item and value_of(item.ConceptNameCodeSequence[0]) == wanted
    ]


def value_of(item: Mapping[str, object] | Dataset) -> tuple[object, object]:
    """Return designator and value of a code item (PS3.3 section 8.8)."""
    value = item.get("CodeValue") or item.get("LongCodeValue")
    return item.get("CodingSchemeDesignator"), value


def coded_values(items: Iterable[Dataset], concept: Code) -> list[tuple[object, object]]:
    """Return the codes that CODE items of that concept say."""
    return [value_of(item.ConceptCodeSequence[0]) for item in named(items, concept)]


def texts(items: Iterable[Dataset], concept: Code) -> list[str]:
    """Return what TEXT items of that concept say."""
    return [str(item.TextValue) for item in named(items, concept)]


def points(item: Dataset) -> NDArray[np.float64]:
    """Return the (column, row) points of an SCOORD, (points, 2)."""
    return np.asarray(item.GraphicData, dtype=np.float64).reshape(-1, 2)
