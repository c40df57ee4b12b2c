"""Telling people what needs them: a dead job or delivery, a refused caller, a broken record.

Rows are read along the chain; what is to be told becomes a `notice` row in the transaction that
moves the reader on, and is sent until its channel has taken it. A notice names no patient.
"""

from __future__ import annotations

import logging
import re
import smtplib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import httpx
from sqlalchemy import Connection, Engine, Row, insert, select, update

from node.audit.follow import Place, end_of, move, place_of, read
from node.audit.seal import Sealer
from node.audit.tables import Follower, Notice
from node.audit.verify import verify
from node.config import NotifySettings
from node.database import lock, read_only, utc_now
from node.errors import DeliveryError
from node.service.background import Routine
from node.service.compose import Foundation

PASS_S = 10.0
SILENCE = timedelta(hours=1)
"""The same topic is told once in that time."""
PROOF = timedelta(days=1)
"""How often the record is verified."""

_NAME, _PROVER = "notify", "verify"
_BATCH = 500
_TIMEOUT_S = 15.0
_UID = re.compile(r"\d+(?:\.\d+){3,}")  # also addresses, which a reason need not show either
_PERSON_NAME = re.compile(r"\S*\^\S*")  # PS3.5 section 6.2, VR PN: components between carets
_TITLES = {
    ("job", "dead"): "A job gave up",
    ("delivery", "dead"): "A report could not be delivered",
    ("association", "rejected"): "A caller was refused",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What is told, without anything that names a patient or a study.

    Attributes:
        topic: News with the same topic is the same news.
        job: Number of the job, None if there is none.
    """

    topic: str
    title: str
    at: str
    reason: str = ""
    job: int | None = None

    def to_json(self, link: str) -> dict[str, Any]:
        """Return what goes to a channel; `text` is for a person."""
        lines = [self.title]
        lines += [f"job {self.job}"] if self.job is not None else []
        lines += [self.reason] if self.reason else []
        lines += [link] if link else []
        return {
            "text": "\n".join(lines),
            "title": self.title,
            "at": self.at,
            "reason": self.reason,
            "job": self.job,
            "link": link,
        }


def news_of(row: Mapping[str, Any]) -> News | None:
    """Return what a ledger row is to a person, None for nothing."""
    title = _TITLES.get((row["ledger"], row["event"]))
    if title is None:
        return None
    detail = row["detail"]
    reason = _without_names(str(detail.get("reason") or detail.get("error") or ""), row)
    job = detail.get("job")
    if row["ledger"] == "association":
        # One topic a machine: a scanner that tries every second is told once an hour.
        return News(f"rejected {detail.get('address', '')}"[:160], title, row["at"], reason)
    if row["ledger"] == "delivery":
        where = str(detail.get("destination", ""))
        return News(f"delivery {job} {where}"[:160], title, row["at"], reason, job)
    return News(f"job {job}", title, row["at"], reason, job)


def _without_names(reason: str, row: Mapping[str, Any]) -> str:
    for name in (row["patient"], row["study"], row["subject"]):
        if name:
            reason = reason.replace(name, "…")
    return _PERSON_NAME.sub("…", _UID.sub("…", reason))[:300]


@dataclass
class Notifier:
    """Makes notices of what is new and sends those that are open."""

    database: Engine
    sealer: Sealer
    settings: NotifySettings
    _channels: dict[str, Callable[[dict[str, Any]], None]] = field(init=False)

    def __post_init__(self) -> None:
        every = {"webhook": self._post, "email": self._mail}
        wanted = {"webhook": self.settings.webhook, "email": self.settings.email_to}
        self._channels = {name: send for name, send in every.items() if wanted[name]}

    def advance(self) -> bool:
        """Read on, prove the record if it is time, and send; return whether all was sent."""
        self._read_on()
        self._prove()
        return self._send()

    def _read_on(self) -> None:
        while True:
            with self.database.begin() as connection:
                lock(connection, _NAME)
                place = place_of(connection, _NAME)
                if place is None:  # a new channel is not told of the past
                    move(connection, _NAME, end_of(connection))
                    return
                rows, after = read(connection, place, _BATCH)
                if after == place:
                    return
                for news in filter(None, map(news_of, rows)):
                    self._note(connection, news)
                move(connection, _NAME, after)

    def _prove(self) -> None:
        with read_only(self.database) as connection:
            query = select(Follower.updated_at).where(Follower.name == _PROVER)
            last = connection.scalar(query)
        if last is not None and utc_now() - last < PROOF:
            return
        faults = verify(self.database, self.sealer).faults
        with self.database.begin() as connection:
            move(connection, _PROVER, Place())
            if faults:
                kinds = ", ".join(sorted({fault.kind for fault in faults}))
                said = f"{len(faults)} faults ({kinds}): run crdl audit verify"
                title = "The audit record is not intact"
                self._note(connection, News("record", title, utc_now().isoformat(), said))

    def _note(self, connection: Connection, news: News) -> None:
        since = utc_now() - SILENCE
        told = select(Notice.id).where(Notice.topic == news.topic, Notice.made_at > since)
        if connection.execute(told.limit(1)).first() is not None:
            return
        content = news.to_json(self.settings.link)
        for channel in self._channels:
            connection.execute(
                insert(Notice).values(
                    topic=news.topic,
                    channel=channel,
                    content=content,
                    made_at=utc_now(),
                    attempts=0,
                )
            )

    def _send(self) -> bool:
        query = select(Notice.id, Notice.channel, Notice.content)
        query = query.where(Notice.sent_at.is_(None), Notice.channel.in_(self._channels))
        with read_only(self.database) as connection:
            waiting = connection.execute(query.order_by(Notice.id)).all()
        broken: set[str] = set()
        for notice in waiting:
            if notice.channel not in broken and not self._try(notice):
                broken.add(notice.channel)  # the other channel goes on
        return not broken

    def _try(self, notice: Row[Any]) -> bool:
        sent_at = None
        try:
            self._channels[notice.channel](notice.content)
            sent_at = utc_now()
        except (OSError, smtplib.SMTPException, httpx.HTTPError) as error:
            _log.warning("%s does not take a notice: %s", notice.channel, type(error).__name__)
        with self.database.begin() as connection:
            connection.execute(
                update(Notice)
                .where(Notice.id == notice.id)
                .values(sent_at=sent_at, attempts=Notice.attempts + 1)
            )
        return sent_at is not None

    def _post(self, content: dict[str, Any]) -> None:
        httpx.post(self.settings.webhook, json=content, timeout=_TIMEOUT_S).raise_for_status()

    def _mail(self, content: dict[str, Any]) -> None:
        mail = EmailMessage()
        mail["Subject"] = f"CRDL node: {content['title']}"
        mail["From"] = self.settings.email_from
        mail["To"] = ", ".join(self.settings.email_to)
        mail.set_content(content["text"])
        with smtplib.SMTP(
            self.settings.smtp_host, self.settings.smtp_port, timeout=_TIMEOUT_S
        ) as relay:
            relay.send_message(mail)


def start_notifier(foundation: Foundation) -> Callable[[], None]:
    """Tell people in the background, if a channel is configured; return what stops it."""
    settings = foundation.settings.notify
    if not (settings.webhook or settings.email_to):
        return lambda: None
    notifier = Notifier(foundation.database, foundation.sealer, settings)

    def once() -> None:
        if not notifier.advance():
            raise DeliveryError("a channel does not take its notices")

    return Routine("notifier", once, PASS_S, (DeliveryError,), is_first_at_once=True).start()
