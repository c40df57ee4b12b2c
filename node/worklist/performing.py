"""What a performer reads from a workitem, and what it writes into it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from pydicom import Dataset

from node.jobs.performing import Output


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a workitem is about: the instances by study, () for all of a study."""

    instances: tuple[tuple[str, tuple[str, ...]], ...]

    def to_json(self) -> dict[str, list[str]]:
        """Return plain values: SOP Instance UIDs by Study Instance UID."""
        return {study: list(uids) for study, uids in self.instances}


def inputs_of(workitem: Dataset) -> Inputs:
    """Return the inputs of a workitem (PS3.4 section C.30.2, Input Information Sequence)."""
    found: dict[str, list[str]] = {}
    for item in workitem.get("InputInformationSequence") or []:
        study = str(item.get("StudyInstanceUID") or "")
        if study:
            named = (str(one.get("ReferencedSOPInstanceUID") or "") for one in _references(item))
            found.setdefault(study, []).extend(uid for uid in named if uid)
    return Inputs(tuple((study, tuple(dict.fromkeys(uids))) for study, uids in found.items()))


def performed(outputs: Sequence[Output], began: datetime, ended: datetime, station: str) -> Dataset:
    """Return what completes a workitem: what was made, when, and where (PS3.3 section C.30.3)."""
    step = Dataset()
    step.PerformedProcedureStepStartDateTime = f"{began:%Y%m%d%H%M%S}"
    step.PerformedProcedureStepEndDateTime = f"{ended:%Y%m%d%H%M%S}"
    step.PerformedProcedureStepDescription = "CRDL score, research use only"
    step.PerformedStationNameCodeSequence = [_code(station[:16], "99CRDL", station)]
    step.PerformedWorkitemCodeSequence = [_code("110004", "DCM", "Computer Aided Diagnosis")]
    step.OutputInformationSequence = []
    ordered = sorted(outputs, key=lambda one: (one.study, one.series))
    for (study, series), made in groupby(ordered, key=lambda one: (one.study, one.series)):
        item = Dataset()
        item.TypeOfInstances = "DICOM"
        item.StudyInstanceUID, item.SeriesInstanceUID = study, series
        item.ReferencedSOPSequence = []
        for one in made:
            reference = Dataset()
            reference.ReferencedSOPClassUID = one.sop_class
            reference.ReferencedSOPInstanceUID = one.sop_instance
            item.ReferencedSOPSequence.append(reference)
        step.OutputInformationSequence.append(item)
    changes = progress(100, "reported")
    changes.UnifiedProcedureStepPerformedProcedureSequence = [step]
    return changes


def progress(percent: int, text: str) -> Dataset:
    """Return how far a workitem is (Procedure Step Progress Information Sequence)."""
    item, changes = Dataset(), Dataset()
    item.ProcedureStepProgress = str(percent)
    item.ProcedureStepProgressDescription = text[:1024]
    changes.ProcedureStepProgressInformationSequence = [item]
    return changes


def discontinued(reason: str, when: datetime) -> Dataset:
    """Return what a cancelled workitem has to say."""
    changes = progress(0, reason)
    (item,) = changes.ProcedureStepProgressInformationSequence
    item.ProcedureStepCancellationDateTime = f"{when:%Y%m%d%H%M%S}"
    item.ReasonForCancellation = reason[:10240]
    item.ProcedureStepDiscontinuationReasonCodeSequence = [
        _code("110513", "DCM", "Discontinued for unspecified reason")
    ]
    return changes


def _references(item: Dataset) -> list[Dataset]:
    return list(item.get("ReferencedSOPSequence") or [])


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
