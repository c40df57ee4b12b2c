"""Ledger rows as DICOM audit messages and as FHIR AuditEvents."""

from __future__ import annotations

import base64
import tomllib
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from node.audit.atna import Message, message
from node.audit.fhir import audit_event

ROOT = Path(__file__).parents[2]
SCHEMA = etree.RelaxNG(etree.parse(ROOT / "tests" / "reference" / "audit_message.rng"))
TABLE = tomllib.loads((ROOT / "node" / "audit" / "atna_events.toml").read_text())
LEDGERS = [name for name in TABLE if name not in {"source", "codes"}]
ROWS = [(ledger, event) for ledger in LEDGERS for event in TABLE[ledger]]
ALERTS = [(ledger, event) for ledger, event in ROWS if TABLE[ledger][event]["event"] == "110113"]


def a_row(ledger: str, event: str, **detail: Any) -> dict[str, Any]:
    return {
        "ledger": ledger,
        "id": 7,
        "at": "2026-01-31T08:30:00.123456+00:00",
        "actor": "receive",
        "event": event,
        "subject": "1.2.3.4",
        "study": "1.2.3",
        "patient": "P<1>&\u0001",
        "detail": {"source": "US1@192.0.2.7", "sop_class": "1.2.840", **detail},
    }


def said(row: dict[str, Any]) -> Message:
    found = message(row, "CRDL", "node.example")
    assert found is not None
    return found


@pytest.mark.parametrize(("ledger", "event"), ROWS)
def test_every_message_fits_the_structure_of_the_standard(ledger: str, event: str) -> None:
    for detail in ({}, {"reason": "no <room>\u0000"}, {"calling_ae": "", "address": "192.0.2.9"}):
        document = etree.fromstring(said(a_row(ledger, event, **detail)).to_xml())
        SCHEMA.assertValid(document)


@pytest.mark.parametrize(
    "damage",
    [
        lambda root: root.remove(root.find("ActiveParticipant")) or root.remove(root[1]),
        lambda root: root[0].set("EventOutcomeIndicator", "1"),
        lambda root: root[0].set("EventDateTime", "yesterday"),
        lambda root: root[0].remove(root[0].find("EventID")),
        lambda root: root.append(root[0]),  # the order counts
        lambda root: root.append(root.makeelement("Instance")),
    ],
)
def test_the_structure_is_strict_enough_to_fail(damage: Any) -> None:
    document = etree.fromstring(said(a_row("system", "started")).to_xml())
    SCHEMA.assertValid(document)
    damage(document)
    assert not SCHEMA.validate(document)


def test_a_received_instance_is_a_transfer_from_a_named_peer_to_us() -> None:
    found = etree.fromstring(said(a_row("instance", "received")).to_xml())
    assert found.find("EventIdentification/EventID").get("csd-code") == "110104"
    source, destination = found.findall("ActiveParticipant")
    assert source.find("RoleIDCode").get("csd-code") == "110153"
    assert (source.get("UserID"), source.get("NetworkAccessPointID")) == ("US1", "192.0.2.7")
    assert source.get("NetworkAccessPointTypeCode") == "2"
    assert destination.find("RoleIDCode").get("csd-code") == "110152"
    study, patient = found.findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == "1.2.3"
    assert study.find("ParticipantObjectDescription/SOPClass/Instance").get("UID") == "1.2.3.4"
    assert patient.get("ParticipantObjectID") == "P<1>&\ufffd"


def test_a_rejected_association_is_a_security_alert_that_names_the_caller() -> None:
    row = a_row("association", "rejected", calling_ae="EVIL", address="192.0.2.66", reason="who?")
    found = said(row)
    assert (found.event.value, found.outcome, found.reason) == ("110113", "4", "who?")
    assert ("EVIL", "192.0.2.66") in [(one.user, one.address) for one in found.participants]


@pytest.mark.parametrize(("ledger", "event"), ALERTS)
def test_a_security_alert_says_in_words_what_it_is_about(ledger: str, event: str) -> None:
    found = etree.fromstring(said(a_row(ledger, event, reason="why")).to_xml())
    detail = found.find("ParticipantObjectIdentification/ParticipantObjectDetail")
    assert detail.get("type") == "Alert Description"
    assert base64.b64decode(detail.get("value")).decode().endswith(": why")
    assert found.find("EventIdentification").get("EventActionCode") == "E"


def test_who_was_refused_is_named_with_their_address_and_did_not_ask_for_the_report() -> None:
    row = a_row("access", "refused", address="192.0.2.8", reason="vera may not do this")
    row |= {"actor": "person:vera", "subject": "/outcomes"}
    reporter, performer = said(row).participants
    assert (reporter.user, reporter.requestor) == ("CRDL/web", True)
    assert (performer.user, performer.requestor) == ("person:vera", False)
    assert (performer.address, performer.address_type) == ("192.0.2.8", "2")
    assert said(row).subjects[0].identity == "/outcomes"


@pytest.mark.parametrize(
    ("event", "reason", "kind", "outcome", "asked"),
    [
        ("login", "", "110122", "0", True),
        ("login-failed", "wrong password", "110122", "4", True),
        ("logout", "logged out", "110123", "0", True),
        ("logout", "expired", "110123", "0", False),
    ],
)
def test_a_login_names_the_person_and_where_they_are(
    event: str, reason: str, kind: str, outcome: str, *, asked: bool
) -> None:
    row = a_row("access", event, address="192.0.2.8", **({"reason": reason} if reason else {}))
    found = etree.fromstring(said(row | {"subject": "vera"}).to_xml())
    head = found.find("EventIdentification")
    assert head.find("EventID").get("csd-code") == "110114"
    assert head.find("EventTypeCode").get("csd-code") == kind
    assert head.get("EventOutcomeIndicator") == outcome
    person, node = found.findall("ActiveParticipant")
    assert person.get("UserID") == "vera"
    assert (person.get("NetworkAccessPointID"), person.get("NetworkAccessPointTypeCode")) == (
        "192.0.2.8",
        "2",
    )
    assert person.get("UserIsRequestor") == str(asked).lower()
    assert node.get("UserIsRequestor") == str(not asked).lower()
    assert found.find("ParticipantObjectIdentification") is None


def test_who_looked_at_a_study_and_what_was_searched_for_is_said() -> None:
    row = a_row("access", "seen", address="192.0.2.8") | {"actor": "person:vera"}
    seen = said(row)
    assert (seen.event.value, seen.action) == ("110103", "R")
    assert [(one.user, one.address) for one in seen.participants] == [("person:vera", "192.0.2.8")]
    assert [one.identity for one in seen.subjects] == ["1.2.3", "P<1>&\u0001"]
    row = a_row("access", "searched", query="PatientName=Doe*") | {"subject": "/dicom-web/studies"}
    found = etree.fromstring(said(row).to_xml())
    asked = found.find("ParticipantObjectIdentification/ParticipantObjectQuery").text
    assert base64.b64decode(asked) == b"PatientName=Doe*"
    roles = [one.find("RoleIDCode").get("csd-code") for one in found.findall("ActiveParticipant")]
    assert roles == ["110153", "110152"]
    made = audit_event(said(row))
    assert base64.b64decode(made["entity"][0]["query"]) == b"PatientName=Doe*"


def test_a_row_of_our_own_workflow_is_no_dicom_message() -> None:
    assert message(a_row("job", "queued"), "CRDL") is None


@pytest.mark.parametrize(("ledger", "event"), ROWS)
def test_an_audit_event_has_what_fhir_r4_requires(ledger: str, event: str) -> None:
    made = audit_event(said(a_row(ledger, event, reason="r")))
    assert made["resourceType"] == "AuditEvent"
    assert made["type"]["code"] in TABLE["codes"]["events"]
    assert made["recorded"].endswith("+00:00")
    assert made["action"] in set("CRUDE")
    assert made["outcome"] in {"0", "4", "8", "12"}
    assert made["source"]["observer"]["display"] == "CRDL"
    assert made["agent"]
    assert all(isinstance(agent["requestor"], bool) for agent in made["agent"])
    assert sum(agent["requestor"] for agent in made["agent"]) == 1
