"""What an archive's answer to a stored object means (PS3.4 section B.2.3, PS3.7 annex C).

STOW-RS carries the same codes as Failure Reason and Warning Reason (PS3.18 section 10.5.3).
"""

from __future__ import annotations

from dataclasses import dataclass

SUCCESS = 0x0000
DUPLICATE_SOP_INSTANCE = 0x0111  # PS3.7 section C.5.6: the archive has it already
NO_SUCH_OBJECT_INSTANCE = 0x0112  # PS3.7 section C.5.10
OUT_OF_RESOURCES = 0xA700  # and all of 0xA7xx, PS3.4 table B.2-1

_NAMED = {
    0x0107: "attribute list error",
    0x0110: "processing failure",
    DUPLICATE_SOP_INSTANCE: "duplicate SOP instance",
    NO_SUCH_OBJECT_INSTANCE: "no such object instance",
    0x0116: "attribute value out of range",
    0x0117: "invalid SOP instance",
    0x0119: "class/instance conflict",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0131: "duplicate transaction UID",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    OUT_OF_RESOURCES: "out of resources",
    0xB000: "coercion of data elements",
    0xB006: "elements discarded",
    0xB007: "data set does not match SOP class",
}
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})  # PS3.7 section C.4, beside 0xBxxx
# Sending the same bytes again cannot help. "Not authorised" is not here: a person grants that.
_PERMANENT = frozenset({0x0117, 0x0119, 0x0122, 0x0211, 0x0212})


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What came of storing one object.

    Attributes:
        stored: The archive said that it has taken the object, perhaps with a warning.
        detail: "" or one line for the audit.
        permanent: Not stored, and the same bytes will never be.
        down: Not stored, and nothing else would be now: no answer, no association, no room.
    """

    stored: bool
    detail: str = ""
    permanent: bool = False
    down: bool = False

    def __post_init__(self) -> None:
        if self.stored and (self.permanent or self.down):
            raise ValueError("what is stored has not failed")


def status_name(status: int) -> str:
    """Return the status as `0xB000 coercion of data elements`."""
    families = {0xA7: "out of resources", 0xA9: "data set does not match SOP class"}
    name = _NAMED.get(status) or families.get(status >> 8)
    if name is None and status >> 12 == 0xC:
        name = "cannot understand"
    return f"0x{status:04X} {name or 'unnamed status'}"


def judge_store_status(status: int) -> StoreAnswer:
    """Decide what a C-STORE status, or a STOW-RS failure reason, means.

    Warnings count as stored and are told; out of resources, processing failure and every status
    without a name are worth another try; 0xA9xx, 0xCxxx and a SOP class that is not supported
    are not.
    """
    if status == SUCCESS:
        return StoreAnswer(stored=True)
    name = status_name(status)
    if status >> 12 == 0xB or status in _WARNINGS or status == DUPLICATE_SOP_INSTANCE:
        return StoreAnswer(stored=True, detail=f"stored with {name}")
    permanent = status in _PERMANENT or status >> 8 == 0xA9 or status >> 12 == 0xC
    return StoreAnswer(
        stored=False,
        detail=f"refused with {name}",
        permanent=permanent,
        down=status >> 8 == OUT_OF_RESOURCES >> 8,
    )
