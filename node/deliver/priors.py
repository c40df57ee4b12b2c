"""Earlier reports of a patient that an archive holds: found by query, read back from the SR.

Whatever the archive answers, only what stands in the retrieved objects counts: Patient ID and
issuer, our own equipment, and the rejection notes of the same study.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset

from node.config import DestinationSettings, Settings
from node.deliver.association import Peer, Timeouts
from node.deliver.query import Query, querying
from node.errors import DeliveryError
from sr_templates.earlier import (
    KEY_OBJECTS,
    SOP_CLASSES,
    EarlierReport,
    EarlierReportError,
    decode,
    read_earlier,
    rejected_by,
)
from sr_templates.equipment import MANUFACTURER

MOST_REPORTS: Final = 5
_MOST_STUDIES: Final = 20  # that are looked into
_MOST_INSTANCES: Final = 50  # of a study that are retrieved
_CLASSES: Final = {"SR": frozenset(SOP_CLASSES), "KO": frozenset({KEY_OBJECTS})}
# Matched as a wildcard or as several values (PS3.4 section C.2.2.2); the first two are sent, for
# what comes back is compared, but a value with a backslash cannot be sent at all.
_UNSENDABLE: Final = "\\"


@dataclass(frozen=True, slots=True)
class Patient:
    """Whose earlier reports are wanted.

    Attributes:
        study_instance_uid: The study of now, which is not earlier.
        study_date: Its date as DA, "" where it has none; what is later is not earlier.
    """

    patient_id: str
    issuer: str
    study_instance_uid: str
    study_date: str

    def __post_init__(self) -> None:
        if not self.patient_id or _UNSENDABLE in self.patient_id:
            raise DeliveryError("who has no Patient ID cannot be asked about")


def earlier_reports(
    destination: DestinationSettings, settings: Settings, patient: Patient, wait_s: float
) -> Iterator[EarlierReport]:
    """Yield what our reports in an archive say about a patient, a study at a time, latest first.

    At most `MOST_REPORTS`; none that is superseded or rejected in the archive.

    Args:
        destination: The archive; it speaks DIMSE.
        settings: Our AE title and TLS.
        patient: Of whom.
        wait_s: Seconds for all of it together.

    Raises:
        DeliveryError: If the archive is not there, cannot give reports, or takes too long. What
            was yielded before is complete.
    """
    until = time.monotonic() + wait_s
    waits = Timeouts(
        connect_s=wait_s, acse_s=wait_s, dimse_s=wait_s, idle_s=wait_s, commitment_s=wait_s
    )
    peer = Peer.of(destination, settings, waits)
    with querying(peer, (*SOP_CLASSES, KEY_OBJECTS), until) as query:
        told = 0
        for study in _studies(query, patient):
            for report in _reports(query, study, patient):
                yield report
                told += 1
                if told == MOST_REPORTS:
                    return


def _studies(query: Query, patient: Patient) -> list[str]:
    """Return the earlier studies with an SR, latest first; those without a date come last."""
    matches = query.find(
        "STUDY",
        PatientID=patient.patient_id,
        IssuerOfPatientID="",  # as a key it would be ignored, or find no study where it is missing
        ModalitiesInStudy="SR",
        StudyInstanceUID="",
        StudyDate="",
    )
    dates: dict[str, str] = {}
    for match in matches:
        uid, day = _value(match, "StudyInstanceUID"), _value(match, "StudyDate")
        theirs = _value(match, "PatientID") == patient.patient_id
        same_issuer = _value(match, "IssuerOfPatientID") in {"", patient.issuer}
        later = bool(patient.study_date) and day > patient.study_date
        if uid and theirs and same_issuer and not later and uid != patient.study_instance_uid:
            dates[uid] = day
    return sorted(dates, key=lambda uid: (dates[uid], uid), reverse=True)[:_MOST_STUDIES]


def _reports(query: Query, study: str, patient: Patient) -> list[EarlierReport]:
    """Return the patient's reports of a study that stand, latest first."""
    series = query.find(
        "SERIES",
        StudyInstanceUID=study,
        SeriesInstanceUID="",
        Modality="",
        Manufacturer="",
    )
    reports = {}
    for data in _instances(query, study, series, "SR"):
        report = _read(data)
        if report is not None and _is_of(report, patient):
            reports[report.sop_instance_uid] = report
    gone = {uid for report in reports.values() for uid in report.superseded}
    if reports:
        for data in _instances(query, study, series, "KO"):
            gone |= _rejected(data)
    standing = [report for uid, report in reports.items() if uid not in gone]
    return sorted(standing, key=lambda one: one.sop_instance_uid, reverse=True)


def _instances(query: Query, study: str, series: list[Dataset], modality: str) -> Iterator[bytes]:
    """Retrieve the instances of a modality; an SR only where the archive does not say it is else's.

    Raises:
        DeliveryError: If there are too many, or one is found but not given: without the latest
            report or the rejection note nobody knows which report stands.
    """
    retrieved = 0
    for one in series:
        uid, maker = _value(one, "SeriesInstanceUID"), _value(one, "Manufacturer")
        foreign = bool(maker) and maker.casefold() != MANUFACTURER.casefold()
        if _value(one, "Modality") != modality or (modality == "SR" and foreign):
            continue
        matches = query.find(
            "IMAGE",
            StudyInstanceUID=study,
            SeriesInstanceUID=uid,
            SOPInstanceUID="",
            SOPClassUID="",
        )
        for match in matches:
            sop_class = _value(match, "SOPClassUID")
            if sop_class not in {"", *_CLASSES[modality]}:
                continue
            retrieved += 1
            if retrieved > _MOST_INSTANCES:
                raise DeliveryError(f"over {_MOST_INSTANCES} {modality} instances in study {study}")
            data = query.get(study, uid, _value(match, "SOPInstanceUID"))
            if data is None and (modality == "KO" or sop_class):
                raise DeliveryError(f"an {modality} instance of study {study} cannot be retrieved")
            if data is not None:
                yield data


def _read(data: bytes) -> EarlierReport | None:
    try:
        return read_earlier(decode(data))
    except EarlierReportError:
        return None  # somebody else's, or not as we write them: it is no report of ours


def _rejected(data: bytes) -> frozenset[str]:
    try:
        return rejected_by(decode(data))
    except EarlierReportError as error:
        raise DeliveryError(str(error)) from error


def _is_of(report: EarlierReport, patient: Patient) -> bool:
    return (
        (report.patient_id, report.issuer) == (patient.patient_id, patient.issuer)
        and report.study_instance_uid != patient.study_instance_uid
        and not (patient.study_date and f"{report.date:%Y%m%d}" > patient.study_date)
    )


def _value(match: Dataset, keyword: str) -> str:
    return str(match.get(keyword) or "").strip()
