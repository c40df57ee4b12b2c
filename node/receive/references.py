"""Every instance that an instance refers to, wherever in the data set it says so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from node.errors import IntakeError
from node.receive import attributes as read

MAXIMUM_DEPTH: Final = 32
MAXIMUM_REFERENCES: Final = 10_000

# These refer to a patient, a study or a procedure step, not to a composite instance.
_OTHER_ENTITIES = {0x00081110, 0x00081111, 0x00081120}


def references(dataset: Dataset) -> tuple[str, ...]:
    """Return each Referenced SOP Instance UID (0008,1155) once, in the order of the data set.

    Raises:
        IntakeError: If sequences nest deeper than `MAXIMUM_DEPTH` or refer to more than
            `MAXIMUM_REFERENCES` instances.
    """
    found: dict[str, None] = {}
    for uid in _walk(dataset, 0):
        found[uid] = None
        if len(found) > MAXIMUM_REFERENCES:
            raise IntakeError(f"the data set refers to more than {MAXIMUM_REFERENCES} instances")
    return tuple(found)


def _walk(dataset: Dataset, depth: int) -> Iterator[str]:
    if depth > MAXIMUM_DEPTH:
        raise IntakeError(f"sequences are nested more than {MAXIMUM_DEPTH} deep")
    if uid := read.uid(dataset, "ReferencedSOPInstanceUID"):
        yield uid
    for tag in sorted(dataset.keys()):
        if _is_sequence(tag) and int(tag) not in _OTHER_ENTITIES:
            for item in read.items_of(dataset, tag):
                yield from _walk(item, depth + 1)


@lru_cache(maxsize=4096)
def _is_sequence(tag: BaseTag) -> bool:
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"
