"""All routes of the console."""

from __future__ import annotations

from fastapi import APIRouter

from node.web.console.pages import (
    audit,
    bundles,
    failures,
    monitoring,
    overview,
    reading,
    record,
    settings,
    studies,
)
from node.web.console.ports import Bureau
from node.web.console.proving import Prover
from node.web.console.rendering import Pages

_ROOMS = (overview, studies, reading, failures, bundles, monitoring, audit, record, settings)


def console_router(bureau: Bureau) -> APIRouter:
    """Make the routes; they stand below /console."""
    pages = Pages(bureau, Prover(bureau.database, bureau.sealer))
    router = APIRouter()
    for room in _ROOMS:
        router.include_router(room.routes(pages))
    return router
