"""C-STORE statuses and STOW-RS failure reasons, named after the standard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from node.errors import IntakeError
from node.receive.faults import (
    MismatchError,
    OutOfResourcesError,
    TooLargeError,
    UnsupportedClassError,
    UnsupportedSyntaxError,
)

SUCCESS: Final = 0x0000  # PS3.4 table B.2-1
OUT_OF_RESOURCES: Final = 0xA700  # PS3.4 table B.2-1: Refused: Out of Resources
DATA_SET_MISMATCH: Final = 0xA900  # PS3.4 table B.2-1: Data Set does not match SOP Class
CANNOT_UNDERSTAND: Final = 0xC000  # PS3.4 table B.2-1: Cannot understand
PROCESSING_FAILURE: Final = 0x0110  # PS3.7 section C.5.17
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122  # PS3.7 section C.5.22

SYNTAX_NOT_SUPPORTED: Final = 0xC122  # PS3.18 table I.2-2; of C-STORE's "cannot understand" range

INSTANCE_TOO_LARGE: Final = 0xC413  # the node's own, after HTTP 413; of the same range

_STATUSES: Final[dict[type[IntakeError], int]] = {
    OutOfResourcesError: OUT_OF_RESOURCES,
    TooLargeError: INSTANCE_TOO_LARGE,
    MismatchError: DATA_SET_MISMATCH,
    UnsupportedClassError: SOP_CLASS_NOT_SUPPORTED,
    UnsupportedSyntaxError: SYNTAX_NOT_SUPPORTED,
}
_ERROR_COMMENT_CHARACTERS = 64  # (0000,0902) is an LO, PS3.7 table E.1-1


def of_error(error: IntakeError) -> int:
    """Return the status that tells a sender why its instance was not accepted."""
    for fault, status in _STATUSES.items():
        if isinstance(error, fault):
            return status
    return CANNOT_UNDERSTAND


@dataclass(frozen=True, slots=True)
class Answer:
    """What a C-STORE is answered with: Status, and Error Comment of a failure (PS3.7 section C.4).

    Attributes:
        comment: ASCII, up to 64 characters.
    """

    status: int
    comment: str = ""

    @classmethod
    def failure(cls, status: int, comment: str) -> Answer:
        """Make the answer of a failure; what the comment cannot hold is replaced or cut."""
        plain = comment.encode("ascii", "replace").decode().replace("\\", "/")
        return cls(status, plain[:_ERROR_COMMENT_CHARACTERS])

    def to_dataset(self) -> Dataset:
        """Return it as pynetdicom's handlers do."""
        answer = Dataset()
        answer.Status = self.status
        if self.comment:
            answer.ErrorComment = self.comment
        return answer
