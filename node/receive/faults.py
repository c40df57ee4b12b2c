"""The ways in which an instance is not accepted, beyond being unreadable."""

from __future__ import annotations

from node.errors import IntakeError


class OutOfResourcesError(IntakeError):
    """The node has no room now; the sender shall try again later."""


class TooLargeError(IntakeError):
    """The instance is larger than an instance may be."""


class MismatchError(IntakeError):
    """The data set is not the instance that was announced."""


class UnsupportedClassError(IntakeError):
    """The SOP class is not one that the node accepts."""


class UnsupportedSyntaxError(IntakeError):
    """The transfer syntax is not one that the node accepts."""


class DeclinedError(IntakeError):
    """What `Inbox.accept` raises: the reason, with the status and the instance as far as known.

    Attributes:
        status: See `statuses`; C-STORE and STOW-RS share the numbers.
    """

    def __init__(
        self, reason: str, status: int, sop_class_uid: str = "", sop_instance_uid: str = ""
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.sop_class_uid = sop_class_uid
        self.sop_instance_uid = sop_instance_uid
