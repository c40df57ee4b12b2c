"""What the models rest on: how much data (learning curve) and which features (importance)."""

from __future__ import annotations

from models.study.report.figures.style import Drawing, canvas, finish, grid, look
from models.study.report.numbers import decimal, signed
from models.study.report.view import View
from models.study.report.wording import call, say

_SHOWN = 20
_FAMILIES = {"clinical_": "CM", "dl_": "DL"}


def family_look(feature: str) -> str:
    """Return the model whose colour a feature's family has."""
    return next((name for head, name in _FAMILIES.items() if feature.startswith(head)), "Rad")


def learning_figure(view: View) -> Drawing | None:
    """Draw the area over the number of training cases."""
    points, model = view.result.learning, view.primary
    if not len(points) or model is None:
        return None
    with canvas("learning", 2.6, 5.2) as figure:
        axes = figure.subplots()
        cases, mean, deviation = points.T
        style = look(model.name)
        axes.fill_between(
            cases, mean - deviation, mean + deviation, color=style.colour, alpha=0.15, linewidth=0
        )
        axes.plot(cases, mean, color=style.colour, marker="o", markersize=4, linewidth=1.5)
        for x, y in ((cases[0], mean[0]), (cases[-1], mean[-1])):
            axes.annotate(
                decimal(y), (x, y), (0, 8), textcoords="offset points", ha="center", fontsize=7.8
            )
        axes.set(xlabel=say("axis.cases"), ylabel=say("axis.auc_plain"))
        axes.margins(x=0.06, y=0.2)
        grid(axes)
        alt = say(
            "learning.alt",
            first=decimal(mean[0]),
            n_first=int(cases[0]),
            last=decimal(mean[-1]),
            n_last=int(cases[-1]),
        )
        return finish(figure, "learning", say("learning.caption"), alt)


def importance_figure(view: View) -> Drawing | None:
    """Draw the features whose shuffling costs the most area."""
    falls = sorted(view.result.importance.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    if not falls:
        return None
    with canvas("importance", 0.7 + 0.2 * len(falls)) as figure:
        axes = figure.subplots()
        rows = range(len(falls))
        colours = [look(family_look(name)).colour for name, _ in falls]
        axes.barh(rows, [fall for _, fall in falls], color=colours, height=0.62)
        for row, (_, fall) in enumerate(falls):
            axes.annotate(
                signed(-fall),
                (max(fall, 0.0), row),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.6,
            )
        axes.set_yticks(rows, [name for name, _ in falls], fontsize=7.6)
        axes.set(ylim=(len(falls) - 0.4, -0.6), xlabel=say("axis.fall"))
        axes.margins(x=0.12)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        grid(axes, "x")
        alt = say("importance.alt", first=falls[0][0], fall=decimal(falls[0][1]), n=len(falls))
        model = view.primary
        caption = say("importance.caption", model=call(model.name) if model else "")
        return finish(figure, "importance", caption, alt)
