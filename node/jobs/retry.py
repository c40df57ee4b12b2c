"""When to try failed work again: pure."""

from __future__ import annotations

_DELAYS_S = (1.0, 5.0, 30.0, 120.0)


def next_delay(attempt: int) -> float | None:
    """Return the seconds to wait after a failed attempt (0-based), None to give up."""
    return _DELAYS_S[attempt] if attempt < len(_DELAYS_S) else None
