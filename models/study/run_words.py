"""The runner's words, from run_words.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from models.study.results import Table


@cache
def _words() -> dict[str, Any]:
    text = files("models.study").joinpath("run_words.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def say(key: str, **values: object) -> str:
    """Fill the sentence `section.name` with values.

    Raises:
        KeyError: There is no such sentence, or it needs a value that was not given.
    """
    section, name = key.split(".")
    return str(_words()[section][name]).format(**values)


def criteria() -> dict[str, str]:
    """Return the paper's inclusion and exclusion criteria (section 2.1) by code."""
    return dict(_words()["criteria"])


def worded_table(name: str, rows: Iterable[tuple[str, ...]], **values: object) -> Table:
    """Return a table under the title, headings and note that the words give it."""
    entry = _words()["tables"][name]
    note = str(entry.get("note", "")).format(**values)
    return Table(name, entry["title"], tuple(entry["columns"]), tuple(rows), note)
