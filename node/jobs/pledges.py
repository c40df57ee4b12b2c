"""Storage commitment asked of us: what may be promised, pure, and the words for it.

A promise lets a modality delete its copy. So it is never ours: an instance is committed only when
an archive destination has committed that very instance itself, or is seen to hold it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from node.errors import JobError

COMMITTED: Final = 0
PROCESSING_FAILURE: Final = 0x0110  # Failure Reasons, PS3.3 section C.14.1.1
NO_SUCH_INSTANCE: Final = 0x0112
CLASS_CONFLICT: Final = 0x0119

#: Seconds before each time that the archives are asked: what a modality sends to us and to the
#: archive at once may be there a moment later. After the last one the answer is no.
ASK_AFTER_S: Final = (0.0, 5.0, 15.0, 45.0, 120.0, 300.0)
#: Seconds before each further try to tell the modality: a day in all.
TELL_AFTER_S: Final = (5.0, 15.0, 60.0, 300.0, *(1800.0,) * 46)

Standing = Literal["held", "absent", "unknown"]
"""What the archives say about one instance together: one has it, none has it, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Sought:
    """An instance that archives are asked for."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A modality's request: SOP class UIDs by SOP Instance UID.

    Raises:
        JobError: If it names no transaction or no instance.
    """

    calling_ae: str
    transaction_uid: str
    items: Mapping[str, str]
    association_id: str | None = None

    def __post_init__(self) -> None:
        if not self.transaction_uid or not self.items:
            raise JobError("a storage commitment request names a transaction and instances")


@dataclass(frozen=True, slots=True)
class Decided:
    """The result of a request, ready to be told; `results` as in the table."""

    calling_ae: str
    transaction_uid: str
    items: Mapping[str, str]
    results: Mapping[str, int]

    @property
    def committed(self) -> tuple[tuple[str, str], ...]:
        """SOP class and SOP Instance UIDs that may be deleted at the modality."""
        return tuple(
            (self.items[uid], uid) for uid in sorted(self.items) if self.results[uid] == COMMITTED
        )

    @property
    def failed(self) -> tuple[tuple[str, str, int], ...]:
        """SOP class and SOP Instance UIDs that may not, each with its Failure Reason."""
        return tuple(
            (self.items[uid], uid, self.results[uid])
            for uid in sorted(self.items)
            if self.results[uid] != COMMITTED
        )


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an instance as we received it."""

    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    standing: str


def look(uid: str, sop_class_uid: str, versions: Sequence[Version]) -> Sought | int:
    """Decide what we can say about an instance by ourselves.

    Returns:
        A Failure Reason, or what the archives are to be asked for.
    """
    if not versions:
        return NO_SUCH_INSTANCE
    if any(version.standing == "conflict" for version in versions):
        return PROCESSING_FAILURE  # two contents of one UID: nobody can say which an archive has
    latest = versions[-1]
    if latest.sop_class_uid != sop_class_uid:
        return CLASS_CONFLICT
    return Sought(sop_class_uid, uid, latest.study_instance_uid, latest.series_instance_uid)


def settle(standing: Standing, *, last: bool) -> int | None:
    """Decide about an instance after archives were asked; None: ask again later."""
    if standing == "held":
        return COMMITTED
    if not last:
        return None
    return NO_SUCH_INSTANCE if standing == "absent" else PROCESSING_FAILURE
