"""What became of everything that was acknowledged: counted in the node and in the archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage
from sqlalchemy import Engine, select

from node.audit.tables import Instance, Job, Report
from node.bench.harness import Orthanc
from node.blobs import BlobStore
from node.database import read_only

_ANSWERED = frozenset({"done", "refused"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found wrong, by SOP Instance UID; all empty is what it should be.

    Attributes:
        lost: Acknowledged instances without a row or without their bytes, whole.
        unanswered: SEGs without a report in the archive, with the state of their jobs.
        duplicated: SEGs with more than one SR in the archive for one generation.
        strangers: SRs in the archive that the node knows nothing of.
    """

    lost: frozenset[str]
    unanswered: Mapping[str, str]
    duplicated: frozenset[str]
    strangers: frozenset[str]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.unanswered or self.duplicated or self.strangers)


def judge(
    database: Engine,
    blobs: BlobStore,
    archive: Orthanc,
    acknowledged: Iterable[str],
    segs: Iterable[str],
) -> Verdict:
    """Compare what was acknowledged with what is there.

    Args:
        database: The node's.
        blobs: The node's.
        archive: Where the reports are to be.
        acknowledged: SOP Instance UIDs of what the node has answered with success.
        segs: Those of them that are SEGs whose images are all there.
    """
    with read_only(database) as connection:
        instances = connection.execute(select(Instance.sop_instance_uid, Instance.blob_sha256))
        kept = {uid for uid, sha256 in instances if blobs.verify(sha256)}
        jobs = connection.execute(select(Job.seg_uid, Job.state).order_by(Job.generation))
        states = {row.seg_uid: row.state for row in jobs}
        reports = connection.execute(
            select(Report.sop_instance_uid, Job.seg_uid, Job.generation)
            .join(Job, Job.id == Report.job_id)
            .where(Report.kind == "sr")
        ).all()
    known = {row.sop_instance_uid: (row.seg_uid, row.generation) for row in reports}
    there = _reports_in(archive)
    by_seg = Counter(seg for segs_of in there.values() for seg in segs_of)
    generations = Counter(seg for seg, _ in set(known.values()))
    wanted = set(segs)
    return Verdict(
        lost=frozenset(set(acknowledged) - kept),
        unanswered={
            seg: states.get(seg, "no job")
            for seg in wanted
            if states.get(seg) not in _ANSWERED or not by_seg[seg]
        },
        duplicated=frozenset(seg for seg in wanted if by_seg[seg] > max(generations[seg], 1)),
        strangers=frozenset(there.keys() - known.keys()),
    )


def _reports_in(archive: Orthanc) -> dict[str, set[str]]:
    """Return what each SR of the archive refers to, SOP Instance UIDs by its own."""
    found: dict[str, set[str]] = {}
    for file in archive.of_class(Comprehensive3DSRStorage):
        report = dcmread(BytesIO(file))
        found[str(report.SOPInstanceUID)] = {
            str(element.value)
            for element in report.iterall()
            if element.keyword == "ReferencedSOPInstanceUID"
        }
    return found
