"""Asking the archive destinations whether they have instances that a modality wants to delete."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from node.config import Settings
from node.deliver.archive import Proof
from node.deliver.archive import Standing as Found
from node.deliver.association import Timeouts
from node.deliver.deliver import open_archive
from node.deliver.package import Outgoing
from node.errors import DeliveryError
from node.jobs.pledges import Sought, Standing

_log = logging.getLogger(__name__)


def held_by_archives(
    sought: Sequence[Sought], root: str, settings: Settings, *, timeouts: Timeouts | None = None
) -> dict[str, Standing]:
    """Ask every destination in its own way (`verify`) until one has it.

    Args:
        sought: What to ask for.
        root: A UID below which storage commitment requests are numbered.
        settings: The destinations, our AE title and TLS.
        timeouts: How long to wait for each.

    Returns:
        By SOP Instance UID: `held` where an archive has committed it or was seen to have it,
        `absent` where every one that can be asked has said no, else `unknown`.
    """
    answers: dict[str, list[Proof | None]] = {one.sop_instance_uid: [] for one in sought}
    for destination in settings.destination:
        if destination.verify == "none":
            continue
        missing = [one for one in sought if not _held(answers[one.sop_instance_uid])]
        if not missing:
            break
        try:
            with open_archive(destination, settings, timeouts, root) as archive:
                proofs: Mapping[str, Proof] = archive.prove([_named(one) for one in missing])
        except DeliveryError as error:
            _log.warning("%s", error)
            proofs = {}
        for one in missing:
            answers[one.sop_instance_uid].append(proofs.get(one.sop_instance_uid))
    return {uid: _standing(proofs) for uid, proofs in answers.items()}


def _named(one: Sought) -> Outgoing:
    return Outgoing(
        one.sop_class_uid,
        one.sop_instance_uid,
        one.study_instance_uid,
        one.series_instance_uid,
        Path(),  # nothing is sent
    )


def _held(proofs: Sequence[Proof | None]) -> bool:
    return any(proof is not None and proof.standing is Found.THERE for proof in proofs)


def _standing(proofs: Sequence[Proof | None]) -> Standing:
    if _held(proofs):
        return "held"
    every_one_says_no = all(
        proof is not None and proof.standing is Found.ABSENT for proof in proofs
    )
    return "absent" if proofs and every_one_says_no else "unknown"
