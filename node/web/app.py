"""The web application: the routes and who may reach them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import Engine
from starlette.middleware.trustedhost import TrustedHostMiddleware

from node.audit.trail import Trail
from node.blobs import BlobStore
from node.config import Settings, is_loopback
from node.errors import ConfigurationError
from node.web.archive.held import Holdings
from node.web.archive.qido import qido_router
from node.web.archive.wado import wado_router
from node.web.auth.door import Door, address_of
from node.web.auth.files import PublicFiles
from node.web.auth.gate import Gate, NoteLook, NoteRefusal
from node.web.auth.headers import SecurityHeaders
from node.web.auth.identity import Person, Role, Scope
from node.web.auth.login import login_router
from node.web.auth.needs import PUBLIC, needs
from node.web.auth.oidc import Provider
from node.web.auth.oidc_login import BACK, oidc_router
from node.web.auth.refusals import Refusals
from node.web.auth.sights import Look, Sights
from node.web.console.rendering import HOME
from node.web.dicomweb import Store, stow_router
from node.web.job_list import latest_jobs
from node.web.metrics import exposition
from node.web.readiness import Check

_HERE = Path(__file__).parent
# The type of the study's report, from the package that carries it (SIL Open Font License).
_TYPE = ("font_source_sans_pro", "files")


def create_app(
    settings: Settings,
    store: Store,
    engine: Engine,
    checks: Mapping[str, Check],
    blobs: BlobStore,
    trail: Trail,
) -> FastAPI:
    """Make the application that uvicorn serves.

    Args:
        settings: `[web]` says where it will listen.
        store: The STOW-RS service, see `dicomweb.Store`.
        engine: Where the jobs are read from.
        checks: What /readyz asks, see `readiness.standard_checks`.
        blobs: Whose disk the metrics speak of.
        trail: Where logins and refusals are recorded.

    Raises:
        ConfigurationError: If it would listen beyond this machine, where anybody could read it.
    """
    door = Door.of(settings, engine, trail)
    if door.stands_open():
        require_loopback(settings.web.host)
    app = FastAPI(title="CRDL node", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(
        Gate,
        application=app,
        identify=door.identify,
        note=_recorder(engine, trail),
        look=_watcher(engine, trail),
        per_minute=settings.web.requests_per_minute,
    )
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_hosts(settings, door))
    app.add_middleware(SecurityHeaders)
    title, oidc = settings.node.ae_title, settings.oidc
    app.include_router(login_router(door, title, oidc.label if oidc.issuer else ""))
    if oidc.issuer:
        provider = Provider(oidc, f"{settings.web.public_url.rstrip('/')}{BACK}")
        app.include_router(oidc_router(door, provider, trail, title))
    app.include_router(stow_router(store))
    holdings = Holdings(engine, blobs)
    app.include_router(qido_router(holdings))
    app.include_router(wado_router(holdings))
    app.mount("/static", PublicFiles(directory=_HERE / "static", packages=[_TYPE]))

    @app.get("/livez", dependencies=[Depends(PUBLIC)])
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    def ready(person: Annotated[Person | None, Depends(PUBLIC)]) -> JSONResponse:
        answers = {name: check() for name, check in checks.items()}
        wrong = any(answers.values())
        said: dict[str, Any] = {"status": "not ready" if wrong else "ready"}
        if needs(Role.VIEWER).admits(person):  # reasons name disks and databases
            said["checks"] = {name: answer or "ok" for name, answer in answers.items()}
        return JSONResponse(said, 503 if wrong else 200)

    @app.get("/metrics", dependencies=[Depends(needs(Role.VIEWER, Scope.METRICS))])
    def metrics() -> Response:
        return Response(exposition(engine, blobs), media_type=CONTENT_TYPE_LATEST)

    @app.get("/api/jobs", dependencies=[Depends(needs(Role.VIEWER))])
    def jobs(limit: int = 100) -> list[dict[str, Any]]:
        return [dataclasses.asdict(job) for job in latest_jobs(engine, max(1, min(limit, 1000)))]

    @app.get("/", dependencies=[Depends(needs(Role.VIEWER))])
    def front() -> Response:
        return RedirectResponse(HOME, 303)

    return app


def _recorder(engine: Engine, trail: Trail) -> NoteRefusal:
    refusals = Refusals(engine, trail)

    def note(person: Person | None, request: Request, route: str, status: int, reason: str) -> None:
        refusals.note(person, address_of(request), (request.method, route), status, reason)

    return note


def _watcher(engine: Engine, trail: Trail) -> NoteLook:
    sights = Sights(engine, trail)

    def note(person: Person, request: Request, look: Look) -> None:
        sights.note(person, address_of(request), look)

    return note


def _hosts(settings: Settings, door: Door) -> list[str]:
    """Return the names that the node answers to.

    Where nobody logs in, a page of another site that resolves its own name to this machine gets
    nothing. Where everybody does, the browser keeps the login from such a page.
    """
    named = urlsplit(settings.web.public_url).hostname
    if not door.stands_open() and named is None:
        return ["*"]
    return sorted({settings.web.host, "localhost", "127.0.0.1", "[::1]", *filter(None, [named])})


def require_loopback(host: str) -> None:
    """Let pass an address that only this machine reaches.

    Raises:
        ConfigurationError: If it is another one.
    """
    if not is_loopback(host):
        raise ConfigurationError(
            f"web.host {host!r} is reachable from elsewhere and no authentication is configured;"
            " use 127.0.0.1, or `crdl users add` first"
        )
