"""The search routes (PS3.18 section 10.6)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from fastapi import APIRouter, Depends, Request, Response
from pydicom import Dataset

from node.errors import InputError
from node.web.archive.answers import (
    PREFIX,
    base_of,
    instance_answers,
    series_answers,
    study_answer,
)
from node.web.archive.held import Filter, Held, Holdings
from node.web.archive.matching import Query, matches, parse_query
from node.web.auth.identity import Role
from node.web.auth.needs import needs

_STUDIES_AT_ONCE = 50
_JSON = "application/dicom+json"
Answers = Callable[[Sequence[Held], Query, str], Iterator[Dataset]]


def qido_router(holdings: Holdings) -> APIRouter:
    """Make the routes of the Search transaction."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(needs(Role.VIEWER))])

    def found(request: Request, answers: Answers, study: str = "", series: str = "") -> Response:
        try:
            query = parse_query(request.query_params.multi_items())
        except InputError as error:
            return Response(str(error), 400, media_type="text/plain")
        base = base_of(request)
        results = _search(holdings, query, answers, base, study, series)
        wanted = list(islice(results, query.offset, query.offset + query.limit))
        if not wanted:
            return Response(status_code=204)
        return Response(json.dumps([one.to_json_dict() for one in wanted]), media_type=_JSON)

    @router.get("/studies")
    def studies(request: Request) -> Response:
        return found(request, lambda held, query, base: iter([study_answer(held, query, base)]))

    @router.get("/series")
    def all_series(request: Request) -> Response:
        return found(request, series_answers)

    @router.get("/studies/{study}/series")
    def series_of(request: Request, study: str) -> Response:
        return found(request, series_answers, study)

    @router.get("/instances")
    def all_instances(request: Request) -> Response:
        return found(request, instance_answers)

    @router.get("/studies/{study}/instances")
    def instances_of_study(request: Request, study: str) -> Response:
        return found(request, instance_answers, study)

    @router.get("/studies/{study}/series/{series}/instances")
    def instances_of_series(request: Request, study: str, series: str) -> Response:
        return found(request, instance_answers, study, series)

    return router


def _search(
    holdings: Holdings, query: Query, answers: Answers, base: str, study: str, series: str
) -> Iterator[Dataset]:
    """Yield what fits, study by study, without reading more than the caller takes."""
    wanted = Filter(
        studies=(study,) if study else query.values("StudyInstanceUID"),
        series=(series,) if series else query.values("SeriesInstanceUID"),
        instances=query.values("SOPInstanceUID"),
        patient=next(iter(query.values("PatientID")), ""),
    )
    offset = 0
    while uids := holdings.studies(wanted, _STUDIES_AT_ONCE, offset):
        for uid in uids:
            # The whole study: its counts and modalities do not depend on the filter.
            held = holdings.find(Filter(studies=(uid,)))
            for answer in answers(held, query, base):
                inside = not series or answer.get("SeriesInstanceUID") == series
                if inside and matches(answer, query):
                    yield answer
        offset += _STUDIES_AT_ONCE
