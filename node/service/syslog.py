"""The audit on its way to a collector: DICOM audit messages, RFC 5424, over TLS (RFC 5425).

Syslog over TLS acknowledges nothing. We therefore end every batch by closing the TLS session and
move on only when the collector has answered with its own close_notify (RFC 5246 section 7.2.1):
it has then read everything before. What a broken connection may have lost is sent again, so a
message arrives at least once.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine

from node.audit.atna import message
from node.audit.follow import Place, move, place_of, read
from node.audit.seal import Sealer
from node.audit.verify import signed_head
from node.config import SyslogSettings
from node.database import read_only, utc_now
from node.errors import ConfigurationError
from node.service.background import Routine
from node.service.compose import Foundation
from node.tls import client_context

BATCH = 500
PASS_S = 5.0
HEAD_S = 3600.0
_TIMEOUT_S = 20.0
_NOTICE, _WARNING = 5, 4  # RFC 5424 severities
_NAME = "syslog"


def tls_context(settings: SyslogSettings) -> ssl.SSLContext:
    """Return the TLS client: 1.2 or newer, the collector's name and certificate are checked.

    Raises:
        ConfigurationError: If a file cannot be used.
    """
    try:
        return client_context(settings, settings.ca)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(
            f"[syslog] ca, certificate or key cannot be used: {error}"
        ) from error


def frame(facility: int, severity: int, at: str, host: str, kind: str, content: bytes) -> bytes:
    """Return one RFC 5424 message, octet-counted (RFC 5425 section 4.3).

    Args:
        facility: 0 to 23.
        severity: 0 to 7.
        at: ISO time with zone, at most microseconds.
        host: Name of this machine.
        kind: MSGID; `DICOM+RFC3881` for audit messages (PS3.15 section A.6).
        content: UTF-8, without a byte order mark.
    """
    head = f"<{8 * facility + severity}>1 {at} {host or '-'} crdl-node {os.getpid()} {kind} - "
    whole = head.encode("ascii", "replace") + b"\xef\xbb\xbf" + content
    return b"%d %b" % (len(whole), whole)


@dataclass
class Syslog:
    """Sends what the chain has, from where it was, a batch a connection."""

    database: Engine
    sealer: Sealer
    settings: SyslogSettings
    source: str
    host: str = field(default_factory=lambda: socket.gethostname()[:255])
    _context: ssl.SSLContext = field(init=False)
    _head_at: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self._context = tls_context(self.settings)

    def advance(self) -> int:
        """Send everything that is chained and not sent; return how many messages that was.

        Raises:
            OSError: The collector cannot be reached or broke off; call again later.
        """
        sent = 0
        while True:
            with read_only(self.database) as connection:
                place = place_of(connection, _NAME) or Place()
                rows, after = read(connection, place, BATCH)
            if after == place:
                return sent + self._tell_head(sent)
            made = [message(row, self.source, self.host) for row in rows]
            frames = [
                frame(
                    self.settings.facility,
                    _NOTICE if one.outcome == "0" else _WARNING,
                    one.at,
                    self.host,
                    "DICOM+RFC3881",
                    one.to_xml(),
                )
                for one in made
                if one is not None
            ]
            if frames:
                self._deliver(frames)
            with self.database.begin() as connection:
                move(connection, _NAME, after)
            sent += len(frames)

    def _tell_head(self, sent: int) -> int:
        """Send the signed end of the chain, at most once an hour and only after other messages."""
        if not sent or time.monotonic() - self._head_at < HEAD_S:
            return 0
        head = signed_head(self.database, self.sealer)
        if head is None:
            return 0
        at = utc_now().isoformat()
        line = head.to_line().encode()
        self._deliver(
            [frame(self.settings.facility, _NOTICE, at, self.host, "CRDL+CHAINHEAD", line)]
        )
        self._head_at = time.monotonic()
        return 1

    def _deliver(self, frames: Sequence[bytes]) -> None:
        address = (self.settings.host, self.settings.port)
        with (
            socket.create_connection(address, _TIMEOUT_S) as plain,
            self._context.wrap_socket(
                plain, server_hostname=self.settings.host, suppress_ragged_eofs=False
            ) as tls,
        ):
            tls.sendall(b"".join(frames))
            # Blocks until the collector closes TLS too. A bare end of the connection raises: it
            # may come from a collector that died before it read what we sent last.
            tls.unwrap()


def start_syslog(foundation: Foundation) -> Callable[[], None]:
    """Send in the background, if a collector is configured; return what stops it."""
    settings = foundation.settings
    if not settings.syslog.host:
        return lambda: None
    sender = Syslog(foundation.database, foundation.sealer, settings.syslog, settings.node.ae_title)
    return Routine("syslog", sender.advance, PASS_S, (OSError,), is_last_made=True).start()
