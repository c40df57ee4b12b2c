"""Retrieving by QIDO-RS and WADO-RS (PS3.18 sections 10.6 and 10.4)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import httpx

from node.config import Settings, SourceSettings
from node.deliver.association import Timeouts
from node.deliver.dicomweb import first_value, open_client
from node.deliver.retrieve import Intake, Wanted
from node.errors import DeliveryError, IntakeError

_SERIES_INSTANCE_UID: Final = "0020000E"
_SOP_INSTANCE_UID: Final = "00080018"
_GONE: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
# As the archive stores it: nothing is decoded and encoded again on the way.
_ACCEPT: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def wado(source: SourceSettings, settings: Settings, wanted: Wanted, intake: Intake) -> str:
    """Retrieve instances one by one, each streamed to the spool.

    Returns:
        What did not come, "" if all did.

    Raises:
        ConfigurationError: If the source's URL is none.
        DeliveryError: If the source cannot be reached, or fails.
    """
    absent, refused = 0, ""
    with open_client(source.name, source.url, settings.tls, Timeouts()) as client:
        for uid in wanted.sop_instance_uids:
            try:
                series = _series_of(client, source, wanted.study_instance_uid, uid)
                if series is None:
                    absent += 1
                    continue
                path = f"/studies/{wanted.study_instance_uid}/series/{series}/instances/{uid}"
                with client.stream("GET", path, headers={"Accept": _ACCEPT}) as response:
                    if response.status_code in _GONE:
                        absent += 1
                        continue
                    _require_ok(source, response, "retrieve")
                    kind = response.headers.get("content-type", "")
                    told = f"WADO-RS {source.name}"
                    study = wanted.study_instance_uid
                    refused = intake.take_parts(response.iter_bytes(), kind, told, study) or refused
            except httpx.HTTPError as error:
                # The URL is left out: it may carry a password.
                reason = f"{source.name} cannot be reached: {type(error).__name__}: {error}"
                raise DeliveryError(reason) from error
            except IntakeError as error:
                raise DeliveryError(f"{source.name} gave what cannot be read: {error}") from error
    lacking = f"{source.name} does not have {absent} of them" if absent else ""
    return "; ".join(filter(None, (lacking, refused)))


def _series_of(client: httpx.Client, source: SourceSettings, study: str, uid: str) -> str | None:
    """Return the series that an instance is in; None where the source does not have it."""
    response = client.get(
        f"/studies/{study}/instances",
        params={"SOPInstanceUID": uid},
        headers={"Accept": "application/dicom+json"},
    )
    if response.status_code in _GONE:
        return None
    _require_ok(source, response, "query")
    try:
        matches = response.json()
    except ValueError as error:
        raise DeliveryError(
            f"{source.name} answered a query with something else than JSON"
        ) from error
    for match in matches if isinstance(matches, list) else ():
        # An archive may ignore a key.
        if isinstance(match, Mapping) and first_value(match, _SOP_INSTANCE_UID) == uid:
            return str(first_value(match, _SERIES_INSTANCE_UID) or "") or None
    return None


def _require_ok(source: SourceSettings, response: httpx.Response, what: str) -> None:
    if response.status_code != HTTPStatus.OK:
        raise DeliveryError(f"{source.name} answered a {what} with HTTP {response.status_code}")
