"""From results to report objects: the headers they rest on and the UIDs they get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import KeyObjectSelectionDocumentStorage

from models.errors import ModelsError
from models.imaging.masks import read_masks
from node.case import CaseResult
from node.config import ReportSettings
from node.jobs.stages import AssessmentRequest, Rejection, ReportObject
from node.report import PriorAssessment, ReportedBundle, ReportRequest, build_report
from node.report import ReportObject as BuiltObject
from node.report.companions.references import Reference
from node.report.companions.rejection_note import rejection_note
from node.service.uids import derived_uid

if TYPE_CHECKING:  # a rejection note is written without a model
    from models.bundle import Bundle
    from node.pipeline.assess import Pipeline


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
            priors=_priors(request) if settings.trend else (),
            masks=_masks(request, results) if "seg" in settings.companions else {},
        )
    )
    study = request.instances[request.seg_uid].header.study_instance_uid
    return tuple(
        ReportObject(
            kind=kind,
            sop_class_uid=thing.sop_class_uid,
            sop_instance_uid=thing.sop_instance_uid,
            series_instance_uid=thing.series_instance_uid,
            study_instance_uid=study,
            data=thing.data,
        )
        for kind, thing in zip(_kinds(objects), objects, strict=True)
    )


def make_rejection_note(rejection: Rejection) -> ReportObject:
    """Write the note that tells archives not to show a report any more."""
    report = dcmread(rejection.report)
    objects = [
        Reference(one.sop_class_uid, one.sop_instance_uid, one.series_instance_uid)
        for one in rejection.objects
    ]
    named = (rejection.installation_uid, rejection.kind, *(one.sop_instance_uid for one in objects))
    uid, series = (derived_uid(*named, part) for part in ("rejection-note", "rejection-series"))
    return ReportObject(
        kind="note",
        sop_class_uid=str(KeyObjectSelectionDocumentStorage),
        sop_instance_uid=uid,
        series_instance_uid=series,
        study_instance_uid=str(report.StudyInstanceUID),
        data=rejection_note(
            report, objects, rejection.kind, rejection.reason, (uid, series), rejection.when
        ),
    )


def _population(bundle: Bundle) -> str:
    counts = bundle.description.population
    origin = "simulated cases" if bundle.simulated else "cases"
    return f"{counts['cases']} {origin}, {counts['malignant']} malignant"


def _kinds(objects: Sequence[BuiltObject]) -> list[str]:
    """Number the objects of each kind, so that a job's kinds are all different: sr, sc-1, sc-2."""
    counts: Counter[str] = Counter()
    names = []
    for thing in objects:
        counts[thing.kind] += 1
        names.append("sr" if thing.kind == "sr" else f"{thing.kind}-{counts[thing.kind]}")
    return names


def _priors(request: AssessmentRequest) -> tuple[PriorAssessment, ...]:
    return tuple(
        PriorAssessment(
            date=date.fromisoformat(prior.date),
            probability=prior.probability,
            diameter_mm=prior.diameter_mm,
            sop_instance_uid=prior.sop_instance_uid,
            bundle_name=prior.bundle_name,
            bundle_version=prior.bundle_version,
            tracking_uid=prior.tracking_uid,
            prior_shift=prior.prior_shift,
        )
        for prior in request.priors
    )


def _masks(
    request: AssessmentRequest, results: Sequence[CaseResult]
) -> dict[str, NDArray[np.bool_]]:
    """Read the masks that were assessed again; one that cannot be read was refused for that."""
    try:
        masks = read_masks(dcmread(request.instances[request.seg_uid].path))
    except ModelsError:
        return {}
    frames = {(mask.segment_number, mask.frame_number): mask.mask for mask in masks}
    wanted = {
        one.case.name: (one.case.segment_number, one.evidence.seg_frame_number) for one in results
    }
    return {name: frames[key] for name, key in wanted.items() if key in frames}


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
