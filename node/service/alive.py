"""Whether the processes of a role on this machine live: what a container's probe asks."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final

from sqlalchemy import or_, select

from node.audit.tables import Lease
from node.config import Settings
from node.database import open_engine, read_only, server_now

_WAIT_S: Final = 5.0
_SILENCE: Final = timedelta(seconds=60)  # twice what the sweepers wait
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - an address to ask, not to bind
_BEATING: Final = ("work", "deliver")


def signs(settings: Settings, role: str) -> Iterator[tuple[str, str]]:
    """Yield each sign of life by name, with "" or what is wrong.

    Args:
        settings: Of the node.
        role: `all`, `receive`, `work`, `deliver`, `web` or `hl7`.
    """
    if role in {"all", "receive"}:
        yield "receive", _listens(settings.node.host, settings.node.port)
    if role == "hl7" or (role == "all" and settings.reading.mllp_port):
        yield "hl7", _listens(settings.reading.mllp_host, settings.reading.mllp_port)
    if role in {"all", "web"}:
        yield "web", _answers(settings)
    for one in _BEATING:
        if role in {"all", one}:
            yield one, _beats(settings, one, alone=role != "all")


def _listens(host: str, port: int) -> str:
    try:
        with socket.create_connection((_EVERYWHERE.get(host, host), port), _WAIT_S):
            return ""
    except OSError as error:
        return f"nobody listens on {host}:{port} ({error.strerror or error})"


def _answers(settings: Settings) -> str:
    host = _EVERYWHERE.get(settings.web.host, settings.web.host)
    if settings.web.certificate is None:
        connection = HTTPConnection(host, settings.web.port, timeout=_WAIT_S)
    else:
        # We ask ourselves by address; whom the certificate names is for others to check.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001 - no secret is sent
        connection = HTTPSConnection(host, settings.web.port, timeout=_WAIT_S, context=context)
    try:
        connection.request("GET", "/livez")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"the web does not answer on {host}:{settings.web.port} ({error})"
    finally:
        connection.close()
    return "" if status == 200 else f"/livez answers {status}"


def _beats(settings: Settings, role: str, *, alone: bool) -> str:
    """Ask for the lease of a role; where it runs by itself, for this machine's."""
    database = open_engine(settings.database_url)
    try:
        with read_only(database) as connection:
            now = server_now(connection)
            query = select(Lease.beat_at).where(Lease.role == role)
            if alone:
                names = {socket.gethostname(), settings.node.name} - {""}
                query = query.where(
                    or_(*(Lease.executor_id.contains(one, autoescape=True) for one in names))
                )
            last = max(connection.scalars(query), default=None)
    finally:
        database.dispose()
    if last is None:
        return f"no process of role {role} has given a sign of life"
    silence = now - last
    return "" if silence < _SILENCE else f"silent for {silence.total_seconds():.0f} s"
