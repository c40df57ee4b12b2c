"""Who looked at which study and searched for what: in the ledger before it is answered.

A viewer asks hundreds of times for the frames of one study: the same person, place and study are
one row in ten minutes.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Engine, select

from node.audit.tables import Study
from node.audit.trail import Trail
from node.web.auth.identity import Person

SEARCHES: Final = frozenset(
    {"/dicom-web/studies", "/dicom-web/series", "/dicom-web/instances", "/console/studies"}
)
_UID: Final = re.compile(r"[0-9.]{1,64}")
_PAUSE_S: Final = 600.0
_REMEMBERED: Final = 10_000
_SUBJECT, _QUERY = 80, 2000


@dataclass(frozen=True, slots=True)
class Look:
    """What a request wants to see of patients: a study, or what a search finds."""

    route: str
    study: str
    query: str

    @classmethod
    def of(cls, route: str, named: Mapping[str, str], query: str) -> Look | None:
        """Return what a GET of a route wants; None where it shows no patient's study.

        Args:
            route: The route's path, with its parameters' names.
            named: The values of the path's parameters.
            query: The query string.
        """
        study = named.get("study", "")  # the console keeps its own record of opened studies
        if _UID.fullmatch(study):
            return cls(route, study, "")
        if route in SEARCHES:
            return cls(route, "", query[:_QUERY])
        return None


@dataclass
class Sights:
    """Keeps the record of looks; `clock` gives seconds."""

    database: Engine
    trail: Trail
    clock: Callable[[], float] = time.monotonic
    _noted: OrderedDict[tuple[str, str, str, str], float] = field(default_factory=OrderedDict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def note(self, person: Person, address: str, look: Look) -> None:
        """Record a look unless the same one was recorded a short while ago."""
        key = (person.actor, address, look.study, look.query if not look.study else "")
        if not self._due(key):
            return
        trail = replace(self.trail, actor=person.actor)
        event = "seen" if look.study else "searched"
        detail = {"address": address} if look.study else {"address": address, "query": look.query}
        with self.database.begin() as connection:
            patient = ""
            if look.study:
                mine = Study.study_instance_uid == look.study
                patient = connection.scalar(select(Study.patient_id).where(mine)) or ""
            subject = look.route[:_SUBJECT]
            trail.record(
                connection, "access", event, subject, detail, study=look.study, patient=patient
            )
        with self._guard:
            self._noted[key] = self.clock()
            while len(self._noted) > _REMEMBERED:
                self._noted.popitem(last=False)

    def _due(self, key: tuple[str, str, str, str]) -> bool:
        with self._guard:
            since = self._noted.pop(key, None)
            if since is None or self.clock() - since >= _PAUSE_S:
                return True
            self._noted[key] = since
            return False
