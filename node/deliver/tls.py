"""The client side of TLS (PS3.15 annex B): one context for DICOM and for DICOMweb."""

from __future__ import annotations

import ssl

from node import tls as profile
from node.config import TlsSettings
from node.errors import ConfigurationError


def client_context(tls: TlsSettings) -> ssl.SSLContext | None:
    """Return the context to reach a peer with, or None where neither certificate nor ca is set.

    The peer's certificate and host name are always verified: against `tls.ca`, or against the
    system's authorities where only our own certificate is configured.

    Raises:
        ConfigurationError: If a PEM file cannot be loaded.
    """
    if tls.ca is None and tls.certificate is None:
        return None
    try:
        return profile.client_context(tls, tls.ca)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"[tls] cannot be loaded: {error}") from error
