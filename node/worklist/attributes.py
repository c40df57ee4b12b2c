"""Which attributes a workitem has to have, and how a query matches one. Pure."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue

from node.worklist.states import INVALID_VALUE, MISSING_ATTRIBUTE, NOT_SCHEDULED, SUCCESS

PRIORITIES: Final = frozenset({"HIGH", "MEDIUM", "LOW"})
READINESS: Final = frozenset({"READY", "UNAVAILABLE", "INCOMPLETE"})
# PS3.4 table CC.2.5-3, the attributes that a creator has to give a value.
_REQUIRED: Final = (
    "ScheduledProcedureStepPriority",
    "ProcedureStepLabel",
    "ScheduledProcedureStepStartDateTime",
    "InputReadinessState",
)
# Only the server says these; a creator or performer cannot set them.
_OURS: Final = ("TransactionUID", "SOPClassUID", "SOPInstanceUID", "ProcedureStepState")
_UNMATCHED: Final = frozenset({"SpecificCharacterSet", "QueryRetrieveLevel", "TransactionUID"})


def check_new(dataset: Dataset) -> tuple[int, str]:
    """Return status and keyword of the first mistake of a workitem to be created."""
    if dataset.get("ProcedureStepState") != "SCHEDULED":
        return NOT_SCHEDULED, "ProcedureStepState"
    if dataset.get("TransactionUID"):
        return INVALID_VALUE, "TransactionUID"
    for keyword in _REQUIRED:
        if not dataset.get(keyword):
            return MISSING_ATTRIBUTE, keyword
    if dataset.ScheduledProcedureStepPriority not in PRIORITIES:
        return INVALID_VALUE, "ScheduledProcedureStepPriority"
    if dataset.InputReadinessState not in READINESS:
        return INVALID_VALUE, "InputReadinessState"
    return SUCCESS, ""


def complete(dataset: Dataset, now: datetime) -> bool:
    """Add what the server gives a new workitem; tell whether anything was added."""
    added = False
    defaults: dict[str, object] = {
        "WorklistLabel": "CRDL",
        "ScheduledProcedureStepModificationDateTime": f"{now:%Y%m%d%H%M%S}",
        "ScheduledWorkitemCodeSequence": [],
        "InputInformationSequence": [],
        "ProcedureStepProgressInformationSequence": [],
        "UnifiedProcedureStepPerformedProcedureSequence": [],
    }
    for keyword, value in defaults.items():
        if keyword not in dataset:
            setattr(dataset, keyword, value)
            added = added or keyword == "WorklistLabel"
    return added


def settable(changes: Dataset) -> str:
    """Return the keyword of the first attribute that nobody may set; "" if there is none."""
    return next((word for word in _OURS if word in changes and word != "TransactionUID"), "")


def meets(dataset: Dataset, state: str) -> bool:
    """Tell whether a workitem has what a final state requires (PS3.4 table CC.2.5-3, column F)."""
    if state == "CANCELED":
        return bool(dataset.get("ProcedureStepProgressInformationSequence"))
    performed = dataset.get("UnifiedProcedureStepPerformedProcedureSequence") or []
    return bool(performed) and all(
        item.get("PerformedProcedureStepStartDateTime")
        and item.get("PerformedProcedureStepEndDateTime")
        and item.get("PerformedWorkitemCodeSequence")
        and "OutputInformationSequence" in item
        for item in performed
    )


def matches(dataset: Dataset, keys: Dataset) -> bool:
    """Tell whether a workitem matches a query (PS3.4 section C.2.2.2)."""
    return all(
        _matches(dataset.get(key.tag), key)
        for key in keys
        if key.keyword not in _UNMATCHED and not key.is_private
    )


def answer(dataset: Dataset, keys: Dataset) -> Dataset:
    """Return the attributes of a workitem that a query asks for, and those that identify it."""
    found = Dataset()
    wanted = {key.tag for key in keys if key.keyword not in _UNMATCHED}
    for element in dataset:
        always = element.keyword in {"SOPInstanceUID", "SOPClassUID", "ProcedureStepState"}
        if always or element.tag in wanted:
            found[element.tag] = element
    for key in keys:
        if key.tag in wanted and key.tag not in found:
            found.add_new(key.tag, key.VR, [] if key.VR == "SQ" else None)
    if dataset.get("SpecificCharacterSet"):
        found.SpecificCharacterSet = dataset.SpecificCharacterSet
    return found


def _matches(element: DataElement | None, key: DataElement) -> bool:
    if key.VR == "SQ":
        wanted = key.value[0] if key.value else Dataset()
        items = [] if element is None else element.value
        return _universal(wanted) or any(matches(item, wanted) for item in items)
    wished = _texts(key)
    if not wished:
        return True
    have = [] if element is None else _texts(element)
    if key.VR in {"DA", "DT", "TM"} and "-" in wished[0]:
        low, _, high = wished[0].partition("-")
        return any(low <= one and (not high or one[: len(high)] <= high) for one in have)
    fold = key.VR == "PN"
    patterns = [one.casefold() if fold else one for one in wished]
    values = [one.casefold() if fold else one for one in have]
    return any(fnmatchcase(value, pattern) for value in values for pattern in patterns)


def _universal(item: Dataset) -> bool:
    return all(
        all(map(_universal, element.value)) if element.VR == "SQ" else not _texts(element)
        for element in item
    )


def _texts(element: DataElement) -> list[str]:
    value = element.value
    many = list(value) if isinstance(value, MultiValue | list) else [value]
    return [str(one) for one in many if one not in {None, ""}]
