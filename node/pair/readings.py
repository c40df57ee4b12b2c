"""Giving each case what a person read of it; pure.

The report that came last counts, whoever read, and as a whole: what it does not say is measured,
not taken from an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from node.case import Case, Reading
from node.jobs.lesions import is_about
from node.jobs.stages import PairingQuestion, StoredReading


def with_readings(cases: tuple[Case, ...], question: PairingQuestion) -> tuple[Case, ...]:
    """Return the cases with their readings."""
    return tuple(
        replace(
            case,
            reading=_latest(
                [
                    reading
                    for reading in question.readings
                    if is_about(reading, case, cases, question.seg, question.siblings)
                ]
            ),
        )
        for case in cases
    )


def _latest(readings: Sequence[StoredReading]) -> Reading | None:
    """Merge the parts of the last report; a feature that they give two values is left out."""
    if not readings:
        return None
    last = readings[-1]
    parts = [reading for reading in readings if reading.source == last.source]
    answers: dict[str, set[float | str]] = {}
    for part in parts:
        for name, value in part.features.items():
            answers.setdefault(name, set()).add(value)
    agreed = {name: values.pop() for name, values in answers.items() if len(values) == 1}
    if not agreed:
        return None
    return Reading(last.source, last.reader, last.read_at, agreed)
