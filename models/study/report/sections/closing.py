"""Limits, what is wrong in the paper, cost, checklists and the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.study.report.blocks import Block, Bullets, Section, Text
from models.study.report.checklist import checklists
from models.study.report.composing import Composer
from models.study.report.wording import say, words
from models.study.results import Table

_PERFORMANCES = {"models", "modes"}
"""Keys of the manifest whose figures stand in the report already."""


def limits_section(composer: Composer) -> Section:
    """What the study cannot say: always, and because of what it lacks."""
    facts = composer.view.facts | ({"simulated"} if composer.view.result.simulated else set())
    items = tuple(
        ("", entry["text"])
        for entry in words("limits")["limit"]
        if set(entry.get("when", ())) <= facts and not set(entry.get("unless", ())) & facts
    )
    return composer.section("limits", Bullets(items))


def paper_section(composer: Composer) -> Section:
    """The statements of the printed paper that cannot all be true."""
    items = tuple((entry["printed"], entry["why"]) for entry in words("paper")["claim"])
    return composer.section(
        "paper", Text(say("text.paper")), Bullets(items), Text(say("text.paper_end"))
    )


def cost_section(composer: Composer) -> Section:
    """Time and memory by stage."""
    return composer.section("cost", *composer.tables("cost"))


def checklist_sections(composer: Composer, numbers: Mapping[str, tuple[str, str]]) -> list[Section]:
    """TRIPOD+AI, CLAIM and METRICS.

    Args:
        composer: Of the report.
        numbers: Number and title of each section, by its key.
    """
    return [
        composer.section(
            found.key,
            Text(found.about),
            composer.grid(found.table(composer.view.facts, numbers), "list"),
            appendix=True,
        )
        for found in checklists()
    ]


def manifest_section(composer: Composer) -> Section:
    """Seeds, versions, hashes and settings, as the run wrote them."""
    rows = tuple(
        (key, value)
        for name, part in composer.view.result.manifest.items()
        if name not in _PERFORMANCES
        for key, value in _flat(name, part)
    )
    blocks: list[Block] = [Text(say("text.manifest"))]
    if rows:
        table = Table("manifest", say("manifest.title"), ("Key", "Value"), rows)
        blocks.append(composer.grid(table, "list"))
    else:
        blocks.append(Text(say("absent.manifest"), "absent"))
    return composer.section("manifest", *blocks, appendix=True)


def _flat(key: str, value: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        return [row for name, part in value.items() for row in _flat(f"{key}.{name}", part)]
    if isinstance(value, (list, tuple)):
        if any(isinstance(part, (Mapping, list, tuple)) for part in value):
            return [row for i, part in enumerate(value) for row in _flat(f"{key}.{i}", part)]
        return [(key, ", ".join(map(str, value)))]
    return [(key, str(value))]
