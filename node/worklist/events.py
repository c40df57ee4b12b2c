"""What subscribers are told (PS3.4 section CC.2.4, table CC.2.4-1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom import Dataset

STATE_REPORT: Final = 1
CANCEL_REQUESTED: Final = 2
PROGRESS_REPORT: Final = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One event about one workitem."""

    workitem_uid: str
    type_id: int
    information: Dataset


def state_report(uid: str, state: str, dataset: Dataset) -> Event:
    """Tell that a workitem is in a state now."""
    told = Dataset()
    told.InputReadinessState = str(dataset.get("InputReadinessState") or "")
    told.ProcedureStepState = state
    progress = dataset.get("ProcedureStepProgressInformationSequence") or []
    if state == "CANCELED" and progress:
        told.ReasonForCancellation = str(progress[0].get("ReasonForCancellation") or "")
    return Event(uid, STATE_REPORT, told)


def cancel_requested(uid: str, by: str, wish: Dataset) -> Event:
    """Tell the performer that somebody wants a workitem cancelled."""
    told = Dataset()
    told.RequestingAE = by[:16]
    for keyword in ("ReasonForCancellation", "ContactURI", "ContactDisplayName"):
        if wish.get(keyword):
            setattr(told, keyword, wish.get(keyword))
    return Event(uid, CANCEL_REQUESTED, told)


def progress_report(uid: str, dataset: Dataset) -> Event:
    """Tell how far a workitem is."""
    told = Dataset()
    told.ProcedureStepProgressInformationSequence = list(
        dataset.get("ProcedureStepProgressInformationSequence") or []
    )
    return Event(uid, PROGRESS_REPORT, told)
