"""Why a case gets no class: one sentence for the report (abstention.toml)."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from models.bundle import Score


def abstention_of(score: Score, tolerated_error: float | None) -> str:
    """Return why the score gives no class, or "" where it gives one.

    Args:
        score: Of the bundle, asked with the tolerated error.
        tolerated_error: The share of wrong classes that is tolerated, 0..1, or None.
    """
    if tolerated_error is None or score.classes is None or not score.abstains:
        return ""
    match score.classes:
        case ():
            key = "neither"
        case (_,):
            key = "contrary"
        case _:
            key = "both"
    words = _sentences()[key]
    return words.format(error=f"{100 * tolerated_error:g} %", set=", ".join(score.classes))


@cache
def _sentences() -> dict[str, str]:
    text = files("node.pipeline").joinpath("abstention.toml").read_text(encoding="utf-8")
    return {key: str(value) for key, value in tomllib.loads(text).items()}
