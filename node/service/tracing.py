"""Traces on their way to an OpenTelemetry collector: at least once, and never in a stage's way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import Engine

from node.audit.follow import end_of, move, place_of, read
from node.audit.pseudonym import Pseudonyms
from node.config import TelemetrySettings
from node.database import read_only
from node.errors import ConfigurationError, DeliveryError
from node.service.background import Routine
from node.service.compose import Foundation
from node.service.traces import OUTCOMES, Span, trace_of

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

_BATCH: Final = 500
_PASS_S: Final = 5.0
_TIMEOUT_S: Final = 10.0
_NAME: Final = "traces"


@dataclass
class Tracer:
    """Reads along the chain and sends the trace of every job that has come to an outcome.

    The first time it begins at the end of the chain: what was before is history.
    """

    database: Engine
    pseudonyms: Pseudonyms
    settings: TelemetrySettings
    instance: str
    _exporter: OTLPSpanExporter = field(init=False)
    _resource: Resource = field(init=False)

    def __post_init__(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        except ImportError as error:
            raise ConfigurationError(
                "[telemetry] needs opentelemetry: pip install 'crdl-node[telemetry]'"
            ) from error
        files = (self.settings.ca, self.settings.key, self.settings.certificate)
        ca, key, certificate = (None if one is None else str(one) for one in files)
        self._exporter = trace_exporter.OTLPSpanExporter(
            self.settings.endpoint, ca, key, certificate, timeout=_TIMEOUT_S
        )
        told = {"service.name": self.settings.service, "service.instance.id": self.instance}
        self._resource = Resource.create(told)

    def advance(self) -> int:
        """Send what is chained and not sent; return how many spans that was.

        Raises:
            DeliveryError: The collector does not take them; call again later.
        """
        sent = 0
        while True:
            with read_only(self.database) as connection:
                place = place_of(connection, _NAME)
                rows, after = (
                    ([], end_of(connection)) if place is None else (read(connection, place, _BATCH))
                )
                spans = [
                    span
                    for row in rows
                    if row["ledger"] == "job" and row["event"] in OUTCOMES
                    for span in trace_of(connection, row, self.pseudonyms)
                ]
            if after == place:
                return sent
            if spans:
                self._send(spans)
            with self.database.begin() as connection:
                move(connection, _NAME, after)
            sent += len(spans)

    def _send(self, spans: Sequence[Span]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415

        made = [readable(span, self._resource) for span in spans]
        if self._exporter.export(made) is not SpanExportResult.SUCCESS:
            raise DeliveryError(f"{self.settings.endpoint} does not take traces")

    def close(self) -> None:
        """Let go of the collector."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """Return a span as OpenTelemetry's exporters read it."""
    from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415 - an optional extra
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags  # noqa: PLC0415
    from opentelemetry.trace.status import Status, StatusCode  # noqa: PLC0415

    def context(number: str) -> SpanContext:
        sampled = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(
            int(span.trace, 16), int(number, 16), is_remote=False, trace_flags=sampled
        )

    return ReadableSpan(
        span.name,
        context(span.id),
        context(span.parent) if span.parent else None,
        resource,
        span.attributes,
        kind=SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
        start_time=_nanoseconds(span.start),
        end_time=_nanoseconds(span.end),
        instrumentation_scope=InstrumentationScope("node"),
    )


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000


def start_tracing(foundation: Foundation) -> Callable[[], None]:
    """Send traces in the background, if a collector is configured; return what stops it."""
    settings = foundation.settings
    if not settings.telemetry.endpoint:
        return lambda: None
    tracer = Tracer(
        foundation.database,
        Pseudonyms(foundation.sealer),
        settings.telemetry,
        settings.node.ae_title,
    )
    stop = Routine("traces", tracer.advance, _PASS_S, (DeliveryError,), is_last_made=True).start()

    def finish() -> None:
        stop()
        tracer.close()

    return finish
