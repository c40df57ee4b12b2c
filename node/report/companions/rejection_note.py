"""A rejection note: what an archive should no longer show (IHE RAD TF-1 section 36, IOCM).

Titles (PS3.16 CID 7010), chosen by what IOCM asks of an archive for each:

- superseded: (113001, DCM, "Rejected for Quality Reasons"). The older report is hidden from the
  usual display and stays at hand for whoever looks for it: it was right when it was made.
- withdrawn by a person: (113037, DCM, "Rejected for Patient Safety Reasons"). It is not to be
  shown any more.

"Data Retention Policy Expired" (113039) allows deletion, which nobody asked for, and "Incorrect
Modality Worklist Entry" (113038) is about another fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from datetime import datetime
from typing import Final, Literal

from pydicom.dataset import Dataset

from node.report.companions.key_object import fill_selection
from node.report.companions.references import Reference, documents
from node.report.header import part10, patient_modules

_EQUIPMENT: Final = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions")


def rejection_note(
    report: Dataset,
    rejected: Sequence[Reference],
    kind: Literal["superseded", "withdrawn"],
    reason: str,
    uids: tuple[str, str],
    when: datetime,
) -> bytes:
    """Build the note; the same arguments give the same bytes.

    Args:
        report: The SR that is rejected, as it was sent: it gives patient, study and equipment.
        rejected: The SR and those of its companions that were sent with it.
        kind: Decides the document title.
        reason: In words.
        uids: SOP Instance UID and Series Instance UID of the note.
        when: Content date and time.

    Returns:
        A Part 10 file.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = report.SpecificCharacterSet
    dataset.StudyInstanceUID = report.StudyInstanceUID
    for keyword in (*patient_modules(), *_EQUIPMENT):
        if keyword in report:
            dataset.add(deepcopy(report[keyword]))
    row = documents()["series"]["note"]
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = uids
    dataset.SeriesNumber, dataset.InstanceNumber = row["number"], 1
    dataset.SeriesDescription = row["description"]
    day, time = when.strftime("%Y%m%d"), when.strftime("%H%M%S.%f")
    dataset.SeriesDate = dataset.ContentDate = dataset.InstanceCreationDate = day
    dataset.SeriesTime = dataset.ContentTime = dataset.InstanceCreationTime = time
    fill_selection(dataset, kind, reason, rejected)
    return part10(dataset)
