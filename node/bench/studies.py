"""A small ultrasound study with a segmented lesion, to be sent again and again as a new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from models.simulation.case import simulate_case
from models.simulation.dicom_seg import grey_segmentation
from models.simulation.dicom_us import grey_image
from node.bench.harness import HarnessError
from node.bench.images import Encoded
from node.bench.sender import LeanSender

_SEED = 4242
_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_DIGITS = 20


@dataclass(frozen=True)
class SentStudy:
    """What was sent, and the SEG that the report will rest on."""

    study_instance_uid: str
    seg_uid: str
    instances: tuple[str, ...]


@dataclass(frozen=True)
class StudyTemplate:
    """A grey still and a SEG with one segment on it.

    Attributes:
        objects: In the order in which they are sent, the SEG last.
        uids: Their Study, Series and SOP Instance UIDs, all of one length.
        lesion_pixels: The area of the lesion in pixels of the image.
    """

    objects: tuple[Encoded, ...]
    uids: tuple[str, ...]
    instances: tuple[str, ...]
    lesion_pixels: int

    @classmethod
    def of_case(cls, index: int) -> Self:
        """Make it from a simulated case."""
        case = simulate_case(index, _SEED)
        grey = grey_image(case)
        seg = grey_segmentation(case, case.readings[0], grey)
        found = dict.fromkeys(str(one[key].value) for one in (grey, seg) for key in _KEYWORDS)
        placeholders = {uid: f"2.25.4{number:0{_DIGITS}d}" for number, uid in enumerate(found)}
        objects = []
        for one in (grey, seg):
            _rename(one, placeholders)
            objects.append(_encoded(one))
        instances = tuple(str(one.SOPInstanceUID) for one in (grey, seg))
        pixels = int(case.readings[0].mask.sum())
        return cls(tuple(objects), tuple(placeholders.values()), instances, pixels)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """SOP class and transfer syntax of each object."""
        return [(one.sop_class_uid, one.transfer_syntax_uid) for one in self.objects]

    def send(self, sender: LeanSender, number: int) -> SentStudy:
        """Send it as study `number`.

        Raises:
            HarnessError: If an instance is not stored.
        """
        prefix = f"2.25.5{number:012d}"
        named = {uid: f"{prefix}{uid[len(prefix) :]}" for uid in self.uids}
        renaming = {old.encode(): new.encode() for old, new in named.items()}
        for one, instance in zip(self.objects, self.instances, strict=True):
            status = sender.send(one, named[instance], renaming)
            if status:
                raise HarnessError(f"an instance was not stored: status {status:04X}")
        study = named[self.uids[0]]
        sent = tuple(named[instance] for instance in self.instances)
        return SentStudy(study, sent[-1], sent)


def _rename(dataset: Dataset, renamed: dict[str, str]) -> None:
    for element in dataset.iterall():
        if element.VR == "UI" and str(element.value) in renamed:
            element.value = renamed[str(element.value)]


def _encoded(dataset: Dataset) -> Encoded:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, dataset)
    data_set = buffer.getvalue()
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    # The SEG's UIDs lie in its sequences too, but none in pixel data.
    return Encoded(str(dataset.SOPClassUID), syntax, data_set, _pixels_at(data_set))


def _pixels_at(data_set: bytes) -> int:
    """Return where Pixel Data (7FE0,0010) begins, the last element of both objects."""
    return data_set.rindex(b"\xe0\x7f\x10\x00O")


def lesion_of_10k_pixels() -> StudyTemplate:
    """Return the study of a typical lesion: see `lesion_pixels`."""
    return StudyTemplate.of_case(_TYPICAL_CASE)


_TYPICAL_CASE = 22
"""Of the simulated cases one of vendor A with 10 thousand pixels of lesion."""
