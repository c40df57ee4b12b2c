"""How urgent the workitems of a study are: of the node's own worklist, and of claimed ones."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select

from node.audit.tables import PerformedWorkitem, Workitem

_PRIORITY: Final = "00741200"  # Scheduled Procedure Step Priority, PS3.3 section C.30.1
_OPEN: Final = ("SCHEDULED", "IN PROGRESS")  # PS3.4 section CC.1.1


def of_workitems(connection: Connection, study_instance_uid: str) -> tuple[str, ...]:
    """Return the priorities of the workitems of a study that are not over: HIGH, MEDIUM, LOW."""
    own = connection.scalars(
        select(Workitem.dataset).where(
            Workitem.study_instance_uid == study_instance_uid, Workitem.state.in_(_OPEN)
        )
    )
    found = [((dataset.get(_PRIORITY) or {}).get("Value") or [""])[0] for dataset in own]
    claimed = connection.execute(
        select(PerformedWorkitem.inputs, PerformedWorkitem.priority).where(
            PerformedWorkitem.state == "claimed"
        )
    )
    found += [priority for inputs, priority in claimed if study_instance_uid in inputs]
    return tuple(dict.fromkeys(filter(None, found)))
