"""The retrieve routes (PS3.18 section 10.4): instances, metadata, frames, bulk data, rendered."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydicom import Dataset
from pydicom.encaps import generate_frames

from models.errors import ModelsError
from node.errors import InputError
from node.web.archive.accept import Accept, frame_media_type
from node.web.archive.answers import PREFIX, base_of, url_of
from node.web.archive.held import Filter, Held, Holdings
from node.web.archive.rendered import picture
from node.web.auth.identity import Role
from node.web.auth.needs import needs

_CHUNK = 1 << 20
_PIXEL_DATA = "7FE00010"
_INLINE_BYTES = 1024
_THUMBNAIL = 160
_RAW = "application/octet-stream"


def wado_router(holdings: Holdings) -> APIRouter:
    """Make the routes of the Retrieve transaction."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(needs(Role.VIEWER))])
    retrieve = _Retrieve(holdings)
    study, series = "/studies/{study}", "/studies/{study}/series/{series}"
    instance = f"{series}/instances/{{instance}}"
    routes = {f"{instance}/frames/{{frames}}": retrieve.frames}
    routes[f"{instance}/bulkdata/{{tag}}"] = retrieve.bulk_data
    for level in (study, series, instance):
        routes[level] = retrieve.instances
        routes[f"{level}/metadata"] = retrieve.metadata
    for shown in (study, series, instance, f"{instance}/frames/{{frames}}"):
        routes[f"{shown}/rendered"] = retrieve.rendered
        routes[f"{shown}/thumbnail"] = retrieve.thumbnail
    for path, answer in routes.items():
        router.add_api_route(path, answer, methods=["GET"], response_class=Response)
    return router


@dataclass(frozen=True)
class _Retrieve:
    """The answers; each route's path says which instances it is about."""

    holdings: Holdings

    def instances(self, request: Request) -> Response:
        held = self._held(request)
        if not held:
            return _absent()
        accept = Accept.of(request.headers.get("accept", ""))
        refused = accept.refuses_instances(_syntaxes(held))
        if refused:
            return Response(refused, 406, media_type="text/plain")
        return _multipart("application/dicom", ((_dicom_type(h), _chunks(h.path)) for h in held))

    def metadata(self, request: Request) -> Response:
        held = self._held(request)
        if not held:
            return _absent()
        base = base_of(request)
        found = [_metadata(one, url_of(one, base)) for one in held]
        return Response(json.dumps(found), media_type="application/dicom+json")

    def frames(self, request: Request) -> Response:
        held = self._held(request)
        if not held:
            return _absent()
        media = frame_media_type(str(held[0].header().file_meta.TransferSyntaxUID))
        refused = Accept.of(request.headers.get("accept", "")).refuses_frames(media)
        if refused:
            return Response(refused, 406, media_type="text/plain")
        try:
            wanted = _frames(held[0].whole(), _numbers(request.path_params["frames"]))
        except InputError as error:
            return Response(str(error), 400, media_type="text/plain")
        return _multipart(media.split(";")[0], ((media, [frame]) for frame in wanted))

    def bulk_data(self, request: Request) -> Response:
        held, tag = self._held(request), request.path_params["tag"]
        if not held or not re.fullmatch(r"[0-9A-Fa-f]{8}", tag):
            return _absent()
        element = held[0].whole().get(int(tag, 16))
        if element is None or not isinstance(element.value, bytes):
            return _absent()
        return _multipart(_RAW, [(_RAW, [element.value])])

    def rendered(self, request: Request) -> Response:
        return _rendered(self._held(request), request, None)

    def thumbnail(self, request: Request) -> Response:
        return _rendered(self._held(request), request, _THUMBNAIL)

    def _held(self, request: Request) -> list[Held]:
        path = request.path_params
        study, series, instance = (
            (path[name],) if name in path else () for name in ("study", "series", "instance")
        )
        return self.holdings.find(Filter(study, series, instance))


def _absent() -> Response:
    return Response("the node holds no such instance", 404, media_type="text/plain")


def _syntaxes(held: Sequence[Held]) -> set[str]:
    return {str(one.header().file_meta.TransferSyntaxUID) for one in held}


def _dicom_type(held: Held) -> str:
    return f"application/dicom; transfer-syntax={held.header().file_meta.TransferSyntaxUID}"


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _multipart(media_type: str, parts: Iterable[tuple[str, Iterable[bytes]]]) -> Response:
    """Stream parts (PS3.18 section 8.6.1.2), never holding more than a chunk of one."""
    boundary = uuid4().hex

    def body() -> Iterator[bytes]:
        for content_type, chunks in parts:
            yield f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode()
            yield from chunks
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    return StreamingResponse(
        body(), media_type=f'multipart/related; type="{media_type}"; boundary={boundary}'
    )


def _metadata(held: Held, url: str) -> dict[str, object]:
    header = held.header()
    found: dict[str, object] = header.to_json_dict(
        bulk_data_threshold=_INLINE_BYTES,
        bulk_data_element_handler=lambda element: f"{url}/bulkdata/{element.tag:08X}",
    )
    if "Rows" in header:
        found[_PIXEL_DATA] = {"vr": "OW", "BulkDataURI": f"{url}/bulkdata/{_PIXEL_DATA}"}
    return found


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"{text}: frame numbers are whole numbers from 1, with commas between")
    return [int(part) for part in parts]


def _frames(image: Dataset, numbers: Sequence[int]) -> list[bytes]:
    count = int(image.get("NumberOfFrames", 1) or 1)
    if "PixelData" not in image:
        raise InputError("this instance has no frames")
    if max(numbers) > count:
        raise InputError(f"frame {max(numbers)} of an image with {count}")
    if image.file_meta.TransferSyntaxUID.is_encapsulated:
        every = list(generate_frames(image.PixelData, number_of_frames=count))
        return [every[number - 1] for number in numbers]
    bits = image.Rows * image.Columns * image.SamplesPerPixel * image.BitsAllocated
    if image.BitsAllocated == 1 and count > 1 and bits % 8:
        raise InputError("single frames of one bit a pixel do not begin at a byte: take them all")
    size = (bits + 7) // 8
    return [image.PixelData[(number - 1) * size : number * size] for number in numbers]


def _rendered(held: Sequence[Held], request: Request, longest: int | None) -> Response:
    image = next((one for one in held if "Rows" in one.header()), None)
    if image is None:
        return _absent()
    try:
        number = _numbers(request.path_params.get("frames", "1"))[0]
        page = picture(image.whole(), number, longest)
    except (InputError, ModelsError) as error:
        return Response(str(error), 400, media_type="text/plain")
    form = "JPEG" if "image/jpeg" in request.headers.get("accept", "") else "PNG"
    buffer = io.BytesIO()
    page.save(buffer, form)
    return Response(buffer.getvalue(), media_type=f"image/{form.lower()}")
