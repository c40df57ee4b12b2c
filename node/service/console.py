"""The console's ports: what it needs of the rooms beside the web."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from node.audit.trail import Trail
from node.config import Settings
from node.database import read_only
from node.errors import ConfigurationError
from node.jobs.engine import Enqueuer
from node.service.activation import activate, chosen, deactivate
from node.service.check import Check
from node.service.checks import examine
from node.service.comparison import ComparisonError, compare
from node.service.compose import Foundation, rejection_stage
from node.web.console.ports import BundleRole, Bureau, Chosen, Ports

_EXAMINATION_S: Final = 120.0


def bureau(foundation: Foundation, enqueuer: Enqueuer) -> Bureau:
    """Return what the console stands on."""
    settings, database = foundation.settings, foundation.database

    def who(role: BundleRole) -> Chosen:
        with read_only(database) as connection:
            return chosen(connection, role, settings.model)

    def make(trail: Trail, role: BundleRole, bundle: str) -> None:
        activate(database, trail, role, bundle)

    def end(trail: Trail, role: BundleRole) -> None:
        deactivate(database, trail, role)

    def compared() -> Mapping[str, Any] | None:
        try:
            return compare(database).to_json()
        except ComparisonError:
            return None

    return Bureau(
        settings=settings,
        database=database,
        blobs=foundation.blobs,
        sealer=foundation.sealer,
        enqueuer=enqueuer,
        ports=Ports(
            reject=rejection_stage(),
            chosen=who,
            activate=make,
            deactivate=end,
            compare=compared,
            examine=lambda: examined(settings),
        ),
    )


def examined(settings: Settings) -> tuple[Check, ...]:
    """Run the doctor in a process of its own: it loads the bundle, which the web never does.

    Raises:
        ConfigurationError: If it dies or takes too long.
    """
    sections = {name: getattr(settings, name) for name in type(settings).model_fields}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as child:
        try:
            return child.submit(_examine, sections).result(_EXAMINATION_S)
        except (BrokenProcessPool, TimeoutError) as error:
            raise ConfigurationError(
                "the doctor did not finish: run crdl doctor on the machine"
            ) from error


def _examine(sections: dict[str, Any]) -> tuple[Check, ...]:
    return tuple(examine(Settings(**sections)))
