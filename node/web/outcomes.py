"""POST /outcomes: pathology results as JSON or CSV, all of a request or nothing of it.

From an operator or a token with the scope `outcomes`. A page of another site cannot send these
content types without asking first, and it is never answered yes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from node.errors import InputError
from node.jobs.outcome_table import outcomes_from_csv, outcomes_from_json
from node.jobs.outcomes import Kept, OutcomeSaid
from node.web.auth.identity import Person, Role, Scope
from node.web.auth.needs import needs

TakeOutcomes = Callable[[Sequence[OutcomeSaid], str], Sequence[Kept]]
Teller = Annotated[Person, Depends(needs(Role.OPERATOR, Scope.OUTCOMES))]
_MAXIMUM_BYTES = 16 << 20


def outcome_router(take: TakeOutcomes) -> APIRouter:
    """Make the route.

    Args:
        take: Writes outcomes with their ledger rows, in one transaction; its second argument is
            who says so.
    """
    router = APIRouter()

    @router.post("/outcomes")
    async def post_outcomes(request: Request, person: Teller) -> JSONResponse:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in {"application/json", "text/csv"}:
            return _refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json or text/csv")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAXIMUM_BYTES:
                reason = f"send at most {_MAXIMUM_BYTES >> 20} MiB at once"
                return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
        try:
            said = _understood(bytes(body), content_type)
        except InputError as error:
            return _refused(HTTPStatus.BAD_REQUEST, str(error))
        kept = await run_in_threadpool(take, said, person.actor)
        return JSONResponse(
            {"outcomes": [{"standing": one.standing, "case": one.case_name} for one in kept]}
        )

    return router


def _understood(body: bytes, content_type: str) -> tuple[OutcomeSaid, ...]:
    try:
        text = body.decode("utf-8-sig")
        if content_type == "text/csv":
            return outcomes_from_csv(text)
        return outcomes_from_json(json.loads(text))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"the body cannot be read ({type(error).__name__})") from error


def _refused(status: HTTPStatus, reason: str) -> JSONResponse:
    # What was sent before the answer stays unread; a kept connection would take it for a request.
    return JSONResponse({"error": reason}, status, {"Connection": "close"})
