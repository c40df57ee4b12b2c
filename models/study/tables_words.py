"""The words of the clinical tables, from tables_words.toml, and how they write numbers."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from models.study.results import Estimate, Share, Table

NONE = "\N{EN DASH}"


@cache
def _all() -> dict[str, Any]:
    text = files("models.study").joinpath("tables_words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def word(name: str, section: str = "words") -> str:
    """Return a word; names of groups and families that are not ours stay as they are."""
    own = _all()[section]
    return str(own[name] if section == "words" else own.get(name, name))


def feature_title(name: str) -> str:
    """Return what a person calls a clinical feature, with its unit."""
    entry = _all()["features"].get(name, {})
    title = entry.get("title", name.removeprefix("clinical_"))
    return f"{title}, {entry['unit']}" if "unit" in entry else str(title)


def feature_unit(name: str) -> str:
    """Return the unit of a measured clinical feature, or ""."""
    return str(_all()["features"].get(name, {}).get("unit", ""))


def feature_levels(name: str) -> tuple[str, str]:
    """Return what 0 and 1 of a clinical feature mean."""
    low, high = _all()["features"].get(name, {}).get("levels", ("0", "1"))
    return low, high


def is_from_header(name: str) -> bool:
    """Whether a clinical feature is the patient's and not looked for in the image."""
    return bool(_all()["features"].get(name, {}).get("from_header", False))


def table(
    name: str, rows: Iterable[tuple[str, ...]], columns: tuple[str, ...] = (), **values: object
) -> Table:
    """Return a table under its title, headings (and further `columns`) and filled note."""
    entry = _all()["tables"][name]
    return Table(
        name,
        str(entry["title"]).format(**values),
        (*entry["columns"], *columns),
        tuple(rows),
        str(entry.get("note", "")).format(**values),
    )


def sentence(name: str, part: str, **values: object) -> str:
    """Return a further sentence of a table, filled."""
    return str(_all()["tables"][name][part]).format(**values)


def number(value: float, digits: int = 2) -> str:
    """Write a number, or a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else NONE


def p_value(p: float) -> str:
    """Write a p value with three decimals, or "<0.001"."""
    if not math.isfinite(p):
        return NONE
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def estimate(found: Estimate | None, digits: int = 3) -> str:
    """Write an estimate with its interval, as "0.911 (0.894 to 0.928)"."""
    if found is None or not math.isfinite(found.value):
        return NONE
    if found.interval is None:
        return number(found.value, digits)
    low, high = found.interval
    return f"{found.value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def share(found: Share | None) -> str:
    """Write a proportion with its interval in per cent, as "83.6 % (71.7 to 91.1)"."""
    if found is None or not found.denominator:
        return NONE
    low, high = found.interval
    return f"{100 * found.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
