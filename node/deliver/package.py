"""What is sent: one complete Part 10 file with the UIDs that find it again in an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

from node.errors import DeliveryError

_HEADER = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One object on its way out.

    Attributes:
        path: A complete Part 10 file (PS3.10 section 7.1); its bytes are sent as they are.

    Raises:
        ValueError: If one of the UIDs is empty or no UID (PS3.5 section 9.1).
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    path: Path

    def __post_init__(self) -> None:
        for name in self.__slots__[:4]:
            if not UID(getattr(self, name)).is_valid:
                raise ValueError(f"{name} is no UID: {getattr(self, name)!r}")


def read_outgoing(path: Path) -> Outgoing:
    """Describe a Part 10 file by its own header.

    Args:
        path: The file; pixel data are not read.

    Raises:
        DeliveryError: If it cannot be read, is no Part 10 file, or names no storage instance.
    """
    try:
        header = dcmread(path, stop_before_pixels=True, specific_tags=_HEADER)
    except InvalidDicomError as error:
        raise DeliveryError(f"{path} is no DICOM Part 10 file") from error
    except (OSError, EOFError) as error:
        raise DeliveryError(f"{path} cannot be read: {error}") from error
    try:
        sop_class, instance, study, series = (str(header.get(name, "")) for name in _HEADER)
        return Outgoing(sop_class, instance, study, series, path)
    except ValueError as error:
        raise DeliveryError(f"{path} is no storage instance: {error}") from error


def transfer_syntax_of(outgoing: Outgoing) -> UID:
    """Return the transfer syntax in which the file of an object is encoded.

    Raises:
        DeliveryError: If the file is gone, is no Part 10 file, or holds another object than it
            should: then nothing of it may be sent under this UID.
    """
    try:
        meta: Dataset = read_file_meta_info(outgoing.path)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise DeliveryError(f"{outgoing.path} cannot be read: {error}") from error
    found = (meta.get("MediaStorageSOPClassUID"), meta.get("MediaStorageSOPInstanceUID"))
    if found != (outgoing.sop_class_uid, outgoing.sop_instance_uid):
        raise DeliveryError(f"{outgoing.path} does not hold {outgoing.sop_instance_uid}")
    if not meta.get("TransferSyntaxUID"):
        raise DeliveryError(f"{outgoing.path} names no transfer syntax")
    return UID(meta.TransferSyntaxUID)
