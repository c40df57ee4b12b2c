"""One file de-identified and looked at again: what still names somebody is not given out."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from models.errors import ModelsError
from node.deidentify.dataset import (
    Method,
    deidentify,
    elements,
    found_in,
    identifiers,
    is_a_word_of_the_standard,
)
from node.deidentify.pixels import blank_outside
from node.errors import InputError

_SEGMENTATION: Final = "SEG"


class IdentifierLeftError(InputError):
    """A de-identified file still holds what it must not."""


def deidentified(path: Path, method: Method) -> tuple[bytes, Dataset]:
    """Return a file without identifiers, and its data set.

    Args:
        path: A US image or a SEG.
        method: How.

    Raises:
        InputError: If it cannot be de-identified, or an identifier is left in it.
    """
    dataset = dcmread(path)
    forbidden = identifiers(dataset)
    try:
        if dataset.get("Modality") != _SEGMENTATION:
            blank_outside(dataset)
        deidentify(dataset, method)
    except ModelsError as error:
        raise InputError(f"its pixels cannot be cleaned: {error}") from error
    dataset.file_meta = _meta(dataset)
    dataset.preamble = bytes(128)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    data = buffer.getvalue()
    _require_clean(data, forbidden)
    return data, dataset


def _meta(dataset: Dataset) -> FileMetaDataset:
    """Nothing of the source's file meta information stays but the transfer syntax."""
    meta = FileMetaDataset()
    syntax = dataset.file_meta.TransferSyntaxUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if not syntax.is_compressed else syntax
    return meta


def _require_clean(data: bytes, forbidden: frozenset[str]) -> None:
    """Read the file back and look for every identifier, in each value and then in each byte.

    Raises:
        IdentifierLeftError: With the attribute, not with the identifier.
    """
    written = dcmread(BytesIO(data))
    for element in elements(written):
        if is_a_word_of_the_standard(element):
            continue
        text = str(element.value).lower()
        if any(found_in(text, one) for one in forbidden):
            raise IdentifierLeftError(f"an identifier is left in {element.tag} {element.keyword}")
    pixels = written.get("PixelData") or b""
    rest = data.replace(pixels, b"") if pixels else data
    for one in forbidden:
        if len(one) >= _LONG and one.encode() in rest.lower():
            raise IdentifierLeftError("an identifier is left between the attributes")


_LONG: Final = 6  # shorter ones stand in bytes by chance
