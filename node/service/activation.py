"""Which bundle answers: the one that a person activated, else the one of node.toml.

An activation is a row with the bundle's SHA-256, read anew before every assessment: workers change
over between two cases, without a restart. What was activated answers or nothing does: where it
does not load, or is not the bundle that was activated any more, the job fails with that reason and
is tried again.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, Engine, insert, select

from models.bundle import Bundle, shipped_bundles
from models.errors import ModelsError
from node.audit.tables import Activation
from node.audit.trail import Trail
from node.config import ModelSettings
from node.database import lock, read_only, utc_now
from node.errors import CrdlError

if TYPE_CHECKING:
    from node.pipeline.assess import Pipeline

Role = Literal["serving", "shadow"]
ROLES: tuple[Role, ...] = ("serving", "shadow")
_MOST_ROUTED = 4  # bundles of routing rules that are kept warm, beside those that serve and shadow
_log = logging.getLogger(__name__)


class ActivationError(CrdlError):
    """A bundle cannot be made to answer, or is not the one that was activated."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which bundle has a role, and who says so.

    Attributes:
        bundle: Name of a shipped bundle, or an absolute folder; "" is none.
        sha256: As it was activated; "" where node.toml names the bundle.
        activated_by: The person; "" where node.toml names the bundle.
    """

    bundle: str
    sha256: str = ""
    activated_by: str = ""


def chosen(connection: Connection, role: Role, settings: ModelSettings) -> Choice:
    """Return which bundle has a role now."""
    row = connection.execute(
        select(Activation.bundle, Activation.bundle_sha256, Activation.activated_by)
        .where(Activation.role == role)
        .order_by(Activation.id.desc())
        .limit(1)
    ).one_or_none()
    if row is not None and row.bundle:
        return Choice(row.bundle, row.bundle_sha256, row.activated_by)
    return Choice(settings.bundle if role == "serving" else settings.shadow)


def activate(database: Engine, trail: Trail, role: Role, bundle: str) -> Choice:
    """Make a bundle serve or shadow, after loading and checking it.

    Args:
        database: Of the node.
        trail: Whose actor is the person.
        role: What it shall do.
        bundle: Name of a shipped bundle, or a folder that every worker can read.

    Raises:
        ModelsError: The bundle does not hold what it should.
    """
    loaded = Bundle.load(bundle)
    where = str(loaded.folder.resolve())
    if loaded.name in shipped_bundles() and Bundle.load(loaded.name).folder == loaded.folder:
        where = loaded.name
    return _note(database, trail, role, Choice(where, loaded.sha256, trail.actor), "activated")


def deactivate(database: Engine, trail: Trail, role: Role) -> Choice:
    """Let node.toml say again which bundle has a role."""
    return _note(database, trail, role, Choice("", "", trail.actor), "deactivated")


def _note(database: Engine, trail: Trail, role: Role, choice: Choice, event: str) -> Choice:
    with database.begin() as connection:
        lock(connection, f"activation {role}")
        connection.execute(
            insert(Activation).values(
                role=role,
                bundle=choice.bundle,
                bundle_sha256=choice.sha256,
                activated_by=choice.activated_by[:64],
                activated_at=utc_now(),
            )
        )
        trail.record(
            connection,
            "system",
            event,
            role,
            {"bundle": choice.bundle, "sha256": choice.sha256, "by": choice.activated_by},
        )
    return choice


@dataclass
class Lectern:
    """The warm pipelines of one worker, changed when the choice changes.

    Attributes:
        database: Asked before every assessment.
        settings: What node.toml says.
        batch_s: Seconds that a case waits for those of other threads to share its batch.
    """

    database: Engine
    settings: ModelSettings
    batch_s: float = 0.0
    _warm: dict[Role, tuple[Choice, Pipeline]] = field(default_factory=dict)
    _routed: dict[str, Pipeline] = field(default_factory=dict)
    _changing: threading.RLock = field(default_factory=threading.RLock)

    def warm_up(self) -> None:
        """Load what is chosen, so that the first case does not wait.

        An activated bundle that does not load leaves the worker running: each job then says why
        it cannot be assessed, and a new activation is enough to go on.

        Raises:
            ModelsError: The bundle of node.toml does not hold what it should.
        """
        for role in ROLES:
            try:
                self._current(role)
            except (ModelsError, CrdlError) as error:
                with read_only(self.database) as connection:
                    named = chosen(connection, role, self.settings).activated_by
                if role == "serving" and not named:
                    raise
                _log.error("no %s bundle: %s", role, error)

    def serving(self, bundle: str = "") -> Pipeline:
        """Return the pipeline that answers now.

        Args:
            bundle: The one that a routing rule names, whatever is activated; "" is none.

        Raises:
            ActivationError: The activated bundle is not the one that was activated.
            ModelsError: The bundle does not hold what it should.
        """
        if bundle:
            return self._named(bundle)
        pipeline = self._current("serving")
        if pipeline is None:
            raise ActivationError("no bundle is configured: set [model] bundle")
        return pipeline

    def shadow(self) -> Pipeline | None:
        """Return the pipeline that shadows now, None where none does.

        Raises:
            ActivationError: As `serving`.
            ModelsError: As `serving`.
        """
        return self._current("shadow")

    def _named(self, bundle: str) -> Pipeline:
        with self._changing:  # several threads may ask: one loads
            return self._loaded(bundle)

    def _loaded(self, bundle: str) -> Pipeline:
        if bundle not in self._routed:
            while len(self._routed) >= _MOST_ROUTED:
                self._routed.pop(next(iter(self._routed)))  # the one loaded first
            self._routed[bundle] = load(Choice(bundle), self.settings, self.batch_s)
            self._routed[bundle].warm_up()
        return self._routed[bundle]

    def _current(self, role: Role) -> Pipeline | None:
        with read_only(self.database) as connection:
            choice = chosen(connection, role, self.settings)
        with self._changing:
            return self._of(role, choice)

    def _of(self, role: Role, choice: Choice) -> Pipeline | None:
        if not choice.bundle:
            self._warm.pop(role, None)
            return None
        kept = self._warm.get(role)
        if kept is not None and kept[0] == choice:
            return kept[1]
        self._warm.pop(role, None)  # whatever comes now, the old one does not answer any more
        pipeline = load(choice, self.settings, self.batch_s)
        pipeline.warm_up()
        self._warm[role] = (choice, pipeline)
        return pipeline


def load(choice: Choice, settings: ModelSettings, batch_s: float = 0.0) -> Pipeline:
    """Load the chosen bundle with the settings of node.toml, device and shares included.

    Raises:
        ActivationError: It is not the bundle that was activated.
        ModelsError: It does not hold what it should.
    """
    from node.pipeline.assess import Pipeline  # noqa: PLC0415 - torch, where a bundle is run

    pipeline = Pipeline.load(settings.model_copy(update={"bundle": choice.bundle}), batch_s)
    found = pipeline.bundle.sha256
    if choice.sha256 and found != choice.sha256:
        name = Path(choice.bundle).name
        raise ActivationError(
            f"bundle {name} has changed since {choice.activated_by} activated it "
            f"({choice.sha256[:12]}, now {found[:12]}): activate it again"
        )
    return pipeline
