"""One frozen Settings value, read from node.toml and overridden by CRDL_SECTION__KEY."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from node.errors import ConfigurationError
from sr_templates.errors import TemplateError
from sr_templates.validation import check_templates

AETitle = str


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address; a name other than localhost may not."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NodeSettings(_Section):
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


class TlsSettings(_Section):
    """`[tls]`: certificate, key and authority as PEM files; empty means plain DICOM."""

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    require_client_certificate: bool = False

    @field_validator("certificate", "key", "ca", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _certificate_comes_with_its_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give tls.certificate and tls.key together")
        if self.require_client_certificate and self.ca is None:
            raise ValueError("tls.require_client_certificate needs tls.ca")
        return self


class DatabaseSettings(_Section):
    """`[database]`: an SQLAlchemy URL; "" is SQLite in the data folder."""

    url: str = ""


class AuditSettings(_Section):
    """`[audit]`: proof of the record.

    `key` is the file of the key that seals every row, the same on all machines of one database;
    without it `<data_dir>/audit.key` is made. `heads` is a file, best on another disk, that gets
    the signed end of the chain, a line each time it has grown, at most once a minute.
    """

    key: Path | None = None
    heads: Path | None = None

    @field_validator("key", "heads", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class SyslogSettings(_Section):
    """`[syslog]`: where the audit goes as DICOM audit messages over TLS; no host, nowhere.

    `ca` proves the collector (empty: the machine's authorities); `certificate` and `key` prove us
    to it. `facility` is RFC 5424's; DICOM's is 10 (PS3.15 section A.6).
    """

    host: str = ""
    port: int = Field(6514, ge=1, le=65535)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    facility: int = Field(10, ge=0, le=23)

    @field_validator("ca", "certificate", "key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _certificate_comes_with_its_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give syslog.certificate and syslog.key together")
        return self


class NotifySettings(_Section):
    """`[notify]`: who is told of what needs a person; no patient's data is in it.

    `webhook` is an http(s) URL that gets JSON; `email_to` gets mail through `smtp_host`, a relay
    that needs no password. `link` is where a person opens the console.
    """

    webhook: str = Field("", pattern=r"^(https?://.+)?$")
    email_to: tuple[str, ...] = ()
    email_from: str = "crdl-node@localhost"
    smtp_host: str = ""
    smtp_port: int = Field(25, ge=1, le=65535)
    link: str = ""

    @model_validator(mode="after")
    def _mail_has_a_relay(self) -> Self:
        if bool(self.email_to) != bool(self.smtp_host):
            raise ValueError("give notify.email_to and notify.smtp_host together")
        return self


class WebSettings(_Section):
    """`[web]`: where the console and DICOMweb listen."""

    host: str = "127.0.0.1"
    port: int = Field(8042, ge=0, le=65535)


class ModelSettings(_Section):
    """`[model]`: which bundle answers, where, and the prevalence it is shifted to.

    `shadow` names a second bundle that scores every case for the audit only. `abstention` is the
    share of wrong classes that is tolerated, 0 to 1: where no single class holds at that share,
    the report gives the probability and no class. Empty means neither.
    """

    bundle: str = "simulated"
    shadow: str = ""
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda|cuda:\d+)$")
    prevalence: float | Literal[""] = ""
    abstention: float | Literal[""] = ""

    @property
    def prior(self) -> float | None:
        """The prevalence to shift to, or None to keep the training prevalence."""
        return None if self.prevalence == "" else self.prevalence

    @property
    def tolerated_error(self) -> float | None:
        """The share of wrong classes above which no class is given, or None to give one always."""
        return None if self.abstention == "" else self.abstention

    @model_validator(mode="after")
    def _shares_are_probabilities(self) -> Self:
        if self.prevalence != "" and not 0 < self.prevalence < 1:
            raise ValueError("model.prevalence must lie between 0 and 1")
        if self.abstention != "" and not 0 < self.abstention < 1:
            raise ValueError("model.abstention must lie between 0 and 1")
        return self


class IntendedUseSettings(_Section):
    """`[intended_use]`: what may be assessed at all.

    `denied_segment_codes` are `scheme:value`; a segment whose category or type is one of them is
    no soft-tissue mass. `body_parts` are Body Part Examined values (PS3.16 Annex L) that are
    eligible, beside images that name none. Without a list of your own the shipped one in
    node/pipeline/intended_use.toml holds; an empty list denies no segment, or no body part.
    """

    denied_segment_codes: tuple[str, ...] | None = None
    body_parts: tuple[str, ...] | None = None
    minimum_age_years: int = Field(0, ge=0)


class PairingSettings(_Section):
    """`[pairing]`: how long to wait, in seconds."""

    grace_s: float = Field(3, ge=0)
    unreferenced_quiet_s: float = Field(20, ge=0)


class RetentionSettings(_Section):
    """`[retention]`: how long to keep, in days."""

    unreferenced_days: int = Field(14, ge=1)
    proven_days: int = Field(90, ge=1)


Companion = Literal["sc", "pdf", "seg", "gsps", "ko"]
"""An object that goes with the SR: Secondary Capture, Encapsulated PDF, hybrid SEG, Grayscale
Softcopy Presentation State, Key Object Selection."""


class ReportSettings(_Section):
    """`[report]`: the form of the Structured Report and its companions.

    `companions` are built for every report; a destination may take fewer or others. `templates`
    is a folder whose TOML files replace or add to those of `sr_templates`. `trend` tells of
    the patient's earlier reports: our own, and those that the first DIMSE destination holds.
    """

    sop_class: Literal["comprehensive3d", "comprehensive"] = "comprehensive3d"
    title: Literal["oncology", "imaging"] = "oncology"
    companions: tuple[Companion, ...] = ("sc",)
    language: str = Field("en", pattern=r"^[a-z]{2}$")
    templates: Path | None = None
    trend: bool = False

    @field_validator("templates", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _templates_hold_together(self) -> Self:
        try:
            check_templates(self.language, self.templates)
        except TemplateError as error:
            raise ValueError(str(error)) from error
        return self


class ReadingSettings(_Section):
    """`[reading]`: radiologists' answers and outcomes that come back.

    `accept` lets an SR with semantic features replace the measured ones. `mllp_port` listens for
    HL7 v2 ORU results over MLLP on `mllp_host`; 0 listens nowhere.
    """

    accept: bool = True
    mllp_host: str = "127.0.0.1"
    mllp_port: int = Field(0, ge=0, le=65535)


class DestinationSettings(_Section):
    """`[[destination]]`: one archive that gets the reports, and how arrival is proven there.

    `companions` overrides `[report] companions` for this destination; `refusals` sends "not
    assessed" reports there; `reject_superseded` sends an IOCM rejection note for what a new
    report supersedes.
    """

    name: str = Field(min_length=1)
    protocol: Literal["dimse", "dicomweb"] = "dimse"
    ae_title: str = ""
    host: str = ""
    port: int = Field(0, ge=0, le=65535)
    url: str = ""
    verify: Literal["query", "commitment", "none"] = "query"
    companions: tuple[Companion, ...] | None = None
    refusals: bool = True
    reject_superseded: bool = False

    @model_validator(mode="after")
    def _address_fits_the_protocol(self) -> Self:
        if self.protocol == "dimse" and not (self.ae_title and self.host and self.port):
            raise ValueError(f"destination {self.name!r} needs ae_title, host and port")
        if self.protocol == "dicomweb" and not self.url.startswith(("http://", "https://")):
            raise ValueError(f"destination {self.name!r} needs an http(s) url")
        if self.protocol == "dicomweb" and self.verify == "commitment":
            raise ValueError(f"destination {self.name!r}: DICOMweb is verified by query")
        return self


class Settings(BaseSettings):
    """Everything that can be configured; frozen, passed in, never a global."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="CRDL_", env_nested_delimiter="__"
    )
    _toml: ClassVar[Path | None] = None

    node: NodeSettings = NodeSettings()
    tls: TlsSettings = TlsSettings()
    database: DatabaseSettings = DatabaseSettings()
    audit: AuditSettings = AuditSettings()
    syslog: SyslogSettings = SyslogSettings()
    notify: NotifySettings = NotifySettings()
    web: WebSettings = WebSettings()
    model: ModelSettings = ModelSettings()
    intended_use: IntendedUseSettings = IntendedUseSettings()
    pairing: PairingSettings = PairingSettings()
    retention: RetentionSettings = RetentionSettings()
    report: ReportSettings = ReportSettings()
    reading: ReadingSettings = ReadingSettings()
    destination: tuple[DestinationSettings, ...] = ()

    @model_validator(mode="after")
    def _destinations_have_different_names(self) -> Self:
        names = [destination.name for destination in self.destination]
        if len(set(names)) != len(names):
            raise ValueError("two destinations have the same name")
        return self

    @property
    def database_url(self) -> str:
        """The URL as configured, or SQLite in the data folder."""
        return self.database.url or f"sqlite:///{self.node.data_dir / 'node.db'}"

    @property
    def audit_key(self) -> Path:
        """The key file as configured, or in the data folder."""
        return self.audit.key or self.node.data_dir / "audit.key"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, then the file."""
        del dotenv_settings, file_secret_settings
        file = TomlConfigSettingsSource(settings_cls, toml_file=cls._toml)
        return (init_settings, env_settings, file)


def load_settings(path: Path | None = None, **overrides: Any) -> Settings:  # noqa: ANN401 - sections
    """Read the settings from a TOML file, the environment and explicit overrides.

    Args:
        path: node.toml; None reads `node.toml` in the working folder if it is there.
        overrides: Whole sections, which win over everything.

    Raises:
        ConfigurationError: If the file is missing, no TOML, or a value does not fit.
    """
    if path is None and Path("node.toml").is_file():
        path = Path("node.toml")
    if path is not None and not path.is_file():
        raise ConfigurationError(f"no configuration file at {path}")
    reader = type("FileSettings", (Settings,), {"_toml": path})
    try:
        settings: Settings = reader(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ConfigurationError(f"{path or 'settings'}: {where}: {first['msg']}") from error
    except ValueError as error:  # tomllib.TOMLDecodeError
        raise ConfigurationError(f"{path}: {error}") from error
    return settings
