"""One attempt to get objects into one destination, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from node.boundaries import passing
from node.config import DestinationSettings, Settings
from node.deliver.archive import Archive, Proof, Standing
from node.deliver.association import Peer, Timeouts
from node.deliver.commitment import CommitmentClient
from node.deliver.dicomweb import DicomwebArchive
from node.deliver.dimse import DimseArchive
from node.deliver.outcome import ObjectOutcome, Outcome
from node.deliver.package import Outgoing
from node.deliver.statuses import StoreAnswer
from node.errors import DeliveryError

# Seconds between read-backs of what was just stored: most archives index at once, some a moment
# later. Slower ones are asked again by the next attempt, before anything is sent again.
READ_BACK_WAITS_S = (0.1, 0.2, 0.5, 1.0)


def deliver(
    destination: DestinationSettings,
    objects: Sequence[Outgoing],
    already_sent: frozenset[str],
    settings: Settings,
    *,
    timeouts: Timeouts | None = None,
    transaction_root: str = "",
) -> Outcome:
    """Make one attempt: ask for what may be there, send what is not, prove what was sent.

    Args:
        destination: Where to; its `verify` says what a proof is. With `none`, acceptance counts
            as proof and says `unverified`.
        objects: What is not proven there yet.
        already_sent: SOP Instance UIDs that an earlier attempt has sent or may have sent (a kill
            leaves no note). They are asked for, and sent only if the archive says that it does
            not have them.
        settings: Our AE title and TLS.
        timeouts: How long to wait for the destination.
        transaction_root: A UID below which storage commitment requests are numbered; "" takes a
            new UID for each.

    Returns:
        An outcome for each object. That a destination cannot be reached is an outcome too.

    Raises:
        ConfigurationError: If the URL is none or the TLS files cannot be loaded.
        ValueError: If two objects have the same SOP Instance UID.
    """
    if len({item.sop_instance_uid for item in objects}) != len(objects):
        raise ValueError("two objects have the same SOP Instance UID")
    if not objects:
        return Outcome(())
    asked_first = [
        item
        for item in objects
        if item.sop_instance_uid in already_sent and destination.verify != "none"
    ]
    try:
        with open_archive(destination, settings, timeouts, transaction_root) as archive:
            before = archive.prove(asked_first) if asked_first else {}
            to_send = [
                item
                for item in objects
                if item not in asked_first
                or before[item.sop_instance_uid].standing is Standing.ABSENT
            ]
            answers = archive.store(to_send) if to_send else {}
            passing("sent")
            stored = [item for item in to_send if answers[item.sop_instance_uid].stored]
            after = {} if destination.verify == "none" else _prove(archive, stored)
    except DeliveryError as error:
        return Outcome(
            tuple(
                ObjectOutcome(item.sop_instance_uid, "failed", str(error), down=True)
                for item in objects
            )
        )
    return Outcome(tuple(_outcomes(objects, before, answers, after)))


def open_archive(
    destination: DestinationSettings, settings: Settings, given: Timeouts | None, root: str
) -> AbstractContextManager[Archive]:
    """Return a connection to a destination in the way in which it is configured.

    Args:
        destination: Which.
        settings: Our AE title and TLS.
        given: How long to wait for it; None is as usual.
        root: A UID below which storage commitment requests are numbered.
    """
    timeouts = given or Timeouts()
    if destination.protocol == "dicomweb":
        return DicomwebArchive(destination.name, destination.url, settings.tls, timeouts)
    peer = Peer.of(destination, settings, timeouts)
    if destination.verify == "commitment":
        return CommitmentClient(peer, root)
    return DimseArchive(peer, query=destination.verify == "query")


def _prove(archive: Archive, stored: Sequence[Outgoing]) -> Mapping[str, Proof]:
    """Read back what was just stored, a few times while some of it is not found yet."""
    proofs: dict[str, Proof] = {}
    missing = list(stored)
    for wait_s in (0.0, *READ_BACK_WAITS_S):
        time.sleep(wait_s)
        try:
            proofs.update(archive.prove(missing) if missing else {})
        except DeliveryError as error:
            lost = Proof(Standing.UNKNOWN, str(error))
            return proofs | {item.sop_instance_uid: lost for item in missing}
        missing = [
            item for item in missing if proofs[item.sop_instance_uid].standing is Standing.ABSENT
        ]
        if not missing:
            break
    return proofs


def _outcomes(
    objects: Iterable[Outgoing],
    before: Mapping[str, Proof],
    answers: Mapping[str, StoreAnswer],
    after: Mapping[str, Proof],
) -> Iterable[ObjectOutcome]:
    for item in objects:
        uid = item.sop_instance_uid
        answer = answers.get(uid)
        if answer is not None and not answer.stored:
            yield ObjectOutcome(uid, "failed", answer.detail, answer.permanent, down=answer.down)
            continue
        said = answer.detail if answer is not None else ""
        proof = after.get(uid) or before.get(uid)
        if answer is not None and uid not in after:
            yield ObjectOutcome(uid, "proven", _joined(said, "unverified"))
        elif proof is not None:
            yield _judged(uid, said, proof)


def _judged(uid: str, said: str, proof: Proof) -> ObjectOutcome:
    detail = _joined(said, proof.detail)
    if proof.standing is Standing.THERE:
        return ObjectOutcome(uid, "proven", detail)
    if proof.standing is Standing.UNPROVABLE:
        return ObjectOutcome(uid, "failed", detail, permanent=True)
    return ObjectOutcome(uid, "sent", detail, transaction_uid=proof.transaction_uid)


def _joined(*details: str) -> str:
    return "; ".join(detail for detail in details if detail)
