"""The figures of a study: each module draws one kind, `draw_all` draws what there is."""

from __future__ import annotations

from models.study.report.figures.calibration import calibration_figure
from models.study.report.figures.decision import decision_figure
from models.study.report.figures.features import importance_figure, learning_figure
from models.study.report.figures.flowchart import flowchart_figure
from models.study.report.figures.forest import forest_figure, gap_figure
from models.study.report.figures.roc import readers_figure, roc_figure
from models.study.report.figures.style import Drawing, inline, standalone
from models.study.report.figures.workflow import workflow_figure
from models.study.report.view import View

__all__ = ["Drawing", "draw_all", "inline", "standalone"]


def draw_all(view: View) -> dict[str, Drawing]:
    """Draw every figure that the study has data for, by name."""
    drawn = [flowchart_figure(view), workflow_figure(view)]
    if view.models:
        drawn += [forest_figure(view), roc_figure(view), calibration_figure(view)]
    drawn += [
        decision_figure(view),
        readers_figure(view),
        gap_figure(view),
        learning_figure(view),
        importance_figure(view),
    ]
    return {drawing.name: drawing for drawing in drawn if drawing is not None}
