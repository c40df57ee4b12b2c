"""TLS as BCP 195 asks (RFC 8996 and 9325), and server certificates that can be renewed in place.

PS3.15 section B.12, "BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile". Only cipher
suites with ephemeral keys and authenticated encryption are offered, so what section B.13, the
Modified profile, forbids is not there either.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Final, Protocol
from weakref import WeakSet

from node.errors import ConfigurationError

_LOG = logging.getLogger(__name__)

CIPHERS: Final = (  # RFC 9325 section 4.2; those of TLS 1.3 are always on
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
)
_LOOK_S = 1.0


class Files(Protocol):
    """The PEM files of one side, as sections of the configuration name them."""

    @property
    def certificate(self) -> Path | None:
        """Ours, with its chain."""

    @property
    def key(self) -> Path | None:
        """The private key."""

    @property
    def key_password_file(self) -> Path | None:
        """The file that holds the key's password."""


def apply_profile(context: ssl.SSLContext) -> None:
    """Restrict a context to the profile."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION  # RFC 9325 section 3.3, 3.5


def load_own(context: ssl.SSLContext, files: Files) -> None:
    """Load certificate and key.

    Raises:
        OSError: If a file is missing or no PEM of its kind (`ssl.SSLError` is one), or the key
            is encrypted and its password is not known.
    """
    if files.certificate is None:
        return

    def password() -> str:
        if files.key_password_file is None:
            raise OSError("the key is encrypted and key_password_file is not set")
        return files.key_password_file.read_text("utf-8").strip()

    context.load_cert_chain(files.certificate, files.key, password)


def client_context(files: Files, ca: Path | None) -> ssl.SSLContext:
    """Make the client side: the peer's certificate and name are verified.

    Args:
        files: Ours, where the peer wants to know who we are.
        ca: The authority of the peer; None takes the system's.

    Raises:
        OSError: If a file cannot be loaded.
    """
    context = ssl.create_default_context(cafile=ca)
    apply_profile(context)
    load_own(context, files)
    return context


def server_context(files: Files, ca: Path | None = None, *, mutual: bool = False) -> ssl.SSLContext:
    """Make the server side.

    Args:
        files: Our certificate and key.
        ca: The authority of clients' certificates.
        mutual: Whether a client needs one.

    Raises:
        OSError: If a file cannot be loaded.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    apply_profile(context)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    load_own(context, files)
    if ca is not None:
        context.load_verify_locations(ca)
        # Who shows a certificate has to show a good one, also where none is required.
        context.verify_mode = ssl.CERT_REQUIRED if mutual else ssl.CERT_OPTIONAL
    return context


def fingerprint(der: bytes) -> str:
    """Return a certificate's SHA-256 as configurations write it."""
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def fingerprint_of(certificate: Path) -> str:
    """Return the fingerprint of the first certificate in a PEM file."""
    pem = certificate.read_text("ascii")
    end = "-----END CERTIFICATE-----"
    return fingerprint(ssl.PEM_cert_to_DER_cert(pem[: pem.index(end) + len(end)]))


class ServerTls:
    """The server's context, made anew when its files change; connections that are open go on.

    `make` makes a context from `files`. A new file that cannot be used is reported once and the
    old context stays. `renewed` is called, in a thread of its own, with the fingerprint of the new
    certificate.
    """

    _all: ClassVar[WeakSet[ServerTls]] = WeakSet()

    def __init__(
        self,
        name: str,
        make: Callable[[], ssl.SSLContext],
        files: Sequence[Path | None],
        renewed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._make = make
        self._files = [file for file in files if file is not None]
        self._renewed = renewed
        self._lock = threading.Lock()
        self._looked_at = time.monotonic()
        self._seen = self._stamps()
        try:
            self._context = make()
        except OSError as error:
            raise ConfigurationError(
                f"{name}: cannot load certificate, key or ca: {_reason(error)}"
            ) from error
        self._all.add(self)

    @classmethod
    def reload_all(cls) -> None:
        """Look at the files of every server of this process now; a signal asks for it."""
        for one in tuple(cls._all):
            one.look()

    @property
    def context(self) -> ssl.SSLContext:
        """The present context; looks at the files once a second at most."""
        if time.monotonic() - self._looked_at > _LOOK_S:
            self.look()
        return self._context

    def look(self) -> None:
        """Take over what has changed."""
        with self._lock:
            self._looked_at = time.monotonic()
            stamps = self._stamps()
            if stamps == self._seen:
                return
            self._seen = stamps
            try:
                self._context = self._make()
                mark = fingerprint_of(self._files[0])
            except (OSError, ValueError) as error:
                _LOG.error("%s: the old certificate stays: %s", self._name, _reason(error))
                return
        _LOG.info("%s: the certificate was renewed: %s", self._name, mark)
        threading.Thread(target=self._renewed, args=(mark,), daemon=True).start()

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(file) for file in self._files)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _reason(error: Exception) -> str:
    """What OpenSSL says without its source lines; never what a file holds."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not understood").lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def days_left(certificate: Path) -> int:
    """Return the days until a certificate ends; negative, if it has ended."""
    from cryptography.x509 import load_pem_x509_certificate  # noqa: PLC0415 - only with TLS

    until = load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    return (until - datetime.now(UTC)).days
