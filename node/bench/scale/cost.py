"""The database's part of one study, transaction by transaction, on records of different sizes.

The node's own code writes the rows. What is not the database's is taken out: files lie in memory,
the model's answer is one that was given before, and the archive says yes at once.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

import numpy as np
from sqlalchemy import Connection, Engine, select

from node.audit.seal import Sealer
from node.audit.tables import Job
from node.audit.trail import Trail
from node.bench.harness.programs import HarnessError
from node.blobs import BlobStore
from node.case import (
    BundleIdentity,
    CaseResult,
    Code,
    Evidence,
    Finding,
    FrameReference,
    InstanceHeader,
    SegmentHeader,
)
from node.config import DestinationSettings, Settings
from node.database import read_only
from node.jobs.arriving import arrivals
from node.jobs.assessing import Assessor
from node.jobs.dbos_engine import DbosEnqueuer
from node.jobs.delivering import Deliverer
from node.jobs.pairing import Pairer
from node.jobs.stages import Assessment, AssessmentRequest, Parcel, Receipt, ReportObject
from node.receive.settling import Accepted, Arrived, Settler
from node.service.compose import compose

STEPS: Final = ("intake", "pairing", "assessment", "delivery")
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - files without a disk
_US: Final = "1.2.840.10008.5.1.4.1.1.6.1"
_SEG: Final = "1.2.840.10008.5.1.4.1.1.66.4"
_SR: Final = "1.2.840.10008.5.1.4.1.1.88.34"
_PLAIN: Final = "1.2.840.10008.1.2.1"
_BUNDLE: Final = BundleIdentity("bench", "1", "b" * 64)
_INPUTS: Final = {f"original_glcm_Feature{number}": number / 7 for number in range(30)}


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians over the rounds, in milliseconds, of one study on a record of `studies`."""

    studies: int
    milliseconds: Mapping[str, float]

    @property
    def whole_ms(self) -> float:
        """All steps together."""
        return sum(self.milliseconds.values())


def compare(records: Sequence[tuple[Engine, Sealer]], rounds: int) -> list[Cost]:
    """Take one study through each record in turn, `rounds` times: what differs is their size."""
    place = _MEMORY if _MEMORY.is_dir() else None
    with TemporaryDirectory(prefix="crdl-cost-", dir=place) as folder:
        probes = [
            _Probe(database, sealer, Path(folder) / str(number))
            for number, (database, sealer) in enumerate(records)
        ]
        sizes = [_size(database) for database, _ in records]
        order = list(range(len(probes)))
        for probe in probes:  # caches and statements are warm when it counts
            probe.study(note=False)
            probe.study(note=False)
        for _ in range(rounds):
            random.shuffle(order)  # no size has always the same neighbour
            for number in order:
                probes[number].study(note=True)
        return [Cost(size, probe.medians()) for size, probe in zip(sizes, probes, strict=True)]


def _size(database: Engine) -> int:
    with read_only(database) as connection:
        return connection.scalar(select(Job.id).order_by(Job.id.desc()).limit(1)) or 0


@dataclass
class _Probe:
    """Takes studies through one record."""

    database: Engine
    sealer: Sealer
    folder: Path
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def study(self, *, note: bool) -> None:
        """Take one study through; its times count if `note` is set."""
        trail = Trail("bench", self.sealer)
        blobs = BlobStore(self.folder, "bench")
        destination = DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=104)
        settings = Settings(destination=(destination,))
        stages = replace(compose(settings, assess=_answer), deliver=_accept)
        with closing(DbosEnqueuer(self.database)) as enqueuer:
            rooms = (self.database, trail, enqueuer, stages, blobs)

            def enqueue(connection: Connection, instances: Sequence[int]) -> None:
                enqueuer.enqueue(connection, arrivals(instances))

            headers = _headers()
            arrived = [_arrived(header, blobs) for header in headers]
            marks = [time.perf_counter()]
            settler = Settler(self.database, blobs, trail, enqueue)
            accepted = settler.settle(arrived)
            marks.append(time.perf_counter())
            numbers = [one.instance_id for one in accepted if isinstance(one, Accepted)]
            Pairer(*rooms)(*numbers)
            marks.append(time.perf_counter())
            with read_only(self.database) as connection:
                query = select(Job.id).where(Job.seg_uid == headers[1].sop_instance_uid)
                job = connection.execute(query).scalar_one()
            begun = time.perf_counter()
            Assessor(*rooms)(job, 0, 0)
            marks.append(time.perf_counter() - begun + marks[-1])
            begun = time.perf_counter()
            Deliverer(*rooms)(job, 0, "pacs", 0)
            marks.append(time.perf_counter() - begun + marks[-1])
        with read_only(self.database) as connection:
            state = connection.scalar(select(Job.state).where(Job.id == job))
        if state != "done":
            raise HarnessError(f"the measured study ended as {state}")
        if note:
            for name, seconds in zip(STEPS, np.diff(marks), strict=True):
                self.times[name].append(1000 * float(seconds))

    def medians(self) -> dict[str, float]:
        """Return each step's median."""
        return {name: round(float(np.median(self.times[name])), 2) for name in STEPS}


def _headers() -> tuple[InstanceHeader, InstanceHeader]:
    """Return a still and the SEG on it, of a patient and study of their own."""
    root = f"2.25.{uuid4().int}"[:50]
    common: dict[str, Any] = {
        "study_instance_uid": root,
        "patient_id": f"BENCH{uuid4().hex[:12]}",
        "transfer_syntax_uid": _PLAIN,
        "patient_age": "052Y",
        "patient_sex": "F",
        "study_date": "20260101",
        "body_part_examined": "EXTREMITY",
        "rows": 600,
        "columns": 800,
    }
    image = InstanceHeader(
        _US,
        f"{root}.1",
        series_instance_uid=f"{root}.10",
        modality="US",
        **common,
    )
    segment = SegmentHeader(
        number=1,
        label="Tumour",
        tracking_uid=f"{root}.3",
        tracking_id="1",
        sources=(FrameReference(image.sop_instance_uid, 1),),
        category=Code("49755003", "SCT", "Morphologically Abnormal Structure"),
        type=Code("4147007", "SCT", "Mass"),
    )
    seg = InstanceHeader(
        _SEG,
        f"{root}.2",
        series_instance_uid=f"{root}.20",
        modality="SEG",
        segments=(segment,),
        references=(image.sop_instance_uid,),
        **common,
    )
    return image, seg


def _arrived(header: InstanceHeader, blobs: BlobStore) -> Arrived:
    spooled = blobs.spool / uuid4().hex
    spooled.write_bytes(header.sop_instance_uid.encode())
    return Arrived(blobs.keep(spooled), header, "BENCH@127.0.0.1", None)


def _answer(request: AssessmentRequest) -> Assessment:
    results = tuple(
        CaseResult(
            case,
            Finding(
                case=case.name,
                status="assessed",
                probability=0.7,
                malignancy="malignant",
                threshold=0.5,
                model="PreCRDL",
                fallback_reason="",
                refusal=None,
                semantic={},
                features_sha256="0" * 64,
                bundle=_BUNDLE,
                device="cpu",
            ),
            Evidence(case.sources[0], 1, np.empty((0, 2)), None, None, inputs=_INPUTS),
        )
        for case in request.cases
    )
    study = request.instances[request.seg_uid].header.study_instance_uid
    uid = f"2.25.{uuid4().int}"
    report = ReportObject("sr", _SR, uid, f"{study}.30", study, uid.encode())
    return Assessment(results, (report,))


def _accept(destination: str, parcels: Sequence[Parcel]) -> list[Receipt]:
    del destination
    return [Receipt(parcel.sop_instance_uid, "proven") for parcel in parcels]
