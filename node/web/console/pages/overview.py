"""The overview, and the part of it that a browser asks for again every few seconds."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from node.web.auth.identity import Person, Role
from node.web.auth.needs import needs
from node.web.console.bundles import standing
from node.web.console.overview import Overview, overview
from node.web.console.plots import Bar, sparkline
from node.web.console.ports import ROLES
from node.web.console.rendering import HOME, Pages

Viewer = Annotated[Person, Depends(needs(Role.VIEWER))]


def routes(pages: Pages) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix=HOME, route_class=pages.route())
    bureau = pages.bureau

    def look() -> dict[str, Any]:
        seen = overview(bureau.database, bureau.blobs, bureau.settings)
        bundles = tuple(standing(bureau.ports, role) for role in ROLES)
        return {"seen": seen, "spark": _spark(seen), "bundles": bundles}

    @router.get("")
    def page(request: Request, person: Viewer) -> Response:
        return pages.show(request, "overview", person, **look())

    @router.get("/live")
    def live(request: Request, person: Viewer) -> Response:
        return pages.show(request, "_live", person, **look())

    return router


def _spark(seen: Overview) -> object:
    data = [
        Bar(f"{hour:%H}", (float(count),), f"{hour:%Y-%m-%d %H}:00 UTC, {count} cases")
        for hour, count in seen.hours
    ]
    total = sum(count for _, count in seen.hours)
    return sparkline(f"Cases assessed in each of the last 24 hours, {total} in all", data)
