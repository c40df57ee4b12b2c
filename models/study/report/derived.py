"""Tables that follow from the models' values alone, for the page and as CSV.

Where the study brings a table of the same name, that one goes to the CSV files; the page keeps
its own arrangement of the same figures.
"""

from __future__ import annotations

from models.study.report.numbers import (
    decimal,
    estimate,
    interval,
    p_value,
    percent,
    share,
    share_interval,
    signed,
)
from models.study.report.view import View
from models.study.report.wording import call, say, words
from models.study.results import CohortName, Comparison, ModelResult, Share, Table

_BREAK = "\n"
"""Between a value and its interval in one cell; the page shows the interval small below."""


def _heads(name: str) -> tuple[str, ...]:
    return tuple(words("columns")[name])


def _cell(found: Share) -> str:
    return f"{percent(found.value)}{_BREAK}{share_interval(found).removesuffix(' %')}"


def performance_table(view: View, cohort: CohortName) -> Table:
    """Discrimination of every model on one cohort, at its fixed threshold."""
    rows = []
    for model in view.models:
        found = view.performance(model, cohort)
        if found is None:
            continue
        shares = (found.sensitivity, found.specificity, found.ppv, found.npv, found.accuracy)
        rows.append(
            (
                call(model.name),
                f"{decimal(found.auc.value)}{_BREAK}{interval(found.auc.interval)}",
                interval(found.auc_bootstrap.interval),
                decimal(found.threshold),
                *(_cell(value) for value in shares),
            )
        )
    return Table(
        f"performance_{cohort}",
        say(f"cohort.{cohort}_long"),
        _heads("performance"),
        tuple(rows),
        say("performance.note"),
    )


def calibration_table(view: View) -> Table:
    """Slope, intercept, ICI and Brier score of every model on every cohort."""
    rows = [
        (
            call(model.name),
            say(f"cohort.{cohort}"),
            estimate(found.calibration.slope, 2),
            estimate(found.calibration.intercept, 2),
            decimal(found.calibration.ici),
            decimal(found.calibration.brier),
        )
        for model in view.models
        for cohort in view.cohorts
        if (found := view.performance(model, cohort)) is not None
    ]
    return Table(
        "calibration",
        say("calibration.title"),
        _heads("calibration"),
        tuple(rows),
        say("calibration.note"),
    )


def delong_matrix(view: View) -> Table | None:
    """All pairs: training below the diagonal, external above; row less column, and p."""
    pairs = {(one.cohort, one.first, one.second): one for one in view.result.comparisons}
    names = [m.name for m in view.models if any(m.name in key[1:] for key in pairs)]
    if len(names) < 2:
        return None
    rows = []
    for i, row in enumerate(names):
        cells = [
            "" if i == j else _compared(pairs, "training" if j < i else "external", row, column)
            for j, column in enumerate(names)
        ]
        rows.append((call(row), *cells))
    expected = len(names) * (len(names) - 1) / 2 * 0.05
    note = say("delong.note", expected=decimal(expected, 1))
    return Table("delong_matrix", say("delong.title"), ("", *map(call, names)), tuple(rows), note)


def _compared(
    pairs: dict[tuple[CohortName, str, str], Comparison],
    cohort: CohortName,
    row: str,
    column: str,
) -> str:
    found, sign = pairs.get((cohort, row, column)), 1
    if found is None:
        found, sign = pairs.get((cohort, column, row)), -1
    if found is None:
        return ""
    return f"{signed(sign * found.difference)}{_BREAK}{say('delong.p', p=p_value(found.p))}"


def gap_table(view: View) -> Table | None:
    """The cross-validated and external areas of both modes, and their difference."""
    other, rows = view.other, []
    for model in view.models:
        rival = other.get(model.name)
        if rival is None:
            continue
        row = [call(model.name)]
        for cohort in view.cohorts:
            mine, printed = view.performance(model, cohort), view.performance(rival, cohort)
            if mine is None or printed is None:
                row += ["", "", ""]
                continue
            gap = printed.auc.value - mine.auc.value
            row += [decimal(mine.auc.value), decimal(printed.auc.value), signed(gap)]
        rows.append(tuple(row))
    if not rows:
        return None
    heads = _heads("gap")
    return Table("gap", say("gap.title"), heads if view.has_external else heads[:4], tuple(rows))


def selected_table(view: View, shown: int = 25) -> Table | None:
    """How often each feature was chosen over the outer folds, by model; the most frequent."""
    models = [model for model in view.models if model.selected]
    totals: dict[str, int] = {}
    for model in models:
        for name, count in model.selected.items():
            totals[name] = totals.get(name, 0) + count
    first = sorted(totals, key=lambda name: (-totals[name], name))
    if not first:
        return None
    rows = tuple(
        (name, *(str(model.selected.get(name, "")) for model in models)) for name in first[:shown]
    )
    note = say("selected.note", shown=len(rows), all=len(first))
    return Table(
        "selected_folds", say("selected.title"), ("", *(call(m.name) for m in models)), rows, note
    )


def errors_table(model: ModelResult, cohort: CohortName) -> Table | None:
    """The cases that a model called wrongly, the worst first."""
    found = model.cross_validated if cohort == "training" else model.external
    if found is None:
        return None
    wrong = [
        (score - found.threshold, name, label, score)
        for name, score, label in zip(found.ids, found.scores, found.labels, strict=True)
        if (score >= found.threshold) != bool(label)
    ]
    wrong.sort(key=lambda case: (-case[2], -abs(case[0]), case[1]))
    rows = tuple(
        (
            name,
            say("errors.missed" if label else "errors.alarm"),
            decimal(float(score)),
            signed(float(distance)),
        )
        for distance, name, label, score in wrong
    )
    title = say("errors.title", model=call(model.name), cohort=say(f"cohort.{cohort}"))
    return Table(f"errors_{cohort}", title, _heads("errors"), rows)


def readers_table(view: View) -> Table | None:
    """The readers' sensitivity and specificity, where the study brings no table of its own."""
    rows = tuple(
        (
            point.reader,
            say("readers.aided" if point.aided else "readers.unaided"),
            share(point.sensitivity),
            share_interval(point.sensitivity),
            share(point.specificity),
            share_interval(point.specificity),
        )
        for point in view.result.readers
    )
    if not rows:
        return None
    return Table("readers", say("readers.title"), _heads("readers"), rows)


def exclusions_table(view: View) -> Table | None:
    """Every case that was left out, by name."""
    rows = tuple(
        (step.title, reason, str(len(ids)), ", ".join(ids))
        for step in view.result.flow
        for reason, ids in step.excluded.items()
        if ids
    )
    if not rows:
        return None
    return Table("exclusions", say("flow.exclusions"), _heads("exclusions"), rows)


def csv_tables(view: View) -> tuple[Table, ...]:
    """Every table that goes to a file: the study's, and those derived that it does not bring."""
    brought = {table.name for table in view.result.tables}
    derived = [
        *(performance_table(view, cohort) for cohort in view.cohorts if view.models),
        calibration_table(view) if view.models else None,
        delong_matrix(view),
        gap_table(view),
        selected_table(view, shown=10_000),
        readers_table(view),
        exclusions_table(view),
    ]
    if view.primary is not None:
        derived += [errors_table(view.primary, cohort) for cohort in view.cohorts]
    return (
        *view.result.tables,
        *(_flat(table) for table in derived if table is not None and table.name not in brought),
    )


def _flat(table: Table) -> Table:
    rows = tuple(tuple(cell.replace(_BREAK, "; ") for cell in row) for row in table.rows)
    return Table(table.name, table.title, table.columns, rows, table.note)
