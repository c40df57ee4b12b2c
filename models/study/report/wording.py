"""The report's sentences, from words/*.toml: no prose stands in code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def words(name: str) -> Mapping[str, Any]:
    """Read one file of words/, such as "sentences"."""
    text = files("models.study.report").joinpath("words", f"{name}.toml").read_text("utf-8")
    return tomllib.loads(text)


def say(key: str, **values: object) -> str:
    """Fill the sentence `section.name` with values.

    Raises:
        KeyError: There is no such sentence, or it needs a value that was not given.
    """
    section, name = key.split(".")
    return str(words("sentences")[section][name]).format(**values)


def call(name: str) -> str:
    """Return the short name of a model that the figures and tables use."""
    return str(words("sentences")["model"].get(name, name))
