"""One frozen Settings value, read from node.toml and overridden by CRDL_SECTION__KEY."""

from node.config.access import OidcSettings
from node.config.assessment import IntendedUseSettings, ModelSettings, PairingSettings
from node.config.limits import LimitSettings
from node.config.network import NodeSettings, TlsPeerSettings, TlsSettings, WebSettings
from node.config.record import (
    AuditSettings,
    BackupSettings,
    DatabaseSettings,
    NotifySettings,
    RetentionSettings,
    SyslogSettings,
)
from node.config.reporting import Companion, DestinationSettings, ReadingSettings, ReportSettings
from node.config.scale import BlobSettings, WorkerSettings
from node.config.section import is_loopback
from node.config.settings import Settings, load_settings
from node.config.telemetry import LogSettings, TelemetrySettings
from node.config.workflow import RulesSettings, SourceSettings, WorklistSettings

__all__ = [
    "AuditSettings",
    "BackupSettings",
    "BlobSettings",
    "Companion",
    "DatabaseSettings",
    "DestinationSettings",
    "IntendedUseSettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "NodeSettings",
    "NotifySettings",
    "OidcSettings",
    "PairingSettings",
    "ReadingSettings",
    "ReportSettings",
    "RetentionSettings",
    "RulesSettings",
    "Settings",
    "SourceSettings",
    "SyslogSettings",
    "TelemetrySettings",
    "TlsPeerSettings",
    "TlsSettings",
    "WebSettings",
    "WorkerSettings",
    "WorklistSettings",
    "is_loopback",
    "load_settings",
]
