"""What became of sent studies, asked of a node's record: when each report was proven."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Engine, select

from node.audit.tables import LEDGERS, Instance, Job, Report
from node.bench.traffic import Arrival
from node.database import read_only

_ENDED = ("done", "refused", "held", "dead")
_POLL_S = 0.5
_AT_ONCE = 400


def wait_for_outcomes(database: Engine, arrivals: Sequence[Arrival], seconds: float) -> int:
    """Wait until the job of every study has an outcome; return how many have none."""
    deadline = time.monotonic() + seconds
    while True:
        open_ones = len(arrivals) - len(_states(database, arrivals))
        if not open_ones or time.monotonic() > deadline:
            return open_ones
        time.sleep(_POLL_S)


def latencies(database: Engine, arrivals: Sequence[Arrival]) -> list[float]:
    """Return the seconds from the last acknowledgement to the proof that the SR arrived.

    By the ledger, which is written after the archive was asked; one for each study that has it.
    """
    proven = proofs_of(database, [arrival.study.seg_uid for arrival in arrivals])
    return [
        proven[arrival.study.seg_uid] - arrival.at
        for arrival in arrivals
        if arrival.study.seg_uid in proven
    ]


def proofs_of(database: Engine, seg_uids: Sequence[str]) -> dict[str, float]:
    """Return when the SR of each SEG was proven, seconds since the epoch; of those that were."""
    ledger = LEDGERS["delivery"]
    proven: dict[str, float] = {}
    for chunk in _chunks(seg_uids):
        query = (
            select(Job.seg_uid, ledger.at)
            .join(Report, Report.job_id == Job.id)
            .join(ledger, ledger.subject == Report.sop_instance_uid)
            .where(Job.seg_uid.in_(chunk), Report.kind == "sr", ledger.event == "proven")
        )
        with read_only(database) as connection:
            for seg_uid, at in connection.execute(query):
                proven[seg_uid] = at.timestamp()
    return proven


def kept(database: Engine, arrivals: Sequence[Arrival]) -> int:
    """Return how many acknowledged instances have a row."""
    uids = [uid for arrival in arrivals for uid in arrival.study.instances]
    found = 0
    with read_only(database) as connection:
        for chunk in _chunks(uids):
            query = select(Instance.sop_instance_uid).where(Instance.sop_instance_uid.in_(chunk))
            found += len(set(connection.scalars(query)))
    return found


def _states(database: Engine, arrivals: Sequence[Arrival]) -> list[str]:
    found: list[str] = []
    with read_only(database) as connection:
        for chunk in _chunks([arrival.study.seg_uid for arrival in arrivals]):
            query = select(Job.state).where(Job.seg_uid.in_(chunk), Job.state.in_(_ENDED))
            found += connection.scalars(query)
    return found


def _chunks(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[at : at + _AT_ONCE] for at in range(0, len(values), _AT_ONCE)]
