"""Pathology results over MLLP (HL7 v2, minimal lower layer protocol): each message is answered.

AA when its outcomes are in the database, AE when they could not be taken in, AR for another type
of message. Only on this machine, for HL7 v2 knows no authentication: an interface engine or a TLS
proxy beside the node brings what comes from elsewhere.
"""

from __future__ import annotations

import logging
import socketserver
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy.exc import SQLAlchemyError

from node.config import is_loopback
from node.errors import ConfigurationError, InputError
from node.jobs.outcomes import Kept, OutcomeSaid
from node.service.hl7_results import WrongTypeError, outcomes_of

_START, _END = b"\x0b", b"\x1c\r"
_MAXIMUM_BYTES = 1 << 20
_IDLE_S = 300.0
_CHARACTER_SETS = {"UNICODE UTF-8": "utf-8", "8859/1": "latin-1", "8859/15": "iso8859-15"}
_log = logging.getLogger(__name__)

TakeOutcomes = Callable[[Sequence[OutcomeSaid]], Sequence[Kept]]


class MllpListener(socketserver.ThreadingTCPServer):
    """Listens; `serve_forever` in a thread, `shutdown` and `server_close` at the end.

    Raises:
        ConfigurationError: If others could reach the address, or it cannot be listened on.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int, take: TakeOutcomes) -> None:
        self.take = take
        _require_loopback(host)
        try:
            super().__init__((host, port), _Conversation)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error


def _require_loopback(host: str) -> None:
    if not is_loopback(host):
        raise ConfigurationError(
            f"reading.mllp_host {host!r} is reachable from elsewhere and HL7 v2 authenticates"
            " nobody; use 127.0.0.1 and bring results there"
        )


class _Conversation(socketserver.StreamRequestHandler):
    """One connection: message, acknowledgement, message, ... until the peer leaves."""

    timeout = _IDLE_S
    server: MllpListener

    def handle(self) -> None:
        try:
            while (message := self._next()) is not None:
                answer = answer_to(message, self.server.take)
                self.wfile.write(_START + answer.encode() + _END)
        except OSError:
            return  # the peer left, or said nothing for too long

    def _next(self) -> bytes | None:
        """Return the bytes of the next message; None at the end, or where a frame is none."""
        if self.rfile.read(1) != _START:
            return None
        frame = bytearray()
        while not frame.endswith(_END):
            byte = self.rfile.read(1)
            if not byte or len(frame) > _MAXIMUM_BYTES:
                return None
            frame += byte
        return bytes(frame[: -len(_END)])


def answer_to(message: bytes, take: TakeOutcomes) -> str:
    """Take a message in and return its acknowledgement (HL7 v2 chapter 2, section 2.9)."""
    text = _decoded(message)
    try:
        kept = take(outcomes_of(text))
    except WrongTypeError as error:
        return acknowledgement(text, "AR", str(error))
    except InputError as error:
        return acknowledgement(text, "AE", str(error))
    except SQLAlchemyError as error:
        # Its text would show the row, and a row names the patient.
        _log.error("a result could not be written: %s", type(error).__name__)
        return acknowledgement(text, "AE", "the database does not answer: send it again")
    fitting = sum(bool(one.case_name) for one in kept)
    return acknowledgement(text, "AA", f"{len(kept)} outcome(s), {fitting} of a known case")


def acknowledgement(message: str, code: str, text: str) -> str:
    """Return the ACK of a message: sender and receiver change places, its control id comes back."""
    fields = message.split("\r", 1)[0].split("|")
    fields += [""] * (12 - len(fields))
    clean = "".join(" " if character in "|^~\\&\r\n" else character for character in text)
    now = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    trigger = fields[8].split("^")[1:2] if fields[0] == "MSH" else []
    header = [
        *("MSH", "^~\\&", fields[4], fields[5], fields[2], fields[3], now, ""),
        *("^".join(["ACK", *trigger]), uuid4().hex[:20], fields[10] or "P", fields[11] or "2.5"),
    ]
    return "\r".join(["|".join(header), f"MSA|{code}|{fields[9]}|{clean}", ""])


def _decoded(message: bytes) -> str:
    """Decode by MSH-18; what is not named is UTF-8, and a wrong byte shows as such."""
    head = message.split(b"\r", 1)[0].split(b"|")
    named = head[17].decode("ascii", "replace") if len(head) > 17 else ""
    return message.decode(_CHARACTER_SETS.get(named, "utf-8"), "replace").replace("\n", "\r")
