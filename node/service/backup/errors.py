"""What goes wrong with a backup."""

from node.errors import CrdlError


class BackupError(CrdlError):
    """A backup cannot be made, read or restored."""
