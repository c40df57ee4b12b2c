"""One picture of `crdl models monitor`: the rolling AUC and the drift of the inputs."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models.study.monitor import Monitoring

_SHOWN = 20  # features


def draw(monitoring: Monitoring, path: Path) -> None:
    """Write a PNG; what is not known is an empty panel that says so."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    windows = [window for window in monitoring.windows if window.auc is not None]
    left.set_title("AUC by window of outcomes, 95 % interval", loc="left", fontsize=10)
    left.set_ylim(0, 1)
    left.axhline(0.5, color="0.7", linewidth=0.8)
    for position, window in enumerate(windows):
        auc = window.auc
        if auc is None:
            continue
        low, high = auc.interval or (auc.value, auc.value)
        left.plot([position, position], [low, high], color="0.4", linewidth=1.5)
        left.plot([position], [auc.value], "o", color="#0072B2")
    left.set_xticks(range(len(windows)), [window.last[:10] for window in windows], rotation=60)
    if not windows:
        left.text(0.5, 0.6, "no outcomes of both classes", ha="center", transform=left.transAxes)
    drift = monitoring.drift[:_SHOWN][::-1]
    right.set_title("Inputs against training, in standard deviations", loc="left", fontsize=10)
    right.axvline(0, color="0.7", linewidth=0.8)
    colours = ["#D55E00" if row.notable else "0.6" for row in drift]
    right.barh(range(len(drift)), [row.difference for row in drift], color=colours)
    right.set_yticks(range(len(drift)), [row.feature for row in drift], fontsize=7)
    if not drift:
        right.text(0.5, 0.6, "too few cases", ha="center", transform=right.transAxes)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, metadata={"Software": None})
