"""Ledger rows as DICOM audit messages (PS3.15 section A.5), for a security log elsewhere."""

from __future__ import annotations

import base64
import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

_EVENTS = Path(__file__).with_name("atna_events.toml")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 [2]
_IP, _NAME = "2", "1"  # PS3.15 A.5.1 NetworkAccessPointTypeCode


@dataclass(frozen=True, slots=True)
class Code:
    """A coded value of PS3.16."""

    value: str
    meaning: str
    scheme: str = "DCM"


@dataclass(frozen=True, slots=True)
class Participant:
    """Who took part: a process, a person or a peer; `address` is where, if known."""

    user: str
    requestor: bool
    role: Code | None = None
    address: str = ""

    @property
    def address_type(self) -> str:
        """2 for an IP address, 1 for a machine's name (PS3.15 A.5.1)."""
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            return _NAME
        return _IP


@dataclass(frozen=True, slots=True)
class Subject:
    """What it was about.

    Attributes:
        type: RFC 3881 5.5.1: 1 person, 2 system object.
        role: RFC 3881 5.5.2: 1 patient, 3 report (a study), 13 security resource.
        instance: SOP Instance UID of a study's object, with its SOP Class if it is known.
        alert: What a security alert is about, in words (A.5.3.11).
        query: What was searched for, in the words of the protocol (A.5.3.10).
    """

    identity: str
    type: str
    role: str
    kind: Code
    instance: str = ""
    sop_class: str = ""
    name: str = ""
    alert: str = ""
    query: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One audit message; `outcome` is 0, 4 or 8, `at` an ISO time with its zone."""

    event: Code
    type: Code | None
    action: str
    outcome: str
    reason: str
    at: str
    source: str
    source_type: str
    participants: tuple[Participant, ...]
    subjects: tuple[Subject, ...]

    def to_xml(self) -> bytes:
        """Return the message as XML in UTF-8 (PS3.15 section A.5.1)."""
        root = Element("AuditMessage")
        head = SubElement(
            root,
            "EventIdentification",
            EventActionCode=self.action,
            EventDateTime=self.at,
            EventOutcomeIndicator=self.outcome,
        )
        _coded(head, "EventID", self.event)
        if self.type is not None:
            _coded(head, "EventTypeCode", self.type)
        if self.reason:
            SubElement(head, "EventOutcomeDescription").text = _clean(self.reason)
        for one in self.participants:
            _participant(root, one)
        origin = SubElement(root, "AuditSourceIdentification", AuditSourceID=_clean(self.source))
        SubElement(origin, "AuditSourceTypeCode", {"csd-code": self.source_type})
        for subject in self.subjects:
            _subject(root, subject)
        document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
        return document


_URI = Code("12", "URI", "RFC-3881")


def message(row: Mapping[str, Any], source: str, host: str = "") -> Message | None:
    """Return the audit message of a ledger row, None if DICOM has none for it.

    Args:
        row: As `node.audit.query.ask` gives it.
        source: Who reports: the node's AE title.
        host: Name of the node's machine.
    """
    known = _table()
    rule = known.get(row["ledger"], {}).get(row["event"])
    if rule is None:
        return None
    codes, detail = known["codes"], row["detail"]
    kind = rule.get("type")
    return Message(
        event=Code(rule["event"], codes["events"][rule["event"]]),
        type=None if kind is None else Code(kind, codes["types"][kind]),
        action=rule["action"],
        outcome=rule.get("outcome", "0"),
        reason=str(detail.get("reason") or detail.get("error") or ""),
        at=row["at"],
        source=source,
        source_type=known["source"]["type"],
        participants=_participants(rule["participants"], row, source, host),
        subjects=_subjects(rule["participants"], row),
    )


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(_EVENTS.read_text(encoding="utf-8"))


def _role(value: str) -> Code:
    return Code(value, _table()["codes"]["roles"][value])


def _participants(
    kind: str, row: Mapping[str, Any], source: str, host: str
) -> tuple[Participant, ...]:
    detail, actor = row["detail"], row["actor"]
    person = actor.startswith("person:")
    ourselves = f"{source}/{actor}"
    if kind == "application":
        return (
            Participant(source, False, _role("110150"), host),
            Participant(actor, True, None, host),
        )
    if kind == "inbound":
        peer, address = _peer(str(detail.get("source", "")))
        return (
            Participant(peer or "unknown", True, _role("110153"), address),
            Participant(ourselves, False, _role("110152"), host),
        )
    if kind == "outbound":
        return (
            Participant(ourselves, True, _role("110153"), host),
            Participant(str(detail.get("destination", "unknown")), False, _role("110152")),
        )
    if kind in {"authentication", "viewer", "query"}:
        return _on_the_web(kind, row, source, host)
    # A.5.3.11: who performed it is no requestor
    if kind == "alert" and {"address", "calling_ae"} & detail.keys():
        caller = str(detail.get("calling_ae", actor)).strip() or "unknown"
        reporter = f"{source}/web" if person else ourselves
        return (
            Participant(reporter, True, None, host),
            Participant(caller, False, None, str(detail.get("address", ""))),
        )
    return (Participant(actor if person else ourselves, True, None, host),)


def _on_the_web(
    kind: str, row: Mapping[str, Any], source: str, host: str
) -> tuple[Participant, ...]:
    """Return a person at a browser, or a program, and the node's web before them."""
    detail, web = row["detail"], f"{source}/web"
    where = str(detail.get("address", "")) or "unknown"
    if kind == "viewer":  # A.5.3.6
        return (Participant(row["actor"], True, None, where),)
    if kind == "query":  # A.5.3.10
        return (
            Participant(row["actor"], True, _role("110153"), where),
            Participant(web, False, _role("110152"), host),
        )
    # A.5.3.12: a session that a timer ended was ended by the node
    expired = detail.get("reason") == "expired"
    return (
        Participant(row["subject"] or "unknown", not expired, None, where),
        Participant(web, expired, None, host),
    )


def _peer(source: str) -> tuple[str, str]:
    """Split `AE@address` or `protocol:address` into who and where."""
    who, mark, where = source.partition("@")
    return (who, where) if mark else (source, "")


def _subjects(kind: str, row: Mapping[str, Any]) -> tuple[Subject, ...]:
    objects, found = _table()["codes"]["objects"], []
    if kind in {"inbound", "outbound", "access", "viewer"}:
        # A refused object may not say its study: the message names what is known of it.
        instance = row["subject"] if row["ledger"] not in {"finding", "access"} else ""
        sop_class = str(row["detail"].get("sop_class", ""))
        study = Code("110180", objects["110180"])
        found.append(Subject(row["study"] or "unknown", "2", "3", study, instance, sop_class))
        patient = Code("2", "Patient Number", "RFC-3881")
        found.append(Subject(row["patient"] or "unknown", "1", "1", patient))
    elif kind == "query":
        asked = str(row["detail"].get("query", ""))
        found.append(Subject(row["subject"], "2", "3", _URI, query=asked))
    elif kind == "alert":
        found.append(_alert_subject(row))
    elif kind == "log":
        found.append(Subject(row["subject"], "2", "13", _URI, name="Security Audit Log"))
    return tuple(found)


def _alert_subject(row: Mapping[str, Any]) -> Subject:
    """Return what an alert is about: a node that was rejected, else a resource of ours."""
    detail, what = row["detail"], str(row["subject"]) or "unknown"
    words = f"{row['ledger']} {row['event']}: {what}"
    if reason := detail.get("reason"):
        words = f"{words}: {reason}"
    if row["ledger"] == "association":
        caller = str(detail.get("calling_ae", "")).strip() or "unknown"
        identity = f"{caller}@{detail.get('address') or 'unknown'}"
        kind = Code("110182", _table()["codes"]["objects"]["110182"])
        return Subject(identity, "2", "13", kind, alert=words)
    return Subject(what, "2", "13", _URI, alert=words)


def _participant(root: Element, one: Participant) -> None:
    part = SubElement(
        root,
        "ActiveParticipant",
        UserID=_clean(one.user),
        UserIsRequestor=str(one.requestor).lower(),
    )
    if one.address:
        part.set("NetworkAccessPointID", _clean(one.address))
        part.set("NetworkAccessPointTypeCode", one.address_type)
    if one.role is not None:
        _coded(part, "RoleIDCode", one.role)


def _subject(root: Element, one: Subject) -> None:
    part = SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_clean(one.identity),
        ParticipantObjectTypeCode=one.type,
        ParticipantObjectTypeCodeRole=one.role,
    )
    _coded(part, "ParticipantObjectIDTypeCode", one.kind)
    if one.query is None:
        SubElement(part, "ParticipantObjectName").text = _clean(one.name or one.identity)
    else:
        SubElement(part, "ParticipantObjectQuery").text = base64_of(one.query)
    if one.alert:
        value = base64_of(_clean(one.alert))
        SubElement(part, "ParticipantObjectDetail", type="Alert Description", value=value)
    if one.sop_class:
        about = SubElement(part, "ParticipantObjectDescription")
        sop = SubElement(about, "SOPClass", UID=_clean(one.sop_class), NumberOfInstances="1")
        SubElement(sop, "Instance", UID=_clean(one.instance))


def base64_of(text: str) -> str:
    """Return a text as xsd:base64Binary."""
    return base64.b64encode(text.encode()).decode("ascii")


def _coded(parent: Element, name: str, code: Code) -> None:
    attributes = {
        "csd-code": code.value,
        "codeSystemName": code.scheme,
        "originalText": code.meaning,
    }
    SubElement(parent, name, attributes)


def _clean(text: str) -> str:
    return _NOT_XML.sub("�", text)
