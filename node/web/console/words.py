"""How values are written on the pages: times, durations, shares, names, sizes. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from sr_templates.features import features

NONE: Final = "\u2013"
"""What stands where nothing is known: an en dash."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400

SAID: Final = {
    "retried": "The job goes on.",
    "cancelled": "The job is stopped. It can be retried.",
    "assigned": "The image is assigned; the case is paired again.",
    "read": "The reading is kept. The case is assessed again, and a new report supersedes.",
    "withdrawn": "The report is withdrawn everywhere it went.",
    "activated": "The bundle has its role from the next case on.",
    "deactivated": "node.toml says again which bundle has this role.",
    "saved": "The question is kept.",
    "forgotten": "The question is removed.",
    "proving": "The record is being proven; the result appears here.",
    "busy": "A proof is under way already.",
}
"""What a page says after an act, by the word in its address: never text from the address itself."""


def when(value: datetime | str | None) -> str:
    """Return a time as 2026-01-31 08:30:00 (UTC)."""
    moment = _moment(value)
    return NONE if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def exactly(value: datetime | str | None) -> str:
    """Return a time with milliseconds."""
    moment = _moment(value)
    return NONE if moment is None else moment.isoformat(" ", "milliseconds")[:23]


def clock(value: datetime | str | None) -> str:
    """Return the time of day with milliseconds."""
    moment = _moment(value)
    return NONE if moment is None else moment.time().isoformat("milliseconds")


def iso(value: datetime | str | None) -> str:
    """Return a time for a machine (HTML's `datetime`)."""
    moment = _moment(value)
    return "" if moment is None else moment.isoformat()


def duration(seconds: float | None) -> str:
    """Return a duration in the two units that matter: 12 ms, 3.4 s, 2 min 5 s, 3 h 20 min, 4 d."""
    if seconds is None:
        return NONE
    if seconds < _MINUTE:
        return _short(seconds)
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < 2 * _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d"


def _short(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share of 0 to 1 in per cent."""
    return NONE if share is None else f"{100 * share:.{digits}f} %"


def day(value: str) -> str:
    """Return a DICOM date (VR DA) as 2026-01-31; what is none stays as it is."""
    if len(value) == 8 and value.isdecimal():
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value or NONE


def person_name(value: str) -> str:
    """Return a DICOM name (VR PN) as Doe, Jane; of its groups the first that is there."""
    groups = [group for group in value.split("=") if group.strip("^ ")]
    if not groups:
        return ""
    family, _, rest = groups[0].partition("^")
    given = " ".join(filter(None, rest.split("^")[:2]))
    return f"{family}, {given}" if family and given else family or given


def size(count: float) -> str:
    """Return a number of bytes as 12 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def short(value: str, letters: int = 12) -> str:
    """Return the beginning of a hash or the end of a UID, with an ellipsis."""
    if len(value) <= letters:
        return value
    return f"…{value[-letters:]}" if "." in value else f"{value[:letters]}…"


def feature_value(semantic: Any) -> str:  # noqa: ANN401 - a finding's JSON
    """Return a semantic feature's value with its unit."""
    value, unit = semantic.get("value"), semantic.get("unit", "")
    if value is None:
        return "not assessed"
    text = f"{value:.1f}" if isinstance(value, float) else str(value)
    return f"{text} {unit}".strip()


def semantic_features(finding: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - a finding's JSON
    """Return label and finding of each semantic feature, in the order of the report."""
    found = finding.get("semantic", {})
    return [(one.label, found[one.name]) for one in features() if one.name in found]


def _moment(value: datetime | str | None) -> datetime | None:
    if not value:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "when": when,
    "exactly": exactly,
    "clock": clock,
    "iso": iso,
    "duration": duration,
    "percent": percent,
    "day": day,
    "person_name": person_name,
    "size": size,
    "short": short,
    "feature_value": feature_value,
    "features": semantic_features,
}
