"""Further services at the DICOM port: each takes the requests of its own SOP classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from pydicom import Dataset
from pynetdicom import evt
from pynetdicom.dimse_primitives import N_ACTION, N_CREATE, N_EVENT_REPORT, N_GET, N_SET
from pynetdicom.events import Event

from node.receive import statuses
from node.receive.attributes import clean

_LOG = logging.getLogger(__name__)
_PENDING: Final = 0xFF00


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        calling_ae: Who asks.
        syntax: Abstract syntax of the presentation context that it came in.
        uid: Affected or Requested SOP Instance UID, "" where the request names none.
        dataset: Its data set, empty where it has none.
        action: Action Type ID of an N-ACTION, else 0.
    """

    calling_ae: str
    syntax: str
    uid: str
    dataset: Dataset
    action: int = 0


Reply = tuple[int | Dataset, Dataset | None]
"""A status, alone or in a data set with Error Comment, and what is returned."""


class Service(Protocol):
    """A service class as the receiver sees it."""

    @property
    def syntaxes(self) -> Sequence[str]:
        """Abstract syntaxes of its presentation contexts."""

    def create(self, asked: Asked) -> Reply:
        """Answer an N-CREATE."""

    def set(self, asked: Asked) -> Reply:
        """Answer an N-SET."""

    def get(self, asked: Asked) -> Reply:
        """Answer an N-GET."""

    def act(self, asked: Asked) -> Reply:
        """Answer an N-ACTION."""

    def find(self, asked: Asked) -> Iterable[Dataset]:
        """Answer a C-FIND."""


class Listener(Protocol):
    """A service class of which the peer is the SCP, and reports to us."""

    @property
    def syntaxes(self) -> Sequence[str]:
        """Abstract syntaxes of its presentation contexts."""

    def hear(self, asked: Asked) -> Reply:
        """Answer an N-EVENT-REPORT; `action` is its Event Type ID."""


class Counter:
    """Brings each request to the service of its presentation context."""

    def __init__(
        self, services: Sequence[Service] = (), listeners: Sequence[Listener] = ()
    ) -> None:
        self._by_syntax = {uid: service for service in services for uid in service.syntaxes}
        self._listeners = {uid: one for one in listeners for uid in one.syntaxes}

    @property
    def syntaxes(self) -> list[str]:
        """Every abstract syntax that somebody serves."""
        return list(self._by_syntax)

    def bound(self) -> list[evt.EventHandlerType]:
        """Return the handlers as pynetdicom takes them, N-ACTION aside."""
        if not self._by_syntax:
            return []
        return [
            (evt.EVT_N_CREATE, self.on_create),
            (evt.EVT_N_SET, self.on_set),
            (evt.EVT_N_GET, self.on_get),
            (evt.EVT_C_FIND, self.on_find),
        ]

    def serves(self, event: Event) -> bool:
        """Tell whether a request came in a context of these services."""
        return str(event.context.abstract_syntax) in self._by_syntax

    @property
    def heard(self) -> list[str]:
        """Every abstract syntax whose events somebody hears."""
        return list(self._listeners)

    def hears(self, event: Event) -> bool:
        """Tell whether an event came in a context that somebody hears."""
        return str(event.context.abstract_syntax) in self._listeners

    def on_event(self, event: Event) -> Reply:
        """Answer an N-EVENT-REPORT."""
        uid = str(cast("N_EVENT_REPORT", event.request).AffectedSOPInstanceUID or "")
        try:
            syntax = str(event.context.abstract_syntax)
            asked = Asked(
                _caller(event), syntax, uid, event.event_information, event.event_type or 0
            )
            return self._listeners[syntax].hear(asked)
        except Exception:  # noqa: BLE001 - the handler boundary: the peer may report again
            _LOG.exception("an event could not be heard")
            return statuses.PROCESSING_FAILURE, None

    def on_create(self, event: Event) -> Reply:
        """Answer an N-CREATE."""
        uid = cast("N_CREATE", event.request).AffectedSOPInstanceUID
        return self._ask(event, "create", uid, lambda: event.attribute_list)

    def on_set(self, event: Event) -> Reply:
        """Answer an N-SET."""
        uid = cast("N_SET", event.request).RequestedSOPInstanceUID
        return self._ask(event, "set", uid, lambda: event.modification_list)

    def on_get(self, event: Event) -> Reply:
        """Answer an N-GET: whole, or the attributes that it names."""
        uid = cast("N_GET", event.request).RequestedSOPInstanceUID
        status, found = self._ask(event, "get", uid, Dataset)
        wanted = set(event.attribute_identifiers)
        if found is not None and wanted:
            for tag in [element.tag for element in found if element.tag not in wanted]:
                del found[tag]
        return status, found

    def on_action(self, event: Event) -> Reply:
        """Answer an N-ACTION; its information may be left out (a request to cancel)."""
        request = cast("N_ACTION", event.request)
        named = request.ActionInformation is not None
        uid = request.RequestedSOPInstanceUID

        def information() -> Dataset:
            return event.action_information if named else Dataset()

        return self._ask(event, "act", uid, information, event.action_type)

    def on_find(self, event: Event) -> Iterator[tuple[int, Dataset | None]]:
        """Answer a C-FIND, a match at a time."""
        service, asked = self._asked(event, "", event.identifier)
        try:
            for match in service.find(asked):
                if event.is_cancelled:
                    yield 0xFE00, None
                    return
                yield _PENDING, match
        except Exception:  # noqa: BLE001 - the handler boundary
            _LOG.exception("a query failed")
            yield statuses.PROCESSING_FAILURE, None

    def _ask(
        self,
        event: Event,
        what: str,
        uid: object,
        dataset: Callable[[], Dataset],
        action: int | None = 0,
    ) -> Reply:
        try:
            service, asked = self._asked(event, str(uid or ""), dataset(), action or 0)
            reply: Reply = getattr(service, what)(asked)
        except Exception:  # noqa: BLE001 - the handler boundary: the peer may ask again
            _LOG.exception("a request could not be answered")
            return statuses.PROCESSING_FAILURE, None
        return reply

    def _asked(
        self, event: Event, uid: str, dataset: Dataset, action: int = 0
    ) -> tuple[Service, Asked]:
        syntax = str(event.context.abstract_syntax)
        return self._by_syntax[syntax], Asked(_caller(event), syntax, uid, dataset, action)


def _caller(event: Event) -> str:
    request = event.assoc.requestor.primitive
    return clean((request.calling_ae_title if request else "") or "", 16)
