"""Monitoring: the page at once, its plots when they are drawn; and the shadow's comparison."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from node.web.auth.identity import Person, Role
from node.web.auth.needs import needs
from node.web.console import monitoring_plots
from node.web.console.monitoring import monitored
from node.web.console.rendering import HOME, Pages

Viewer = Annotated[Person, Depends(needs(Role.VIEWER))]


def routes(pages: Pages) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix=HOME, route_class=pages.route())
    bureau = pages.bureau

    @router.get("/bundles/shadow")
    def shadow(request: Request, person: Viewer) -> Response:
        return pages.show(request, "shadow", person, comparison=bureau.ports.compare())

    @router.get("/monitoring")
    def page(request: Request, person: Viewer) -> Response:
        return pages.show(request, "monitoring", person)

    @router.get("/monitoring/plots")
    def plots(request: Request, person: Viewer) -> Response:
        seen = monitored(bureau.database, bureau.settings)
        drawn = monitoring_plots.of(seen)
        return pages.show(request, "_monitoring", person, seen=seen, plots=drawn)

    return router
