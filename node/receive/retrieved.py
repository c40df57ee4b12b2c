"""The intake of what the node has asked for itself: the same door as for what is sent to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from node.config import LimitSettings
from node.receive import statuses
from node.receive.announced import Announced
from node.receive.faults import DeclinedError
from node.receive.inbox import Inbox
from node.receive.multipart import (
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    parse_content_type,
)
from node.receive.spool_file import SpoolFile, own_spool
from node.receive.spooling import Spooling, SpoolingProvider

_LOG = logging.getLogger(__name__)


class RetrievedIntake:
    """Takes over instances that a source gives, none larger than the limits allow.

    `name` is as of a `Receiver`.
    """

    def __init__(
        self, inbox: Inbox, name: str = "retrieved", limits: LimitSettings | None = None
    ) -> None:
        self._inbox = inbox
        self._maximum_bytes = (limits or LimitSettings()).maximum_instance_bytes
        self._spool = own_spool(inbox.blobs.spool, name)

    @property
    def storage(self) -> Mapping[str, str]:
        """The accepted SOP classes, names by UID."""
        return self._inbox.contexts.storage

    @property
    def transfer_syntaxes(self) -> Sequence[str]:
        """The accepted transfer syntaxes, in the order of preference."""
        return list(self._inbox.contexts.transfer_syntaxes)

    def attach(self, association: Association) -> None:
        """Spool data sets that come over an association of ours (C-GET) as they come."""
        spooling = Spooling(self._spool, self._inbox.room.has_disk, self._maximum_bytes)
        association.dimse = SpoolingProvider(association, spooling)

    def detach(self, association: Association) -> None:
        """Remove the files of data sets that came incompletely."""
        cast("SpoolingProvider", association.dimse).drop_incomplete()

    def on_store(self, event: Event, source: str) -> int:
        """Answer a C-STORE sub-operation; success only once the inbox has the instance."""
        request = cast("C_STORE", event.request)
        file: object = request._dataset_file  # noqa: SLF001 - the public path hides failures
        if not isinstance(file, SpoolFile):
            return statuses.CANNOT_UNDERSTAND
        announced = Announced(str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        declined = self._take(file, source, announced)
        if declined is None:
            return statuses.SUCCESS
        _LOG.warning("declined %04X: %s", declined.status, declined)
        return declined.status

    def take_parts(
        self, chunks: Iterator[bytes], content_type: str, source: str, study: str
    ) -> str:
        """Take over every part of a multipart response (PS3.18 section 8.6.1.2).

        Returns:
            Why a part was not accepted, "" if all were.

        Raises:
            MultipartError: If the body is malformed, or ends early.
        """
        media_type, parameters = parse_content_type(content_type)
        if media_type != "multipart/related":
            raise MultipartError(f"the response is {media_type}, not multipart/related")
        parser = MultipartParser(parameters.get("boundary", ""))
        file: SpoolFile | None = None
        refused, parts = "", 0
        try:
            for chunk in chunks:
                for event in parser.feed(chunk):
                    match event:
                        case PartBegin():
                            file = SpoolFile(self._spool, self._maximum_bytes)
                        case PartData(data) if file is not None:
                            file.write(data)
                        case PartEnd() if file is not None:
                            done, file = file, None
                            refused = self._accept(done, source, study) or refused
                            parts += 1
            if file is not None or not (parts or parser.complete):
                raise MultipartError("the body ends before its closing boundary")
        finally:
            if file is not None:
                file.discard()
        return refused

    def _accept(self, file: SpoolFile, source: str, study: str) -> str:
        declined = self._take(file, source, Announced(study_instance_uid=study))
        return "" if declined is None else str(declined)

    def _take(self, file: SpoolFile, source: str, announced: Announced) -> DeclinedError | None:
        file.close()
        if file.failure is not None:
            file.discard()
            return self._inbox.decline(file.failure, source, None, announced)
        try:
            self._inbox.accept(file.path, source, announced=announced, sha256=file.sha256)
        except DeclinedError as error:
            return error
        return None
