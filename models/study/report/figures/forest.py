"""The areas under the curves with their intervals, model by model; and the gap of two modes."""

from __future__ import annotations

from matplotlib.axes import Axes

from models.study.report.figures.style import (
    ALERT,
    INK,
    QUIET,
    Drawing,
    canvas,
    finish,
    grid,
    look,
)
from models.study.report.numbers import decimal, interval, listed, signed
from models.study.report.view import View
from models.study.report.wording import call, say
from models.study.results import CohortName, Performance


def forest_figure(view: View) -> Drawing:
    """Draw each model's area with its DeLong interval, training above external."""
    models, cohorts = view.models, view.cohorts
    with canvas("auc", 0.55 + 0.36 * len(models)) as figure:
        axes = figure.subplots()
        lows: list[float] = [0.5]
        for row, model in enumerate(models):
            for cohort in cohorts:
                found = view.performance(model, cohort)
                if found is not None:
                    height = row if len(cohorts) == 1 else row + (-0.16, 0.16)[cohort == "external"]
                    lows.append(_whisker(axes, found, height, model.name, cohort))
        axes.set_yticks(range(len(models)), [call(model.name) for model in models])
        axes.set(xlim=(max(0.0, min(lows) - 0.03), 1.27), ylim=(len(models) - 0.5, -0.75))
        axes.set_xlabel(say("axis.auc"), loc="left")
        axes.set_xticks([tick / 10 for tick in range(11) if tick / 10 >= min(lows) - 0.03])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.spines["bottom"].set_bounds(axes.get_xlim()[0], 1.0)
        axes.axvline(0.5, ymax=0.97, color=QUIET, linewidth=0.6, linestyle=(0, (1, 3)))
        axes.text(1.02, -0.62, say("forest.columns"), fontsize=7.6, color=QUIET, va="center")
        return finish(figure, "auc", say("forest.caption"), _alt(view))


def _whisker(axes: Axes, found: Performance, height: float, name: str, cohort: CohortName) -> float:
    style, filled = look(name), cohort == "training"
    low, high = found.auc.interval or (found.auc.value, found.auc.value)
    axes.plot(
        [low, high], [height, height], color=style.colour, linewidth=1.3, solid_capstyle="butt"
    )
    axes.plot(
        [found.auc.value],
        [height],
        marker="o" if filled else "D",
        markersize=5 if filled else 4.4,
        markerfacecolor=style.colour if filled else "white",
        markeredgecolor=style.colour,
        linestyle="none",
    )
    axes.text(
        1.02,
        height,
        f"{decimal(found.auc.value)}  ({interval(found.auc.interval)})",
        va="center",
        fontsize=7.6,
        color=INK if filled else QUIET,
    )
    return low


def _alt(view: View) -> str:
    told = []
    for model in view.models:
        areas = [
            f"{decimal(found.auc.value)} {say(f'cohort.{cohort}')}"
            for cohort in view.cohorts
            if (found := view.performance(model, cohort)) is not None
        ]
        told.append(f"{call(model.name)} {listed(areas)}")
    return say("forest.alt", areas="; ".join(told))


def gap_figure(view: View) -> Drawing | None:
    """Draw, for each model, the cross-validated area of both modes and the gap between them."""
    other = view.other
    pairs = [(model, other[model.name]) for model in view.models if model.name in other]
    if not pairs:
        return None
    gaps = []
    with canvas("gap", 0.75 + 0.27 * len(pairs)) as figure:
        axes = figure.subplots()
        for row, (model, rival) in enumerate(pairs):
            strict, paper = model.cross_validated.auc.value, rival.cross_validated.auc.value
            gaps.append(paper - strict)
            axes.plot([strict, paper], [row, row], color=QUIET, linewidth=1.2, zorder=1)
            axes.plot([strict], [row], marker="o", color=look(model.name).colour, markersize=5.5)
            axes.plot(
                [paper],
                [row],
                marker="o",
                markerfacecolor="white",
                markersize=5.5,
                markeredgecolor=ALERT,
                markeredgewidth=1.3,
            )
            axes.annotate(
                signed(paper - strict),
                (max(strict, paper), row),
                (7, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.8,
            )
        axes.set_yticks(range(len(pairs)), [call(model.name) for model, _ in pairs])
        axes.set(ylim=(len(pairs) - 0.5, -0.6), xlabel=say("axis.auc_training"))
        axes.margins(x=0.12)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        grid(axes, "x")
        alt = say("gap.alt", mean=signed(sum(gaps) / len(gaps)), largest=signed(max(gaps)))
        return finish(figure, "gap", say("gap.caption"), alt)
