"""The templates of a report: the shipped TOML tables, one language, and what a site adds to them.

A site points `[report] templates` at a folder with TOML files of the same names as here. Their
tables are laid over the shipped ones, key by key; rows of `feature` are matched by `name`, and a
new name is a new row. English stands below every other language, so that a language may be partial.

A report is built from one set of templates from beginning to end, but the words are asked for deep
in its tree: the set in use is therefore a context variable, entered once by who builds.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from string import Formatter
from typing import Any, Final

from sr_templates.errors import TemplateError

ENGLISH: Final = "en"
_PLAIN: Final = ("codes.toml", "features.toml", "refusals.toml")
_SPOKEN: Final = ("wording", "influences")
# Sections of wording.toml that may hold any key, because they name codes, features and reasons.
_OPEN: Final = frozenset({"label", "meaning", "reason", "advice"})

Table = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Templates:
    """One language of the tables, a site's own laid over the shipped ones.

    Attributes:
        language: Two letters, as in `[report] language`.
        tables: By the name of the English file: codes.toml, features.toml, refusals.toml,
            wording.toml, influences.toml.
        folder: The site's own, if any.
    """

    language: str
    tables: Mapping[str, Table]
    folder: Path | None = None


@cache
def load_templates(language: str = ENGLISH, folder: Path | None = None) -> Templates:
    """Read the tables of a language, with a site's folder laid over them.

    The folder is read once in the life of a process.

    Raises:
        TemplateError: There is no such language, no such folder, or a file in it that no report
            reads or that does not fit; it names file and key.
    """
    if folder is not None:
        _check_folder(folder)
    known = languages(folder)
    if language not in known:
        raise TemplateError(f"no report language {language!r}; there are {', '.join(known)}")
    tables = {name: _layered([name], folder) for name in _PLAIN}
    for stem in _SPOKEN:
        names = [f"{stem}.toml"]
        if language != ENGLISH:
            names.append(f"{stem}.{language}.toml")
        tables[f"{stem}.toml"] = _layered(names, folder)
    return Templates(language, tables, folder)


def languages(folder: Path | None = None) -> tuple[str, ...]:
    """Return the languages that there is a wording of, English first."""
    places = [resources.files("sr_templates")] + ([folder] if folder is not None else [])
    names = {entry.name for place in places for entry in place.iterdir()}
    parts = [name.split(".") for name in names]
    found = {part[1] for part in parts if part[0] == "wording" and len(part) == 3}
    return (ENGLISH, *sorted(found))


_CURRENT: ContextVar[Templates] = ContextVar("templates")


def current() -> Templates:
    """Return the templates in use; the shipped English ones where none were entered."""
    try:
        return _CURRENT.get()
    except LookupError:
        return load_templates()


@contextmanager
def using(templates: Templates) -> Iterator[Templates]:
    """Build with these templates."""
    token = _CURRENT.set(templates)
    try:
        yield templates
    finally:
        _CURRENT.reset(token)


def table(name: str) -> Table:
    """Return a table of the templates in use, by the name of its English file."""
    return current().tables[name]


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise TemplateError(f"no folder of report templates at {folder}")
    readable = {*_PLAIN, *(f"{stem}.toml" for stem in _SPOKEN)}
    for file in folder.glob("*.toml"):
        stem = file.name.split(".")[0]
        if file.name not in readable and not (stem in _SPOKEN and file.name.count(".") == 2):
            raise TemplateError(
                f"{file}: no report reads it; there are {', '.join(sorted(readable))}"
            )


def _layered(names: list[str], folder: Path | None) -> Table:
    """Lay files over each other: each language shipped, then the site's."""
    merged: Table = {}
    for name in names:
        shipped = resources.files("sr_templates") / name
        if shipped.is_file():
            merged = _merged(merged, _parsed(shipped.read_bytes(), name), name)
        site = None if folder is None else folder / name
        if site is not None and site.is_file():
            own = _parsed(site.read_bytes(), str(site))
            if name.startswith("wording"):
                _check_sentences(own, merged, str(site))
            merged = _merged(merged, own, str(site))
    return merged


def _parsed(data: bytes, where: str) -> Table:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TemplateError(f"{where}: {error}") from error


def _merged(base: Table, over: Table, where: str) -> Table:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key, type(value)())
        if type(below) is not type(value):
            kind, expected = type(value).__name__, type(below).__name__
            raise TemplateError(f"{where}: {key} must be a {expected}, got a {kind}")
        if isinstance(value, dict):
            merged[key] = _merged(below, value, f"{where}: {key}")
        elif isinstance(value, list) and key == "feature":
            merged[key] = _merged_rows(below, value, where)
        else:
            merged[key] = value
    return merged


def _merged_rows(base: list[Table], over: list[Table], where: str) -> list[Table]:
    """Lay rows over the rows of the same name; new ones come last."""
    rows = {row["name"]: row for row in base}
    for row in over:
        if not isinstance(row.get("name"), str):
            raise TemplateError(f"{where}: a feature has no name")
        rows[row["name"]] = {**rows.get(row["name"], {}), **row}
    return list(rows.values())


def _check_sentences(own: Table, shipped: Table, where: str) -> None:
    """Let pass sentences that exist, with no blanks but those that are filled in."""
    for section, sentences in own.items():
        if section not in shipped or not isinstance(sentences, dict):
            raise TemplateError(f"{where}: [{section}] is no section; there are {_list(shipped)}")
        for key, sentence in sentences.items():
            below = shipped[section].get(key)
            if below is None and section not in _OPEN:
                known = _list(shipped[section])
                raise TemplateError(f"{where}: [{section}] has no {key}; there are {known}")
            strange = _blanks(sentence, f"{where}: [{section}] {key}")
            if below is not None:
                strange -= _blanks(below, section)
            if strange:
                blank = min(strange)
                raise TemplateError(f"{where}: [{section}] {key}: nothing fills in {{{blank}}}")


def _blanks(sentence: object, where: str) -> set[str]:
    if not isinstance(sentence, str):
        raise TemplateError(f"{where}: must be text")
    try:
        return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}
    except ValueError as error:
        raise TemplateError(f"{where}: {error}") from error


def _list(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names))
