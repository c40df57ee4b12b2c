"""The cohort's flowchart: who was there, who was left out and why, who remained."""

from __future__ import annotations

from itertools import pairwise

from models.study.report.figures.boxes import Box, arrow, draw, sheet
from models.study.report.figures.style import INK, WIDTH, Drawing, canvas, finish
from models.study.report.view import View
from models.study.report.wording import say
from models.study.results import FlowStep

_LEFT, _MAIN, _SIDE = 0.05, 3.1, 3.15
_GAP = 0.28


def flowchart_figure(view: View) -> Drawing | None:
    """Draw a box a step, those left out at its right."""
    steps = view.result.flow
    if not steps:
        return None
    main, side, top = [], [], 0.05
    for step in steps:
        out = _excluded(step, top)
        if out is not None:
            side.append(out)
            top = max(top + 0.1, out.bottom + 0.12)
        box = Box(_LEFT, top, _MAIN, step.title, _remaining(step))
        main.append(box)
        top = box.bottom + _GAP
    height = top - _GAP + 0.05
    with canvas("flowchart", height) as figure:
        figure.set_layout_engine("none")
        axes = sheet(figure, WIDTH, height)
        for box in (*main, *side):
            draw(axes, box)
        for upper, lower in pairwise(main):
            arrow(axes, (upper.centre, upper.bottom), (lower.centre, lower.top))
        for out in side:
            middle = out.top + out.height / 2
            from_x = _LEFT + _MAIN / 2
            axes.plot([from_x, from_x], [out.top, middle], color=INK, linewidth=0.9)
            arrow(axes, (from_x, middle), (out.left, middle))
        return finish(figure, "flowchart", say("flow.caption"), _alt(steps))


def _remaining(step: FlowStep) -> tuple[str, ...]:
    total = sum(step.remaining.values())
    lines = [say("flow.cases", n=total)]
    if len(step.remaining) > 1:
        lines += [
            say("flow.site", site=site or say("flow.no_site"), n=n)
            for site, n in step.remaining.items()
        ]
    return tuple(lines)


def _excluded(step: FlowStep, top: float) -> Box | None:
    reasons = {reason: ids for reason, ids in step.excluded.items() if ids}
    if not reasons:
        return None
    total = len({name for ids in reasons.values() for name in ids})
    lines = tuple(say("flow.reason", reason=reason, n=len(ids)) for reason, ids in reasons.items())
    left = _LEFT + _MAIN / 2 + 0.45
    return Box(left, top, WIDTH - left - 0.05, say("flow.excluded", n=total), lines, plain=True)


def _alt(steps: tuple[FlowStep, ...]) -> str:
    first, last = sum(steps[0].remaining.values()), sum(steps[-1].remaining.values())
    gone = len({name for step in steps for ids in step.excluded.values() for name in ids})
    return say("flow.alt", first=first, last=last, excluded=gone)
