"""The web application: the routes and who may reach them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.templating import Jinja2Templates
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import Engine
from starlette.middleware.base import RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware

from node.blobs import BlobStore
from node.config import Settings, is_loopback
from node.errors import ConfigurationError
from node.web.archive.held import Holdings
from node.web.archive.qido import qido_router
from node.web.archive.wado import wado_router
from node.web.dicomweb import Store, stow_router
from node.web.job_list import latest_jobs
from node.web.metrics import exposition
from node.web.readiness import Check

_TEMPLATES = Jinja2Templates(Path(__file__).parent / "templates")
_HEADERS = {
    "Cache-Control": "no-store",  # what is shown is about patients
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


def create_app(
    settings: Settings,
    store: Store,
    engine: Engine,
    checks: Mapping[str, Check],
    blobs: BlobStore,
) -> FastAPI:
    """Make the application that uvicorn serves.

    Args:
        settings: `[web]` says where it will listen.
        store: The STOW-RS service, see `dicomweb.Store`.
        engine: Where the jobs are read from.
        checks: What /readyz asks, see `readiness.standard_checks`.
        blobs: Whose disk the metrics speak of.

    Raises:
        ConfigurationError: If it would listen beyond this machine, where anybody could read it.
    """
    require_loopback(settings.web.host)
    app = FastAPI(title="CRDL node", docs_url=None, redoc_url=None, openapi_url=None)
    # A page of another site that resolves its own name to this machine gets nothing.
    hosts = sorted({settings.web.host, "localhost", "127.0.0.1"})
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    app.include_router(stow_router(store))
    holdings = Holdings(engine, blobs)
    app.include_router(qido_router(holdings))
    app.include_router(wado_router(holdings))

    @app.middleware("http")
    async def protect(request: Request, proceed: RequestResponseEndpoint) -> Response:
        response = await proceed(request)
        response.headers.update(_HEADERS)
        return response

    @app.get("/livez")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    def ready() -> JSONResponse:
        answers = {name: check() for name, check in checks.items()}
        wrong = any(answers.values())
        words = {name: answer or "ok" for name, answer in answers.items()}
        return JSONResponse(
            {"status": "not ready" if wrong else "ready", "checks": words}, 503 if wrong else 200
        )

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(exposition(engine, blobs), media_type=CONTENT_TYPE_LATEST)

    @app.get("/api/jobs")
    def jobs(limit: int = 100) -> list[dict[str, Any]]:
        return [dataclasses.asdict(job) for job in latest_jobs(engine, max(1, min(limit, 1000)))]

    @app.get("/")
    async def page(request: Request) -> Response:
        lines = await run_in_threadpool(latest_jobs, engine)
        return _TEMPLATES.TemplateResponse(
            request, "jobs.html", {"jobs": lines, "ae_title": settings.node.ae_title}
        )

    return app


def require_loopback(host: str) -> None:
    """Let pass an address that only this machine reaches.

    Raises:
        ConfigurationError: If it is another one.
    """
    if not is_loopback(host):
        raise ConfigurationError(
            f"web.host {host!r} is reachable from elsewhere and no authentication is configured;"
            " use 127.0.0.1"
        )
