"""The configuration, and what the doctor says about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from node.web.auth.forms import form_of
from node.web.auth.identity import Person, Role
from node.web.auth.needs import needs
from node.web.console.configuration import sections
from node.web.console.rendering import HOME, Pages

Operator = Annotated[Person, Depends(needs(Role.OPERATOR))]
Form = Annotated[dict[str, str], Depends(form_of)]


def routes(pages: Pages) -> APIRouter:
    """Make the routes; who only views reports has no need of addresses and ports."""
    router = APIRouter(prefix=HOME, route_class=pages.route())
    bureau = pages.bureau

    @router.get("/settings")
    def page(request: Request, person: Operator) -> Response:
        return pages.show(
            request, "settings", person, sections=sections(bureau.settings), checks=None
        )

    @router.post("/settings/doctor")
    def doctor(request: Request, person: Operator, form: Form) -> Response:
        del form
        checks = tuple(bureau.ports.examine())
        with bureau.database.begin() as connection:
            bureau.trail(person).record(
                connection,
                "system",
                "examined",
                "doctor",
                {"failed": [check.name for check in checks if check.verdict == "failed"]},
            )
        part = "hx-request" in request.headers
        return pages.show(
            request,
            "_doctor" if part else "settings",
            person,
            sections=sections(bureau.settings),
            checks=checks,
        )

    return router
