"""The workflow: from image and outline to a judged model, and what is fitted inside the folds."""

from __future__ import annotations

from matplotlib.patches import Rectangle

from models.study.report.figures.boxes import Box, arrow, draw, sheet
from models.study.report.figures.style import ALERT, QUIET, WIDTH, Drawing, canvas, finish
from models.study.report.view import View
from models.study.report.wording import say, words

_COLUMN, _GAP, _TOP = 1.24, 0.14, 0.42


def workflow_figure(view: View) -> Drawing:
    """Draw the stages from left to right (words/workflow.toml), the folds as a frame."""
    stages = words("workflow")["stage"]
    boxes = [
        [
            Box(0.06 + index * (_COLUMN + _GAP), 0, _COLUMN, part["head"], tuple(part["lines"]))
            for part in stage["box"]
        ]
        for index, stage in enumerate(stages)
    ]
    tall = max(sum(box.height for box in column) + _GAP * (len(column) - 1) for column in boxes)
    height = _TOP + tall + 0.36
    with canvas("workflow", height) as figure:
        figure.set_layout_engine("none")
        axes = sheet(figure, WIDTH, height)
        inside = [i for i, stage in enumerate(stages) if stage["inside"][view.mode]]
        if inside:
            left = boxes[inside[0]][0].left - 0.06
            right = boxes[inside[-1]][0].left + _COLUMN + 0.06
            axes.add_patch(
                Rectangle(
                    (left, _TOP - 0.1),
                    right - left,
                    tall + 0.2,
                    fill=False,
                    edgecolor=ALERT,
                    linewidth=1.2,
                    linestyle=(0, (4, 2)),
                )
            )
            axes.text(
                left + 0.03,
                height - 0.1,
                say(f"workflow.folds_{view.mode}"),
                color=ALERT,
                fontsize=7.8,
                va="center",
            )
        middle = _TOP + tall / 2
        for stage, column in zip(stages, boxes, strict=True):
            axes.text(
                column[0].left,
                0.17,
                stage["title"],
                fontsize=8.8,
                fontweight=600,
                color=QUIET,
                va="center",
            )
            used = sum(box.height for box in column)
            space = (tall - used) / max(1, len(column) - 1) if len(column) > 1 else 0
            top = _TOP if len(column) > 1 else middle - used / 2
            for box in column:
                draw(axes, Box(box.left, top, box.width, box.head, box.lines))
                top += box.height + space
        for upper in boxes[:-1]:
            end = upper[0].left + _COLUMN
            arrow(axes, (end, middle), (end + _GAP, middle))
        return finish(figure, "workflow", say("workflow.caption"), say(f"workflow.alt_{view.mode}"))
