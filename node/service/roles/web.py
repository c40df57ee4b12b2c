"""Web: STOW-RS in, DICOMweb out, the console, outcomes and workitems."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from node.errors import ConfigurationError
from node.jobs.dbos_engine import DbosEnqueuer
from node.jobs.outcomes import Kept, OutcomeSaid, keep_outcomes
from node.receive.stow import StowService
from node.service.compose import Foundation
from node.service.console import bureau
from node.service.roles.intake import an_inbox
from node.service.roles.ready import announce
from node.service.web_server import scheme, web_server
from node.service.worklist import worklist
from node.web.app import create_app
from node.web.console.router import console_router
from node.web.outcomes import outcome_router
from node.web.readiness import standard_checks
from node.web.workitems import workitem_router


def run(foundation: Foundation, stop: threading.Event) -> None:
    """Serve HTTP until told to stop."""
    settings = foundation.settings

    def take(said: Sequence[OutcomeSaid], actor: str) -> Sequence[Kept]:
        return keep_outcomes(foundation.database, replace(foundation.trail, actor=actor), said)

    checks = standard_checks(settings, foundation.database, foundation.blobs)
    with (
        an_inbox(foundation) as inbox,
        closing(DbosEnqueuer(foundation.database)) as enqueuer,
        worklist(foundation) as managed,
    ):
        stow = StowService(inbox, limits=settings.limits)
        app = create_app(
            settings,
            stow.store,
            foundation.database,
            checks,
            foundation.blobs,
            foundation.trail,
        )
        app.include_router(outcome_router(take))
        if managed is not None:
            app.include_router(workitem_router(managed))
        app.include_router(console_router(bureau(foundation, enqueuer)))
        server = web_server(app, foundation)
        with _listen(settings.web.host, settings.web.port) as listener:
            host, port = listener.getsockname()[:2]
            # Without signal handlers of its own: ours already drain, and uvicorn is in a thread.
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            announce(web=f"{scheme(settings)}://{host}:{port}")
            stop.wait()
            server.should_exit = True
            thread.join()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror}") from error
