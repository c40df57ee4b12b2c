"""UPS-RS, the Worklist Service of an origin server (PS3.18 section 11)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Final, Protocol
from uuid import uuid4

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, tag_for_keyword

from node.web.auth.identity import Person, Role, Scope
from node.web.auth.needs import needs

_JSON: Final = "application/dicom+json"
_MOST_BYTES: Final = 4 << 20
_GLOBAL: Final = "1.2.840.10008.5.1.4.34.5"
_CONFLICTS: Final = frozenset({0xC300, 0xC302, 0xC303, 0xC304, 0xC310, 0xC311, 0x0111})
_GONE: Final = frozenset({0xB304, 0xB306})


class Answer(Protocol):
    """What the injected worklist answers; see `worklist.worklist.Answer`."""

    @property
    def status(self) -> int:
        """A DIMSE status of PS3.4 annex CC."""

    @property
    def comment(self) -> str:
        """Why, for a person."""

    @property
    def dataset(self) -> Dataset | None:
        """What was asked for."""


class Worklist(Protocol):
    """The node's worklist; see `worklist.worklist.Worklist`."""

    def create(self, uid: str, dataset: Dataset, by: str) -> Answer:
        """Create a workitem."""

    def get(self, uid: str) -> Answer:
        """Return a workitem."""

    def update(self, uid: str, changes: Dataset, transaction_uid: str, by: str) -> Answer:
        """Set attributes."""

    def change_state(self, uid: str, wanted: str, transaction_uid: str, by: str) -> Answer:
        """Claim, complete or cancel."""

    def request_cancel(self, uid: str, wish: Dataset, by: str) -> Answer:
        """Ask for a cancellation."""

    def find(self, keys: Dataset) -> Iterator[Dataset]:
        """Yield what matches."""

    def subscribe(self, ae_title: str, uid: str, *, deletion_lock: bool) -> Answer:
        """Let an AE hear of a workitem."""

    def unsubscribe(self, ae_title: str, uid: str) -> Answer:
        """End that."""


Asker = Annotated[Person, Depends(needs(Role.OPERATOR, Scope.STOW))]


def workitem_router(worklist: Worklist) -> APIRouter:  # noqa: C901 - a route is a function
    """Make the routes of the Worklist Service."""
    router = APIRouter(prefix="/dicom-web")

    @router.post("/workitems")
    async def create(request: Request, person: Asker, workitem: str = "") -> Response:
        dataset = await _dataset(request)
        if dataset is None:
            return _malformed()
        uid = workitem or _bare_query(request) or f"2.25.{uuid4().int}"
        answer = await run_in_threadpool(worklist.create, uid, dataset, person.name)
        headers = {"Location": f"/dicom-web/workitems/{uid}"}
        return _answer(answer, HTTPStatus.CREATED, headers)

    @router.get("/workitems")
    def search(request: Request, person: Asker) -> Response:
        del person
        keys = _keys(request)
        if keys is None:
            return _malformed()
        offset, limit = (int(request.query_params.get(k, d)) for k, d in _PAGE)
        found = list(worklist.find(keys))[offset : offset + limit]
        if not found:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        body = json.dumps([one.to_json_dict() for one in found])
        return Response(body, HTTPStatus.OK, media_type=_JSON)

    @router.get("/workitems/{uid}")
    def retrieve(uid: str, person: Asker) -> Response:
        del person
        answer = worklist.get(uid)
        if answer.dataset is None:
            return _answer(answer, HTTPStatus.OK)
        body = json.dumps([answer.dataset.to_json_dict()])
        return Response(body, HTTPStatus.OK, media_type=_JSON)

    @router.post("/workitems/{uid}")
    async def update(request: Request, uid: str, person: Asker) -> Response:
        changes = await _dataset(request)
        if changes is None:
            return _malformed()
        transaction = request.query_params.get("transaction-uid", "") or _bare_query(request)
        transaction = transaction or str(changes.get("TransactionUID") or "")
        done = await run_in_threadpool(worklist.update, uid, changes, transaction, person.name)
        return _answer(done, HTTPStatus.OK)

    @router.put("/workitems/{uid}/state")
    @router.put("/workitems/{uid}/state/{requester}")
    async def change_state(
        request: Request, uid: str, person: Asker, requester: str = ""
    ) -> Response:
        wish = await _dataset(request)
        if wish is None:
            return _malformed()
        wanted = str(wish.get("ProcedureStepState") or "")
        transaction = str(wish.get("TransactionUID") or "")
        by = requester or person.name
        done = await run_in_threadpool(worklist.change_state, uid, wanted, transaction, by)
        return _answer(done, HTTPStatus.OK)

    @router.post("/workitems/{uid}/cancelrequest")
    @router.post("/workitems/{uid}/cancelrequest/{requester}")
    async def cancel(request: Request, uid: str, person: Asker, requester: str = "") -> Response:
        wish = await _dataset(request, empty=True)
        if wish is None:
            return _malformed()
        by = requester or person.name
        done = await run_in_threadpool(worklist.request_cancel, uid, wish, by)
        return _answer(done, HTTPStatus.ACCEPTED)

    @router.post("/workitems/{uid}/subscribers/{ae_title}")
    def subscribe(request: Request, uid: str, ae_title: str, person: Asker) -> Response:
        del person
        locked = request.query_params.get("deletionlock", "false").lower() == "true"
        uid = "" if uid == _GLOBAL else uid
        answer = worklist.subscribe(ae_title, uid, deletion_lock=locked)
        return _answer(answer, HTTPStatus.CREATED)

    @router.delete("/workitems/{uid}/subscribers/{ae_title}")
    def unsubscribe(uid: str, ae_title: str, person: Asker) -> Response:
        del person
        uid = "" if uid == _GLOBAL else uid
        return _answer(worklist.unsubscribe(ae_title, uid), HTTPStatus.OK)

    return router


_PAGE: Final = (("offset", "0"), ("limit", "100"))


def _answer(answer: Answer, done: HTTPStatus, headers: dict[str, str] | None = None) -> Response:
    """Translate a DIMSE status (PS3.18 tables 11.4.3-1 to 11.11.3-1)."""
    status = answer.status
    told = {"Warning": f'299 crdl "{answer.comment}"'} if answer.comment else {}
    if status in {0x0000, 0xB300}:
        return Response(status_code=done, headers={**(headers or {}), **told})
    if status in _GONE:
        return Response(status_code=HTTPStatus.GONE, headers=told)
    if status in {0xC307, 0xC308}:
        return Response(status_code=HTTPStatus.NOT_FOUND, headers=told)
    code = HTTPStatus.CONFLICT if status in _CONFLICTS else HTTPStatus.BAD_REQUEST
    return Response(status_code=code, headers=told)


def _malformed() -> Response:
    told = {"Warning": '299 crdl "send one data set as application/dicom+json"'}
    return Response(status_code=HTTPStatus.BAD_REQUEST, headers=told)


async def _dataset(request: Request, *, empty: bool = False) -> Dataset | None:
    """Read the one data set of a body; None where it is none."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            return None
    if not body:
        return Dataset() if empty else None
    try:
        given = json.loads(bytes(body))
        one = given[0] if isinstance(given, list) and len(given) == 1 else given
        return Dataset.from_json(one) if isinstance(one, dict) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _bare_query(request: Request) -> str:
    """Return a query that is a UID alone: `?1.2.3` (PS3.18 sections 11.4.1 and 11.6.1)."""
    query = request.url.query
    return query if query and set(query) <= set("0123456789.") else ""


def _keys(request: Request) -> Dataset | None:
    """Return the query parameters as keys; None where one is no attribute."""
    keys = Dataset()
    for name, value in request.query_params.multi_items():
        if name in {"limit", "offset", "fuzzymatching"}:
            if name != "fuzzymatching" and not value.isdigit():
                return None
            continue
        words = value.split(",") if name == "includefield" else [name]
        for word in words:
            if not _add(keys, word, "" if name == "includefield" else value):
                return None
    return keys


def _add(keys: Dataset, path: str, value: str) -> bool:
    """Add an attribute, by keyword or tag, with dots into sequences; tell whether it is one."""
    head, _, rest = path.partition(".")
    tag = int(head, 16) if len(head) == 8 and not head.isalpha() else tag_for_keyword(head)
    if tag is None:
        return head == "all"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return False
    if vr == "SQ":
        item = keys[tag].value[0] if tag in keys and keys[tag].value else Dataset()
        keys.add_new(tag, "SQ", [item])
        return _add(item, rest, value) if rest else True
    if rest:
        return False
    keys.add_new(tag, vr, value.replace(",", "\\") if vr == "UI" else value)
    return True
