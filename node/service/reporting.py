"""From results to report objects: the headers they rest on and the UIDs they get."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

from pydicom import Dataset, dcmread

from models.bundle import Bundle
from node.case import CaseResult
from node.config import ReportSettings
from node.jobs.stages import AssessmentRequest, ReportObject
from node.pipeline.assess import Pipeline
from node.report import ReportedBundle, ReportRequest, build_report
from node.service.compose import derived_uid


def make_report(
    request: AssessmentRequest,
    results: Sequence[CaseResult],
    pipeline: Pipeline,
    settings: ReportSettings,
) -> tuple[ReportObject, ...]:
    """Build the SR and its companions for the results of one SEG and generation."""
    bundle = pipeline.bundle
    before = request.predecessor
    objects = build_report(
        ReportRequest(
            findings=tuple(results),
            seg=_header(request, request.seg_uid),
            images={
                uid: _header(request, uid)
                for uid, stored in request.instances.items()
                if uid != request.seg_uid and not stored.header.segments
            },
            bundle=ReportedBundle(
                name=bundle.name,
                version=bundle.version,
                sha256=bundle.sha256,
                settings_sha256=bundle.description.settings_sha256,
                simulated=bundle.simulated,
                population=_population(bundle),
                prevalence=bundle.prevalence,
            ),
            uids=_uids(request, results, bundle.sha256),
            when=request.when,
            settings=settings,
            generation=request.generation,
            predecessor=None
            if before is None
            else (
                before.sop_class_uid,
                before.sop_instance_uid,
                before.series_instance_uid,
                before.study_instance_uid,
            ),
            software_version=version("crdl-node"),
        )
    )
    study = request.instances[request.seg_uid].header.study_instance_uid
    return tuple(
        ReportObject(
            kind=_kind(index, thing.kind),
            sop_class_uid=thing.sop_class_uid,
            sop_instance_uid=thing.sop_instance_uid,
            series_instance_uid=thing.series_instance_uid,
            study_instance_uid=study,
            data=thing.data,
        )
        for index, thing in enumerate(objects)
    )


def _population(bundle: Bundle) -> str:
    counts = bundle.description.population
    origin = "simulated cases" if bundle.simulated else "cases"
    return f"{counts['cases']} {origin}, {counts['malignant']} malignant"


def _kind(index: int, kind: str) -> str:
    return kind if index == 0 else f"{kind}-{index}"


def _header(request: AssessmentRequest, uid: str) -> Dataset:
    return dcmread(request.instances[uid].path, stop_before_pixels=True)


def _uids(
    request: AssessmentRequest, results: Sequence[CaseResult], bundle_sha256: str
) -> Callable[[str], str]:
    """Derive UIDs from what they stand for, so that a repeated step makes the same objects."""
    masks = request.instances[request.seg_uid].header.pixels_sha256
    named = ",".join(result.case.name for result in results)

    def uid(kind: str) -> str:
        if kind == "device":
            return derived_uid(request.installation_uid, "device")
        return derived_uid(
            request.installation_uid,
            request.seg_uid,
            masks,
            named,
            bundle_sha256,
            str(request.generation),
            kind,
        )

    return uid
