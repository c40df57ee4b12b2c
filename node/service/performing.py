"""The performer of somebody else's worklist (IHE RAD, AI Workflow for Imaging): claim to complete.

A workitem is noted before it is claimed: a performer that dies in between claims it again under the
same Transaction UID, and loses none.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from node.audit.trail import Trail
from node.config import Settings
from node.database import utc_now
from node.errors import CrdlError
from node.jobs.edge import FetchAnswer, FetchQuestion
from node.jobs.performing import Claimed, claim, claimed, settle
from node.service.compose import Foundation
from node.worklist.performing import discontinued, inputs_of, performed, progress

if TYPE_CHECKING:
    from node.worklist.client import UpsClient

Fetch = Callable[[FetchQuestion], Sequence[FetchAnswer]]
_STOP_S = 15.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Performer:
    """Goes over what it has claimed, then claims what is scheduled.

    Attributes:
        fetch: Asks the sources for what is missing; None where there is no source.
    """

    database: Engine
    trail: Trail
    client: UpsClient
    settings: Settings
    fetch: Fetch | None = None

    def round(self) -> None:
        """Do what can be done now for every workitem.

        Raises:
            DeliveryError: If the server cannot be reached: the next round goes on.
        """
        for one in claimed(self.database):
            self._go_on(one)
        wishes = self.settings.worklist
        for label in wishes.labels or ("",):
            for workitem in self.client.scheduled(label):
                uid, transaction = str(workitem.SOPInstanceUID), f"2.25.{uuid4().int}"
                whole = self.client.get(uid) or workitem
                inputs = inputs_of(whole).to_json()
                priority = str(whole.get("ScheduledProcedureStepPriority") or "")
                parts = (uid, wishes.performs, transaction, inputs, priority)
                if claim(self.database, self.trail, *parts):
                    self._take(uid, transaction)

    def _take(self, uid: str, transaction_uid: str) -> None:
        from node.worklist.client import NotOursError  # noqa: PLC0415 - httpx in this role only

        try:
            self.client.change_state(uid, "IN PROGRESS", transaction_uid)
        except NotOursError as error:
            settle(self.database, self.trail, uid, "lost", str(error))
            return
        try:
            self.client.subscribe(uid, self.settings.node.ae_title)
        except NotOursError as error:  # it is performed all the same, deaf to wishes
            _log.warning("the worklist: %s", error)

    def _go_on(self, one: Claimed) -> None:
        from node.worklist.client import NotOursError  # noqa: PLC0415 - httpx in this role only

        workitem = self.client.get(one.uid)
        state = "" if workitem is None else str(workitem.get("ProcedureStepState") or "")
        try:
            if state == "SCHEDULED":  # noted, and not claimed before a kill
                self.client.change_state(one.uid, "IN PROGRESS", one.transaction_uid)
            elif state != "IN PROGRESS":
                settle(self.database, self.trail, one.uid, "lost", f"it is {state or 'gone'} there")
                return
            self._perform(one)
        except NotOursError as error:
            settle(self.database, self.trail, one.uid, "lost", str(error))

    def _perform(self, one: Claimed) -> None:
        if one.finished:
            station = self.settings.node.ae_title
            changes = performed(one.outputs, one.claimed_at, utc_now(), station)
            self.client.update(one.uid, one.transaction_uid, changes)
            self.client.change_state(one.uid, "COMPLETED", one.transaction_uid)
            told = f"{len(one.outputs)} object(s) made"
            settle(self.database, self.trail, one.uid, "completed", told)
            return
        late = utc_now() - one.claimed_at > timedelta(seconds=self.settings.worklist.give_up_s)
        why = one.failure or (_waits(one) if late else "")
        if why:
            self.client.update(one.uid, one.transaction_uid, discontinued(why, utc_now()))
            self.client.change_state(one.uid, "CANCELED", one.transaction_uid)
            settle(self.database, self.trail, one.uid, "canceled", why)
            return
        for study, uids in one.missing.items():
            if self.fetch is not None:
                self.fetch(FetchQuestion(study, uids))
        told = _waits(one)
        if told != one.reason:
            percent = 10 if one.missing else 50
            self.client.update(one.uid, one.transaction_uid, progress(percent, told))
            settle(self.database, self.trail, one.uid, "claimed", told)


def _waits(one: Claimed) -> str:
    missing = sum(map(len, one.missing.values()))
    return (
        f"{missing} input(s) are not here" if missing else "the inputs are here, not reported yet"
    )


def start_performer(foundation: Foundation, fetch: Fetch | None) -> Callable[[], None]:
    """Perform another's worklist in the background, where one is configured.

    Returns:
        What stops it.
    """
    settings = foundation.settings
    if not settings.worklist.performs:
        return lambda: None
    from node.deliver.association import Timeouts  # noqa: PLC0415 - only where one is configured
    from node.deliver.dicomweb import open_client  # noqa: PLC0415
    from node.worklist.client import UpsClient  # noqa: PLC0415

    http = open_client("worklist", settings.worklist.performs, settings.tls, Timeouts())
    client = UpsClient("the worklist", http)
    performer = Performer(foundation.database, foundation.trail, client, settings, fetch)
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(settings.worklist.poll_s):
            try:
                performer.round()
            except CrdlError as error:
                _log.warning("the worklist: %s", error)
            except SQLAlchemyError as error:
                _log.error("the worklist: %s", type(error).__name__)
            except Exception:  # noqa: BLE001 - the boundary of a thread: the next round goes on
                _log.exception("the worklist could not be performed")

    thread = threading.Thread(target=run, name="performer", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join(_STOP_S)
        http.close()

    return stop
