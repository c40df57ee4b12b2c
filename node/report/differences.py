"""What is said when a written report differs from its findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from node.errors import ReportError
from node.report.tree import coded_values, named
from sr_templates.codes import Code

_RELATIVE: Final = 1e-12  # Floating Point Value is a double


class ReportCheckError(ReportError):
    """The written report does not say what the findings say."""


def require(said: object, expected: object, what: str) -> None:
    """Let pass what is equal.

    Raises:
        ReportCheckError: It is not; names `what` and both values.
    """
    if said != expected:
        raise ReportCheckError(f"{what}: the report says {said!r}, the findings {expected!r}")


def require_code(items: Sequence[Dataset], concept: Code, expected: Code, what: str) -> None:
    """Let pass one CODE of the concept with the expected value."""
    said = coded_values(items, concept)
    require(said, [(expected.scheme, expected.value)], f"{what}: {concept.meaning}")


def require_number(
    items: Sequence[Dataset], concept: Code, expected: float | None, what: str
) -> None:
    """Let pass one NUM of the concept with the expected value to the last digit; none for None."""
    said = [_number(item) for item in named(items, concept)]
    wanted = [] if expected is None else [expected]
    if len(said) != len(wanted) or not np.allclose(said, wanted, rtol=_RELATIVE, atol=0):
        raise ReportCheckError(
            f"{what}: {concept.meaning}: the report says {said}, the findings {wanted}"
        )


def _number(item: Dataset) -> float:
    """Read a NUM to the last digit, and see that its rounded form says the same."""
    measured = item.MeasuredValueSequence[0]
    exact, shown = float(measured.FloatingPointValue), str(measured.NumericValue)
    decimals = len(shown.partition(".")[2])
    require(shown, f"{exact:.{decimals}f}", "Numeric Value beside Floating Point Value")
    return exact
