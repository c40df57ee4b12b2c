"""Reading single attributes from a data set that may hold anything."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import cache

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from node.case import Code
from node.errors import IntakeError

# What pydicom raises when a value does not fit its VR; the value then counts as absent.
_UNREADABLE = (
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    NotImplementedError,
    struct.error,
    BytesLengthException,
)
_UID = re.compile(r"[0-9.]{1,64}")  # PS3.5 section 9.1, without its rule on leading zeros
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")  # NUL has no place in a PostgreSQL text


def text(dataset: Dataset, keyword: str, length: int = 64) -> str:
    """Return a value as clean text, "" where it is absent or unreadable.

    Args:
        dataset: Where to look.
        keyword: The DICOM keyword; of several values the first counts.
        length: Characters to keep.
    """
    value = _value(dataset, keyword)
    if isinstance(value, MultiValue | list):
        value = value[0] if len(value) else None
    if value is None or isinstance(value, bytes):
        return ""
    return clean(str(value), length)


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values of a text attribute, clean; none where it is absent."""
    value = _value(dataset, keyword)
    values = value if isinstance(value, MultiValue | list) else [value]
    return tuple(clean(item, 64) for item in values if isinstance(item, str))


def clean(value: str, length: int) -> str:
    """Return text without control characters and lone surrogates, trimmed."""
    plain = value.encode("utf-8", "replace").decode("utf-8")
    return _CONTROL.sub(" ", plain).strip()[:length].strip()


def integer(dataset: Dataset, keyword: str, default: int = 0) -> int:
    """Return a whole number that is not negative, `default` where there is none."""
    numbers = integers(dataset, keyword)
    return numbers[0] if numbers else default


def integers(dataset: Dataset, keyword: str) -> tuple[int, ...]:
    """Return all values that are whole numbers and not negative."""
    value = _value(dataset, keyword)
    values = value if isinstance(value, MultiValue | list) else [value]
    found = []
    for item in values:
        try:
            number = int(str(item))
        except ValueError:
            continue
        if 0 <= number < 1 << 31:
            found.append(number)
    return tuple(found)


def uid(dataset: Dataset, keyword: str) -> str:
    """Return a UID, "" where it is absent or none.

    What looks like a path or a script is no UID, so it never gets past here.
    """
    value = text(dataset, keyword, 128)
    return value if is_uid(value) else ""


def is_uid(value: str) -> bool:
    """Say whether a text has only what UIDs have, and no more of it."""
    return _UID.fullmatch(value) is not None


def required_uid(dataset: Dataset, keyword: str) -> str:
    """Return a UID.

    Raises:
        IntakeError: If it is absent or no UID.
    """
    value = uid(dataset, keyword)
    if not value:
        raise IntakeError(f"{keyword} is missing or no UID")
    return value


def items(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    """Yield the items of a sequence, none where it is absent or no sequence."""
    yield from items_of(dataset, keyword)


def items_of(dataset: Dataset, key: str | BaseTag) -> Iterator[Dataset]:
    """Yield the items of a sequence that is named by its keyword or its tag."""
    value = _value(dataset, key)
    if isinstance(value, Sequence):
        yield from value


def code(dataset: Dataset, keyword: str) -> Code | None:
    """Return the first item of a code sequence (PS3.3 section 8.8), None where it holds none."""
    for item in items(dataset, keyword):
        value = text(item, "CodeValue") or text(item, "LongCodeValue")
        if value:
            return Code(value, text(item, "CodingSchemeDesignator", 16), text(item, "CodeMeaning"))
    return None


def _value(dataset: Dataset, key: str | BaseTag) -> object:
    tag = key if isinstance(key, BaseTag) else _tag(key)
    if tag not in dataset.keys():  # noqa: SIM118 - the data set's own `in` takes far longer
        return None
    try:
        return dataset[tag].value
    except _UNREADABLE:
        return None


@cache
def _tag(keyword: str) -> BaseTag:
    number = tag_for_keyword(keyword)
    assert number is not None, keyword  # noqa: S101 - the keywords are ours
    return Tag(number)
