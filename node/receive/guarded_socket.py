"""The bytes of one association: bounded PDUs, a deadline for each, few system calls.

pynetdicom 3.0 reads a PDU of whatever length its header claims, 4 KiB at a time and without an
end to its patience. Here the length is capped before a byte of it is read, the whole PDU has a
deadline however slowly its bytes drip, and what has come is read at once.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import Final

from pynetdicom.transport import AssociationSocket

from node.receive.admission import BLANK_TITLE

MAXIMUM_PDU_BYTES: Final = 128 << 10
PDU_HEADER_BYTES: Final = 6
_PDU_SLACK_BYTES = 4 << 10  # some senders do not count the PDV headers (PS3.8 section 9.3.5)
_LONGEST_BODY_BYTES = MAXIMUM_PDU_BYTES + _PDU_SLACK_BYTES
_BUFFER_BYTES = 512 << 10  # of memory, only what comes at once is touched
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_LOOK_S = 1.0  # TLS may want to read before it writes, and the reverse


class GuardedSocket(AssociationSocket):
    """The socket of one association; takes the place of the one that pynetdicom made."""

    def __init__(self, made: AssociationSocket, pdu_deadline_s: float) -> None:
        # The original has announced the connection to the state machine, which must hear of it
        # only once, so its state moves here as it is.
        self.__dict__.update(vars(made))
        self._pdu_deadline_s = pdu_deadline_s
        self._expects_request = True
        self._connection().setblocking(False)
        # What has come and was not read lies between the two marks.
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._is_over = False

    @property
    def has_come(self) -> bool:
        """Whether there is something to read, or the end of it, without asking the system."""
        return self._end > self._start or self._is_over

    @property
    def ready(self) -> bool:
        """Whether there is something to read."""
        return self.has_come or super().ready

    def fill(self) -> bool:
        """Read what has come, without waiting; False if nothing has.

        Raises:
            OSError: If the connection is broken.
        """
        if self._start == self._end:
            self._start = self._end = 0
        try:
            count = self._connection().recv_into(self._view[self._end :])
        except _NOT_YET:
            return False
        self._is_over = self._is_over or not count
        self._end += count
        return True

    def peek(self, count: int) -> memoryview:
        """Return the next so many bytes, which stay unread; fewer only if the peer has closed.

        They may be looked at until more is waited for.

        Raises:
            OSError: If that is more than a PDU may have.
            TimeoutError: If they have not come within the deadline.
        """
        if count > PDU_HEADER_BYTES + _LONGEST_BODY_BYTES:
            raise OSError(f"a PDU of {count} bytes exceeds {MAXIMUM_PDU_BYTES}")
        if self._end - self._start < count:
            self._wait_for(count)
        return self._view[self._start : min(self._start + count, self._end)]

    def consume(self, count: int) -> None:
        """Count the next so many bytes, which were looked at, as read."""
        self._start += count

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, fewer only if the peer has closed the connection.

        pynetdicom reads a PDU in two calls: its header of 6 bytes, then its body.

        Raises:
            OSError: If the body is longer than a PDU may be.
            TimeoutError: If it has not come within the deadline.
        """
        if nr_bytes > _LONGEST_BODY_BYTES:
            raise OSError(f"a PDU of {nr_bytes} bytes exceeds {MAXIMUM_PDU_BYTES}")
        received = bytearray(self.peek(nr_bytes))
        self.consume(len(received))
        if self._expects_request and nr_bytes > PDU_HEADER_BYTES:
            self._expects_request = False
            name_blank_titles(received)
        return received

    def send(self, bytestream: bytes) -> None:
        """Send all bytes; a connection that breaks, or takes too long, is announced as closed."""
        deadline = time.monotonic() + self._pdu_deadline_s
        left = memoryview(bytestream)
        try:
            while left:
                try:
                    left = left[self._connection().send(left) :]
                except _NOT_YET:
                    self._wait(select.POLLOUT, deadline)
        except OSError:  # TimeoutError is one
            self.event_queue.put("Evt17")  # transport connection closed: PS3.8 table 9-10

    def _wait_for(self, count: int) -> None:
        """Read until so many bytes lie in the buffer, or the peer has closed the connection."""
        if self._start + count > _BUFFER_BYTES:
            rest = bytes(self._view[self._start : self._end])
            self._start, self._end = 0, len(rest)
            self._view[: self._end] = rest
        deadline = time.monotonic() + self._pdu_deadline_s
        while self._end - self._start < count and not self._is_over:
            if not self.fill():
                self._wait(select.POLLIN, deadline)
            elif time.monotonic() > deadline:
                self._give_up()

    def _wait(self, event: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            self._give_up()
        poll = select.poll()
        poll.register(self._connection(), event)
        poll.poll(1000 * min(left, _LOOK_S))

    def _give_up(self) -> None:
        raise TimeoutError(f"a PDU took longer than {self._pdu_deadline_s:g} s")

    def _connection(self) -> socket.socket:
        if self.socket is None:
            raise ConnectionAbortedError("the connection is closed")
        return self.socket


def name_blank_titles(request: bytearray) -> None:
    """Give blank AE titles in the body of an A-ASSOCIATE-RQ a name, in place.

    pynetdicom aborts over them before any policy is asked, and an abort tells an administrator
    nothing; with a name `admission` can reject them for a reason or admit them.
    """
    for start in (4, 20):  # called and calling AE title, PS3.8 table 9-11
        if not request[start : start + 16].strip(b" \0"):
            request[start : start + 16] = BLANK_TITLE.encode().ljust(16)
