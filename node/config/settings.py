"""One frozen Settings value, read from node.toml and overridden by CRDL_SECTION__KEY."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from node.config.access import OidcSettings
from node.config.assessment import IntendedUseSettings, ModelSettings, PairingSettings
from node.config.limits import LimitSettings
from node.config.network import NodeSettings, TlsSettings, WebSettings
from node.config.record import (
    AuditSettings,
    BackupSettings,
    DatabaseSettings,
    NotifySettings,
    RetentionSettings,
    SyslogSettings,
)
from node.config.reporting import DestinationSettings, ReadingSettings, ReportSettings
from node.config.scale import BlobSettings, WorkerSettings
from node.config.telemetry import LogSettings, TelemetrySettings
from node.config.workflow import RulesSettings, SourceSettings, WorklistSettings
from node.errors import ConfigurationError


class Settings(BaseSettings):
    """Everything that can be configured; frozen, passed in, never a global."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="CRDL_", env_nested_delimiter="__"
    )
    _toml: ClassVar[Path | None] = None

    node: NodeSettings = NodeSettings()
    limits: LimitSettings = LimitSettings()
    tls: TlsSettings = TlsSettings()
    database: DatabaseSettings = DatabaseSettings()
    blobs: BlobSettings = BlobSettings()
    audit: AuditSettings = AuditSettings()
    backup: BackupSettings = BackupSettings()
    syslog: SyslogSettings = SyslogSettings()
    notify: NotifySettings = NotifySettings()
    web: WebSettings = WebSettings()
    oidc: OidcSettings = OidcSettings()
    log: LogSettings = LogSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    worker: WorkerSettings = WorkerSettings()
    model: ModelSettings = ModelSettings()
    intended_use: IntendedUseSettings = IntendedUseSettings()
    pairing: PairingSettings = PairingSettings()
    retention: RetentionSettings = RetentionSettings()
    report: ReportSettings = ReportSettings()
    reading: ReadingSettings = ReadingSettings()
    destination: tuple[DestinationSettings, ...] = ()
    source: tuple[SourceSettings, ...] = ()
    rules: RulesSettings = RulesSettings()
    worklist: WorklistSettings = WorklistSettings()

    @model_validator(mode="after")
    def _destinations_and_sources_have_different_names(self) -> Self:
        for kind, entries in (("destinations", self.destination), ("sources", self.source)):
            names = [entry.name for entry in entries]
            if len(set(names)) != len(names):
                raise ValueError(f"two {kind} have the same name")
        return self

    @model_validator(mode="after")
    def _a_provider_knows_where_to_send_people_back(self) -> Self:
        if self.oidc.issuer and not self.web.public_url:
            raise ValueError("[oidc] needs web.public_url: the provider sends people back there")
        return self

    @property
    def database_url(self) -> str:
        """The URL as configured, or SQLite in the data folder.

        Raises:
            ConfigurationError: If `database.url_file` cannot be read.
        """
        file = self.database.url_file
        if file is not None:
            try:
                return file.read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(f"database.url_file cannot be read: {file}") from error
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
