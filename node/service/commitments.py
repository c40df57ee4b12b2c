"""Storage commitment results at our own DICOM port: who may bring them, and what they change."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pydicom import Dataset

from node.config import Settings
from node.deliver.commitment import read_event_report
from node.deliver.statuses import NO_SUCH_OBJECT_INSTANCE, SUCCESS, status_name
from node.errors import DeliveryError
from node.jobs.committing import Committer, Result
from node.jobs.pledging import PledgeBook

_PROCESSING_FAILURE = 0x0110  # PS3.7 section C.5.21
_NO_SUCH_EVENT_TYPE = 0x0113  # PS3.7 section C.5.13
_INVALID_ARGUMENT_VALUE = 0x0115  # PS3.7 section C.5.3: no transaction of ours
_log = logging.getLogger(__name__)


def commitment_taker(
    settings: Settings, committer: Committer, book: PledgeBook
) -> Callable[[str, int, Dataset], int]:
    """Return what takes a calling AE title and an N-EVENT-REPORT, and gives its status.

    Only a destination with `verify = "commitment"` may bring results, under its AE title.
    """
    names: dict[str, list[str]] = {}
    for destination in settings.destination:
        if destination.verify == "commitment":
            names.setdefault(destination.ae_title.strip(), []).append(destination.name)

    def take(calling_ae: str, event_type: int, information: Dataset) -> int:
        if calling_ae not in names:
            _log.warning("%r brought a commitment result and is no such destination", calling_ae)
            return _PROCESSING_FAILURE
        try:
            result = read_event_report(event_type, information)
        except DeliveryError as error:
            _log.warning("%s: %s", calling_ae, error)
            return _NO_SUCH_EVENT_TYPE
        if book.hear(result.transaction_uid, result.committed):
            return SUCCESS
        known = committer.take(
            names[calling_ae],
            Result(
                result.transaction_uid,
                result.committed,
                frozenset(u for u, r in result.failed.items() if r == NO_SUCH_OBJECT_INSTANCE),
                {uid: status_name(reason) for uid, reason in result.failed.items()},
            ),
        )
        return SUCCESS if known else _INVALID_ARGUMENT_VALUE

    return take
