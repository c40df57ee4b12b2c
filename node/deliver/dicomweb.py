"""STOW-RS and the read-back by QIDO-RS (PS3.18 sections 10.5 and 10.6)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self
from uuid import uuid4

import httpx

from node.config import TlsSettings
from node.deliver.archive import Proof, Standing
from node.deliver.association import Timeouts
from node.deliver.package import Outgoing, transfer_syntax_of
from node.deliver.statuses import StoreAnswer, judge_store_status, status_name
from node.deliver.tls import client_context
from node.errors import ConfigurationError, DeliveryError

_CHUNK = 1 << 20  # bytes read from a file at a time
_REQUEST_BYTES = 64 << 20  # of the files of one request, unless one alone is longer
_JSON = "application/dicom+json"
# Worth another try: a person, a restart or time may change them; 409 is judged by instance.
_DOWN = frozenset({429, 502, 503, 504})  # RFC 9110 section 15.6, RFC 6585 section 4
_TEMPORARY = frozenset({401, 403, 404, 407, 408, 409, 425, 429})

_FAILED_SEQUENCE = "00081198"
_REFERENCED_SEQUENCE = "00081199"
_REFERENCED_UID = "00081155"
_FAILURE_REASON = "00081197"
_WARNING_REASON = "00081196"
_SOP_INSTANCE_UID = "00080018"


def open_client(name: str, url: str, tls: TlsSettings, timeouts: Timeouts) -> httpx.Client:
    """Return a client of one DICOMweb root; credentials for Basic authentication go into its URL.

    Raises:
        ConfigurationError: If the URL is none, or the TLS files cannot be loaded.
    """
    context = client_context(tls)
    try:
        return httpx.Client(
            base_url=url.rstrip("/"),
            verify=True if context is None else context,
            timeout=httpx.Timeout(timeouts.dimse_s, connect=timeouts.connect_s),
            # Patients' data do not follow a proxy that some environment happens to name.
            trust_env=False,
        )
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{name!r} has no valid url: {error}") from error


class DicomwebArchive:
    """An archive reached by DICOMweb; credentials for Basic authentication go into its URL.

    Raises:
        ConfigurationError: If the URL is none, or the TLS files cannot be loaded.
    """

    def __init__(self, name: str, url: str, tls: TlsSettings, timeouts: Timeouts) -> None:
        self._name = name
        self._client = open_client(name, url, tls, timeouts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def store(self, objects: Sequence[Outgoing]) -> Mapping[str, StoreAnswer]:
        """Send objects by STOW-RS, file bodies streamed and unchanged."""
        answers: dict[str, StoreAnswer] = {}
        sendable: list[tuple[Outgoing, int]] = []
        for item in objects:
            try:
                transfer_syntax_of(item)
                sendable.append((item, item.path.stat().st_size))
            except (DeliveryError, OSError) as error:
                answers[item.sop_instance_uid] = StoreAnswer(
                    stored=False, detail=str(error), permanent=True
                )
        for part in _requests(sendable):
            answers.update(self._post(part))
        return answers

    def prove(self, objects: Sequence[Outgoing]) -> Mapping[str, Proof]:
        """Look for objects by QIDO-RS.

        Raises:
            DeliveryError: If the archive cannot be reached or fails to answer.
        """
        return {item.sop_instance_uid: self._find(item) for item in objects}

    def ask(self) -> None:
        """Make the smallest query, to see that the archive answers.

        Raises:
            DeliveryError: If it does not.
        """
        response = self._get("/studies", {"limit": "1"})
        if response.status_code not in {200, 204}:
            raise DeliveryError(f"{self._name} answered a query with HTTP {response.status_code}")

    def _post(self, part: Sequence[tuple[Outgoing, int]]) -> dict[str, StoreAnswer]:
        boundary = uuid4().hex
        heads = _heads(boundary, len(part))
        tail = f"\r\n--{boundary}--\r\n".encode()
        length = sum(size for _, size in part) + sum(map(len, heads)) + len(tail)
        uids = [item.sop_instance_uid for item, _ in part]
        try:
            response = self._client.post(
                "/studies",
                content=_body(part, heads, tail),
                headers={
                    "Content-Type": (
                        f'multipart/related; type="application/dicom"; boundary={boundary}'
                    ),
                    # A known length: some archives cannot read a chunked request.
                    "Content-Length": str(length),
                    "Accept": _JSON,
                },
            )
        except httpx.HTTPError as error:
            reason = self._unreachable(error)
            return {uid: StoreAnswer(stored=False, detail=reason, down=True) for uid in uids}
        except OSError as error:
            reason = f"a file cannot be read: {error}"
            return {uid: StoreAnswer(stored=False, detail=reason) for uid in uids}
        return {uid: self._judge(uid, response) for uid in uids}

    def _judge(self, uid: str, response: httpx.Response) -> StoreAnswer:
        """Decide about one instance: what the response names counts before its HTTP status."""
        code = response.status_code
        if code in {200, 202, 409}:
            report = _report(response)
            failure = _item(report, _FAILED_SEQUENCE, uid)
            if failure is not None:
                reason = _number(failure, _FAILURE_REASON)
                return judge_store_status(reason or 0x0110)  # PS3.7 section C.5.21
            stored = _item(report, _REFERENCED_SEQUENCE, uid)
            if stored is not None or code == 200:  # some archives answer 200 without a body
                warning = _number(stored or {}, _WARNING_REASON)
                detail = "" if warning is None else f"stored with {status_name(warning)}"
                return StoreAnswer(stored=True, detail=detail)
        permanent = 400 <= code < 500 and code not in _TEMPORARY
        return StoreAnswer(
            stored=False,
            detail=f"{self._name} answered HTTP {code}",
            permanent=permanent,
            down=code in _DOWN,
        )

    def _find(self, item: Outgoing) -> Proof:
        response = self._get(
            f"/studies/{item.study_instance_uid}/series/{item.series_instance_uid}/instances",
            {"SOPInstanceUID": item.sop_instance_uid},
        )
        code = response.status_code
        if code in {204, 404}:  # 404 where the archive does not know the study or series
            return Proof(Standing.ABSENT, "not found by query yet")
        if code in {400, 405, 501}:
            reason = f"{self._name} offers no QIDO-RS (HTTP {code}): set verify to none"
            return Proof(Standing.UNPROVABLE, reason)
        if code != 200:
            raise DeliveryError(f"{self._name} answered the query with HTTP {code}")
        matches = _json(response)
        if not isinstance(matches, list):
            raise DeliveryError(f"{self._name} answered the query with something else than JSON")
        # An archive may ignore a key: only the UID itself is a proof.
        if any(first_value(match, _SOP_INSTANCE_UID) == item.sop_instance_uid for match in matches):
            return Proof(Standing.THERE)
        return Proof(Standing.ABSENT, "not found by query yet")

    def _get(self, path: str, parameters: dict[str, str]) -> httpx.Response:
        try:
            return self._client.get(path, params=parameters, headers={"Accept": _JSON})
        except httpx.HTTPError as error:
            raise DeliveryError(self._unreachable(error)) from error

    def _unreachable(self, error: httpx.HTTPError) -> str:
        # The URL is left out: it may carry a password.
        return f"{self._name} cannot be reached: {type(error).__name__}: {error}"


def _requests(objects: Sequence[tuple[Outgoing, int]]) -> list[list[tuple[Outgoing, int]]]:
    """Group objects into requests of a bearable length."""
    parts: list[list[tuple[Outgoing, int]]] = []
    room = 0
    for item, size in objects:
        if not parts or size > room:
            parts.append([])
            room = _REQUEST_BYTES
        parts[-1].append((item, size))
        room -= size
    return parts


def _heads(boundary: str, number: int) -> list[bytes]:
    """Return what stands before each part (RFC 2046 section 5.1, RFC 2387)."""
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return [head if index == 0 else b"\r\n" + head for index in range(number)]


def _body(
    part: Sequence[tuple[Outgoing, int]], heads: Sequence[bytes], tail: bytes
) -> Iterator[bytes]:
    for (item, _), head in zip(part, heads, strict=True):
        yield head
        with item.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    yield tail


def _json(response: httpx.Response) -> object:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None


def _report(response: httpx.Response) -> dict[str, Any]:
    """Return the Store Instances Response (PS3.18 section 10.5.3.2); {} where there is none."""
    parsed = _json(response)
    if isinstance(parsed, list):  # some archives wrap it
        parsed = next(iter(parsed), None)
    return parsed if isinstance(parsed, dict) else {}


def _item(report: dict[str, Any], sequence: str, uid: str) -> dict[str, Any] | None:
    items = _values(report, sequence)
    return next((item for item in items if first_value(item, _REFERENCED_UID) == uid), None)


def _values(item: object, tag: str) -> list[Any]:
    """Return the values of an attribute in the DICOM JSON model (PS3.18 annex F)."""
    attribute = item.get(tag) if isinstance(item, dict) else None
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values if isinstance(values, list) else []


def first_value(item: object, tag: str) -> object:
    """Return the first value of an attribute in the DICOM JSON model; None where there is none."""
    return next(iter(_values(item, tag)), None)


def _number(item: dict[str, Any], tag: str) -> int | None:
    value = first_value(item, tag)
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else None
