"""The reader study (paper, 2.8 and Table 4): calls alone and with the model, and what changed."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.errors import ModelsError
from models.study.results import Interval, Performance, ReaderPoint, Share, Table
from models.study.statistics.delong import auc_with_interval
from models.study.statistics.operating import shares_of_calls
from models.study.statistics.paired import mcnemar_test
from models.study.tables_words import (
    estimate,
    p_value,
    sentence,
    share,
    table,
    word,
)

COLUMNS = ("reader", "id", "aided", "call")
_SHARES = ("sensitivity", "specificity", "ppv", "npv", "accuracy")


class ReadersError(ModelsError):
    """The readers' calls cannot be used: the message names the row to mend."""


@dataclass(frozen=True, slots=True, eq=False)
class ReaderCalls:
    """One reader's calls of the same cases, alone and with the model.

    Attributes:
        reader: Name.
        ids: Cases.
        labels: (cases,) 1 malignant.
        alone: (cases,) called malignant.
        aided: Likewise, after seeing the model's probability.
        confidence_alone: (cases,) suspicion; None if the file does not say it for every case.
        confidence_aided: Likewise.
    """

    reader: str
    ids: tuple[str, ...]
    labels: NDArray[np.int64]
    alone: NDArray[np.bool_]
    aided: NDArray[np.bool_]
    confidence_alone: NDArray[np.float64] | None = None
    confidence_aided: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        shape = (len(self.ids),)
        if not self.labels.shape == self.alone.shape == self.aided.shape == shape:
            raise ReadersError(f"reader {self.reader!r}: a call alone and aided for each case")


def read_calls(path: Path, labels: Mapping[str, int]) -> tuple[ReaderCalls, ...]:
    """Read the readers' calls.

    Args:
        path: CSV with the columns `reader`, `id`, `aided` (0 or 1), `call` (1 malignant, 0
            benign), and optionally `confidence` (any scale, more is more suspicious).
        labels: Of the external cohort, by id. A reader may leave cases out, but reads each of
            his both times.

    Returns:
        One entry a reader, in the order of the file; cases in the order of the cohort.

    Raises:
        ReadersError: The file cannot be read, lacks a column or a row; an id is not in the
            cohort, a call is not 0 or 1, a case is called twice or not both times, or a reader
            did not call lesions of both classes.
    """
    found: dict[str, dict[tuple[str, str], tuple[bool, float]]] = {}
    for line, row in enumerate(_rows(path), start=2):
        reader, case, aided = row["reader"], row["id"], row["aided"]
        where = f"{path.name}, line {line}"
        if not reader:
            raise ReadersError(f"{where}: no reader is named")
        if case not in labels:
            raise ReadersError(
                f"{where}: case {case!r} is not in the external cohort, or was left out of it"
            )
        for column in ("aided", "call"):
            if row[column] not in {"0", "1"}:
                raise ReadersError(f"{where}: {column} is {row[column]!r}, not 0 or 1")
        own = found.setdefault(reader, {})
        if (case, aided) in own:
            again = "aided" if aided == "1" else "unaided"
            raise ReadersError(f"{where}: reader {reader!r} called case {case!r} {again} twice")
        own[case, aided] = (row["call"] == "1", _confidence(row.get("confidence") or "", where))
    if not found:
        raise ReadersError(f"{path.name} holds no call")
    return tuple(_paired(reader, own, labels, path) for reader, own in found.items())


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle, restval="")
            absent = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if absent:
                raise ReadersError(f"{path.name} has no column {absent[0]!r}")
            return [
                {name: (text or "").strip() for name, text in row.items() if name} for row in reader
            ]
    except (OSError, UnicodeDecodeError) as error:
        raise ReadersError(f"{path} cannot be read: {error}") from error


def _confidence(text: str, where: str) -> float:
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError as error:
        raise ReadersError(f"{where}: confidence is {text!r}, no number") from error
    if not math.isfinite(value):
        raise ReadersError(f"{where}: confidence is {text!r}, no finite number")
    return value


def _paired(
    reader: str,
    own: Mapping[tuple[str, str], tuple[bool, float]],
    labels: Mapping[str, int],
    path: Path,
) -> ReaderCalls:
    read = {case for case, _ in own}
    ids = tuple(case for case in labels if case in read)
    for case in ids:
        for aided, word_ in (("0", "unaided"), ("1", "aided")):
            if (case, aided) not in own:
                raise ReadersError(
                    f"{path.name}: reader {reader!r} has no {word_} call of case {case!r}"
                )
    truth = np.array([labels[case] for case in ids], dtype=np.int64)
    if truth.min() == truth.max():
        raise ReadersError(f"{path.name}: reader {reader!r} called lesions of one class only")
    calls, confidence = (
        [np.array([own[case, aided][part] for case in ids]) for aided in ("0", "1")]
        for part in (0, 1)
    )
    whole = [None if np.isnan(values).any() else values for values in confidence]
    return ReaderCalls(reader, ids, truth, calls[0], calls[1], whole[0], whole[1])


def reader_points(readers: Iterable[ReaderCalls]) -> tuple[ReaderPoint, ...]:
    """Return each reader's point on the ROC, alone and then aided."""
    points = []
    for one in readers:
        for aided, called in ((False, one.alone), (True, one.aided)):
            found = shares_of_calls(called, one.labels)
            points.append(
                ReaderPoint(one.reader, aided, found["sensitivity"], found["specificity"])
            )
    return tuple(points)


def readers_table(readers: Sequence[ReaderCalls], model: Performance | None = None) -> Table:
    """Return the paper's Table 4 with intervals and McNemar's tests.

    Args:
        readers: Their calls.
        model: The model on the external cohort at its fixed threshold, for a row of its own.
    """
    rows = []
    for one in readers:
        alone, aided = (shares_of_calls(calls, one.labels) for calls in (one.alone, one.aided))
        groups = (np.ones(len(one.ids), dtype=bool), one.labels == 1, one.labels == 0)
        tests = tuple(p_value(changes(one, group).p_exact) for group in groups)
        rows.append((*_line(one.reader, word("alone"), len(one.ids), alone), "", "", ""))
        rows.append((*_line("", word("aided"), len(one.ids), aided), *tests))
    if model is not None:
        found = {name: getattr(model, name) for name in _SHARES}
        rows.append((*_line(word("model"), "", len(model.ids), found), "", "", ""))
    areas = "; ".join(_areas(one) for one in readers if one.confidence_alone is not None)
    return table("readers", rows, auc=sentence("readers", "auc", found=areas) if areas else "")


def _line(reader: str, how: str, cases: int, found: Mapping[str, Share]) -> tuple[str, ...]:
    return (reader, how, str(cases), *(share(found[name]) for name in _SHARES))


def _areas(one: ReaderCalls) -> str:
    told = []
    for how, confidence in (("alone", one.confidence_alone), ("aided", one.confidence_aided)):
        enough = np.bincount(one.labels, minlength=2).min() >= 2
        if confidence is not None and enough:
            told.append(f"{word(how)} {estimate(auc_with_interval(confidence, one.labels))}")
    return f"{one.reader} {', '.join(told)}"


@dataclass(frozen=True, slots=True)
class Changes:
    """How a reader's calls changed with the model's help, in a group of lesions.

    Attributes:
        cases: In the group.
        raised: Benign to malignant.
        lowered: Malignant to benign.
        gained: Wrong to right.
        lost: Right to wrong.
        net: Share gained less share lost.
        interval: Of `net` (Bonett & Price 2012).
        p_exact: McNemar's.
        p_mid: McNemar's mid-p.
    """

    cases: int
    raised: int
    lowered: int
    gained: int
    lost: int
    net: float
    interval: Interval
    p_exact: float
    p_mid: float


def changes(one: ReaderCalls, group: NDArray[np.bool_]) -> Changes:
    """Count what changed among the cases of a group, (cases,) bool."""
    truth, alone, aided = one.labels[group] == 1, one.alone[group], one.aided[group]
    gained = int(((alone != truth) & (aided == truth)).sum())
    lost = int(((alone == truth) & (aided != truth)).sum())
    cases = len(truth)
    tested = mcnemar_test(lost, gained)
    # Bonett & Price (2012): one case more of each kind of change keeps the interval honest at
    # small numbers, where Wald's shrinks to nothing.
    up, down = (gained + 1) / (cases + 2), (lost + 1) / (cases + 2)
    spread = float(stats.norm.ppf(0.975)) * math.sqrt((up + down - (up - down) ** 2) / (cases + 2))
    return Changes(
        cases=cases,
        raised=int((~alone & aided).sum()),
        lowered=int((alone & ~aided).sum()),
        gained=gained,
        lost=lost,
        net=(gained - lost) / cases if cases else float("nan"),
        interval=(max(-1.0, up - down - spread), min(1.0, up - down + spread)),
        p_exact=tested.p_exact,
        p_mid=tested.p_mid,
    )


def reclassification_table(readers: Iterable[ReaderCalls]) -> Table:
    """Return what changed with the model's help, in malignant, in benign and in all lesions."""
    rows = []
    for one in readers:
        groups = {
            "malignant": one.labels == 1,
            "benign": one.labels == 0,
            "all": np.ones(len(one.ids), dtype=bool),
        }
        for place, (name, group) in enumerate(groups.items()):
            found = changes(one, group)
            counts = (found.cases, found.raised, found.lowered, found.gained, found.lost)
            low, high = found.interval
            rows.append(
                (
                    "" if place else one.reader,
                    word(name),
                    *(str(count) for count in counts),
                    f"{100 * found.net:+.1f} % ({100 * low:+.1f} to {100 * high:+.1f})",
                    f"{p_value(found.p_exact)} ({p_value(found.p_mid)})",
                )
            )
    return table("reclassification", rows)
