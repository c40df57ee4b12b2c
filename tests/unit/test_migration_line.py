"""The migrations are one line: two engineers may take the same number on the same day."""

from __future__ import annotations

import re
from pathlib import Path

from node.audit import schema

VERSIONS = sorted((Path(schema.__file__).parent / "migrations" / "versions").glob("[0-9]*.py"))


def said(path: Path, name: str) -> str | None:
    found = re.search(rf'^{name} = (?:"(\d+)"|None)$', path.read_text("utf-8"), flags=re.MULTILINE)
    assert found is not None, f"{path.name} names no {name}"
    return found[1]


def test_every_migration_has_a_number_of_its_own_and_follows_the_one_before() -> None:
    revisions = [said(path, "revision") for path in VERSIONS]
    assert revisions == [path.name[:4] for path in VERSIONS]
    assert len(set(revisions)) == len(revisions)
    assert [said(path, "down_revision") for path in VERSIONS] == [None, *revisions[:-1]]
