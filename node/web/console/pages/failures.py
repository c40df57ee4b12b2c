"""Failures: dead letters and cases that wait, with what a person may do about them."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from node.case import FrameReference
from node.errors import InputError
from node.web.auth.forms import form_of
from node.web.auth.identity import Person, Role
from node.web.auth.needs import needs
from node.web.console.failures import SHELVES, refused_instances, shelf
from node.web.console.pages.studies import study_path
from node.web.console.rendering import HOME, Pages, done

Viewer = Annotated[Person, Depends(needs(Role.VIEWER))]
Operator = Annotated[Person, Depends(needs(Role.OPERATOR))]
Form = Annotated[dict[str, str], Depends(form_of)]


def routes(pages: Pages) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix=HOME, route_class=pages.route())
    bureau = pages.bureau

    @router.get("/failures")
    def page(request: Request, person: Viewer, show: str = "dead", after: str = "") -> Response:
        found = shelf(bureau.database, show, after)
        refused = refused_instances(bureau.database) if show == "refused" else ()
        return pages.show(
            request, "failures", person, shelf=found, refused=refused, paged=bool(after)
        )

    @router.post("/jobs/{job}/retry")
    def retry(person: Operator, job: int, form: Form) -> Response:
        bureau.desk(person).retry(job)
        return done(_back(form), "retried")

    @router.post("/jobs/{job}/cancel")
    def cancel(person: Operator, job: int, form: Form) -> Response:
        bureau.desk(person).cancel(job)
        return done(_back(form), "cancelled")

    @router.post("/cases/assign")
    def assign(person: Operator, form: Form) -> Response:
        image, frame = form.get("image", ""), form.get("frame", "1").strip()
        if not image:
            raise InputError("choose the image that the segment was drawn on")
        if not frame.isdecimal() or int(frame) < 1:
            raise InputError(f"{frame!r} is no frame number; the first is 1")
        reference = FrameReference(image, int(frame))
        bureau.desk(person).assign(form.get("seg", ""), reference)
        return done(_back(form), "assigned")

    return router


def _back(form: dict[str, str]) -> str:
    """Return where the form stood: a study's page, or a shelf."""
    if form.get("study"):
        return study_path(form["study"])
    show = form.get("show", "dead")
    return f"{HOME}/failures?{urlencode({'show': show if show in SHELVES else 'dead'})}"
