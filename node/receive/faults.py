"""The ways in which an instance is not accepted, beyond being unreadable."""

from __future__ import annotations

from node.errors import IntakeError


class OutOfResourcesError(IntakeError):
    """The node has no room now; the sender shall try again later."""


class MismatchError(IntakeError):
    """The data set is not the instance that was announced."""


class UnsupportedError(IntakeError):
    """The SOP class or the transfer syntax is not one that the node accepts."""
