"""Decision curves: the net benefit of acting on a model, over threshold probabilities."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from models.study.report.figures.roc import grouped
from models.study.report.figures.style import INK, QUIET, Drawing, canvas, finish, grid, look
from models.study.report.numbers import decimal
from models.study.report.view import View
from models.study.report.wording import call, say
from models.study.results import DecisionCurve, ModelResult


def decision_figure(view: View) -> Drawing | None:
    """Draw each model's net benefit beside acting on all and on none."""
    curves = [curve for curve in view.result.curves if curve.mode == view.mode]
    curves.sort(key=lambda curve: curve.cohort == "external")
    panels = grouped(view.models)
    if not curves or not panels:
        return None
    side_by_side = len(curves) == 1
    rows, columns = (1, len(panels)) if side_by_side else (len(panels), len(curves))
    with canvas("decision", 2.75 * rows) as figure:
        cells = figure.subplots(rows, columns, squeeze=False, sharey="col")
        for row, (title, models) in enumerate(panels):
            for column, curve in enumerate(curves):
                axes = cells[0][row] if side_by_side else cells[row][column]
                _panel(axes, curve, models)
                axes.set_title(f"{title}, {say(f'cohort.{curve.cohort}')}")
        return finish(figure, "decision", say("decision.caption"), _alt(view, curves))


def _panel(axes: Axes, curve: DecisionCurve, models: tuple[ModelResult, ...]) -> None:
    everyone, top = curve.benefit.get("all"), 0.05
    if everyone is not None:
        axes.plot(curve.thresholds, everyone, color=QUIET, linewidth=1.0)
        top = max(top, float(np.nanmax(everyone)))
        low = np.flatnonzero(everyone > 0.30 * top)
        if len(low):
            spot = int(low[-1])
            axes.annotate(
                say("decision.all"),
                (curve.thresholds[spot], everyone[spot]),
                (-3, -1),
                textcoords="offset points",
                ha="right",
                va="top",
                color=QUIET,
                fontsize=7.8,
            )
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.text(0.01, -0.006, say("decision.none"), color=QUIET, va="top", fontsize=7.8)
    for model in models:
        if model.name in curve.benefit:
            style = look(model.name)
            axes.plot(
                curve.thresholds,
                curve.benefit[model.name],
                color=style.colour,
                linestyle=style.dash,
                linewidth=style.width,
                label=call(model.name),
            )
    axes.set(xlim=(0, 1), ylim=(-0.09 * top, 1.08 * top))
    axes.set(xlabel=say("axis.threshold"), ylabel=say("axis.benefit"))
    grid(axes)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right", labelspacing=0.3)


def _alt(view: View, curves: list[DecisionCurve]) -> str:
    model = view.primary
    told = []
    for curve in curves:
        if model is None or model.name not in curve.benefit:
            continue
        mine = curve.benefit[model.name]
        rivals = [curve.benefit[name] for name in ("all", "none") if name in curve.benefit]
        if not rivals:
            continue
        better = np.all([mine > rival for rival in rivals], axis=0)
        told.append(
            say(
                "decision.alt",
                model=call(model.name),
                cohort=say(f"cohort.{curve.cohort}"),
                share=decimal(100 * float(np.mean(better)), 0),
                low=decimal(float(curve.thresholds.min()), 2),
                high=decimal(float(curve.thresholds.max()), 2),
            )
        )
    return " ".join(told) or say("decision.caption")
