"""Instance Availability Notification as SCP (PS3.4 annex R): an archive has a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydicom import Dataset
from sqlalchemy.engine import Engine as Database

from node.worklist.performed import Complete, Reply, instances_of

IAN: Final = "1.2.840.10008.5.1.4.33"
_SUCCESS, _MISSING, _UNRECOGNIZED = 0x0000, 0x0120, 0x0211  # PS3.7 annex C


@dataclass(frozen=True)
class IanService:
    """Takes N-CREATE; a request is as `receive.services.Asked`.

    What is OFFLINE or UNAVAILABLE will not come and is not waited for.
    """

    database: Database
    complete: Complete

    @property
    def syntaxes(self) -> tuple[str, ...]:
        """Abstract syntaxes of its presentation contexts."""
        return (IAN,)

    def create(self, asked: Any) -> Reply:  # noqa: ANN401 - a room beside
        """Note which instances of a study are available (section R.3.2)."""
        study = str(asked.dataset.get("StudyInstanceUID") or "")
        if not study:
            return _MISSING, None
        series = [_available(one) for one in asked.dataset.get("ReferencedSeriesSequence") or []]
        with self.database.begin() as connection:
            self.complete(connection, study, instances_of(series), f"ian {asked.calling_ae}")
        return _SUCCESS, None

    def set(self, asked: Any) -> Reply:  # noqa: ANN401 - same
        """Refuse: a notification is made once."""
        del asked
        return _UNRECOGNIZED, None

    def get(self, asked: Any) -> Reply:  # noqa: ANN401 - same
        """Refuse: it is not given back."""
        del asked
        return _UNRECOGNIZED, None

    def act(self, asked: Any) -> Reply:  # noqa: ANN401 - same
        """Refuse: there is no action."""
        del asked
        return _UNRECOGNIZED, None

    def find(self, asked: Any) -> Sequence[Dataset]:  # noqa: ANN401 - same
        """Find nothing."""
        del asked
        return ()


def _available(series: Dataset) -> Dataset:
    kept = Dataset()
    kept.ReferencedSOPSequence = [
        item
        for item in series.get("ReferencedSOPSequence") or []
        if item.get("InstanceAvailability", "ONLINE") in {"ONLINE", "NEARLINE"}
    ]
    return kept
