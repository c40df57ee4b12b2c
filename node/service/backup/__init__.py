"""Backup of a whole node while it works, and its restoration into an empty one."""

from node.service.backup.make import BackupResult, back_up
from node.service.backup.restore import Restored, restore

__all__ = ["BackupResult", "Restored", "back_up", "restore"]
