"""UPS-RS as a user agent (PS3.18 section 11): search, claim, update, complete."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import httpx
from pydicom import Dataset

from node.errors import DeliveryError

_JSON: Final = "application/dicom+json"
_MOST: Final = 10  # workitems of one search: the rest is for the next, or for others


class NotOursError(DeliveryError):
    """The server does not let us change a workitem: somebody else has it, or it is over."""


class UpsClient:
    """One UPS-RS server; `http` has its root as base URL."""

    def __init__(self, name: str, http: httpx.Client) -> None:
        self._name = name
        self._http = http

    def scheduled(self, label: str) -> list[Dataset]:
        """Return workitems with a Worklist Label ("" is any) that may be claimed, oldest first.

        Raises:
            DeliveryError: If the server cannot be asked.
        """
        keys = {
            "ProcedureStepState": "SCHEDULED",
            "InputReadinessState": "READY",
            "includefield": "InputInformationSequence",
            "limit": str(_MOST),
        }
        response = self._send(
            "GET", "/workitems", keys | ({"WorklistLabel": label} if label else {})
        )
        if response.status_code == HTTPStatus.NO_CONTENT:
            return []
        return [one for one in self._read(response) if self._may_be_claimed(one, label)]

    def get(self, uid: str) -> Dataset | None:
        """Return a workitem; None where the server does not know it.

        Raises:
            DeliveryError: If the server cannot be asked.
        """
        response = self._send("GET", f"/workitems/{uid}")
        if response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            return None
        return next(iter(self._read(response)), None)

    def change_state(self, uid: str, state: str, transaction_uid: str) -> None:
        """Claim, complete or cancel a workitem.

        Raises:
            NotOursError: If the server does not let us.
            DeliveryError: If it cannot be asked.
        """
        wish = Dataset()
        wish.ProcedureStepState, wish.TransactionUID = state, transaction_uid
        response = self._send("PUT", f"/workitems/{uid}/state", body=wish)
        already = response.status_code == HTTPStatus.GONE  # in that state already: said twice
        if not already:
            self._require(response, f"{state} of workitem {uid}")

    def subscribe(self, uid: str, ae_title: str) -> None:
        """Ask to hear of a workitem by N-EVENT-REPORT; raises as `change_state`."""
        response = self._send("POST", f"/workitems/{uid}/subscribers/{ae_title}")
        if response.status_code != HTTPStatus.CREATED:
            self._require(response, f"subscription to workitem {uid}")

    def update(self, uid: str, transaction_uid: str, changes: Dataset) -> None:
        """Set attributes of a claimed workitem; raises as `change_state`."""
        changes.TransactionUID = transaction_uid
        path = f"/workitems/{uid}?transaction-uid={transaction_uid}"
        self._require(self._send("POST", path, body=changes), f"update of workitem {uid}")

    @staticmethod
    def _may_be_claimed(workitem: Dataset, label: str) -> bool:
        """A server may ignore a key."""
        return (
            workitem.get("ProcedureStepState") == "SCHEDULED"
            and bool(workitem.get("SOPInstanceUID"))
            and (not label or workitem.get("WorklistLabel", label) == label)
        )

    def _send(
        self,
        method: str,
        path: str,
        parameters: dict[str, str] | None = None,
        body: Dataset | None = None,
    ) -> httpx.Response:
        headers = {"Accept": _JSON, "Content-Type": _JSON}
        sent = None if body is None else [body.to_json_dict()]
        try:
            return self._http.request(method, path, params=parameters, json=sent, headers=headers)
        except httpx.HTTPError as error:
            # The URL is left out: it may carry a password.
            raise DeliveryError(
                f"{self._name} cannot be reached: {type(error).__name__}: {error}"
            ) from error

    def _read(self, response: httpx.Response) -> Sequence[Dataset]:
        if response.status_code != HTTPStatus.OK:
            raise DeliveryError(f"{self._name} answered with HTTP {response.status_code}")
        try:
            given = response.json()
            many = given if isinstance(given, list) else [given]
            return [Dataset.from_json(one) for one in many]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DeliveryError(f"{self._name} answered with something else than JSON") from error

    def _require(self, response: httpx.Response, what: str) -> None:
        code = response.status_code
        if code in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
            return
        why = response.headers.get("warning", "")
        told = f"{self._name} refused the {what}: HTTP {code} {why}".rstrip()
        refused = {400, 403, 404, 409, 410}
        raise NotOursError(told) if code in refused else DeliveryError(told)
