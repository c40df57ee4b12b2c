"""What a search answers at each level (PS3.18 tables 10.6.3-3 to 10.6.3-5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastapi import Request
from pydicom import Dataset

from node.web.archive.held import Held, uids_of
from node.web.archive.matching import Query

PREFIX = "/dicom-web"

_STUDY = (
    *("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientName"),
    *("PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID"),
    *("StudyDescription", "TimezoneOffsetFromUTC"),
)
_SERIES = (
    *("Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber"),
    *("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
)
_INSTANCE = (
    *("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "Rows", "Columns", "BitsAllocated"),
    *("NumberOfFrames", "BodyPartExamined"),
)


def study_answer(held: Sequence[Held], query: Query, base: str) -> Dataset:
    """Describe a study by all its instances; `base` is the service's URL."""
    first = held[0].header()
    answer = _copied(first, _STUDY, query)
    answer.InstanceAvailability = "ONLINE"
    answer.ModalitiesInStudy = sorted({one.header().get("Modality", "OT") for one in held})
    answer.NumberOfStudyRelatedSeries = len(uids_of(held, "series"))
    answer.NumberOfStudyRelatedInstances = len(held)
    answer.RetrieveURL = f"{base}/studies/{held[0].study}"
    return answer


def series_answers(held: Sequence[Held], query: Query, base: str) -> Iterator[Dataset]:
    """Describe each series of a study."""
    study = study_answer(held, query, base)
    for uid in uids_of(held, "series"):
        own = [one for one in held if one.series == uid]
        answer = _copied(own[0].header(), _SERIES, query)
        answer.NumberOfSeriesRelatedInstances = len(own)
        answer.update({tag: element for tag, element in study.items() if tag not in answer})
        answer.RetrieveURL = f"{base}/studies/{own[0].study}/series/{uid}"
        yield answer


def instance_answers(held: Sequence[Held], query: Query, base: str) -> Iterator[Dataset]:
    """Describe each instance of a study, with what its series and study say."""
    series = {answer.SeriesInstanceUID: answer for answer in series_answers(held, query, base)}
    for one in held:
        answer = _copied(one.header(), _INSTANCE, query)
        above = series[one.series]
        answer.update({tag: element for tag, element in above.items() if tag not in answer})
        answer.RetrieveURL = url_of(one, base)
        yield answer


def base_of(request: Request) -> str:
    """Return where this service's resources begin, as the client addressed it."""
    return str(request.base_url).rstrip("/") + PREFIX


def url_of(held: Held, base: str) -> str:
    """Return where an instance is retrieved."""
    return f"{base}/studies/{held.study}/series/{held.series}/instances/{held.instance}"


def _copied(header: Dataset, keywords: Sequence[str], query: Query) -> Dataset:
    answer = Dataset()
    if query.everything:
        answer.update(header)
        return answer
    for keyword in (*keywords, *query.include, *query.conditions):
        if keyword in header:
            answer[keyword] = header[keyword]
    return answer
