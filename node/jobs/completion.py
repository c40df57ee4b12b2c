"""Studies that somebody told to be complete: pairing then waits for no quiet and no Doppler image.

Complete is a study of which a signal has come and every instance that the signal names is here.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select

from node.audit.tables import Instance, Job, StudyCompletion
from node.audit.trail import Trail
from node.database import lock, utc_now
from node.jobs.engine import Enqueuer, Task

MOST_INSTANCES = 10_000
"""That one signal may name; more are not waited for."""


def told_complete(
    connection: Connection,
    trail: Trail,
    enqueuer: Enqueuer,
    study: str,
    expected: Collection[str],
    source: str,
) -> None:
    """Note that a study is complete, and pair anew what waits in it.

    Args:
        connection: The transaction that notes the signal.
        trail: Of the receiver.
        enqueuer: Takes the tasks.
        study: Its Study Instance UID.
        expected: SOP Instance UIDs that belong to it.
        source: `mpps` or `ian`, and who told.
    """
    lock(connection, study)
    uids = sorted(expected)[:MOST_INSTANCES]
    connection.execute(delete(StudyCompletion).where(StudyCompletion.study_instance_uid == study))
    connection.execute(
        insert(StudyCompletion).values(
            study_instance_uid=study,
            source=source[:80],
            expected={"instances": uids},
            told_at=utc_now(),
        )
    )
    facts = {"source": source, "instances": len(uids)}
    trail.record(connection, "system", "study-complete", study[:80], facts, study=study)
    for instance_id in waiting_segs(connection, study):
        key = f"complete:{instance_id}:{uuid4()}"
        enqueuer.enqueue(connection, Task("pairing", key, (instance_id,)))


def waiting_segs(connection: Connection, study: str) -> list[int]:
    """Return the rows of the SEGs of a study whose jobs wait."""
    query = (
        select(Instance.id)
        .join(Job, Job.seg_uid == Instance.sop_instance_uid)
        .where(
            Job.study_instance_uid == study,
            Job.state == "waiting",
            Instance.standing == "current",
        )
        .order_by(Instance.id)
    )
    return list(connection.scalars(query))


def is_told(connection: Connection, study: str) -> bool:
    """Tell whether a signal has come for a study."""
    query = select(StudyCompletion.study_instance_uid).where(
        StudyCompletion.study_instance_uid == study
    )
    return connection.scalar(query) is not None


def is_complete(connection: Connection, study: str, here: Collection[str]) -> bool:
    """Tell whether a study was told complete and all that was named is here."""
    query = select(StudyCompletion.expected).where(StudyCompletion.study_instance_uid == study)
    expected = connection.scalar(query)
    return expected is not None and set(expected["instances"]) <= set(here)
