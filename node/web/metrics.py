"""Prometheus metrics: what a scrape asks of the database and the disk.

Every figure is read at the scrape from the tables that all processes share, so that one web
process speaks for the whole node and a restart loses no count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, Engine, func, select, text

from node.audit.tables import ChainLink, Delivery, FindingRow, Job, Lease
from node.blobs import BlobStore
from node.database import read_only, server_now

WINDOW = timedelta(hours=24)
QUANTILES = (0.5, 0.95, 0.99)
_UNDER_WAY = ("waiting", "held", "queued", "running", "delivering")
_STAGES = ("to_finding_s", "to_proof_s", "total_s")
_RECENT_FINDINGS = 500


@dataclass(frozen=True)
class NodeCollector(Collector):
    """Answers a scrape."""

    engine: Engine
    blobs: BlobStore

    def collect(self) -> Iterable[Metric]:
        """Return every metric as of now."""
        with read_only(self.engine) as connection:
            found = [
                *_jobs(connection),
                _deliveries(connection),
                _findings(connection),
                _turnaround(connection),
                _stages(connection),
                _executors(connection),
                _chain(connection),
            ]
        disk = GaugeMetricFamily("crdl_disk_free_bytes", "Free on the disk of the blob store.")
        disk.add_metric([], self.blobs.free_bytes())
        return [*found, disk]


def exposition(engine: Engine, blobs: BlobStore) -> bytes:
    """Return the metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(engine, blobs))
    return generate_latest(registry)


def _jobs(connection: Connection) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("crdl_jobs", "Jobs by state.", labels=["state"])
    age = GaugeMetricFamily(
        "crdl_oldest_job_age_seconds",
        "Seconds since the job that is longest in a state changed; 0 without one.",
        labels=["state"],
    )
    now = server_now(connection)
    rows = connection.execute(
        select(Job.state, func.count(), func.min(Job.updated_at)).group_by(Job.state)
    )
    oldest = dict.fromkeys(_UNDER_WAY, 0.0)
    for state, count, since in rows:
        jobs.add_metric([state], count)
        if state in oldest:
            oldest[state] = max((now - since).total_seconds(), 0.0)
    for state, seconds in oldest.items():
        age.add_metric([state], seconds)
    yield jobs
    yield age


def _deliveries(connection: Connection) -> Metric:
    metric = GaugeMetricFamily(
        "crdl_deliveries", "Report objects by destination.", labels=["destination", "state"]
    )
    rows = connection.execute(
        select(Delivery.destination, Delivery.state, func.count()).group_by(
            Delivery.state, Delivery.destination
        )
    )
    for destination, state, count in rows:
        metric.add_metric([destination, state], count)
    return metric


def _findings(connection: Connection) -> Metric:
    metric = GaugeMetricFamily(
        "crdl_findings_last_day",
        "Findings of the last 24 hours; `refusal` is the reason of a refused one.",
        labels=["status", "refusal"],
    )
    rows = connection.execute(
        select(FindingRow.status, func.coalesce(FindingRow.refusal_code, ""), func.count())
        .where(FindingRow.created_at >= server_now(connection) - WINDOW)
        .group_by(FindingRow.status, FindingRow.refusal_code)
    )
    for status, refusal, count in rows:
        metric.add_metric([status, refusal], count)
    return metric


def _turnaround(connection: Connection) -> Metric:
    metric = GaugeMetricFamily(
        "crdl_turnaround_seconds",
        "Of the jobs proven in the last 24 hours: from receipt to finding, to proof, in all.",
        labels=["stage", "quantile"],
    )
    since = (server_now(connection) - WINDOW).strftime("%Y-%m-%d %H:%M:%S")
    rows = connection.execute(
        text(
            "SELECT to_finding_s, to_proof_s, total_s FROM v_turnaround "
            "WHERE received_at >= :since AND total_s IS NOT NULL"
        ),
        {"since": since},
    ).all()
    for place, stage in enumerate(_STAGES):
        _add_quantiles(metric, stage.removesuffix("_s"), [float(row[place]) for row in rows])
    return metric


def _add_quantiles(metric: GaugeMetricFamily, stage: str, seconds: Sequence[float]) -> None:
    if seconds:
        for quantile, value in zip(QUANTILES, np.quantile(seconds, QUANTILES), strict=True):
            metric.add_metric([stage, f"{quantile:g}"], float(value))


def _stages(connection: Connection) -> Metric:
    metric = GaugeMetricFamily(
        "crdl_assessment_stage_seconds",
        f"Mean seconds of each stage of the last {_RECENT_FINDINGS} assessments.",
        labels=["stage", "device"],
    )
    rows = connection.scalars(
        select(FindingRow.finding).order_by(FindingRow.id.desc()).limit(_RECENT_FINDINGS)
    )
    seen: dict[tuple[str, str], list[float]] = {}
    for finding in rows:
        for stage, milliseconds in finding.get("timings_ms", {}).items():
            seen.setdefault((stage, finding["device"]), []).append(milliseconds / 1000)
    for labels, seconds in sorted(seen.items()):
        metric.add_metric(labels, float(np.mean(seconds)))
    return metric


def _executors(connection: Connection) -> Metric:
    metric = GaugeMetricFamily(
        "crdl_executor_silence_seconds",
        "Seconds since a worker or sender gave a sign of life.",
        labels=["executor", "role"],
    )
    now = server_now(connection)
    for lease in connection.execute(select(Lease.executor_id, Lease.role, Lease.beat_at)):
        metric.add_metric([lease.executor_id, lease.role], (now - lease.beat_at).total_seconds())
    return metric


def _chain(connection: Connection) -> Metric:
    metric = GaugeMetricFamily(
        "crdl_audit_chain_position", "Links of the audit chain; it grows while the node works."
    )
    position = connection.scalar(select(func.max(ChainLink.position)))
    metric.add_metric([], position or 0)
    return metric
