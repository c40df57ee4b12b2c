"""The audit: search, the ready questions, and the questions that people keep."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response

from node.audit.tables import LEDGERS
from node.errors import InputError
from node.web.auth.forms import form_of
from node.web.auth.identity import Person, Role
from node.web.auth.needs import needs
from node.web.console import audit_search
from node.web.console.questions import answer, ready_question, ready_questions
from node.web.console.rendering import HOME, Pages, done

Viewer = Annotated[Person, Depends(needs(Role.VIEWER))]
Operator = Annotated[Person, Depends(needs(Role.OPERATOR))]
Admin = Annotated[Person, Depends(needs(Role.ADMIN))]
Form = Annotated[dict[str, str], Depends(form_of)]
_AUDIT: Final = f"{HOME}/audit"


def routes(pages: Pages) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix=HOME, route_class=pages.route())
    bureau = pages.bureau
    database = bureau.database

    @router.get("/audit")
    def page(request: Request, person: Viewer) -> Response:
        asked = {name: request.query_params.get(name, "").strip() for name in audit_search.FIELDS}
        shown: dict[str, Any] = {"found": None, "problem": ""}
        before = request.query_params.get("before", "")
        try:
            shown["found"] = audit_search.search(database, asked, before)
        except InputError as error:
            shown["problem"] = str(error)
        return pages.show(
            request,
            "audit",
            person,
            asked=asked,
            paged=bool(before),
            kept=urlencode({name: value for name, value in asked.items() if value}),
            ledgers=tuple(LEDGERS),
            saved=audit_search.saved_queries(database),
            questions=ready_questions(),
            chain=audit_search.chain_state(database),
            proving=pages.prover.busy,
            **shown,
        )

    @router.get("/audit/questions/{number}")
    def question(request: Request, person: Viewer, number: int) -> Response:
        asked = ready_question(number)
        values = {name: request.query_params.get(name, "") for name in asked.examples}
        found, problem = None, ""
        if not asked.examples or any(values.values()):
            try:
                found = answer(database, asked, values)
            except InputError as error:
                problem = str(error)
        return pages.show(
            request,
            "question",
            person,
            question=asked,
            values=values,
            answer=found,
            problem=problem,
            questions=ready_questions(),
        )

    @router.post("/audit/saved")
    def save(person: Operator, form: Form) -> Response:
        audit_search.save_query(database, bureau.trail(person), form.get("name", ""), form)
        kept = {name: form[name] for name in audit_search.FIELDS if form.get(name)}
        return done(f"{_AUDIT}?{urlencode(kept)}", "saved")

    @router.post("/audit/saved/{number}/remove")
    def forget(person: Operator, number: int, form: Form) -> Response:
        del form
        audit_search.forget_query(database, bureau.trail(person), person, number)
        return done(_AUDIT, "forgotten")

    return router
