"""The state machine of a Unified Procedure Step (PS3.4 section CC.1.1). Pure."""

from __future__ import annotations

from typing import Final, Literal

State = Literal["SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"]
STATES: Final = ("SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED")
FINAL: Final = frozenset({"COMPLETED", "CANCELED"})

# PS3.4 tables CC.2.1-2 to CC.2.9-1, and PS3.7 annex C
SUCCESS: Final = 0x0000
DUPLICATE: Final = 0x0111
NO_SUCH_ATTRIBUTE: Final = 0x0105
INVALID_VALUE: Final = 0x0106
MISSING_ATTRIBUTE: Final = 0x0120
CREATED_WITH_CHANGES: Final = 0xB300
ALREADY_CANCELED: Final = 0xB304
ALREADY_COMPLETED: Final = 0xB306
NO_MORE_UPDATES: Final = 0xC300
WRONG_TRANSACTION: Final = 0xC301
ALREADY_IN_PROGRESS: Final = 0xC302
ONLY_BY_CREATE: Final = 0xC303
NOT_FINAL: Final = 0xC304
NO_SUCH_WORKITEM: Final = 0xC307
UNKNOWN_RECEIVER: Final = 0xC308
NOT_SCHEDULED: Final = 0xC309
NOT_IN_PROGRESS: Final = 0xC310
COMPLETED_ALREADY: Final = 0xC311

MEANINGS: Final = {
    DUPLICATE: "there is such a workitem already",
    INVALID_VALUE: "an attribute has a value that is not allowed",
    MISSING_ATTRIBUTE: "a required attribute is missing",
    CREATED_WITH_CHANGES: "created, with attributes added",
    ALREADY_CANCELED: "it is CANCELED already",
    ALREADY_COMPLETED: "it is COMPLETED already",
    NO_MORE_UPDATES: "it may no longer be updated",
    WRONG_TRANSACTION: "the correct Transaction UID was not provided",
    ALREADY_IN_PROGRESS: "it is IN PROGRESS already",
    ONLY_BY_CREATE: "it becomes SCHEDULED only by its creation",
    NOT_FINAL: "it has not met the requirements of its final state",
    NO_SUCH_WORKITEM: "there is no such workitem here",
    UNKNOWN_RECEIVER: "the receiving AE title is unknown here",
    NOT_SCHEDULED: "a workitem is created as SCHEDULED",
    NOT_IN_PROGRESS: "it is not IN PROGRESS yet",
    COMPLETED_ALREADY: "it is COMPLETED already, nothing is left to cancel",
}


# PS3.4 table CC.1.1-2, with the correct Transaction UID: the answer by wanted and present state.
_TABLE: Final = {
    "IN PROGRESS": {
        "SCHEDULED": SUCCESS,
        "IN PROGRESS": ALREADY_IN_PROGRESS,
        "COMPLETED": NO_MORE_UPDATES,
        "CANCELED": NO_MORE_UPDATES,
    },
    "COMPLETED": {
        "SCHEDULED": NOT_IN_PROGRESS,
        "IN PROGRESS": SUCCESS,
        "COMPLETED": ALREADY_COMPLETED,
        "CANCELED": NO_MORE_UPDATES,
    },
    "CANCELED": {
        "SCHEDULED": NOT_IN_PROGRESS,
        "IN PROGRESS": SUCCESS,
        "COMPLETED": NO_MORE_UPDATES,
        "CANCELED": ALREADY_CANCELED,
    },
}


def may_change(state: str, wanted: str, transaction_uid: str, lock: str, *, complete: bool) -> int:
    """Return the status of a request to change the state (PS3.4 table CC.1.1-2).

    Args:
        state: Of the workitem now.
        wanted: What it shall become.
        transaction_uid: That the request carries, "" for none.
        lock: The one that locks the workitem; "" while nobody has claimed it.
        complete: What the wanted final state requires is there.
    """
    if wanted == "SCHEDULED":
        return ONLY_BY_CREATE
    if wanted not in _TABLE:
        return INVALID_VALUE
    if not transaction_uid or transaction_uid != (lock or transaction_uid):
        return WRONG_TRANSACTION
    status = _TABLE[wanted][state]
    return NOT_FINAL if status == SUCCESS and wanted in FINAL and not complete else status


def may_update(state: str, transaction_uid: str, lock: str) -> int:
    """Return the status of a request to set attributes (PS3.4 section CC.2.6)."""
    if state in FINAL:
        return NO_MORE_UPDATES
    if state == "IN PROGRESS":
        return SUCCESS if transaction_uid == lock else WRONG_TRANSACTION
    return WRONG_TRANSACTION if transaction_uid else SUCCESS


def may_cancel(state: str) -> int:
    """Return the status of somebody's request to cancel (PS3.4 section CC.2.2)."""
    if state == "COMPLETED":
        return COMPLETED_ALREADY
    return ALREADY_CANCELED if state == "CANCELED" else SUCCESS
