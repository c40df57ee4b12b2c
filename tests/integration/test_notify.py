"""People are told what needs them: by a real web server and a real mail server, once, later too."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import text

from node.audit import schema
from node.audit.chain import Chainer
from node.audit.seal import Sealer
from node.audit.trail import Trail
from node.config import NotifySettings
from node.database import open_engine
from node.service import notify
from node.service.notify import Notifier

REASON = "the mask of MEIER^EVA (PAT-77) in 1.2.840.99.5 is empty"


class Hook(ThreadingHTTPServer):
    """Keeps what was posted; answers `status`."""

    def __init__(self, port: int) -> None:
        self.posted: list[dict[str, Any]] = []
        self.status = 204
        super().__init__(("127.0.0.1", port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        hook = self.server
        assert isinstance(hook, Hook)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if hook.status < 300:
            hook.posted.append(body)
        self.send_response(hook.status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        del format, args


@contextmanager
def listening(port: int) -> Iterator[Hook]:
    with Hook(port) as hook:
        thread = threading.Thread(target=hook.serve_forever, args=(0.05,))
        thread.start()
        yield hook
        hook.shutdown()
        thread.join()


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        del server, session
        self.mails.append(envelope)
        return "250 taken"


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class Site:
    """A node's audit and the address of a hook that may not be there."""

    def __init__(self, folder: Path) -> None:
        self.database = open_engine(f"sqlite:///{folder / 'node.db'}")
        schema.upgrade(self.database)
        self.sealer = Sealer.from_file(folder / "audit.key")
        self.port = a_free_port()

    def happens(self, ledger: Any, event: str, **detail: Any) -> None:
        trail = Trail("work", self.sealer)
        with self.database.begin() as connection:
            trail.record(
                connection, ledger, event, "1.2.840.99.5", detail, study="1.2.9", patient="PAT-77"
            )
        Chainer(self.database, self.sealer).advance()

    def notifier(self, **settings: Any) -> Notifier:
        given = settings or {"webhook": f"http://127.0.0.1:{self.port}/hook"}
        return Notifier(
            self.database, self.sealer, NotifySettings(link="https://node.example", **given)
        )


@pytest.fixture
def a_site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    site.happens("job", "dead", job=1, reason="before anybody asked")
    site.notifier().advance()
    yield site
    site.database.dispose()


def test_a_dead_job_is_told_once_with_its_number_and_without_a_name(a_site: Site) -> None:
    with listening(a_site.port) as hook:
        a_site.happens("job", "dead", job=42, reason=REASON)
        assert a_site.notifier().advance()
        assert a_site.notifier().advance()  # a restarted node
    (told,) = hook.posted
    assert told["job"] == 42
    assert told["link"] == "https://node.example"
    assert "empty" in told["reason"]
    for secret in ("PAT-77", "MEIER", "EVA", "1.2.840.99.5", "1.2.9"):
        assert secret not in json.dumps(told)


def test_what_no_channel_took_is_sent_when_it_is_back(a_site: Site) -> None:
    a_site.happens("delivery", "dead", job=7, destination="pacs", error="no answer")
    assert not a_site.notifier().advance()  # nobody listens
    with listening(a_site.port) as hook:
        hook.status = 503
        assert not a_site.notifier().advance()
        hook.status = 204
        assert a_site.notifier().advance()
    assert [told["job"] for told in hook.posted] == [7]


def test_a_caller_that_is_refused_all_the_time_is_told_once(a_site: Site) -> None:
    with listening(a_site.port) as hook:
        for _ in range(5):
            a_site.happens("association", "rejected", address="192.0.2.9", calling_ae="X")
        a_site.happens("association", "rejected", address="192.0.2.10", calling_ae="X")
        a_site.notifier().advance()
    assert [told["title"] for told in hook.posted] == ["A caller was refused"] * 2


def test_the_same_topic_is_told_again_after_its_silence(
    a_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(a_site.port) as hook:
        a_site.happens("job", "dead", job=42)
        a_site.notifier().advance()
        monkeypatch.setattr(notify, "SILENCE", notify.SILENCE * 0)
        a_site.happens("job", "dead", job=42)
        a_site.notifier().advance()
    assert [told["job"] for told in hook.posted] == [42, 42]


def test_a_broken_record_is_told(a_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_site.database.begin() as connection:
        names = connection.execute(
            text(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'ledger_job'"
            )
        ).scalars()
        for name in names.all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text("UPDATE ledger_job SET actor = 'nobody'"))
    monkeypatch.setattr(notify, "PROOF", notify.PROOF * 0)
    with listening(a_site.port) as hook:
        a_site.notifier().advance()
    assert [told["title"] for told in hook.posted] == ["The audit record is not intact"]
    assert "altered" in hook.posted[0]["reason"]


def test_what_needs_nobody_is_not_told(a_site: Site) -> None:
    with listening(a_site.port) as hook:
        a_site.happens("job", "done", job=3)
        a_site.happens("instance", "received")
        a_site.notifier().advance()
    assert hook.posted == []


def test_mail_and_webhook_are_told_apart_from_each_other(a_site: Site) -> None:
    box = Mailbox()
    mail = Controller(box, hostname="127.0.0.1", port=a_free_port())
    mail.start()
    try:
        notifier = a_site.notifier(
            webhook=f"http://127.0.0.1:{a_site.port}/hook",
            email_to=("pacs-admin@hospital.example",),
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
        )
        a_site.happens("job", "dead", job=42, reason=REASON)
        assert not notifier.advance()  # the webhook is away, the mail goes out
        with listening(a_site.port) as hook:
            assert notifier.advance()
    finally:
        mail.stop()
    (told,) = box.mails
    assert told.rcpt_tos == ["pacs-admin@hospital.example"]
    assert b"job 42" in told.content
    assert b"PAT-77" not in told.content
    assert [one["job"] for one in hook.posted] == [42]
