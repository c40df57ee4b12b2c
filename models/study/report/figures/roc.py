"""Receiver operating characteristic curves, by cohort; and the readers on them."""

from __future__ import annotations

from itertools import cycle

from matplotlib.axes import Axes

from models.study.report.figures.style import (
    ALERT,
    INK,
    QUIET,
    Drawing,
    canvas,
    finish,
    look,
    spread,
    unit_square,
)
from models.study.report.numbers import decimal, interval, listed, percent
from models.study.report.view import View
from models.study.report.wording import call, say
from models.study.results import CohortName, ModelResult, Performance, ReaderPoint

GROUPS = (
    ("prefusion", ("CM", "PreClinicRad", "PreClinicDL", "PreCRDL")),
    ("postfusion", ("Rad", "DL", "PostClinicRad", "PostClinicDL", "PostCRDL")),
)


def grouped(models: tuple[ModelResult, ...]) -> list[tuple[str, tuple[ModelResult, ...]]]:
    """Split the models over the panels of a figure; panels without a model are left out."""
    known = {name for _, names in GROUPS for name in names}
    panels = []
    for key, names in GROUPS:
        inside = tuple(
            m for m in models if m.name in names or (key == "prefusion" and m.name not in known)
        )
        if inside:
            panels.append((say(f"panel.{key}"), inside))
    return panels


def roc_figure(view: View) -> Drawing:
    """Draw the curves of all models, training (out of fold) beside external."""
    panels, cohorts = grouped(view.models), view.cohorts
    side_by_side = len(cohorts) == 1
    rows, columns = (1, len(panels)) if side_by_side else (len(panels), len(cohorts))
    with canvas("roc", 3.5 * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False)
        for row, (title, models) in enumerate(panels):
            for column, cohort in enumerate(cohorts):
                axes = grid[0][row] if side_by_side else grid[row][column]
                _curves(axes, view, models, cohort)
                axes.set_title(f"{title}, {say(f'cohort.{cohort}')}")
        return finish(figure, "roc", say("roc.caption"), _alt(view))


def _curves(axes: Axes, view: View, models: tuple[ModelResult, ...], cohort: CohortName) -> None:
    unit_square(axes, say("axis.fpr"), say("axis.tpr"))
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.6, linestyle=(0, (1, 3)))
    for model in models:
        found = view.performance(model, cohort)
        if found is None:
            continue
        style = look(model.name)
        axes.plot(
            found.roc[:, 0],
            found.roc[:, 1],
            color=style.colour,
            linestyle=style.dash,
            linewidth=style.width,
            label=f"{call(model.name)}  {decimal(found.auc.value)} "
            f"({interval(found.auc.interval)})",
        )
        _operating_point(axes, found, model.name)
    legend = axes.legend(loc="lower right", title=say("roc.legend"), alignment="left")
    legend.get_title().set_fontsize(7.8)


def _operating_point(axes: Axes, found: Performance, name: str) -> None:
    style = look(name)
    axes.plot(
        [1 - found.specificity.value],
        [found.sensitivity.value],
        marker=style.mark,
        markersize=4.2,
        color=style.colour,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linestyle="none",
        zorder=5,
    )


def _alt(view: View) -> str:
    parts = []
    for cohort in view.cohorts:
        areas = [
            (found.auc.value, model.name)
            for model in view.models
            if (found := view.performance(model, cohort)) is not None
        ]
        (best, first), (worst, last) = max(areas), min(areas)
        parts.append(
            say(
                "roc.alt",
                cohort=say(f"cohort.{cohort}"),
                best=call(first),
                best_auc=decimal(best),
                worst=call(last),
                worst_auc=decimal(worst),
            )
        )
    return " ".join(parts)


def readers_figure(view: View) -> Drawing | None:
    """Draw the readers, unaided and aided, on the headline model's external curve."""
    points, model = view.result.readers, view.primary
    if not points or model is None or model.external is None:
        return None
    with canvas("readers", 4.3, 5.2) as figure:
        axes = figure.subplots()
        unit_square(axes, say("axis.fpr"), say("axis.tpr"))
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.6, linestyle=(0, (1, 3)))
        style = look(model.name)
        axes.plot(*model.external.roc.T, color=style.colour, linewidth=style.width)
        _operating_point(axes, model.external, model.name)
        _label_model(axes, model, style.colour)
        _arrows(axes, points)
        return finish(
            figure,
            "readers",
            say("readers.caption", model=call(model.name)),
            _readers_alt(points, model),
        )


def _label_model(axes: Axes, model: ModelResult, colour: str) -> None:
    found = model.external
    if found is None:
        return
    axes.text(
        0.98,
        0.10,
        f"{call(model.name)}: AUC {decimal(found.auc.value)} ({interval(found.auc.interval)})",
        color=colour,
        ha="right",
        fontweight=600,
    )
    axes.text(0.98, 0.045, say("readers.key"), color=QUIET, ha="right", fontsize=7.8)


def _arrows(axes: Axes, points: tuple[ReaderPoint, ...]) -> None:
    names = list(dict.fromkeys(point.reader for point in points))
    spots = {
        name: {
            p.aided: (1 - p.specificity.value, p.sensitivity.value)
            for p in points
            if p.reader == name
        }
        for name in names
    }
    ends = {name: mine.get(True) or mine[False] for name, mine in spots.items()}
    heights = spread([ends[name][1] - 0.12 for name in names], 0.07)
    left = max(x for mine in spots.values() for x, _ in mine.values()) + 0.12
    for name, height, mark in zip(names, heights, cycle("os^Dv"), strict=False):
        mine = spots[name]
        axes.plot([ends[name][0], left - 0.02], [ends[name][1], height], color=QUIET, linewidth=0.5)
        if len(mine) == 2:
            arrow = {
                "arrowstyle": "-|>",
                "color": ALERT,
                "linewidth": 1.0,
                "shrinkA": 4,
                "shrinkB": 4,
            }
            axes.annotate("", xy=mine[True], xytext=mine[False], arrowprops=arrow)
        for aided, spot in mine.items():
            axes.plot(
                *spot,
                marker=mark,
                markersize=6.5,
                linestyle="none",
                zorder=6,
                markerfacecolor=ALERT if aided else "white",
                markeredgecolor=ALERT,
            )
        axes.plot([left], [height], marker=mark, markersize=5.5, color=ALERT)
        axes.text(left + 0.03, height, name, color=INK, va="center", fontsize=8.2)


def _readers_alt(points: tuple[ReaderPoint, ...], model: ModelResult) -> str:
    told = [
        say(
            "readers.alt_point",
            reader=point.reader,
            how=say("readers.aided" if point.aided else "readers.unaided"),
            sensitivity=percent(point.sensitivity.value),
            specificity=percent(point.specificity.value),
        )
        for point in points
    ]
    return say("readers.alt", model=call(model.name), points=listed(told))
