"""The node's worklist, whatever protocol asks: every change in one transaction with its row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydicom import Dataset
from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Workitem, WorkitemSubscription
from node.audit.trail import Trail
from node.database import lock, read_only, utc_now
from node.worklist import states
from node.worklist.attributes import answer, check_new, complete, matches, meets, settable
from node.worklist.events import Event, cancel_requested, progress_report, state_report

PUSH: Final = "1.2.840.10008.5.1.4.34.6.1"
_MOST_ANSWERS: Final = 1000
_MOST_WORKITEMS: Final = 100_000  # that one query looks through

Tell = Callable[[str, Event], None]
"""Takes the AE title of a subscriber and what happened."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got.

    Attributes:
        status: A DIMSE status.
        comment: Why, for a person; "" for success.
        dataset: What was asked for, or what was created.
    """

    status: int
    comment: str = ""
    dataset: Dataset | None = None

    @property
    def done(self) -> bool:
        """Whether it was done, perhaps with a warning."""
        return self.status == states.SUCCESS or self.status >> 12 == 0xB


@dataclass(frozen=True)
class Worklist:
    """The workitems of this node.

    Attributes:
        known: AE titles that may subscribe: their addresses are configured.
        tell: Sends an event to a subscriber, after the transaction.
    """

    database: Database
    trail: Trail
    known: frozenset[str] = frozenset()
    tell: Tell = lambda ae_title, event: None  # noqa: ARG005 - nobody is told

    def create(self, uid: str, dataset: Dataset, by: str) -> Answer:
        """Create a workitem (PS3.4 section CC.2.5, PS3.18 section 11.4)."""
        status, keyword = check_new(dataset)
        if status != states.SUCCESS:
            return _refused(status, keyword)
        changed = complete(dataset, utc_now())
        dataset.SOPClassUID, dataset.SOPInstanceUID = PUSH, uid
        now = utc_now()
        with self.database.begin() as connection:
            lock(connection, f"workitem {uid}")
            if _find(connection, uid) is not None:
                return _refused(states.DUPLICATE, "")
            connection.execute(
                insert(Workitem).values(
                    uid=uid,
                    state="SCHEDULED",
                    transaction_uid="",
                    study_instance_uid=_study(dataset),
                    patient_id=str(dataset.get("PatientID") or "")[:64],
                    dataset=_plain(dataset),
                    created_at=now,
                    updated_at=now,
                )
            )
            row = _found(connection, uid)
            self._note(connection, row, "workitem-created", {"by": by})
            heard = self._subscribers(connection, uid)
        self._tell(heard, state_report(uid, "SCHEDULED", dataset))
        return Answer(states.CREATED_WITH_CHANGES if changed else states.SUCCESS, "", dataset)

    def get(self, uid: str) -> Answer:
        """Return a workitem, without its Transaction UID (PS3.4 section CC.2.7)."""
        with read_only(self.database) as connection:
            row = _find(connection, uid)
        if row is None:
            return _refused(states.NO_SUCH_WORKITEM, "")
        return Answer(states.SUCCESS, "", Dataset.from_json(row.dataset))

    def update(self, uid: str, changes: Dataset, transaction_uid: str, by: str) -> Answer:
        """Set attributes (PS3.4 section CC.2.6, PS3.18 section 11.6)."""
        if keyword := settable(changes):
            return _refused(states.INVALID_VALUE, keyword)
        with self.database.begin() as connection:
            lock(connection, f"workitem {uid}")
            row = _find(connection, uid)
            if row is None:
                return _refused(states.NO_SUCH_WORKITEM, "")
            status = states.may_update(row.state, transaction_uid, row.transaction_uid)
            if status != states.SUCCESS:
                return _refused(status, "")
            dataset = Dataset.from_json(row.dataset)
            for element in changes:
                if element.keyword != "TransactionUID":
                    dataset[element.tag] = element
            self._keep(connection, row, dataset)
            words = [element.keyword for element in changes if element.keyword != "TransactionUID"]
            self._note(connection, row, "workitem-updated", {"by": by, "attributes": words})
            heard = self._subscribers(connection, uid)
        if "ProcedureStepProgressInformationSequence" in changes:
            self._tell(heard, progress_report(uid, dataset))
        return Answer(states.SUCCESS, "", None)

    def change_state(self, uid: str, wanted: str, transaction_uid: str, by: str) -> Answer:
        """Claim, complete or cancel a workitem (PS3.4 section CC.2.1, PS3.18 section 11.7)."""
        with self.database.begin() as connection:
            lock(connection, f"workitem {uid}")
            row = _find(connection, uid)
            if row is None:
                return _refused(states.NO_SUCH_WORKITEM, "")
            dataset = Dataset.from_json(row.dataset)
            status = states.may_change(
                row.state,
                wanted,
                transaction_uid,
                row.transaction_uid,
                complete=meets(dataset, wanted),
            )
            if status != states.SUCCESS:
                return _refused(status, "")
            dataset.ProcedureStepState = wanted
            self._keep(connection, row, dataset, state=wanted, transaction_uid=transaction_uid)
            self._note(connection, row, "workitem-state", {"by": by, "state": wanted})
            heard = self._subscribers(connection, uid)
        self._tell(heard, state_report(uid, wanted, dataset))
        return Answer(states.SUCCESS)

    def request_cancel(self, uid: str, wish: Dataset, by: str) -> Answer:
        """Ask for a cancellation (PS3.4 section CC.2.2): what nobody has begun is cancelled here.

        The performer of a workitem in progress is told, and decides.
        """
        with self.database.begin() as connection:
            lock(connection, f"workitem {uid}")
            row = _find(connection, uid)
            if row is None:
                return _refused(states.NO_SUCH_WORKITEM, "")
            status = states.may_cancel(row.state)
            if status != states.SUCCESS:
                return _refused(status, "")
            dataset = Dataset.from_json(row.dataset)
            begun = row.state == "IN PROGRESS"
            if not begun:
                dataset.ProcedureStepState = "CANCELED"
                dataset.ProcedureStepProgressInformationSequence = [_cancellation(wish)]
                self._keep(connection, row, dataset, state="CANCELED")
            reason = str(wish.get("ReasonForCancellation") or "")
            facts = {"by": by, "reason": reason, "state": row.state if begun else "CANCELED"}
            self._note(connection, row, "workitem-cancel", facts)
            heard = self._subscribers(connection, uid)
        event = cancel_requested(uid, by, wish) if begun else state_report(uid, "CANCELED", dataset)
        self._tell(heard, event)
        return Answer(states.SUCCESS)

    def find(self, keys: Dataset) -> Iterator[Dataset]:
        """Yield what a query asks for of each workitem that matches, oldest first."""
        query = select(Workitem.dataset).order_by(Workitem.created_at, Workitem.uid)
        if keys.get("ProcedureStepState"):
            query = query.where(Workitem.state == str(keys.ProcedureStepState))
        if uid := keys.get("SOPInstanceUID"):
            uids = [uid] if isinstance(uid, str) else [str(one) for one in uid]
            query = query.where(Workitem.uid.in_(uids))
        with read_only(self.database) as connection:
            rows = connection.scalars(query.limit(_MOST_WORKITEMS)).all()
        told = 0
        for row in rows:
            dataset = Dataset.from_json(row)
            if matches(dataset, keys):
                yield answer(dataset, keys)
                told += 1
            if told == _MOST_ANSWERS:
                return

    def subscribe(self, ae_title: str, uid: str, *, deletion_lock: bool) -> Answer:
        """Let an AE hear of a workitem, or with "" of all (PS3.4 section CC.2.3)."""
        if ae_title not in self.known:
            return _refused(states.UNKNOWN_RECEIVER, "")
        with self.database.begin() as connection:
            lock(connection, f"workitem {uid}")
            row = None if not uid else _find(connection, uid)
            if uid and row is None:
                return _refused(states.NO_SUCH_WORKITEM, "")
            connection.execute(_subscription(ae_title, uid))
            connection.execute(
                insert(WorkitemSubscription).values(
                    ae_title=ae_title,
                    workitem_uid=uid,
                    deletion_lock=deletion_lock,
                    subscribed_at=utc_now(),
                )
            )
            subject = uid or "all workitems"
            self.trail.record(
                connection, "system", "workitem-subscribed", subject, {"ae": ae_title}
            )
        if row is not None:  # the present state is told at once
            self._tell([ae_title], state_report(uid, row.state, Dataset.from_json(row.dataset)))
        return Answer(states.SUCCESS)

    def unsubscribe(self, ae_title: str, uid: str) -> Answer:
        """End a subscription; "" ends the one to all workitems."""
        with self.database.begin() as connection:
            lock(connection, f"workitem {uid}")
            connection.execute(_subscription(ae_title, uid))
            subject = uid or "all workitems"
            facts = {"ae": ae_title}
            self.trail.record(connection, "system", "workitem-unsubscribed", subject, facts)
        return Answer(states.SUCCESS)

    def _keep(
        self, connection: Connection, row: Row[Any], dataset: Dataset, **columns: str
    ) -> None:
        values = {"dataset": _plain(dataset), "updated_at": utc_now(), **columns}
        connection.execute(update(Workitem).where(Workitem.uid == row.uid).values(**values))

    def _note(
        self, connection: Connection, row: Row[Any], event: str, facts: dict[str, Any]
    ) -> None:
        self.trail.record(
            connection,
            "system",
            event,
            row.uid,
            {"from": row.state, **facts},
            study=row.study_instance_uid,
            patient=row.patient_id,
        )

    def _subscribers(self, connection: Connection, uid: str) -> list[str]:
        query = select(WorkitemSubscription.ae_title).where(
            WorkitemSubscription.workitem_uid.in_(("", uid))
        )
        return sorted(set(connection.scalars(query)))

    def _tell(self, ae_titles: list[str], event: Event) -> None:
        for ae_title in ae_titles:
            self.tell(ae_title, event)


def _subscription(ae_title: str, uid: str) -> Any:  # noqa: ANN401 - SQLAlchemy's
    return delete(WorkitemSubscription).where(
        WorkitemSubscription.ae_title == ae_title, WorkitemSubscription.workitem_uid == uid
    )


def _find(connection: Connection, uid: str) -> Row[Any] | None:
    return connection.execute(select(Workitem.__table__).where(Workitem.uid == uid)).one_or_none()


def _found(connection: Connection, uid: str) -> Row[Any]:
    return connection.execute(select(Workitem.__table__).where(Workitem.uid == uid)).one()


def _refused(status: int, keyword: str) -> Answer:
    meaning = states.MEANINGS[status]
    return Answer(status, f"{keyword}: {meaning}" if keyword else meaning)


def _plain(dataset: Dataset) -> dict[str, Any]:
    kept = Dataset(dataset)
    if "TransactionUID" in kept:
        del kept.TransactionUID
    return dict(kept.to_json_dict())


def _study(dataset: Dataset) -> str:
    inputs = dataset.get("InputInformationSequence") or []
    named = (str(item.get("StudyInstanceUID") or "") for item in (dataset, *inputs))
    return next((uid for uid in named if uid), "")


def _cancellation(wish: Dataset) -> Dataset:
    item = Dataset()
    item.ProcedureStepCancellationDateTime = f"{utc_now():%Y%m%d%H%M%S}"
    item.ReasonForCancellation = str(wish.get("ReasonForCancellation") or "cancelled on request")
    item.ProcedureStepDiscontinuationReasonCodeSequence = list(
        wish.get("ProcedureStepDiscontinuationReasonCodeSequence") or []
    )
    return item
