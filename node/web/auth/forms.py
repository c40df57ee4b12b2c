"""Forms as browsers send them without files (application/x-www-form-urlencoded)."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.types import Message, Receive

from node.errors import InputError

MAXIMUM_BYTES: Final = 1 << 20
_FORM: Final = "application/x-www-form-urlencoded"
CSRF_FIELD: Final = "csrf_token"
CSRF_HEADER: Final = "x-csrf-token"


def is_form(request: Request) -> bool:
    """Say whether a request carries a form."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM


def fields(body: bytes) -> dict[str, str]:
    """Return a form's fields; of a field that comes twice the last.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1000))
    except ValueError as error:
        raise InputError("the form cannot be read") from error


async def form_of(request: Request) -> dict[str, str]:
    """Read a request's form.

    Raises:
        InputError: It carries none, or one that is too large or cannot be read.
    """
    if not is_form(request):
        raise InputError(f"send the form as {_FORM}")
    return fields(await body_of(request))


async def body_of(request: Request) -> bytes:
    """Read a body of at most 1 MiB.

    Raises:
        InputError: It is larger.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_BYTES:
            raise InputError(f"a form has at most {MAXIMUM_BYTES >> 20} MiB")
    return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body again that was read already, and then what comes after it."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
