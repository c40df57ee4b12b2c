"""Bundles: which there are, what their cards say, which answers and shadows, and since when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup
from sqlalchemy import Engine, Row, select

from models.bundle import Bundle, shipped_bundles
from models.bundles.manifest import MANIFEST
from models.errors import ModelsError
from node.audit.tables import Activation
from node.config import Settings
from node.database import read_only
from node.web.console.ports import ROLES, BundleRole, Ports

STUDY_REPORT = Path(str(files("models.study"))) / "shipped" / "report.html"
"""The study report of the shipped bundle."""
_LATEST = 20
_NO_CARD = Markup()
# A card is text of whoever made the bundle: its markup is escaped, never passed on.
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


@dataclass(frozen=True, slots=True)
class BundleModel:
    """One model of a bundle, as the page shows it."""

    name: str
    auc: float
    interval: tuple[float, float] | None
    threshold: float
    requires: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BundlePage:
    """A bundle as the page shows it; `problem` where it does not load."""

    key: str
    name: str
    version: str = ""
    sha256: str = ""
    simulated: bool = False
    prevalence: float = 0.0
    created: str = ""
    models: tuple[BundleModel, ...] = ()
    card: Markup = _NO_CARD
    roles: tuple[BundleRole, ...] = ()
    problem: str = ""

    @property
    def shipped(self) -> bool:
        """Whether it came with the software."""
        return self.key in shipped_bundles()


@dataclass(frozen=True, slots=True)
class Standing:
    """Who has a role: the bundle's name and whether it knows nothing of real patients."""

    role: BundleRole
    bundle: str
    name: str
    version: str
    activated_by: str
    simulated: bool
    problem: str


def standing(ports: Ports, role: BundleRole) -> Standing:
    """Return which bundle has a role; its name is empty where none has."""
    choice = ports.chosen(role)
    if not choice.bundle:
        return Standing(role, "", "", "", "", simulated=False, problem="")
    page = _page(choice.bundle)
    return Standing(
        role,
        choice.bundle,
        page.name,
        page.version,
        choice.activated_by,
        simulated=page.simulated,
        problem=page.problem,
    )


def bundle_pages(database: Engine, settings: Settings, ports: Ports) -> tuple[BundlePage, ...]:
    """Return every bundle that the node knows of: shipped, configured or once activated."""
    with read_only(database) as connection:
        once = connection.scalars(
            select(Activation.bundle).where(Activation.bundle != "").distinct()
        ).all()
    now = {role: ports.chosen(role).bundle for role in ROLES}
    known = [*now.values(), settings.model.bundle, settings.model.shadow, *once]
    pages = []
    for key in dict.fromkeys(filter(None, [*known, *shipped_bundles()])):
        page = _page(key)
        roles = tuple(role for role, bundle in now.items() if bundle == key)
        pages.append(replace(page, roles=roles))
    return tuple(pages)


def activations(database: Engine) -> Sequence[Row[Any]]:
    """Return the latest activations, newest first."""
    query = select(Activation.__table__).order_by(Activation.id.desc()).limit(_LATEST)
    with read_only(database) as connection:
        return connection.execute(query).all()


def _page(key: str) -> BundlePage:
    """Read a bundle; what was read stays good while its manifest is the same file."""
    try:
        folder = Path(str(files("models.bundles"))) / key if key in shipped_bundles() else Path(key)
        stamp = (folder / MANIFEST).stat().st_mtime_ns
    except OSError:
        return BundlePage(key, Path(key).name, problem="it is not on this machine")
    return _read(key, stamp)


@lru_cache(maxsize=32)
def _read(key: str, stamp: int) -> BundlePage:
    del stamp  # part of the cache's key
    try:
        bundle = Bundle.load(key)
    except ModelsError as error:
        return BundlePage(key, Path(key).name, problem=str(error))
    return BundlePage(
        key=key,
        name=bundle.name,
        version=bundle.version,
        sha256=bundle.sha256,
        simulated=bundle.simulated,
        prevalence=bundle.description.prevalence,
        created=bundle.description.created,
        models=tuple(
            BundleModel(
                model.entry.name,
                model.entry.auc,
                _interval(model.entry.intervals.get("auc")),
                model.entry.threshold,
                model.entry.requires,
            )
            for model in bundle.models
        ),
        card=Markup(_MARKDOWN.render(bundle.card)),  # noqa: S704 - HTML in it was escaped
    )


def _interval(pair: Sequence[float] | None) -> tuple[float, float] | None:
    return None if pair is None else (float(pair[0]), float(pair[1]))
