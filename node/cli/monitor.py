"""`crdl models monitor`: how the bundle does on what came back, and whether its inputs drift."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from node.audit import schema
from node.cli.output import ConfigOption, JsonOption, print_json, print_rows
from node.config import load_settings
from node.database import open_engine
from node.errors import InputError

if TYPE_CHECKING:
    from models.study.monitor import Monitoring
    from models.study.results import Estimate, Share

_DRIFT_ROWS = 15


def monitor(
    since: Annotated[str, typer.Option(help="Findings from this date on, YYYY-MM-DD.")] = "",
    bundle: Annotated[
        str, typer.Option(help="SHA-256 of the bundle; without it, that of the latest finding.")
    ] = "",
    pathology_only: Annotated[
        bool, typer.Option("--pathology-only", help="Leave out what verified reports said.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for monitor.json and a PNG.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch the serving bundle: rolling AUC, calibration, drift of inputs, refusals."""
    start = _since(since)
    from models.study.monitor import monitor as judge  # noqa: PLC0415 - statsmodels on demand
    from node.jobs.monitoring import monitored_cases, training_reference  # noqa: PLC0415

    settings = load_settings(config)
    database = open_engine(settings.database_url)
    schema.upgrade(database)
    kinds = ("pathology",) if pathology_only else ("pathology", "verified-sr")
    sha256, cases = monitored_cases(database, start, bundle, kinds)
    name, reference = training_reference(sha256, [settings.model.bundle, *_activated(database)])
    judged = judge(cases, reference)
    if not reference and cases:
        note = "the bundle that answered is not here any more: drift is not known"
        judged = dataclasses.replace(judged, notes=(*judged.notes, note))
    shown = {"bundle": {"name": name, "sha256": sha256}, **_plain(dataclasses.asdict(judged))}
    if out is not None:
        from models.study.monitor_figure import draw  # noqa: PLC0415

        out.mkdir(parents=True, exist_ok=True)
        (out / "monitor.json").write_text(json.dumps(shown, indent=2) + "\n", "utf-8")
        draw(judged, out / "monitor.png")
    if as_json:
        print_json(shown)
        return
    _print(name or sha256[:12] or "no bundle", judged)


def _since(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(f"--since is a date such as 2026-01-31, not {text!r}") from error


def _activated(database: Any) -> list[str]:  # noqa: ANN401 - an SQLAlchemy engine
    from sqlalchemy import select  # noqa: PLC0415

    from node.audit.tables import Activation  # noqa: PLC0415
    from node.database import read_only  # noqa: PLC0415

    with read_only(database) as connection:
        return list(connection.scalars(select(Activation.bundle).distinct()))


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return values that JSON knows: what is not finite is null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(name: str, judged: Monitoring) -> None:
    rows = [
        ("cases", str(judged.cases)),
        ("a month", ", ".join(f"{month}: {count}" for month, count in judged.months.items())),
        ("refused", _share(judged.refused)),
        ("no class given", _share(judged.abstained)),
        ("outside the training data", _share(judged.novel)),
        ("with an outcome", _share(judged.with_outcome)),
        ("outcomes", ", ".join(f"{n} {kind}" for kind, n in judged.outcomes_by_kind.items())),
        ("malignant", str(judged.malignant)),
        ("AUC", _estimate(judged.auc)),
        ("sensitivity", _share(judged.sensitivity)),
        ("specificity", _share(judged.specificity)),
        ("mean probability, observed share", _pair(judged.mean_probability, judged.observed)),
        ("calibration intercept (0)", _estimate(judged.intercept)),
        ("calibration slope (1)", _estimate(judged.slope)),
    ]
    print_rows(
        [{"what": what, "value": value} for what, value in rows],
        ("what", "value"),
        as_json=False,
        title=f"bundle {name}",
    )
    if judged.windows:
        print_rows(
            [
                {
                    "from": w.first[:10],
                    "to": w.last[:10],
                    "outcomes": w.outcomes,
                    "malignant": w.malignant,
                    "AUC": _estimate(w.auc),
                }
                for w in judged.windows
            ],
            ("from", "to", "outcomes", "malignant", "AUC"),
            as_json=False,
            title="rolling",
        )
    if judged.drift:
        print_rows(
            [
                {
                    "feature": row.feature,
                    "difference (SD)": f"{row.difference:+.2f}",
                    "spread": f"{row.spread:.2f}",
                    "cases": row.cases,
                    "": "drifts" if row.notable else "",
                }
                for row in judged.drift[:_DRIFT_ROWS]
            ],
            ("feature", "difference (SD)", "spread", "cases", ""),
            as_json=False,
            title="inputs against training",
        )
    for note in judged.notes:
        Console().print(note)


def _share(share: Share | None) -> str:
    if share is None or not share.denominator:
        return "not known"
    low, high = share.interval
    counts = f"{share.numerator}/{share.denominator}"
    return f"{100 * share.value:.1f} % ({counts}; 95 % {100 * low:.1f} to {100 * high:.1f})"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not known"
    if estimate.interval is None:
        return f"{estimate.value:.2f} ({estimate.method})"
    return f"{estimate.value:.2f} (95 % {estimate.interval[0]:.2f} to {estimate.interval[1]:.2f})"


def _pair(predicted: float | None, observed: float | None) -> str:
    if predicted is None or observed is None:
        return "not known"
    return f"{100 * predicted:.1f} %, {100 * observed:.1f} %"
