"""Storage Commitment Push Model as SCP: telling a modality the result (PS3.4 section J.3.3)."""

from __future__ import annotations

from pydicom import Dataset
from pynetdicom import build_role
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from node.deliver.association import Peer, open_association
from node.deliver.commitment import PUSH_MODEL, WELL_KNOWN_INSTANCE
from node.deliver.statuses import status_name
from node.errors import DeliveryError
from node.jobs.pledges import Decided

ALL_COMMITTED = 1  # Event Type ID, PS3.4 table J.3-2
FAILURES_EXIST = 2


def event_information(decided: Decided) -> tuple[int, Dataset]:
    """Return Event Type ID and Event Information of a result (PS3.4 table J.3-2)."""
    information = Dataset()
    information.TransactionUID = decided.transaction_uid
    committed = [_reference(*named) for named in decided.committed]
    if committed:
        information.ReferencedSOPSequence = committed
    if not decided.failed:
        return ALL_COMMITTED, information
    information.FailedSOPSequence = []
    for sop_class_uid, sop_instance_uid, reason in decided.failed:
        item = _reference(sop_class_uid, sop_instance_uid)
        item.FailureReason = reason
        information.FailedSOPSequence.append(item)
    return FAILURES_EXIST, information


def tell_on(association: Association, decided: Decided) -> str:
    """Send a result over an established association; return "" or why it did not get there."""
    event_type, information = event_information(decided)
    try:
        status, _ = association.send_n_event_report(
            information, event_type, PUSH_MODEL, WELL_KNOWN_INSTANCE
        )
    except (RuntimeError, ValueError) as error:  # gone meanwhile; or the role is not ours
        return f"{decided.calling_ae} cannot be told on this association: {error}"
    if "Status" not in status:
        return f"{decided.calling_ae} did not answer the commitment result"
    if status.Status != 0:
        return f"{decided.calling_ae} answered the result with {status_name(status.Status)}"
    return ""


def tell_peer(peer: Peer, decided: Decided) -> str:
    """Send a result over an association of our own; return "" or why it did not get there.

    We are the SCP there although we open it: role selection, PS3.7 section D.3.3.4.
    """
    role = build_role(PUSH_MODEL, scu_role=False, scp_role=True)
    try:
        association = open_association(peer, [build_context(PUSH_MODEL)], (), [role])
    except DeliveryError as error:
        return str(error)
    error_text = tell_on(association, decided)
    if association.is_established:
        association.release()
    return error_text


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = sop_instance_uid
    return item
