"""The facts that routing rules look at, and what a decision changes in the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from node.audit.tables import Instance
from node.audit.trail import Trail
from node.case import Case, InstanceHeader
from node.jobs import states
from node.jobs.edge import Routing, RoutingFacts
from node.jobs.stages import Wish
from node.jobs.urgency import of_workitems

_AGE_UNITS: Final = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}  # PS3.5 6.2, AS
_DIAMETER: Final = "maximum_diameter"


def header_facts(
    seg: InstanceHeader,
    cases: Sequence[Case],
    headers: Mapping[str, InstanceHeader],
    sources: Iterable[str],
    workitems: Iterable[str] = (),
) -> RoutingFacts:
    """Return what is known before an assessment.

    Args:
        seg: The SEG.
        cases: Its lesions.
        headers: Of the images that they lie on, by SOP Instance UID.
        sources: Who sent SEG and images, `AE@address` as the intake writes it.
        workitems: The priorities of the study's workitems.
    """
    uids = set().union(*(case.instances() for case in cases)) - {seg.sop_instance_uid}
    images = [headers[uid] for uid in sorted(uids) if uid in headers and not headers[uid].segments]
    everything = (seg, *images)
    regions = [one.anatomic_region for one in images if one.anatomic_region]
    regions += [one.anatomic_region for one in seg.segments if one.anatomic_region]
    ages = [age for one in everything if (age := _years(one.patient_age)) is not None]
    senders = [source.rpartition("@") for source in sources]
    values: dict[str, Iterable[str | float | bool]] = {
        "sender": (name or address for name, _, address in senders),
        "sender_address": (address for _, _, address in senders),
        "modality": (one.modality for one in images),
        "body_part": (one.body_part_examined for one in images),
        "anatomic_region": (f"{code.scheme}:{code.value}" for code in regions),
        "study_description": (one.study_description for one in everything),
        "series_description": (one.series_description for one in images),
        "manufacturer": (one.manufacturer for one in images),
        "model": (one.manufacturer_model_name for one in images),
        "segment_label": (case.label for case in cases),
        "reader": (seg.content_creator_name,),
        "requested_priority": (*(one.requested_priority for one in everything), *workitems),
        "patient_sex": (one.patient_sex for one in everything),
        "age_years": ages,
        "lesions": (float(len(cases)),),
        "colour_flow": (any(one.colour_flow for one in images),),
    }
    kept = {name: tuple(dict.fromkeys(v for v in told if v != "")) for name, told in values.items()}
    return RoutingFacts(kept, assessed=False)


def with_results(facts: RoutingFacts, findings: Sequence[Mapping[str, Any]]) -> RoutingFacts:
    """Return the facts with what an assessment said; `findings` are findings in JSON."""
    diameters = (finding["semantic"].get(_DIAMETER) or {} for finding in findings)
    values: dict[str, Iterable[str | float | None]] = {
        "status": (finding["status"] for finding in findings),
        "refusal": ((finding["refusal"] or {}).get("code") for finding in findings),
        "class": (finding["class"] for finding in findings),
        "probability": (finding["probability"] for finding in findings),
        "lesion_size_mm": (diameter.get("value") for diameter in diameters),
    }
    told = {name: tuple(one for one in found if one is not None) for name, found in values.items()}
    return RoutingFacts({**facts.values, **told}, assessed=True)


def stored_facts(connection: Connection, seg_uid: str, cases: Sequence[Case]) -> RoutingFacts:
    """Return what our tables say of a SEG and its images before an assessment."""
    uids = {seg_uid}.union(*(case.instances() for case in cases))
    rows = connection.execute(
        select(Instance.sop_instance_uid, Instance.header, Instance.source)
        .where(Instance.sop_instance_uid.in_(uids), Instance.standing == "current")
        .order_by(Instance.id)
    ).all()
    headers = {row.sop_instance_uid: InstanceHeader.from_json(row.header) for row in rows}
    seg = headers[seg_uid]
    workitems = of_workitems(connection, seg.study_instance_uid)
    return header_facts(seg, cases, headers, [row.source for row in rows], workitems)


def note(
    connection: Connection,
    trail: Trail,
    job: Row[Any],
    routing: Routing,
    decided: Mapping[str, Any],
) -> None:
    """Write into the ledger that a rule fired, with why and what it decided."""
    trail.record(
        connection,
        "job",
        "routed",
        states.subject(job.seg_uid, job.generation),
        {
            "job": job.id,
            "rule": routing.rule,
            "because": list(routing.because),
            "decided": dict(decided),
            "rules_sha256": routing.rules_sha256,
        },
        study=job.study_instance_uid,
        patient=job.patient_id,
    )


def routed(wishes: Sequence[Wish], routing: Routing) -> list[Wish]:
    """Return the wishes of the destinations that a rule lets have the report."""
    if routing.destinations is not None:
        wishes = [wish for wish in wishes if wish.name in routing.destinations]
    if routing.companions is not None:
        kinds = frozenset(routing.companions)
        wishes = [replace(wish, kinds=kinds) for wish in wishes]
    return list(wishes)


def _years(age: str) -> float | None:
    number, unit = age[:-1], age[-1:]
    return int(number) * _AGE_UNITS[unit] if number.isdigit() and unit in _AGE_UNITS else None
