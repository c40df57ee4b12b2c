"""Bundles: their cards, the study report, who serves and who shadows."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from node.errors import InputError
from node.web.auth.forms import form_of
from node.web.auth.identity import Person, Role
from node.web.auth.needs import needs
from node.web.console.bundles import STUDY_REPORT, activations, bundle_pages, standing
from node.web.console.ports import ROLES, BundleRole
from node.web.console.rendering import HOME, Pages, done

Viewer = Annotated[Person, Depends(needs(Role.VIEWER))]
Admin = Annotated[Person, Depends(needs(Role.ADMIN))]
Form = Annotated[dict[str, str], Depends(form_of)]
# The report is a document of its own: it may look as it likes, and do nothing at all.
_SANDBOXED = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "font-src data:; frame-ancestors 'self'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
}


def routes(pages: Pages) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix=HOME, route_class=pages.route())
    bureau = pages.bureau

    @router.get("/bundles")
    def page(request: Request, person: Viewer) -> Response:
        return pages.show(
            request,
            "bundles",
            person,
            bundles=bundle_pages(bureau.database, bureau.settings, bureau.ports),
            shadow=standing(bureau.ports, "shadow"),
            activations=activations(bureau.database),
            has_report=STUDY_REPORT.is_file(),
        )

    @router.get("/bundles/study")
    def study(request: Request, person: Viewer) -> Response:
        return pages.show(request, "study_report", person)

    @router.get("/bundles/study/report", dependencies=[Depends(needs(Role.VIEWER))])
    def report() -> Response:
        if not STUDY_REPORT.is_file():
            raise InputError("the shipped study report is not installed")
        return FileResponse(STUDY_REPORT, media_type="text/html", headers=_SANDBOXED)

    @router.post("/bundles/activate")
    def activate(person: Admin, form: Form) -> Response:
        bundle = form.get("bundle", "").strip()
        if not bundle:
            raise InputError("name a shipped bundle, or a folder that every worker can read")
        bureau.ports.activate(bureau.trail(person), _role(form), bundle)
        return done(f"{HOME}/bundles", "activated")

    @router.post("/bundles/deactivate")
    def deactivate(person: Admin, form: Form) -> Response:
        bureau.ports.deactivate(bureau.trail(person), _role(form))
        return done(f"{HOME}/bundles", "deactivated")

    return router


def _role(form: dict[str, str]) -> BundleRole:
    if form.get("role") not in ROLES:
        raise InputError(f"a bundle is {' or '.join(ROLES)}")
    return cast("BundleRole", form["role"])
