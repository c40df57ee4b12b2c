"""Modality Performed Procedure Step as SCP (PS3.4 annex F): COMPLETED closes a study."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom import Dataset
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import Engine as Database

from node.audit.tables import PerformedStep
from node.audit.trail import Trail
from node.database import lock, utc_now

MPPS: Final = "1.2.840.10008.3.1.2.3.3"
_FINAL: Final = frozenset({"COMPLETED", "DISCONTINUED"})
_SUCCESS, _DUPLICATE, _NO_SUCH, _PROCESSING_FAILURE = 0x0000, 0x0111, 0x0112, 0x0110
_INVALID, _MISSING = 0x0106, 0x0120  # PS3.7 annex C
_NO_LONGER: Final = "Performed Procedure Step Object may no longer be updated"  # F.7.2.2.2

Complete = Callable[[Connection, str, Collection[str], str], None]
"""Takes a study, the instances that belong to it, and who told."""
Reply = tuple[int | Dataset, Dataset | None]


@dataclass(frozen=True)
class MppsService:
    """Takes N-CREATE and N-SET; a request is as `receive.services.Asked`."""

    database: Database
    trail: Trail
    complete: Complete

    @property
    def syntaxes(self) -> tuple[str, ...]:
        """Abstract syntaxes of its presentation contexts."""
        return (MPPS,)

    def create(self, asked: Any) -> Reply:  # noqa: ANN401 - a room beside
        """Begin a step: it is IN PROGRESS (section F.7.2.1)."""
        step: Dataset = asked.dataset
        if not asked.uid or not studies_of(step):
            return _told(_MISSING, "Affected SOP Instance UID or Study Instance UID"), None
        if step.get("PerformedProcedureStepStatus") != "IN PROGRESS":
            return _told(_INVALID, "Performed Procedure Step Status is not IN PROGRESS"), None
        with self.database.begin() as connection:
            lock(connection, f"mpps {asked.uid}")
            if self._find(connection, asked.uid) is not None:
                return _DUPLICATE, None
            now = utc_now()
            connection.execute(
                insert(PerformedStep).values(
                    uid=asked.uid,
                    state="IN PROGRESS",
                    dataset=dict(step.to_json_dict()),
                    created_at=now,
                    updated_at=now,
                )
            )
            self._note(connection, asked, step, "IN PROGRESS")
        return _SUCCESS, step

    def set(self, asked: Any) -> Reply:  # noqa: ANN401 - same
        """Change a step that is in progress; one that is COMPLETED closes its studies (F.7.2.2)."""
        changes: Dataset = asked.dataset
        with self.database.begin() as connection:
            lock(connection, f"mpps {asked.uid}")
            row = self._find(connection, asked.uid)
            if row is None:
                return _NO_SUCH, None
            if row.state in _FINAL:
                answer = _told(_PROCESSING_FAILURE, _NO_LONGER)
                answer.ErrorID = 0xA710
                return answer, None
            state = str(changes.get("PerformedProcedureStepStatus") or row.state)
            if state not in {"IN PROGRESS", *_FINAL}:
                return _told(_INVALID, f"Performed Procedure Step Status {state[:16]}"), None
            step = Dataset.from_json(row.dataset)
            step.update(changes)
            values = {"state": state, "dataset": dict(step.to_json_dict()), "updated_at": utc_now()}
            connection.execute(
                update(PerformedStep).where(PerformedStep.uid == asked.uid).values(**values)
            )
            self._note(connection, asked, step, state)
            if state == "COMPLETED":
                series = step.get("PerformedSeriesSequence") or []
                told = f"mpps {asked.calling_ae}"
                for study in studies_of(step):
                    self.complete(connection, study, instances_of(series), told)
        return _SUCCESS, changes

    def get(self, asked: Any) -> Reply:  # noqa: ANN401 - same
        """Refuse: retrieval is another SOP class."""
        del asked
        return 0x0211, None

    def act(self, asked: Any) -> Reply:  # noqa: ANN401 - same
        """Refuse: there is no action."""
        del asked
        return 0x0211, None

    def find(self, asked: Any) -> Sequence[Dataset]:  # noqa: ANN401 - same
        """Find nothing."""
        del asked
        return ()

    def _find(self, connection: Connection, uid: str) -> Any:  # noqa: ANN401 - a row
        query = select(PerformedStep.__table__).where(PerformedStep.uid == uid)
        return connection.execute(query).one_or_none()

    def _note(self, connection: Connection, asked: Any, step: Dataset, state: str) -> None:  # noqa: ANN401 - same
        self.trail.record(
            connection,
            "system",
            "mpps",
            asked.uid,
            {"state": state, "by": asked.calling_ae},
            study=studies_of(step)[0],
            patient=str(step.get("PatientID") or "")[:64],
        )


def studies_of(step: Dataset) -> list[str]:
    """Return the studies that a step belongs to."""
    items = step.get("ScheduledStepAttributesSequence") or []
    found = (str(item.get("StudyInstanceUID") or "") for item in items)
    return list(dict.fromkeys(uid for uid in found if uid))


def instances_of(series: Sequence[Dataset]) -> set[str]:
    """Return the SOP Instance UIDs that series name, images and others."""
    sequences = (
        *("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence"),
        "ReferencedSOPSequence",
    )
    return {
        str(item.ReferencedSOPInstanceUID)
        for one in series
        for keyword in sequences
        for item in one.get(keyword) or []
        if item.get("ReferencedSOPInstanceUID")
    }


def _told(status: int, comment: str) -> Dataset:
    answer = Dataset()
    answer.Status, answer.ErrorComment = status, comment[:64]
    return answer
