"""What deliver asks of an archive, whatever it speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from node.deliver.package import Outgoing
from node.deliver.statuses import StoreAnswer


class Standing(Enum):
    """Whether an archive has an object."""

    THERE = "there"
    ABSENT = "absent"  # it was asked and does not have it (yet)
    UNKNOWN = "unknown"  # it was asked and has not answered yet
    UNPROVABLE = "unprovable"  # it cannot be asked: somebody has to configure something


@dataclass(frozen=True, slots=True)
class Proof:
    """What an archive says about one object.

    Attributes:
        detail: "" or one line for the audit.
        transaction_uid: Of a storage commitment request without a result; else "".
    """

    standing: Standing
    detail: str = ""
    transaction_uid: str = ""


class Archive(Protocol):
    """A connection to one archive."""

    def store(self, objects: Sequence[Outgoing]) -> Mapping[str, StoreAnswer]:
        """Send objects; an answer for each SOP Instance UID, never an exception for one."""

    def prove(self, objects: Sequence[Outgoing]) -> Mapping[str, Proof]:
        """Ask for objects; a proof for each SOP Instance UID.

        Raises:
            DeliveryError: If the archive cannot be asked now.
        """
