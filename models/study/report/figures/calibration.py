"""Calibration curves, one small panel a model, both cohorts in it."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from models.study.report.figures.style import QUIET, Drawing, canvas, finish, look, unit_square
from models.study.report.numbers import decimal
from models.study.report.view import View
from models.study.report.wording import call, say
from models.study.results import CohortName, ModelResult, Performance

_COLUMNS = 3


def calibration_figure(view: View) -> Drawing:
    """Draw observed over predicted probability for every model."""
    models = view.models
    columns = min(_COLUMNS, len(models))
    rows = math.ceil(len(models) / columns)
    with canvas("calibration", 2.56 * rows) as figure:
        figure.get_layout_engine().set(h_pad=0.07)  # type: ignore[union-attr,call-arg]
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for axes, model in zip(panels, models, strict=False):
            _panel(axes, view, model)
        for spare in panels[len(models) :]:
            spare.set_visible(False)
        for axes in panels:
            axes.label_outer()
        return finish(figure, "calibration", say("calibration.caption"), _alt(view))


def _panel(axes: Axes, view: View, model: ModelResult) -> None:
    unit_square(axes, say("axis.predicted"), say("axis.observed"))
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.6, linestyle=(0, (1, 3)))
    axes.set_title(call(model.name), pad=19)
    lines = []
    for cohort in view.cohorts:
        found = view.performance(model, cohort)
        if found is not None:
            _draw(axes, found, model.name, cohort)
            lines.append(_figures(found, cohort))
    axes.text(0, 1.03, "\n".join(lines), transform=axes.transAxes, fontsize=6.4, color=QUIET)


def _draw(axes: Axes, found: Performance, name: str, cohort: CohortName) -> None:
    style, training = look(name), cohort == "training"
    curve, groups = found.calibration.curve, found.calibration.groups
    if len(curve):
        inside = curve[np.argsort(curve[:, 0], kind="stable")]
        axes.plot(
            *inside.T,
            color=style.colour,
            linewidth=1.5,
            linestyle="solid" if training else (0, (4, 1.6)),
        )
    if len(groups):
        axes.scatter(
            groups[:, 0],
            groups[:, 1],
            s=12,
            marker="o" if training else "D",
            facecolor=style.colour if training else "white",
            edgecolor=style.colour,
            linewidth=0.8,
            zorder=4,
            clip_on=False,
        )


def _figures(found: Performance, cohort: CohortName) -> str:
    what = found.calibration
    return say(
        "calibration.panel",
        cohort=say(f"cohort.{cohort}"),
        slope=decimal(what.slope.value, 2),
        intercept=decimal(what.intercept.value, 2),
        ici=decimal(what.ici, 3),
    )


def _alt(view: View) -> str:
    told = [
        say(
            "calibration.alt_model",
            model=call(model.name),
            cohort=say(f"cohort.{cohort}"),
            slope=decimal(found.calibration.slope.value, 2),
            ici=decimal(found.calibration.ici, 3),
        )
        for model in view.models
        for cohort in view.cohorts
        if (found := view.performance(model, cohort)) is not None
    ]
    return say("calibration.alt", models="; ".join(told))
