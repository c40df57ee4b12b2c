"""The STOW-RS routes (PS3.18 section 10.5): content negotiation and representations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Final, Protocol
from xml.etree import ElementTree as ET

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from node.web.auth.identity import Role, Scope
from node.web.auth.needs import known, needs

_NATIVE_MODEL: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_RETRY_AFTER_S: Final = "30"
_SOURCE: Final = 80  # characters that the instance table keeps


class StoreResult(Protocol):
    """What the injected store service answers; see `receive.stow.StowResult`."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def response(self) -> Dataset | None:
        """The Store Instances Response Module."""

    @property
    def reason(self) -> str:
        """One line for a person."""


Store = Callable[[AsyncIterator[bytes], str, str, str], Awaitable[StoreResult]]


def stow_router(store: Store) -> APIRouter:
    """Make the routes of the Store transaction.

    Args:
        store: Takes body, Content-Type, source and study ("" for any).
    """
    need = needs(Role.OPERATOR, Scope.STOW)
    router = APIRouter(prefix="/dicom-web", dependencies=[Depends(need)])

    @router.post("/studies")
    async def store_instances(request: Request) -> Response:
        return await _answer(store, request, "")

    @router.post("/studies/{study}")
    async def store_instances_of_study(request: Request, study: str) -> Response:
        return await _answer(store, request, study)

    return router


async def _answer(store: Store, request: Request, study: str) -> Response:
    content_type = request.headers.get("content-type", "")
    result = await store(request.stream(), content_type, _source(request), study)
    # What was sent before the answer stays unread; a kept connection would take it for a request.
    headers = {} if result.response is not None else {"Connection": "close"}
    if result.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER_S
    if result.response is None:
        return JSONResponse({"error": result.reason}, result.status, headers)
    if "xml" in request.headers.get("accept", ""):
        xml = native_xml(result.response)
        return Response(xml, result.status, headers, "application/dicom+xml")
    json = result.response.to_json()
    return Response(json, result.status, headers, "application/dicom+json")


def _source(request: Request) -> str:
    """Return who stores: `stow@address`, with the name of whoever logged in or sent a token."""
    person = known(request)
    who = "stow" if person is None or person.via == "loopback" else f"stow/{person.name}"
    client = request.client.host if request.client else "unknown"
    return f"{who[: _SOURCE - len(client) - 1]}@{client}"


def native_xml(dataset: Dataset) -> bytes:
    """Return a data set in the Native DICOM Model (PS3.19 section A.1).

    Covers what a Store Instances Response holds: sequences, UIDs, URLs and numbers.
    """
    root = ET.Element("NativeDicomModel", {"xmlns": _NATIVE_MODEL})
    _append(root, dataset)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _append(parent: ET.Element, dataset: Dataset) -> None:
    for element in dataset:
        attributes = {
            "keyword": element.keyword,
            "tag": f"{int(element.tag):08X}",
            "vr": str(element.VR),
        }
        node = ET.SubElement(parent, "DicomAttribute", attributes)
        if element.VR == "SQ":
            for number, item in enumerate(element.value, 1):
                _append(ET.SubElement(node, "Item", {"number": str(number)}), item)
        else:
            for number, value in enumerate(_values(element), 1):
                ET.SubElement(node, "Value", {"number": str(number)}).text = value


def _values(element: DataElement) -> list[str]:
    if element.is_empty:
        return []
    values = element.value if element.VM > 1 else [element.value]
    return [str(value) for value in values]
