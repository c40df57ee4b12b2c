"""Retrieving by C-FIND and then C-GET or C-MOVE (PS3.4 annex C, Study Root)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from pydicom import Dataset
from pydicom.uid import (
    SecondaryCaptureImageStorage,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext, build_context

from node.config import Settings, SourceSettings
from node.deliver.association import Peer, Timeouts, associated, open_association
from node.deliver.contexts import MAXIMUM_CONTEXTS
from node.deliver.query import FIND, GET, Query
from node.deliver.retrieve import Intake, Located, Wanted
from node.deliver.statuses import SUCCESS, status_name
from node.errors import DeliveryError

MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"  # PS3.4 section C.6.2.3
_PENDING: Final = 0xFF00  # PS3.4 sections C.4.2.1.5 and C.4.3.1.4
_SOME_FAILED: Final = 0xB000
_UNKNOWN_DESTINATION: Final = 0xA801
_WAIT_S: Final = 300.0  # for one source and attempt, all requests together
_MOST_SERIES: Final = 200  # of a study that are looked into
_UIDS_A_QUERY: Final = 25  # in one list of UIDs: some archives bound the length of a key
#: What ultrasound comes as, where the archive does not tell the class.
_USUAL: Final = (
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    SecondaryCaptureImageStorage,
)


def locate(source: SourceSettings, settings: Settings, wanted: Wanted) -> list[Located]:
    """Find the series of the missing instances: SERIES and then IMAGE level, as the model asks.

    Raises:
        DeliveryError: If the archive is not there, offers no FIND, or fails.
    """
    peer = Peer.of(source, settings, Timeouts())
    with associated(peer, [build_context(FIND)]) as association:
        query = Query(peer, association, time.monotonic() + _WAIT_S, [])
        series = query.find(
            "SERIES", StudyInstanceUID=wanted.study_instance_uid, SeriesInstanceUID=""
        )
        found: dict[str, Located] = {}
        for one in series[:_MOST_SERIES]:
            left = [uid for uid in wanted.sop_instance_uids if uid not in found]
            for uids in _lists(left):
                for item in _look(query, wanted.study_instance_uid, _text(one), uids):
                    found.setdefault(item.sop_instance_uid, item)
    return list(found.values())


def _look(query: Query, study: str, series: str, uids: Sequence[str]) -> Iterator[Located]:
    matches = query.find(
        "IMAGE",
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        SOPInstanceUID="\\".join(uids),  # a list of UIDs, PS3.4 section C.2.2.2.2
        SOPClassUID="",
    )
    for match in matches:
        uid = _text(match, "SOPInstanceUID")
        if uid in uids:  # an archive may ignore a key
            yield Located(uid, series, _text(match, "SOPClassUID"))


def get(
    source: SourceSettings,
    settings: Settings,
    wanted: Wanted,
    located: Sequence[Located],
    intake: Intake,
) -> str:
    """Get instances over our own association, each in the transfer syntax that it is stored in.

    Returns:
        What did not come, "" if all did.

    Raises:
        DeliveryError: If the archive is not there, offers no GET, or fails.
    """
    peer = Peer.of(source, settings, Timeouts())
    failed: list[str] = []
    until = time.monotonic() + _WAIT_S

    def keep(event: evt.Event) -> int:
        return intake.on_store(event, f"{source.ae_title}@{source.host}")

    for classes in _class_batches(located, intake):
        contexts, roles = _storage(classes, intake)
        association = open_association(
            peer, [build_context(GET), *contexts], [(evt.EVT_C_STORE, keep)], roles
        )
        intake.attach(association)
        try:
            _require(peer, association, GET, "C-GET")
            for identifier in _identifiers(wanted, located, classes):
                _run(peer, association.send_c_get(identifier, GET), "C-GET", failed, until)
        except BaseException:
            association.abort()
            raise
        finally:
            intake.detach(association)
        association.release()
    return f"{source.name} did not give {len(failed)} of them" if failed else ""


def move(
    source: SourceSettings,
    settings: Settings,
    wanted: Wanted,
    located: Sequence[Located],
    intake: Intake,
) -> str:
    """Let the archive send instances to our receiver; arguments and answer as of `get`.

    Raises:
        DeliveryError: If the archive is not there, offers no MOVE, does not know us, or fails.
    """
    del intake  # they come by the receiver's own door
    peer = Peer.of(source, settings, Timeouts())
    failed: list[str] = []
    until = time.monotonic() + _WAIT_S
    classes = frozenset(item.sop_class_uid for item in located)
    with associated(peer, [build_context(MOVE)]) as association:
        for identifier in _identifiers(wanted, located, classes):
            answers = association.send_c_move(identifier, settings.node.ae_title, MOVE)
            _run(peer, answers, "C-MOVE", failed, until)
    return f"{source.name} did not send {len(failed)} of them" if failed else ""


def _run(
    peer: Peer,
    answers: Iterator[tuple[Dataset, Dataset | None]],
    what: str,
    failed: list[str],
    until: float,
) -> None:
    try:
        for status, identifier in answers:
            if "Status" not in status:
                raise DeliveryError(f"{peer}: {what} got no answer")
            if time.monotonic() > until:
                raise DeliveryError(f"{peer}: {what} took too long")
            if status.Status == _UNKNOWN_DESTINATION:
                title = peer.calling_ae
                raise DeliveryError(f"{peer} does not know {title}: register its AE title there")
            if status.Status == _SOME_FAILED:
                failed += _failures(identifier)
            elif status.Status not in {SUCCESS, _PENDING}:
                raise DeliveryError(f"{peer}: {what} failed with {status_name(status.Status)}")
    except (RuntimeError, ValueError) as error:  # the association has gone
        raise DeliveryError(f"{peer}: {what} failed: {error}") from error


def _failures(identifier: Dataset | None) -> list[str]:
    listed = None if identifier is None else identifier.get("FailedSOPInstanceUIDList")
    if not listed:
        return ["unnamed"]
    return [listed] if isinstance(listed, str) else [str(uid) for uid in listed]


def _identifiers(
    wanted: Wanted, located: Sequence[Located], classes: frozenset[str]
) -> Iterator[Dataset]:
    """Yield a request a series, or more where its instances are many."""
    mine = sorted(
        (item for item in located if item.sop_class_uid in classes),
        key=lambda item: item.series_instance_uid,
    )
    for series, items in groupby(mine, key=lambda item: item.series_instance_uid):
        for uids in _lists([item.sop_instance_uid for item in items]):
            identifier = Dataset()
            identifier.QueryRetrieveLevel = "IMAGE"
            identifier.StudyInstanceUID = wanted.study_instance_uid
            identifier.SeriesInstanceUID = series
            identifier.SOPInstanceUID = list(uids)
            yield identifier


def _class_batches(located: Sequence[Located], intake: Intake) -> Iterator[frozenset[str]]:
    """Split the classes so that each transfer syntax gets a context of its own."""
    accepted = [uid for uid in dict.fromkeys(i.sop_class_uid for i in located) if uid]
    accepted = [uid for uid in accepted if uid in intake.storage]
    room = (MAXIMUM_CONTEXTS - 1) // len(intake.transfer_syntaxes)
    for start in range(0, len(accepted), room):
        yield frozenset(accepted[start : start + room])
    if any(not item.sop_class_uid for item in located):
        yield frozenset({""})


def _storage(
    classes: frozenset[str], intake: Intake
) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation]]:
    """Return a context a class and transfer syntax, and the roles: we are the storage SCP.

    With all transfer syntaxes in one context the archive would pick one for all instances, and
    could not send those that are stored in another.
    """
    named = _USUAL if classes == {""} else sorted(classes)
    contexts = [build_context(uid, one) for uid in named for one in intake.transfer_syntaxes]
    return contexts, [build_role(uid, scp_role=True) for uid in named]


def _require(peer: Peer, association: Association, uid: str, name: str) -> None:
    if uid not in {context.abstract_syntax for context in association.accepted_contexts}:
        raise DeliveryError(f"{peer} offers no Study Root {name}: set retrieve of the source")


def _lists(uids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(uids), _UIDS_A_QUERY):
        yield uids[start : start + _UIDS_A_QUERY]


def _text(match: Dataset, keyword: str = "SeriesInstanceUID") -> str:
    return str(match.get(keyword) or "").strip()
