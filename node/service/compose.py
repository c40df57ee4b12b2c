"""Composition: rooms become the stage callables of a role. Nothing else knows two rooms."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from sqlalchemy import Engine

from node.audit import schema
from node.audit.seal import Sealer
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.case import Pairing
from node.config import Companion, ReportSettings, Settings
from node.database import open_engine
from node.errors import DeliveryError
from node.jobs.dbos_engine import migrate
from node.jobs.stages import (
    Assessment,
    AssessmentRequest,
    PairingQuestion,
    Parcel,
    Receipt,
    Rejection,
    ReportObject,
    Stages,
    Wish,
)
from node.service.earlier import earlier_stage
from node.service.routing import route_stage, rulebook
from node.service.storage import open_blobs

if TYPE_CHECKING:  # the receiver, sender and web processes never import torch
    from node.service.activation import Lectern
    from sr_templates.readings import ReportRead


@dataclass(frozen=True)
class Foundation:
    """What every role stands on: settings, database, blobs and its hand in the ledger."""

    settings: Settings
    database: Engine
    blobs: BlobStore
    trail: Trail
    installation_uid: str
    sealer: Sealer

    def close(self) -> None:
        """Release the database connections."""
        self.database.dispose()


def lay_foundation(settings: Settings, actor: str) -> Foundation:
    """Open the database at the current schema, and the blob store."""
    database = open_engine(settings.database_url)
    uid = schema.upgrade(database)
    migrate(database)
    blobs = open_blobs(settings, actor)
    sealer = Sealer.from_file(settings.audit_key)
    return Foundation(settings, database, blobs, Trail(actor, sealer), uid, sealer)


def pairing_stage(settings: Settings) -> Callable[[PairingQuestion], Pairing]:
    """Return the intended-use gate and the matching as one decision."""
    from node.pair.completeness import decide  # noqa: PLC0415 - only the worker pairs
    from node.pipeline.gate import Gate  # noqa: PLC0415

    gate = Gate.of(settings.intended_use)

    accepted = settings.reading.accept

    def pair(question: PairingQuestion) -> Pairing:
        if not accepted:
            question = replace(question, readings=())
        seg = gate.admit_segments(question.seg)
        if question.seg.segments and not seg.segments:
            return Pairing("ineligible", reason="segments: none can be a soft-tissue mass")
        siblings = [gate.admit_segments(sibling) for sibling in question.siblings]
        pairing = decide(replace(question, seg=seg, siblings=siblings), settings.pairing)
        return gate.judge(pairing, question.images)

    return pair


def reading_stage() -> Callable[[Path], ReportRead]:
    """Return the reader of inbound reports; pydicom in the worker only."""

    def read(path: Path) -> ReportRead:
        from sr_templates.readings import read_report  # noqa: PLC0415

        return read_report(path)

    return read


def assessment_stage(
    settings: Settings, lectern: Lectern
) -> Callable[[AssessmentRequest], Assessment]:
    """Return pipeline and report as one step: what is assessed is reported, and by whom.

    The shadow bundle, if there is one, is heard after the report is made; it changes nothing.
    """
    from node.pipeline.shadow import heard  # noqa: PLC0415 - torch in the worker only
    from node.service.reporting import make_report  # noqa: PLC0415 - highdicom in the worker only

    wanted = report_settings(settings)

    def assess(request: AssessmentRequest) -> Assessment:
        pipeline = lectern.serving(request.bundle)
        measured = pipeline.assess_measured(request.cases, request.instances)
        results = tuple(one.result for one in measured)
        objects = make_report(request, results, pipeline, wanted)
        shadowed = heard(lectern.shadow, measured, pipeline.settings, request.instances)
        return Assessment(results, objects, shadowed.findings, shadowed.failure)

    return assess


def delivery_stage(settings: Settings) -> Callable[[str, Sequence[Parcel]], Sequence[Receipt]]:
    """Return one attempt at one destination, by its name."""
    from node.deliver.deliver import deliver  # noqa: PLC0415 - pynetdicom in the sender only
    from node.deliver.package import Outgoing  # noqa: PLC0415

    destinations = {destination.name: destination for destination in settings.destination}

    def send(name: str, parcels: Sequence[Parcel]) -> Sequence[Receipt]:
        destination = destinations.get(name)
        if destination is None:
            raise DeliveryError(f"there is no destination {name!r} in the configuration")
        outgoing = [
            Outgoing(
                parcel.sop_class_uid,
                parcel.sop_instance_uid,
                parcel.study_instance_uid,
                parcel.series_instance_uid,
                parcel.path,
            )
            for parcel in parcels
        ]
        sent = frozenset(parcel.sop_instance_uid for parcel in parcels if parcel.sent)
        root = next((parcel.transaction_root for parcel in parcels), "")
        outcome = deliver(destination, outgoing, sent, settings, transaction_root=root)
        return [
            Receipt(item.sop_instance_uid, item.state, item.detail, item.permanent, item.down)
            for item in outcome.objects
        ]

    return send


def rejection_stage() -> Callable[[Rejection], ReportObject]:
    """Return the writer of rejection notes; it reads the stored SR, and no model."""

    def reject(rejection: Rejection) -> ReportObject:
        from node.service.reporting import make_rejection_note  # noqa: PLC0415 - report room, late

        return make_rejection_note(rejection)

    return reject


def wishes(settings: Settings) -> tuple[Wish, ...]:
    """Return what each destination wants; `[report] companions` where it does not say."""
    common = settings.report.companions
    return tuple(
        Wish(
            name=one.name,
            kinds=frozenset(common if one.companions is None else one.companions),
            refusals=one.refusals,
            reject_superseded=one.reject_superseded,
            commits=one.protocol == "dimse" and one.verify == "commitment",
        )
        for one in settings.destination
    )


def report_settings(settings: Settings) -> ReportSettings:
    """Return the report's settings with every companion that any destination or rule wants."""
    wanted = set(settings.report.companions).union(*(wish.kinds for wish in wishes(settings)))
    wanted |= rulebook(settings).companions
    if not settings.destination:
        return settings.report
    union = tuple(kind for kind in get_args(Companion) if kind in wanted)
    return settings.report.model_copy(update={"companions": union})


def patience(attempt: int, receipts: Sequence[Receipt]) -> float | None:
    """Return the seconds until the next attempt after attempt number `attempt` (0-based)."""
    from node.deliver.outcome import ObjectOutcome, Policy, retry_after  # noqa: PLC0415

    outcomes = [
        ObjectOutcome(r.sop_instance_uid, r.state, r.error, r.permanent)  # type: ignore[arg-type]
        for r in receipts
    ]
    return retry_after(attempt + 1, outcomes, Policy(), random.random())  # noqa: S311 - jitter


def compose(
    settings: Settings,
    *,
    assess: Callable[[AssessmentRequest], Assessment] | None = None,
) -> Stages:
    """Return the stages; `assess` is given by the worker only."""

    def no_worker(_: AssessmentRequest) -> Assessment:
        raise RuntimeError("this role runs no model")

    return Stages(
        pair=pairing_stage(settings),
        read=reading_stage(),
        assess=assess or no_worker,
        deliver=delivery_stage(settings),
        retry_after=patience,
        reject=rejection_stage(),
        destinations=wishes(settings),
        earlier=earlier_stage(settings),
        route=route_stage(settings),
        fetch_after_s=settings.pairing.fetch_after_s if settings.source else None,
    )
