"""The monitoring page's plots, from what was monitored."""

from __future__ import annotations

from markupsafe import Markup

from node.web.console.monitoring import Monitored, Turnaround
from node.web.console.plots import Bar, Deviation, Dot, bars, deviations, dots

_SHOWN = 16  # features


def of(seen: Monitored) -> dict[str, Markup | None]:
    """Return each plot by name; None where there is nothing to draw."""
    return {
        "turnaround": _turnaround(seen.turnaround),
        "volumes": _volumes(seen),
        "scores": _scores(seen),
        "drift": _drift(seen),
        "auc": _auc(seen),
    }


def _turnaround(turnaround: Turnaround | None) -> Markup | None:
    if turnaround is None:
        return None
    labels = [*(f"≤ {_bound(bound)}" for bound in turnaround.bounds), "more"]
    data = [
        Bar(label, (float(count),), f"{label}: {count} jobs")
        for label, count in zip(labels, turnaround.counts, strict=True)
    ]
    return bars("Jobs by seconds from receipt to proof", data, ("bar",))


def _bound(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _volumes(seen: Monitored) -> Markup | None:
    if not any(assessed + refused for _, assessed, refused in seen.volumes):
        return None
    data = [
        Bar(
            f"{day:%m-%d}",
            (float(assessed), float(refused)),
            f"{day}: {assessed} assessed, {refused} refused",
        )
        for day, assessed, refused in seen.volumes
    ]
    return bars("Cases a day, assessed and refused", data, ("bar", "refused"), every=5)


def _scores(seen: Monitored) -> Markup | None:
    if not any(sum(one) for one in seen.scores):
        return None
    count = len(seen.scores)
    data = [
        Bar(
            f"{100 * number // count} %",
            (float(benign), float(malignant), float(none)),
            f"{100 * number // count} to {100 * (number + 1) // count} %: {benign} benign, "
            f"{malignant} malignant, {none} without a class",
        )
        for number, (benign, malignant, none) in enumerate(seen.scores)
    ]
    classes = ("benign", "malignant", "bar")
    return bars("Cases by probability of malignancy and class", data, classes, every=4)


def _drift(seen: Monitored) -> Markup | None:
    data = [
        Deviation(
            one.feature,
            one.difference,
            one.notable,
            f"{one.feature}: {one.difference:+.2f} standard deviations over {one.cases} cases",
        )
        for one in seen.judged.drift[:_SHOWN]
    ]
    return deviations("Inputs against training, in standard deviations", data) if data else None


def _auc(seen: Monitored) -> Markup | None:
    data = []
    for window in seen.judged.windows:
        if window.auc is None:
            continue
        low, high = window.auc.interval or (window.auc.value, window.auc.value)
        data.append(
            Dot(
                window.last[5:10],
                window.auc.value,
                low,
                high,
                f"{window.first[:10]} to {window.last[:10]}: AUC {window.auc.value:.3f} "
                f"({low:.3f} to {high:.3f}), {window.outcomes} outcomes",
            )
        )
    return dots("AUC by window of outcomes with 95 % intervals", data) if data else None
