"""Audit messages as FHIR R4 AuditEvent resources (hl7.org/fhir/R4/auditevent.html)."""

from __future__ import annotations

from typing import Any

from node.audit.atna import Code, Message, Participant, Subject, base64_of

_SYSTEMS = {"DCM": "http://dicom.nema.org/resources/ontology/DCM"}
_OBJECT_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"


def audit_event(message: Message) -> dict[str, Any]:
    """Return an AuditEvent; its codes are those of the DICOM message (R4 mapping table)."""
    event: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "type": _coding(message.event),
        "action": message.action,
        "recorded": message.at,
        "outcome": message.outcome,
        "agent": [_agent(one) for one in message.participants],
        "source": {
            "observer": {"display": message.source},
            "type": [{"system": _SOURCE_TYPE, "code": message.source_type}],
        },
    }
    if message.type is not None:
        event["subtype"] = [_coding(message.type)]
    if message.reason:
        event["outcomeDesc"] = message.reason
    if message.subjects:
        event["entity"] = [_entity(one) for one in message.subjects]
    return event


def _coding(code: Code) -> dict[str, str]:
    system = _SYSTEMS.get(code.scheme)
    named = {"system": system} if system else {}
    return {**named, "code": code.value, "display": code.meaning}


def _agent(one: Participant) -> dict[str, Any]:
    agent: dict[str, Any] = {
        "who": {"identifier": {"value": one.user}},
        "requestor": one.requestor,
    }
    if one.role is not None:
        agent["type"] = {"coding": [_coding(one.role)]}
    if one.address:
        agent["network"] = {"address": one.address, "type": one.address_type}
    return agent


def _entity(one: Subject) -> dict[str, Any]:
    entity: dict[str, Any] = {
        "what": {"identifier": {"value": one.identity}},
        "type": {"system": _OBJECT_TYPE, "code": one.type},
        "role": {"system": _OBJECT_ROLE, "code": one.role},
    }
    if one.instance:
        entity["detail"] = [{"type": "SOP Instance UID", "valueString": one.instance}]
    if one.query is not None:
        entity["query"] = base64_of(one.query)
    if one.alert:
        entity["detail"] = [{"type": "Alert Description", "valueString": one.alert}]
    return entity
