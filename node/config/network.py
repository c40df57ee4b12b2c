"""Who we are on the network, and who may talk to us."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from node.config.section import OptionalPath, Section

PeerAddress = Annotated[
    str, StringConstraints(pattern=r"^[^@\\]{1,16}@(\[[^\]]+\]|[^:@\s]+):\d{1,5}$")
]
"""`AE@HOST:PORT`."""


class NodeSettings(Section):
    """`[node]`: who we are on the DICOM network and where our files lie.

    An empty `calling_ae_titles` admits any non-blank calling AE title. `name` tells this process
    from all others that share its database, and stays its own over restarts: what it had begun, it
    then resumes at once. Without a name it is named for its machine and process number.

    `receivers` processes share the port: for machines with more cores than one receiver uses.
    Each has the `[limits]` for itself.

    `storage_commitment` tells modalities whether they may delete: yes only for what an archive
    destination has. `commitment_peers` are modalities (`AE@HOST:PORT`) that are told on an
    association of ours.
    """

    name: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9_.-]*$")
    ae_title: str = Field("CRDL", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: int = Field(11112, ge=0, le=65535)
    receivers: int = Field(1, ge=1, le=64)
    data_dir: Path = Path("data")
    calling_ae_titles: tuple[str, ...] = ()
    allow_blank_calling_ae: bool = False
    minimum_free_mib: int = Field(512, ge=0)
    maximum_backlog: int = Field(100_000, ge=1)
    accept_deflated: bool = False
    storage_commitment: bool = False
    commitment_peers: tuple[PeerAddress, ...] = ()


class TlsPeerSettings(Section):
    """A peer of `[tls] peers`: whose certificate may open an association, under which title.

    `certificate` is `sha256:` with the hexadecimal fingerprint, or the subject as RFC 4514 writes
    it (`openssl x509 -subject -nameopt RFC2253`). An empty `ae_title` is any that `[node]` admits.
    """

    certificate: str = Field(min_length=1)
    ae_title: str = Field("", max_length=16)

    @field_validator("certificate")
    @classmethod
    def _fingerprint_or_subject(cls, value: str) -> str:
        if not value.lower().startswith("sha256:"):
            if "=" not in value:
                raise ValueError("give sha256:FINGERPRINT or a subject like CN=NAME")
            return value
        digits = value[7:].replace(":", "").lower()
        if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
            raise ValueError("a SHA-256 fingerprint has 64 hexadecimal digits")
        return f"sha256:{digits}"


class TlsSettings(Section):
    """`[tls]`: certificate, key and authority as PEM files; empty means plain DICOM.

    `key_password_file` holds the password of an encrypted key. `peers` are the only certificates
    that may open an association; none listed, any that `ca` has signed. Files that change are
    taken over without a restart.
    """

    certificate: OptionalPath = None
    key: OptionalPath = None
    key_password_file: OptionalPath = None
    ca: OptionalPath = None
    require_client_certificate: bool = False
    peers: tuple[TlsPeerSettings, ...] = ()

    @model_validator(mode="after")
    def _certificate_comes_with_its_key(self) -> Self:
        _require_both(self.certificate, self.key, "tls")
        if self.require_client_certificate and self.ca is None:
            raise ValueError("tls.require_client_certificate needs tls.ca")
        if self.peers and not self.require_client_certificate:
            raise ValueError("tls.peers needs tls.require_client_certificate")
        return self


class WebSettings(Section):
    """`[web]`: where the console and DICOMweb listen, and how long a login lasts.

    Beyond the loopback only with users (`crdl users add`) or `[oidc]`. `public_url` is what people
    type; with https, also behind a proxy, cookies are marked secure. A login ends after
    `idle_minutes` without a request, and after `session_hours` in all. `requests_per_minute` is
    what one person, token or unknown address may ask; 0 sets no limit. With `certificate` and
    `key` the node itself speaks HTTPS; changed files are taken over without a restart.
    """

    host: str = "127.0.0.1"
    port: int = Field(8042, ge=0, le=65535)
    public_url: str = Field("", pattern=r"^(https?://[^/]+/?)?$")
    idle_minutes: int = Field(30, ge=1, le=1440)
    session_hours: int = Field(12, ge=1, le=168)
    requests_per_minute: int = Field(6000, ge=0)
    certificate: OptionalPath = None
    key: OptionalPath = None
    key_password_file: OptionalPath = None

    @model_validator(mode="after")
    def _a_login_may_be_idle_within_its_life(self) -> Self:
        if self.idle_minutes > 60 * self.session_hours:
            raise ValueError("web.idle_minutes is longer than web.session_hours")
        return self

    @model_validator(mode="after")
    def _certificate_comes_with_its_key(self) -> Self:
        _require_both(self.certificate, self.key, "web")
        return self


def _require_both(certificate: Path | None, key: Path | None, section: str) -> None:
    if (certificate is None) != (key is None):
        raise ValueError(f"give {section}.certificate and {section}.key together")
