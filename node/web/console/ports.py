"""What the console needs of the rooms beside it, as callables that `node.service` injects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from sqlalchemy import Engine

from node.audit.seal import Sealer
from node.audit.trail import Trail
from node.blobs import BlobStore
from node.config import Settings
from node.jobs.admin import Desk
from node.jobs.engine import Enqueuer
from node.jobs.reading_form import ReadingDesk
from node.jobs.stages import Rejection, ReportObject
from node.jobs.withdrawing import Withdrawer
from node.web.auth.identity import Person

BundleRole = Literal["serving", "shadow"]
ROLES: tuple[BundleRole, ...] = ("serving", "shadow")


class Chosen(Protocol):
    """Which bundle has a role, and who says so; "" where node.toml does."""

    @property
    def bundle(self) -> str:
        """Name of a shipped bundle, or a folder; "" is none."""

    @property
    def sha256(self) -> str:
        """As it was activated."""

    @property
    def activated_by(self) -> str:
        """The person."""


class Examined(Protocol):
    """One line of the doctor's report."""

    @property
    def name(self) -> str:
        """What was looked at."""

    @property
    def verdict(self) -> str:
        """`ok`, `warning` or `failed`."""

    @property
    def text(self) -> str:
        """What was found, and what to do."""


@dataclass(frozen=True)
class Ports:
    """The rooms beside the web.

    Attributes:
        reject: Writes a rejection note.
        chosen: Which bundle has a role now.
        activate: Makes a bundle serve or shadow; the trail's actor did it.
        deactivate: Lets node.toml say again which bundle has a role.
        compare: Serving and shadow on the same cases as plain values; None without any.
        examine: What `crdl doctor` finds; it takes seconds and may load a model elsewhere.
    """

    reject: Callable[[Rejection], ReportObject]
    chosen: Callable[[BundleRole], Chosen]
    activate: Callable[[Trail, BundleRole, str], None]
    deactivate: Callable[[Trail, BundleRole], None]
    compare: Callable[[], Mapping[str, Any] | None]
    examine: Callable[[], Sequence[Examined]]


@dataclass(frozen=True)
class Bureau:
    """What every page stands on, and the desks at which a person acts."""

    settings: Settings
    database: Engine
    blobs: BlobStore
    sealer: Sealer
    enqueuer: Enqueuer
    ports: Ports

    def trail(self, person: Person) -> Trail:
        """Return a person's hand in the ledger."""
        return Trail(person.actor, self.sealer)

    def viewed(self, person: Person, study: str, patient: str) -> None:
        """Write down that a person opened a study."""
        with self.database.begin() as connection:
            self.trail(person).record(
                connection, "access", "viewed", study, study=study, patient=patient
            )

    def desk(self, person: Person) -> Desk:
        """Return where jobs are retried, cancelled and given an image."""
        return Desk(self.database, self.trail(person), self.enqueuer)

    def reading_desk(self, person: Person) -> ReadingDesk:
        """Return where readings are left."""
        return ReadingDesk(self.database, self.trail(person), self.enqueuer)

    def withdrawer(self, person: Person) -> Withdrawer:
        """Return what takes reports back."""
        return Withdrawer(
            self.database, self.trail(person), self.enqueuer, self.blobs, self.ports.reject
        )
