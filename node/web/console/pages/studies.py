"""The list of studies and a study's page, with what may be done to its reports."""

from __future__ import annotations

from datetime import date
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request, Response

from node.errors import InputError
from node.web.auth.forms import form_of
from node.web.auth.identity import Person, Role
from node.web.auth.needs import needs
from node.web.console.rendering import HOME, Pages, done
from node.web.console.studies import STATES, Search, find_studies
from node.web.console.study import study_page
from node.web.console.timeline import timeline

Viewer = Annotated[Person, Depends(needs(Role.VIEWER))]
Admin = Annotated[Person, Depends(needs(Role.ADMIN))]
Form = Annotated[dict[str, str], Depends(form_of)]
_FIELDS = ("patient", "accession", "since", "until", "state")


def study_path(uid: str) -> str:
    """Return the address of a study's page."""
    return f"{HOME}/studies/{quote(uid, safe='.')}"


def routes(pages: Pages) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix=HOME, route_class=pages.route())
    bureau = pages.bureau

    @router.get("/studies")
    def list_(request: Request, person: Viewer) -> Response:
        asked = {name: request.query_params.get(name, "").strip() for name in _FIELDS}
        shown: dict[str, Any] = {"asked": asked, "states": STATES, "problem": "", "page": None}
        try:
            wanted = _search(asked, request.query_params.get("after", ""))
            shown["page"] = find_studies(bureau.database, wanted)
            shown["order"] = wanted.order
            shown["paged"] = bool(wanted.after)
            shown["kept"] = urlencode({name: value for name, value in asked.items() if value})
        except InputError as error:
            shown["problem"] = str(error)
        part = "hx-request" in request.headers and "hx-boosted" not in request.headers
        return pages.show(request, "_studies" if part else "studies", person, **shown)

    @router.get("/studies/{uid}")
    def study(request: Request, person: Viewer, uid: str) -> Response:
        page = study_page(bureau.database, bureau.blobs, uid)
        if page is None:
            return pages.show(
                request,
                "problem",
                person,
                HTTPStatus.NOT_FOUND,
                text="The node never had this study. Search for it by patient or date.",
            )
        bureau.viewed(person, uid, page.study.patient_id)
        return pages.show(
            request,
            "study",
            person,
            page=page,
            timeline=timeline(bureau.database, uid),
            reading_accepted=bureau.settings.reading.accept,
        )

    @router.post("/reports/{report}/withdraw")
    def withdraw(person: Admin, report: int, form: Form) -> Response:
        bureau.withdrawer(person).withdraw(str(report), form.get("reason", ""))
        return done(study_path(form.get("study", "")), "withdrawn")

    return router


def _search(asked: dict[str, str], after: str) -> Search:
    return Search(
        patient=asked["patient"],
        accession=asked["accession"],
        since=_date(asked["since"]),
        until=_date(asked["until"]),
        state=asked["state"],
        after=after,
    )


def _date(value: str) -> date | None:
    if not value:
        return None
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise InputError(f"{value!r} is no date such as 2026-01-31") from error
