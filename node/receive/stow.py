"""STOW-RS, the Store transaction of PS3.18 section 10.5, without any web framework."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from pydicom.dataset import Dataset

from node.config import LimitSettings
from node.receive import statuses
from node.receive.announced import Announced
from node.receive.faults import DeclinedError, OutOfResourcesError, TooLargeError
from node.receive.inbox import Inbox
from node.receive.multipart import (
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    parse_content_type,
)
from node.receive.settling import Accepted
from node.receive.spool_file import SpoolFile, own_spool

_PARTS = 10_000  # of one request; a study of more is sent in several


@dataclass(frozen=True, slots=True)
class StowResult:
    """The answer to a store request.

    Attributes:
        status: 200, 202, 400, 409, 415 or 503 (PS3.18 table 10.5.3-1); 408 and 413 as in RFC 9110.
        response: The Store Instances Response Module (PS3.18 section I.2), None where the
            request itself was not understood.
        reason: One line for a person, "" if all is stored.
    """

    status: int
    response: Dataset | None
    reason: str


class StowService:
    """Takes store requests into the inbox; `name` as of a `Receiver`."""

    def __init__(
        self, inbox: Inbox, name: str = "stow", limits: LimitSettings | None = None
    ) -> None:
        self._inbox = inbox
        self._limits = limits or LimitSettings()
        self._spool = own_spool(inbox.blobs.spool, name)

    async def store(
        self, body: AsyncIterator[bytes], content_type: str, source: str, study: str = ""
    ) -> StowResult:
        """Store every instance of a request; each is on the disk before the answer.

        Args:
            body: The request's body, in chunks.
            content_type: Its Content-Type.
            source: Who sent it, for the audit.
            study: The study that every instance must belong to; "" admits any.
        """
        media_type, parameters = parse_content_type(content_type)
        root = parameters.get("type", "application/dicom").lower()
        if media_type != "multipart/related" or root != "application/dicom":
            reason = 'send multipart/related; type="application/dicom"'
            return StowResult(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, None, reason)
        try:
            await asyncio.to_thread(self._inbox.room.require)
            outcomes = await self._take(body, parameters.get("boundary", ""), source, study)
        except OutOfResourcesError as error:
            return StowResult(HTTPStatus.SERVICE_UNAVAILABLE, None, str(error))
        except (MultipartError, TooLargeError, TimeoutError) as error:
            return await asyncio.to_thread(self._broken_off, error, source, study)
        return summarize(outcomes)

    def _broken_off(
        self, error: MultipartError | TooLargeError | TimeoutError, source: str, study: str
    ) -> StowResult:
        """Note a request that was not read to its end; what came before is kept all the same."""
        if isinstance(error, TimeoutError):
            status = HTTPStatus.REQUEST_TIMEOUT
            error = MultipartError(f"nothing came for {self._limits.pdu_s:g} s")
        elif isinstance(error, TooLargeError):
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        else:
            status = HTTPStatus.BAD_REQUEST
        self._inbox.decline(error, source, None, Announced(study_instance_uid=study))
        return StowResult(status, None, str(error))

    async def _take(
        self, body: AsyncIterator[bytes], boundary: str, source: str, study: str
    ) -> list[Accepted | DeclinedError]:
        parser = MultipartParser(boundary)
        outcomes: list[Accepted | DeclinedError] = []
        file: SpoolFile | None = None
        try:
            async for chunk in _in_time(body, self._limits.pdu_s):
                for event in parser.feed(chunk):
                    match event:
                        case PartBegin(headers):
                            _require_dicom(headers.get("content-type", "application/dicom"))
                            if len(outcomes) >= _PARTS:
                                raise MultipartError(f"there are more than {_PARTS} parts")
                            file = SpoolFile(self._spool, self._limits.maximum_instance_bytes)
                        case PartData(data) if file is not None:
                            file.write(data)
                        case PartEnd() if file is not None:
                            done, file = file, None
                            outcomes.append(
                                await asyncio.to_thread(self._accept, done, source, study)
                            )
                        case _:
                            raise MultipartError("data outside of a part")
            if file is not None or not (outcomes or parser.complete):
                raise MultipartError("the body ends before its closing boundary")
        finally:
            if file is not None:
                file.discard()
        return outcomes

    def _accept(self, file: SpoolFile, source: str, study: str) -> Accepted | DeclinedError:
        file.close()
        announced = Announced(study_instance_uid=study)
        if file.failure is not None:
            file.discard()
            return self._inbox.decline(file.failure, source, None, announced)
        try:
            return self._inbox.accept(file.path, source, announced=announced, sha256=file.sha256)
        except DeclinedError as error:
            return error


async def _in_time(body: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """Pass on a body whose every piece comes within so many seconds.

    Raises:
        TimeoutError: If one does not.
    """
    pieces = aiter(body)
    while True:
        try:
            piece = await asyncio.wait_for(anext(pieces), seconds)
        except StopAsyncIteration:
            return
        yield piece


def summarize(outcomes: Sequence[Accepted | DeclinedError]) -> StowResult:
    """Make the Store Instances Response Module and the HTTP status."""
    stored = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
    failed = [outcome for outcome in outcomes if isinstance(outcome, DeclinedError)]
    if not stored and not failed:
        return StowResult(HTTPStatus.BAD_REQUEST, None, "the request holds no instance")
    response = Dataset()
    response.RetrieveURL = ""  # type 2, empty where there is no retrieve service
    if stored:
        response.ReferencedSOPSequence = [
            _reference(outcome.sop_class_uid, outcome.sop_instance_uid) for outcome in stored
        ]
    if failed:
        response.FailedSOPSequence = [
            _reference(outcome.sop_class_uid, outcome.sop_instance_uid) for outcome in failed
        ]
        for item, outcome in zip(response.FailedSOPSequence, failed, strict=True):
            item.FailureReason = outcome.status
    return StowResult(_status(stored, failed), response, "; ".join(map(str, failed[:3])))


def _status(stored: list[Accepted], failed: list[DeclinedError]) -> HTTPStatus:
    if not failed:
        return HTTPStatus.OK
    if stored:
        return HTTPStatus.ACCEPTED
    reasons = {outcome.status for outcome in failed}
    if reasons == {statuses.OUT_OF_RESOURCES}:
        return HTTPStatus.SERVICE_UNAVAILABLE
    if reasons == {statuses.INSTANCE_TOO_LARGE}:
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return HTTPStatus.CONFLICT


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    item.RetrieveURL = ""
    return item


def _require_dicom(content_type: str) -> None:
    media_type, _ = parse_content_type(content_type)
    if media_type != "application/dicom":
        raise MultipartError(f"a part is {media_type}, only application/dicom is accepted")
