"""What pretraining teaches the backbone: several small tasks on one feature vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own convention

from models.backbone.errors import PretrainingError

Kind = Literal["binary", "log", "linear"]


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to predict.

    Attributes:
        name: key in the targets.
        kind: "binary" is 0..1 by cross-entropy; "log" and "linear" are numbers by regression,
            "log" of their logarithm.
        weight: its share in the loss.
    """

    name: str
    kind: Kind
    weight: float


TASKS = (
    Task("label", "binary", 2.0),  # 1 malignant
    Task("diameter_mm", "log", 0.5),  # maximum diameter
    Task("morphology", "binary", 1.0),  # 1 irregular
    Task("boundary", "binary", 1.0),  # 1 unclear
    Task("echo", "binary", 1.0),  # 1 uneven
    Task("adler", "linear", 0.5),  # grade 0 to 3 (Adler et al. 1990)
)


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Targets of N samples, NaN where one is not known.

    Attributes:
        values: `(N, tasks)` float64 in the order of `TASKS`; regressions standardised.
        centre: what was subtracted per task.
        spread: what it was divided by.
    """

    values: NDArray[np.float64]
    centre: tuple[float, ...]
    spread: tuple[float, ...]

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[np.float64]], count: int) -> Self:
        """Targets from columns by task name; a task without a column is left out everywhere.

        Args:
            columns: `(N,)` per name of `TASKS`; NaN where not known.
            count: N.

        Raises:
            PretrainingError: a name is unknown, a length differs, a value is out of range, or
                no target is known at all.
        """
        if unknown := sorted(set(columns) - {task.name for task in TASKS}):
            raise PretrainingError(f"unknown targets: {', '.join(unknown)}")
        values = np.full((count, len(TASKS)), np.nan)
        centre, spread = [0.0] * len(TASKS), [1.0] * len(TASKS)
        for place, task in enumerate(TASKS):
            if task.name not in columns:
                continue
            column = _checked(task, np.asarray(columns[task.name], np.float64), count)
            if task.kind != "binary" and np.isfinite(column).any():
                centre[place] = float(np.nanmean(column))
                spread[place] = float(np.nanstd(column)) or 1.0
            values[:, place] = (column - centre[place]) / spread[place]
        if np.isnan(values).all():
            raise PretrainingError("no target is known")
        return cls(values, tuple(centre), tuple(spread))


def multi_task_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Weighted mean over the tasks of the mean loss over the samples whose target is known.

    Args:
        outputs: `(N, tasks)` logits or standardised numbers.
        targets: `(N, tasks)`, NaN where not known.
    """
    total = outputs.new_zeros(())
    for place, task in enumerate(TASKS):
        known = ~torch.isnan(targets[:, place])
        weight = known.to(outputs.dtype)
        target = torch.where(known, targets[:, place], 0.0)
        if task.kind == "binary":
            losses = F.binary_cross_entropy_with_logits(outputs[:, place], target, reduction="none")
        else:
            losses = F.smooth_l1_loss(outputs[:, place], target, reduction="none")
        total = total + task.weight * (losses * weight).sum() / weight.sum().clamp(min=1.0)
    return total / sum(task.weight for task in TASKS)


def scores(outputs: NDArray[np.float64], targets: NDArray[np.float64]) -> dict[str, float]:
    """How well each task is solved: AUC of a binary one, Pearson's r of a regression.

    A task is left out where too little is known (fewer than 3 samples, or all alike).

    Args:
        outputs: `(N, tasks)`.
        targets: `(N, tasks)`, NaN where not known.
    """
    found: dict[str, float] = {}
    for place, task in enumerate(TASKS):
        known = np.isfinite(targets[:, place])
        truth, output = targets[known, place], outputs[known, place]
        if truth.size < 3 or np.ptp(output) == 0.0:
            continue
        if task.kind == "binary":
            positive = truth > 0.5
            if 0 < positive.sum() < positive.size:
                found[f"{task.name}_auc"] = round(_auc(output, positive), 4)
        elif np.ptp(truth) > 0.0:
            found[f"{task.name}_r"] = round(float(np.corrcoef(truth, output)[0, 1]), 4)
    return found


def _checked(task: Task, column: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    if column.shape != (count,):
        raise PretrainingError(f"target {task.name} is {column.shape}, needs ({count},)")
    known = column[~np.isnan(column)]
    if task.kind == "binary" and ((known < 0.0) | (known > 1.0)).any():
        raise PretrainingError(f"target {task.name} lies outside 0 to 1")
    if task.kind == "log":
        if (known <= 0.0).any():
            raise PretrainingError(f"target {task.name} must be positive")
        return np.log(column)
    return column


def _auc(output: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve as the Mann-Whitney statistic, ties counted half."""
    ranks = rankdata(output)
    count = int(positive.sum())
    above = ranks[positive].sum() - count * (count + 1) / 2.0
    return float(above / (count * (positive.size - count)))
