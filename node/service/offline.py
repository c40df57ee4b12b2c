"""The pipeline on files, without network or database: what `crdl assess` runs.

The same pairing, gate, pipeline and report as in service, so that the findings are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from node.case import (
    BundleIdentity,
    Case,
    Finding,
    InstanceHeader,
    Pairing,
    Refusal,
)
from node.config import Settings
from node.database import utc_now
from node.errors import InputError
from node.jobs.pairing_question import SEGMENTATIONS
from node.jobs.reading import STRUCTURED_REPORTS, hear, stored
from node.jobs.stages import (
    AssessmentRequest,
    PairingQuestion,
    ReportObject,
    StoredInstance,
)
from node.pipeline.assess import Pipeline
from node.receive.header import read_header
from node.service.compose import pairing_stage, reading_stage
from node.service.reporting import make_report
from sr_templates.readings import ReportRead

_INSTALLATION = "2.25.0"  # files belong to no installation: their reports stay local


@dataclass(frozen=True, slots=True)
class FileAssessment:
    """What came of one SEG file."""

    seg: StoredInstance
    findings: tuple[Finding, ...]
    objects: tuple[ReportObject, ...]


def read_instances(paths: Sequence[Path]) -> dict[str, StoredInstance]:
    """Read the headers of files, and of all files in folders.

    Raises:
        InputError: If a path does not exist or there is no file.
        IntakeError: If a file is no DICOM instance.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"there is no file {path}")
        files += sorted(p for p in path.rglob("*.dcm")) if path.is_dir() else [path]
    if not files:
        raise InputError("there is no DICOM file among what was given")
    stored = [StoredInstance(read_header(file), file) for file in files]
    return {one.header.sop_instance_uid: one for one in stored}


def assess_files(
    instances: Mapping[str, StoredInstance],
    settings: Settings,
    pipeline: Pipeline,
    now: datetime,
) -> list[FileAssessment]:
    """Assess every SEG among the instances.

    Raises:
        InputError: If there is no SEG, or one refers to images that were not given.
    """
    segs = [one for one in instances.values() if one.header.sop_class_uid in SEGMENTATIONS]
    if not segs:
        raise InputError("there is no segmentation (SEG) among the files: nothing to assess")
    pair = pairing_stage(settings)
    read = _readings(instances)
    return [
        _assess(
            seg,
            instances,
            pair(_question(seg, instances, segs, now, read)),
            settings,
            pipeline,
            now,
        )
        for seg in segs
    ]


def pair_files(instances: Mapping[str, StoredInstance], settings: Settings) -> tuple[Case, ...]:
    """Return the cases of the only SEG among the instances.

    Raises:
        InputError: If there is not one SEG, or it is not ready to be assessed.
    """
    segs = [one for one in instances.values() if one.header.sop_class_uid in SEGMENTATIONS]
    if len(segs) != 1:
        raise InputError(f"give an image and one SEG; {len(segs)} SEGs were given")
    pairing = pairing_stage(settings)(_question(segs[0], instances, segs, utc_now()))
    if pairing.state != "ready":
        raise InputError(f"the SEG cannot be measured: {pairing.reason}")
    return pairing.cases


def pair_one(
    seg: StoredInstance, instances: Mapping[str, StoredInstance], settings: Settings
) -> tuple[Case, ...]:
    """Return the cases of one SEG among the instances.

    Raises:
        InputError: If it is not ready to be assessed.
    """
    segs = [one for one in instances.values() if one.header.sop_class_uid in SEGMENTATIONS]
    pairing = pairing_stage(settings)(_question(seg, instances, segs, utc_now()))
    if pairing.state != "ready":
        raise InputError(f"SEG {seg.path} is not assessed: {pairing.reason}")
    return pairing.cases


def _question(
    seg: StoredInstance,
    instances: Mapping[str, StoredInstance],
    segs: Sequence[StoredInstance],
    now: datetime,
    readings: Sequence[ReportRead] = (),
) -> PairingQuestion:
    """Ask as if everything had arrived long ago: nothing more is to come."""
    long_ago = now - timedelta(days=1)
    return PairingQuestion(
        seg=seg.header,
        seg_received_at=long_ago,
        images={uid: one.header for uid, one in instances.items() if one not in segs},
        siblings=[one.header for one in segs if one is not seg],
        assignment=None,
        study_changed_at=long_ago,
        study_arriving=False,
        now=now,
        readings=[
            reading
            for report in readings
            if report.study_instance_uid == seg.header.study_instance_uid
            for reading in stored(report)
        ],
    )


def _readings(instances: Mapping[str, StoredInstance]) -> list[ReportRead]:
    """Return what people read, by the time of reading: files have no order of arrival."""
    read = reading_stage()
    heard = [
        hear(read, one.path)
        for one in instances.values()
        if one.header.sop_class_uid in STRUCTURED_REPORTS
    ]
    reports = [one.report for one in heard if one.report is not None]
    return sorted(reports, key=lambda report: (report.read_at, report.sop_instance_uid))


def _assess(
    seg: StoredInstance,
    instances: Mapping[str, StoredInstance],
    pairing: Pairing,
    settings: Settings,
    pipeline: Pipeline,
    now: datetime,
) -> FileAssessment:
    if pairing.state == "waiting":
        raise InputError(
            f"SEG {seg.path} refers to {len(pairing.missing)} image(s) that were not given, "
            f"the first is {pairing.missing[0]}"
        )
    if pairing.state != "ready":
        return FileAssessment(seg, (_not_assessed(seg.header, pairing, pipeline),), ())
    request = AssessmentRequest(
        installation_uid=_INSTALLATION,
        seg_uid=seg.header.sop_instance_uid,
        generation=1,
        cases=pairing.cases,
        instances=_needed(seg, instances, pairing),
        predecessor=None,
        when=now,
    )
    results = pipeline.assess(request.cases, request.instances)
    objects = make_report(request, results, pipeline, settings.report)
    return FileAssessment(seg, tuple(result.finding for result in results), objects)


def _needed(
    seg: StoredInstance, instances: Mapping[str, StoredInstance], pairing: Pairing
) -> dict[str, StoredInstance]:
    own = {seg.header.sop_instance_uid}
    uids = own.union(*(case.instances() for case in pairing.cases))
    return {uid: instances[uid] for uid in uids}


def _not_assessed(seg: InstanceHeader, pairing: Pairing, pipeline: Pipeline) -> Finding:
    """Say why the gate or the pairing let no case through; such a SEG makes no report."""
    code, _, text = pairing.reason.partition(": ")
    if pairing.state != "ineligible":
        code, text = pairing.state, pairing.reason
    bundle = pipeline.bundle
    return Finding(
        case=f"{seg.sop_instance_uid}#{seg.segments[0].number if seg.segments else 0}",
        status="refused",
        probability=None,
        malignancy=None,
        threshold=None,
        model=None,
        fallback_reason="",
        refusal=Refusal(code, text),
        semantic={},
        features_sha256="",
        bundle=BundleIdentity(bundle.name, bundle.version, bundle.sha256),
        device=pipeline.device,
    )
