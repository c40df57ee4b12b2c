"""How the report writes numbers: the same everywhere, with the same number of decimals."""

from __future__ import annotations

import math

from models.study.results import Estimate, Interval, Share

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"


def decimal(value: float, digits: int = 3) -> str:
    """Write a number with a true minus sign, never as minus zero; a dash where it is not one."""
    if not math.isfinite(value):
        return NONE
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def signed(value: float, digits: int = 3) -> str:
    """Write a difference, with its sign where it is not zero."""
    text = decimal(value, digits)
    return f"+{text}" if value > 0 and float(text) != 0 else text


def interval(bounds: Interval | None, digits: int = 3) -> str:
    """Write a confidence interval as "0.894 to 0.928"."""
    return f"{decimal(bounds[0], digits)} to {decimal(bounds[1], digits)}" if bounds else NONE


def estimate(found: Estimate, digits: int = 3) -> str:
    """Write an estimate with its interval as "0.911 (0.894 to 0.928)"."""
    value = decimal(found.value, digits)
    return f"{value} ({interval(found.interval, digits)})" if found.interval else value


def percent(value: float, digits: int = 1) -> str:
    """Write a proportion as "83.6 %"."""
    return f"{decimal(100 * value, digits)} %" if math.isfinite(value) else NONE


def share(found: Share) -> str:
    """Write a proportion with its counts as "83.6 % (46 of 55)"."""
    return f"{percent(found.value)} ({found.numerator} of {found.denominator})"


def share_interval(found: Share) -> str:
    """Write the interval of a proportion as "71.7 to 91.1 %"."""
    if not found.denominator:
        return NONE
    low, high = found.interval
    return f"{decimal(100 * low, 1)} to {decimal(100 * high, 1)} %"


def p_value(p: float) -> str:
    """Write a p value with three decimals, or "<0.001"."""
    if not math.isfinite(p):
        return NONE
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def listed(names: tuple[str, ...] | list[str]) -> str:
    """Join names as a sentence does."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
