"""When to try failed work again: pure."""

from __future__ import annotations

_DELAYS_S = (1.0, 5.0, 30.0, 120.0)
#: After workers died: at once while that may be chance, then ever later, since a study that
#: exhausts the memory must not stop all others.
_AFTER_DEATHS_S = (0.0, 0.0, 0.0, 0.0, 30.0, 120.0, 600.0)


def next_delay(attempt: int) -> float | None:
    """Return the seconds to wait after a failed attempt (0-based), None to give up."""
    return _DELAYS_S[attempt] if attempt < len(_DELAYS_S) else None


def delay_after_deaths(deaths: int) -> float | None:
    """Return the seconds to wait after so many workers died over it (from 1), None to give up."""
    return _AFTER_DEATHS_S[deaths - 1] if deaths <= len(_AFTER_DEATHS_S) else None
