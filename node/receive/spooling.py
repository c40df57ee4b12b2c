"""Data sets go from the network straight to the spool, a file for each C-STORE request.

pynetdicom can do so itself (`STORE_RECV_CHUNKED_DATASET`), but to the process's temporary folder,
without a cap, losing the file when an association breaks, and ending the association's thread when
the disk is full. So the same hooks are used here, an association at a time.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu_primitives import P_DATA

from node.receive.attributes import is_uid
from node.receive.faults import OutOfResourcesError, TooLargeError
from node.receive.part10 import beginning
from node.receive.spool_file import SpoolFile

_LOG = logging.getLogger(__name__)

IN_MEMORY_BYTES = 64 << 10
"""Of a message that is no C-STORE, where nothing but storage is served."""
EDGE_IN_MEMORY_BYTES = 2 << 20
"""The same where workitems or performed steps are taken: one may name thousands of instances."""
_WAITING_REQUESTS = 8  # none is negotiated beyond the first (PS3.7 section D.3.3.3)
_UNFOLLOWABLE = (
    *(LookupError, ValueError, TypeError, AttributeError, struct.error, OSError),
    TooLargeError,
)
PDV_HEADER = struct.Struct(">LBB")  # length, context, message control header (PS3.8 annex E)
_LAST_AND_EMPTY = b"\x02"


@dataclass(frozen=True, slots=True)
class Spooling:
    """Where data sets that arrive are written, and how much of what comes is taken.

    Attributes:
        folder: Of this process alone, see `own_spool`.
        has_room: Whether a data set may be written at all.
        maximum_bytes: Of one instance.
        in_memory_bytes: Of a message that is no C-STORE.
    """

    folder: Path
    has_room: Callable[[], bool]
    maximum_bytes: int
    in_memory_bytes: int = IN_MEMORY_BYTES


class SpoolingProvider(DIMSEServiceProvider):
    """The DIMSE layer of one association, with every C-STORE data set in a `SpoolFile`.

    Attributes:
        unfollowable: Why the association was aborted here; "" if it was not.
    """

    def __init__(self, association: Association, spooling: Spooling) -> None:
        super().__init__(association)
        self._spooling = spooling
        self._open: SpoolFile | None = None
        self._in_memory = 0
        self.unfollowable = ""

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take fragments one by one, so that a file is there before the first of its data.

        A message that cannot be followed, or that asks for memory without end, aborts the
        association.
        """
        try:
            for fragment in primitive.presentation_data_value_list:
                self._require_bounds(fragment)
                self._receive(fragment)
        except _UNFOLLOWABLE as error:
            self.abort_over(error)

    def _receive(self, fragment: tuple[int, bytes]) -> None:
        single = P_DATA()
        single.presentation_data_value_list = [cast("Any", list(fragment))]  # it checks for lists
        super().receive_primitive(single)
        message = self.message
        if message is None:
            self._open = None  # complete: it belongs to the C-STORE handler now, which closes it
            self._in_memory = 0
        elif isinstance(message, C_STORE_RQ) and self._open is None:
            self._open = self._spool_file(message)
            message._data_set_file = cast("Any", self._open)  # noqa: SLF001 - as chunked receive does
            message._data_set_path = self._open.path  # noqa: SLF001 - same

    def _require_bounds(self, fragment: tuple[int, bytes]) -> None:
        """Let pass what is spooled, and as much of the rest as an honest sender needs.

        Raises:
            ValueError: If a command set, a data set that is no C-STORE's, or the number of
                requests that wait for an answer is beyond reason.
        """
        is_command = bool(fragment[1][0] & 1)  # PS3.8 section E.2
        if is_command or self._open is None:
            self._in_memory += len(fragment[1])
        if self._in_memory > self._spooling.in_memory_bytes:
            raise ValueError("a message without a C-STORE data set exceeds its bound")
        if self.msg_queue.qsize() > _WAITING_REQUESTS:
            raise ValueError("more requests than the negotiated one wait for an answer")

    @property
    def is_spooling(self) -> bool:
        """Whether a C-STORE's data set is arriving."""
        return self._open is not None

    def receive_pdu(self, body: memoryview) -> bool:
        """Take the body of a P-DATA-TF (PS3.8 section 9.3.5) while a data set is arriving.

        What `receive_primitive` does, without a copy: nearly all bytes of an image come this way.

        Returns:
            False if the association is aborted over it.
        """
        at = 0
        try:
            while at < len(body):
                length, context, control = PDV_HEADER.unpack_from(body, at)
                if length < 2 or at + 4 + length > len(body):
                    raise ValueError("a fragment is longer than its PDU")
                fragment = body[at + 6 : at + 4 + length]
                at += 4 + length
                if self._open is None or control & 1:
                    primitive = (context, bytes((control, *fragment)))
                    self._require_bounds(primitive)
                    self._receive(primitive)
                    continue
                self._open.write(fragment)
                if control & 2:
                    self.complete(context)
        except _UNFOLLOWABLE as error:
            self.abort_over(error)
            return False
        return True

    def spool_to(self, file: SpoolFile) -> None:
        """Let the data set that follows go into a file."""
        self._open = file

    def take_file(self) -> SpoolFile:
        """Return the file of a data set that is all there; it is the caller's now.

        Raises:
            ValueError: If none was arriving.
        """
        if self._open is None:
            raise ValueError("no data set was arriving")
        file, self._open, self._in_memory = self._open, None, 0
        return file

    def complete(self, context_id: int) -> None:
        """Take the end of a data set that was spooled: its request goes to its handler."""
        self._receive((context_id, _LAST_AND_EMPTY))

    def abort_over(self, error: Exception) -> None:
        """Abort the association, whose peer cannot be followed."""
        self.unfollowable = str(error) or type(error).__name__
        _LOG.warning("aborting an association: %s", self.unfollowable)
        self.dul.event_queue.put("Evt19")  # unrecognized or invalid PDU: PS3.8 table 9-10

    def drop_incomplete(self) -> None:
        """Remove the files of data sets that no handler will see any more."""
        if self._open is not None:
            self._open.discard()
            self._open = None
        while not self.msg_queue.empty():
            _, request = self.msg_queue.get()
            file = getattr(request, "_dataset_file", None)
            if isinstance(file, SpoolFile):
                file.discard()

    def _spool_file(self, message: C_STORE_RQ) -> SpoolFile:
        """Open a file that begins as PS3.10 section 7.1 says.

        Raises:
            ValueError: If the request lacks what an answer needs: pynetdicom would not answer, and
                nobody would ever take the file.
        """
        _make_answerable(message)
        command = message.command_set
        return self.open_file(
            cast("int", message.context_id),
            _uid(command.get("AffectedSOPClassUID")),
            _uid(command.get("AffectedSOPInstanceUID")),
        )

    def open_file(self, context_id: int, sop_class_uid: str, sop_instance_uid: str) -> SpoolFile:
        """Open a file for a data set that comes over a presentation context.

        Raises:
            KeyError: If that context was not accepted.
            OSError: If no file can be opened.
        """
        syntax = self.assoc._accepted_cx[context_id].transfer_syntax[0]  # noqa: SLF001 - it has no public list by id
        spooling = self._spooling
        full = None if spooling.has_room() else OutOfResourcesError("the disk is nearly full")
        file = SpoolFile(spooling.folder, spooling.maximum_bytes, full)
        file.write(beginning(sop_class_uid, sop_instance_uid, syntax))
        return file


def _make_answerable(message: C_STORE_RQ) -> None:
    """Give a UID that is none a value that no data set has, so that it is refused as a mismatch.

    Raises:
        ValueError: If another element is missing (PS3.7 table 9.3-1).
    """
    command = message.command_set
    for keyword in ("MessageID", "Priority"):
        if not isinstance(command.get(keyword), int):
            raise ValueError(f"a C-STORE request without {keyword}")  # noqa: TRY004 - the peer's
    for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID"):
        setattr(command, keyword, _uid(command.get(keyword)))


def _uid(announced: object) -> UID:
    """The announced UID, or a UID that no data set has: then the inbox notes the mismatch."""
    text = str(announced)
    return UID(text if is_uid(text) else "0")
