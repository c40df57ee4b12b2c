"""Who we are on the network, and who may talk to us."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from node.config.section import OptionalPath, Section


class NodeSettings(Section):
    """`[node]`: who we are on the DICOM network and where our files lie.

    An empty `calling_ae_titles` admits any non-blank calling AE title. `name` tells this process
    from all others that share its database, and stays its own over restarts: what it had begun, it
    then resumes at once. Without a name it is named for its machine and process number.
    """

    name: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9_.-]*$")
    ae_title: str = Field("CRDL", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: int = Field(11112, ge=0, le=65535)
    data_dir: Path = Path("data")
    calling_ae_titles: tuple[str, ...] = ()
    allow_blank_calling_ae: bool = False
    minimum_free_mib: int = Field(512, ge=0)
    maximum_backlog: int = Field(100_000, ge=1)
    accept_deflated: bool = False


class TlsSettings(Section):
    """`[tls]`: certificate, key and authority as PEM files; empty means plain DICOM."""

    certificate: OptionalPath = None
    key: OptionalPath = None
    ca: OptionalPath = None
    require_client_certificate: bool = False

    @model_validator(mode="after")
    def _certificate_comes_with_its_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give tls.certificate and tls.key together")
        if self.require_client_certificate and self.ca is None:
            raise ValueError("tls.require_client_certificate needs tls.ca")
        return self


class WebSettings(Section):
    """`[web]`: where the console and DICOMweb listen, and how long a login lasts.

    Beyond the loopback only with users (`crdl users add`) or `[oidc]`. `public_url` is what people
    type; with https, also behind a proxy, cookies are marked secure. A login ends after
    `idle_minutes` without a request, and after `session_hours` in all. `requests_per_minute` is
    what one person, token or unknown address may ask; 0 sets no limit.
    """

    host: str = "127.0.0.1"
    port: int = Field(8042, ge=0, le=65535)
    public_url: str = Field("", pattern=r"^(https?://[^/]+/?)?$")
    idle_minutes: int = Field(30, ge=1, le=1440)
    session_hours: int = Field(12, ge=1, le=168)
    requests_per_minute: int = Field(6000, ge=0)

    @model_validator(mode="after")
    def _a_login_may_be_idle_within_its_life(self) -> Self:
        if self.idle_minutes > 60 * self.session_hours:
            raise ValueError("web.idle_minutes is longer than web.session_hours")
        return self
