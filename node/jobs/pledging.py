"""The database side of storage commitment asked of us: durable from the question to the answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Row, insert, or_, select, update
from sqlalchemy.engine import Engine as Database

from node.audit.tables import Association, Instance, Pledge
from node.audit.trail import Trail
from node.database import lock, read_only, utc_now
from node.jobs.engine import Enqueuer, Task
from node.jobs.pledges import (
    ASK_AFTER_S,
    COMMITTED,
    TELL_AFTER_S,
    Asked,
    Decided,
    Sought,
    Standing,
    Version,
    look,
    settle,
)

_CLAIM_S: Final = 60.0  # after which whoever is telling the modality is taken for dead
_HOLDS_S: Final = 15.0  # so long the association that asked is waited for
_RECHECK_S: Final = 1.0
_log = logging.getLogger(__name__)

AskArchives = Callable[[Sequence[Sought], str], Mapping[str, Standing]]
"""Takes instances and a UID below which transactions are numbered."""
Tell = Callable[[Decided], str]
"""Tells a modality on an association of our own; returns "" or why it could not be told."""


def answering(pledge_id: int, step: str, delay_s: float = 0.0) -> Task:
    """Return the task that goes on with a request; `step` makes its name unique."""
    return Task("commitment", f"pledge:{pledge_id}:{step}", (pledge_id,), delay_s)


@dataclass(frozen=True)
class PledgeBook:
    """What the receiver does with requests, and with what archives answer to ours."""

    database: Database
    trail: Trail
    enqueuer: Enqueuer

    def take(self, asked: Asked) -> int | None:
        """Note a request; the result will be told when this returns.

        Returns:
            Its number; None where the modality has used the transaction for something else.
        """
        key = (
            Pledge.calling_ae == asked.calling_ae,
            Pledge.transaction_uid == asked.transaction_uid,
        )
        with self.database.begin() as connection:
            lock(connection, f"pledge {asked.calling_ae} {asked.transaction_uid}")
            row = connection.execute(select(Pledge.__table__).where(*key)).one_or_none()
            if row is not None and row.items != dict(asked.items):
                return None
            if row is not None:  # asked again: its answer or our result has got lost
                again: dict[str, Any] = {"association_id": asked.association_id}
                if row.state != "asked":
                    again |= {"state": "decided", "tries": 0, "reporter": ""}
                connection.execute(update(Pledge).where(Pledge.id == row.id).values(**again))
                self.enqueuer.enqueue(connection, answering(row.id, f"again:{uuid4()}"))
                return int(row.id)
            pledge_id = self._insert(connection, asked)
            self.enqueuer.enqueue(connection, answering(pledge_id, "0"))
            return pledge_id

    def _insert(self, connection: Connection, asked: Asked) -> int:
        pledge_id = connection.execute(
            insert(Pledge)
            .values(
                transaction_uid=asked.transaction_uid,
                calling_ae=asked.calling_ae,
                association_id=asked.association_id,
                state="asked",
                items=dict(asked.items),
                results={},
                root=f"2.25.{uuid4().int}",  # PS3.5 section B.2
                tries=0,
                reporter="",
                detail="",
                asked_at=utc_now(),
            )
            .returning(Pledge.id)
        ).scalar_one()
        detail = {"calling_ae": asked.calling_ae, "instances": len(asked.items)}
        self.trail.record(
            connection, "association", "commitment-asked", asked.transaction_uid, detail
        )
        return int(pledge_id)

    def decided(self, pledge_id: int) -> Decided | None:
        """Return the result once there is one and nobody has told it yet."""
        with read_only(self.database) as connection:
            row = _find(connection, pledge_id)
        return _decided(row) if row is not None and row.state == "decided" else None

    def claim(self, pledge_id: int, reporter: str) -> bool:
        """Become the one who tells the modality; false where another is at it."""
        now = utc_now()
        with self.database.begin() as connection:
            taken = connection.execute(
                update(Pledge)
                .where(
                    Pledge.id == pledge_id,
                    Pledge.state == "decided",
                    or_(
                        Pledge.reporter == "",
                        Pledge.claimed_at < now - timedelta(seconds=_CLAIM_S),
                        Pledge.claimed_at
                        > now + timedelta(seconds=_CLAIM_S),  # the clock went back
                    ),
                )
                .values(reporter=reporter, claimed_at=now)
            )
            return taken.rowcount == 1

    def told(self, pledge_id: int, error: str = "") -> int:
        """Note that the modality has the result, or why not; return how often it failed."""
        with self.database.begin() as connection:
            row = _find(connection, pledge_id)
            if row is None or row.state != "decided":
                return 0
            tries = int(row.tries) + bool(error)
            dead = tries > len(TELL_AFTER_S)
            state = "dead" if dead else "decided" if error else "reported"
            connection.execute(
                update(Pledge)
                .where(Pledge.id == pledge_id)
                .values(state=state, tries=tries, reporter="", detail=error)
            )
            if state != "decided":
                event = "commitment-unreported" if dead else "commitment-reported"
                detail = {"calling_ae": row.calling_ae, "error": error}
                self.trail.record(connection, "association", event, row.transaction_uid, detail)
            return tries

    def hear(self, transaction_uid: str, committed: Collection[str]) -> bool:
        """Take the result of an archive that answers on an association of its own.

        Returns:
            Whether the transaction was asked for a modality.
        """
        root = transaction_uid.rsplit(".", 2)[0]
        with self.database.begin() as connection:
            row = connection.execute(
                select(Pledge.__table__).where(Pledge.root == root)
            ).one_or_none()
            if row is None:
                return False
            news = {uid: COMMITTED for uid in committed if uid in row.items}
            if row.state == "asked" and merge(connection, self.trail, row.id, news):
                self.enqueuer.enqueue(connection, answering(row.id, f"heard:{transaction_uid}"))
        return True


@dataclass(frozen=True)
class Pledger:
    """Runs the tasks of the commitment queue: ask archives, then tell the modality."""

    book: PledgeBook
    archives: AskArchives
    tell: Tell

    def __call__(self, pledge_id: int) -> None:
        """Go on with a request from wherever it stands."""
        with read_only(self.book.database) as connection:
            row = _find(connection, pledge_id)
        if row is not None and row.state == "asked" and not self._ask(row):
            return
        self._tell(pledge_id)

    def _ask(self, row: Row[Any]) -> bool:
        """Ask about what is open; tell whether the result is complete."""
        news, sought = self._look(row)
        number = row.tries
        last = number + 1 >= len(ASK_AFTER_S)
        standings: Mapping[str, Standing] = {}
        if sought:
            try:
                standings = self.archives(sought, f"{row.root}.{number}")
            except Exception:  # noqa: BLE001 - the sender boundary: they are asked again
                _log.exception("archives could not be asked for a modality's commitment")
        for one in sought:
            uid = one.sop_instance_uid
            reason = settle(standings.get(uid, "unknown"), last=last)
            if reason is not None:
                news[uid] = reason
        with self.book.database.begin() as connection:
            if merge(connection, self.book.trail, row.id, news):
                return True
            later = {"tries": number + 1}
            connection.execute(update(Pledge).where(Pledge.id == row.id).values(**later))
            task = answering(row.id, f"ask:{uuid4()}", ASK_AFTER_S[number + 1])
            self.book.enqueuer.enqueue(connection, task)
        return False

    def _look(self, row: Row[Any]) -> tuple[dict[str, int], list[Sought]]:
        still_open = [uid for uid in sorted(row.items) if uid not in row.results]
        versions: dict[str, list[Version]] = {uid: [] for uid in still_open}
        query = (
            select(
                Instance.sop_instance_uid,
                Instance.sop_class_uid,
                Instance.study_instance_uid,
                Instance.series_instance_uid,
                Instance.standing,
            )
            .where(Instance.sop_instance_uid.in_(still_open))
            .order_by(Instance.version)
        )
        with read_only(self.book.database) as connection:
            for uid, *version in connection.execute(query):
                versions[uid].append(Version(*version))
        found = {uid: look(uid, row.items[uid], versions[uid]) for uid in still_open}
        news = {uid: what for uid, what in found.items() if isinstance(what, int)}
        return news, [what for what in found.values() if isinstance(what, Sought)]

    def _tell(self, pledge_id: int) -> None:
        if self._association_may(pledge_id):
            self._again(pledge_id, _RECHECK_S)
            return
        decided = self.book.decided(pledge_id)
        if decided is None:
            return
        if not self.book.claim(pledge_id, "reverse"):
            self._again(pledge_id, _CLAIM_S / 2)
            return
        error = self.tell(decided)
        tries = self.book.told(pledge_id, error)
        if error and tries <= len(TELL_AFTER_S):
            self._again(pledge_id, TELL_AFTER_S[tries - 1])

    def _association_may(self, pledge_id: int) -> bool:
        """Tell whether the association that asked is open, so that its receiver tells."""
        with read_only(self.book.database) as connection:
            row = _find(connection, pledge_id)
            if row is None or row.state != "decided" or row.association_id is None:
                return False
            waited = abs((utc_now() - row.decided_at).total_seconds())
            query = select(Association.closed_at).where(Association.id == row.association_id)
            is_open = connection.execute(query).one_or_none()
        return is_open is not None and is_open.closed_at is None and waited < _HOLDS_S

    def _again(self, pledge_id: int, delay_s: float) -> None:
        with self.book.database.begin() as connection:
            self.book.enqueuer.enqueue(connection, answering(pledge_id, f"tell:{uuid4()}", delay_s))


def merge(connection: Connection, trail: Trail, pledge_id: int, news: Mapping[str, int]) -> bool:
    """Note what became of instances; tell whether the result is complete now."""
    lock(connection, f"pledge {pledge_id}")
    row = _find(connection, pledge_id)
    if row is None or row.state != "asked":
        return row is not None
    fresh = {uid: reason for uid, reason in news.items() if uid not in row.results}
    results = {**row.results, **fresh}
    complete = all(uid in results for uid in row.items)
    values: dict[str, Any] = {"results": results}
    if complete:
        values |= {"state": "decided", "decided_at": utc_now(), "tries": 0}
    connection.execute(update(Pledge).where(Pledge.id == pledge_id).values(**values))
    for uid, reason in sorted(fresh.items()):
        event = "committed" if reason == COMMITTED else "not-committed"
        detail = {"to": row.calling_ae, "transaction": row.transaction_uid, "reason": reason}
        trail.record(connection, "instance", event, uid, detail)
    return complete


def _find(connection: Connection, pledge_id: int) -> Row[Any] | None:
    query = select(Pledge.__table__).where(Pledge.id == pledge_id)
    return connection.execute(query).one_or_none()


def _decided(row: Row[Any]) -> Decided:
    return Decided(row.calling_ae, row.transaction_uid, row.items, row.results)
