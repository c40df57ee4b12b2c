"""Who we are on the network, and who may talk to us."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from node.config.section import OptionalPath, Section


class NodeSettings(Section):
    """`[node]`: who we are on the DICOM network and where our files lie.

    An empty `calling_ae_titles` admits any non-blank calling AE title.
    """

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
    """`[web]`: where the console and DICOMweb listen."""

    host: str = "127.0.0.1"
    port: int = Field(8042, ge=0, le=65535)
