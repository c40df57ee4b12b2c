"""How the models did: discrimination, calibration, decisions, readers, errors."""

from __future__ import annotations

from models.study.report.blocks import Block, Bullets, Section, Text
from models.study.report.composing import Composer
from models.study.report.derived import (
    calibration_table,
    delong_matrix,
    errors_table,
    performance_table,
    readers_table,
)
from models.study.report.headline import judged_on
from models.study.report.wording import call, say


def discrimination_section(composer: Composer) -> Section:
    """Areas, the performance of every model on every cohort, ROC curves, DeLong's tests."""
    view = composer.view
    blocks: list[Block] = [Text(say("text.discrimination")), composer.picture("auc")]
    if view.models:
        blocks += [
            composer.grid(performance_table(view, cohort), "dense") for cohort in view.cohorts
        ]
        composer.placed.add("performance")
    if not view.has_external:
        blocks.append(Text(say("absent.external"), "absent"))
    matrix = delong_matrix(view)
    composer.placed.add("delong")
    if matrix is None:
        blocks.append(Text(say("absent.delong"), "absent"))
    else:
        blocks.append(composer.grid(matrix, "matrix"))
    blocks.append(composer.picture("roc"))
    notes = tuple((call(m.name), m.note) for m in view.models if m.note)
    if notes:
        blocks.append(Bullets(notes))
    return composer.section("discrimination", *blocks)


def calibration_section(composer: Composer) -> Section:
    """Calibration curves and their figures."""
    blocks: list[Block] = [Text(say("text.calibration")), composer.picture("calibration")]
    if composer.view.models:
        blocks.append(composer.grid(calibration_table(composer.view)))
    return composer.section("calibration", *blocks)


def decision_section(composer: Composer) -> Section:
    """Decision curves."""
    return composer.section("decision", Text(say("text.decision")), composer.picture("decision"))


def readers_section(composer: Composer) -> Section:
    """The reader study: Table 4, McNemar, points on the ROC, what changed with the model."""
    view = composer.view
    if not view.result.readers and not view.tables("readers"):
        return composer.section("readers", Text(say("absent.readers"), "absent"))
    blocks: list[Block] = [Text(say("text.readers")), composer.picture("readers")]
    if view.tables("readers"):
        blocks += composer.tables("readers")
    elif (derived := readers_table(view)) is not None:
        blocks.append(composer.grid(derived))
    blocks += composer.tables("reclassification")
    return composer.section("readers", *blocks)


def errors_section(composer: Composer) -> Section:
    """The cases that the headline model called wrongly, by name."""
    view = composer.view
    blocks: list[Block] = []
    if view.primary is not None:
        table = errors_table(view.primary, judged_on(view))
        if table is not None and table.rows:
            blocks = [Text(say("text.errors")), composer.grid(table)]
    return composer.section("errors", *(blocks or [Text(say("absent.errors"), "absent")]))
