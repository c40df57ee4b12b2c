"""The C-STORE and C-ECHO provider, which storage commitment results come to as well."""

from __future__ import annotations

import gc
import logging
import ssl
import threading
import time
from collections.abc import Sequence
from typing import cast

from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import register_uid, uid_to_service_class
from sqlalchemy import Engine

from node.audit.trail import Trail
from node.config import Settings
from node.errors import ConfigurationError
from node.receive.associations import AssociationLog
from node.receive.commitment_requests import CommitmentRequests
from node.receive.guarded_socket import MAXIMUM_PDU_BYTES
from node.receive.handlers import Handlers, TakeCommitment
from node.receive.inbox import Inbox
from node.receive.limits import Turnstile
from node.receive.rejections import RejectionLog
from node.receive.services import Counter, Listener, Service
from node.receive.spool_file import own_spool
from node.receive.spooling import EDGE_IN_MEMORY_BYTES, IN_MEMORY_BYTES, Spooling
from node.receive.transport import GuardedRequestHandler, GuardedServer, ServerSettings
from node.tls import ServerTls, server_context

_LOG = logging.getLogger(__name__)

_GOODBYE_S = 5.0
_POLL_S = 0.1
_VERIFICATION = "1.2.840.10008.1.1"  # PS3.4 annex A: C-ECHO
_STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"  # PS3.4 section J.3.5: the Push Model


class Receiver:
    """Listens for associations; `start`, then `stop`.

    `name` (letters, digits, - and _) stays the same over restarts and differs between receivers:
    associations and spool files that a killed receiver of this name left are cleared at the start.
    `commitments` takes the results of storage commitment, `requests` what modalities ask; without
    them none are accepted.
    """

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        engine: Engine,
        trail: Trail,
        *,
        name: str = "receiver",
        commitments: TakeCommitment | None = None,
        requests: CommitmentRequests | None = None,
        services: Sequence[Service] = (),
        listeners: Sequence[Listener] = (),
    ) -> None:
        self._settings = settings
        self._inbox = inbox
        self._engine = engine
        self._trail = trail
        self._associations = AssociationLog(engine, trail, name)
        self._name = name
        self._turnstile = Turnstile(settings.limits)
        self._rejections = RejectionLog(self._associations)
        self._handlers = Handlers(
            settings,
            inbox,
            self._associations,
            self._turnstile,
            self._rejections,
            commitments,
            requests,
            Counter(services, listeners),
        )
        # Where the archive opens the association it is the SCP: PS3.4 section J.3.3, by role
        # selection (PS3.7 section D.3.3.4). A modality that asks us is the SCU, as usual.
        self._roles = (requests is not None, commitments is not None)
        self._server: GuardedServer | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> tuple[str, int]:
        """Clear what a killed predecessor left and listen.

        Returns:
            The host and port that are bound; port 0 in the settings takes a free one.

        Raises:
            ConfigurationError: If the address cannot be bound or TLS cannot be set up.
        """
        node = self._settings.node
        if leftovers := self._associations.close_leftovers():
            _LOG.info("closed %d associations of a killed receiver", leftovers)
        if not node.calling_ae_titles:
            _LOG.warning("node.calling_ae_titles is empty: any calling AE title is admitted")
        try:
            self._server = self._listen()
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {node.host}:{node.port}: {error.strerror}"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="dicom-accept", daemon=True
        )
        # The library collects garbage every few seconds, and all that is loaded by now is none:
        # going through it each time would hold up every association.
        gc.collect()
        gc.freeze()
        self._rejections.start()
        self._thread.start()
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def stop(self, drain_s: float = 30.0) -> None:
        """Admit nobody, finish what runs, say goodbye.

        Args:
            drain_s: Seconds to wait for instances that are being taken over.
        """
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        if not self._handlers.drain(drain_s):
            _LOG.error("instances were still being taken over after %g s", drain_s)
        # Senders are told "out of resources" from here on and mostly release by themselves.
        deadline = time.monotonic() + _GOODBYE_S
        while self._established() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        for association in self._established():
            association.abort()
            association.join(_GOODBYE_S)
        self._rejections.stop()
        self._server = None

    def _established(self) -> list[Association]:
        """The associations over which something may still come; others have never begun."""
        running = self._server.active_associations if self._server else []
        return [association for association in running if association.is_established]

    def _tls(self) -> ServerTls | None:
        """Return the server side of TLS, None where it is not configured."""
        tls = self._settings.tls
        if tls.certificate is None:
            return None

        def make() -> ssl.SSLContext:
            return server_context(tls, tls.ca, mutual=tls.require_client_certificate)

        def renewed(mark: str) -> None:
            with self._engine.begin() as connection:
                facts = {"certificate": mark}
                self._trail.record(connection, "system", "certificate-renewed", "dicom", facts)

        files = (tls.certificate, tls.key, tls.ca, tls.key_password_file)
        return ServerTls("tls", make, files, renewed)

    def _listen(self) -> GuardedServer:
        node, limits = self._settings.node, self._settings.limits
        _config.LOG_HANDLER_LEVEL = "none"  # it would log every message with its UIDs
        entity = ApplicationEntity(node.ae_title)
        entity.maximum_pdu_size = MAXIMUM_PDU_BYTES
        # The turnstile counts; here silent connections would count as associations, too.
        entity.maximum_associations = 2 * limits.maximum_connections
        entity.acse_timeout = limits.request_s  # ARTIM, PS3.8 section 9.1.5
        entity.network_timeout = limits.idle_s
        entity.add_supported_context(_VERIFICATION)
        if any(self._roles):
            scu, scp = self._roles
            entity.add_supported_context(_STORAGE_COMMITMENT, scu_role=scu, scp_role=scp)
        for uid in self._handlers.counter.syntaxes:
            entity.add_supported_context(uid)
        for uid in self._handlers.counter.heard:  # the peer opens the association as the SCP
            entity.add_supported_context(uid, scu_role=False, scp_role=True)
        for uid, name in self._inbox.contexts.storage.items():
            _register(uid, name)
            entity.supported_contexts += [
                build_context(uid, list(self._inbox.contexts.transfer_syntaxes))
            ]
        server = entity.make_server(
            (node.host, node.port),
            evt_handlers=self._handlers.bound(),
            server_class=GuardedServer,
            request_handler=GuardedRequestHandler,
            settings=ServerSettings(
                spooling=Spooling(
                    own_spool(self._inbox.blobs.spool, self._name),
                    self._inbox.room.has_disk,
                    limits.maximum_instance_bytes,
                    EDGE_IN_MEMORY_BYTES if self._handlers.counter.syntaxes else IN_MEMORY_BYTES,
                ),
                take=self._handlers.take,
                on_end=self._handlers.on_end,
                limits=limits,
                turnstile=self._turnstile,
                rejections=self._rejections,
                tls=self._tls(),
                shares_port=node.receivers > 1,
            ),
        )
        return cast("GuardedServer", server)


def _register(uid: str, name: str) -> None:
    """Make pynetdicom treat a retired class as storage; it knows only those in force."""
    if uid_to_service_class(uid) is not StorageServiceClass:
        keyword = "".join(part for part in name.title() if part.isalnum())
        register_uid(uid, keyword, StorageServiceClass)
