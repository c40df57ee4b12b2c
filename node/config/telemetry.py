"""What operators see of a running node beside metrics: log lines and traces."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from node.config.section import OptionalPath, Section


class LogSettings(Section):
    """`[log]`: the form of the log lines on stderr, and from which level on.

    Above `debug` a study stands there as a pseudonym (`crdl audit pseudonym`), and no text that
    may hold a patient's data.
    """

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class TelemetrySettings(Section):
    """`[telemetry]`: where traces go as OTLP over HTTP; no endpoint, nowhere.

    `endpoint` is the whole URL (`http://127.0.0.1:4318/v1/traces`). `ca` proves the collector
    (empty: the usual authorities); `certificate` and `key` prove us to it. Needs the extra
    `crdl-node[telemetry]`.
    """

    endpoint: str = Field("", pattern=r"^(https?://.+)?$")
    service: str = Field("crdl-node", min_length=1)
    ca: OptionalPath = None
    certificate: OptionalPath = None
    key: OptionalPath = None

    @model_validator(mode="after")
    def _certificate_comes_with_its_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("give telemetry.certificate and telemetry.key together")
        return self
