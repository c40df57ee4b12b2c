"""What the Basic Application Level Confidentiality Profile asks of each attribute.

The table is PS3.15 table E.1-1, edition 2026c, as the package dicom-anonymizer keeps it. Its engine
is not used: it leaves what lies in sequences as it is, and gives UIDs that differ from run to run.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final, Literal

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as _table
from pydicom.datadict import tag_for_keyword
from pydicom.tag import BaseTag, Tag

Act = Literal["remove", "empty", "dummy", "uid", "keep", "clean"]
EDITION: Final = "2026c"

# Where a choice is left (X/Z, X/D and so on) the later one is taken: an attribute that is required
# stays there. Sequences of references are cleaned: their UIDs are replaced, the rest is treated.
_ACTS: Final[Mapping[str, Act]] = {
    "X_TAGS": "remove",
    "Z_TAGS": "empty",
    "D_TAGS": "dummy",
    "U_TAGS": "uid",
    "Z_D_TAGS": "dummy",
    "X_Z_TAGS": "empty",
    "X_D_TAGS": "dummy",
    "X_Z_D_TAGS": "dummy",
    "X_Z_U_STAR_TAGS": "clean",
}

# The options that are used beside the basic profile (PS3.16 CID 7050).
#: Retain Patient Characteristics Option: what the clinical model needs (PS3.15 section E.3.4).
CHARACTERISTICS: Final = ("PatientSex", "PatientAge", "PatientSize", "PatientWeight")
#: Kept because the study is of no use without it, and none of it comes from a patient.
_OURS: Final = ("SegmentSequence", "PerFrameFunctionalGroupsSequence")
CODES: Final = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
    "113108": "Retain Patient Characteristics Option",
}


@cache
def acts() -> Mapping[BaseTag, Act]:
    """Return what is done to each attribute of the table that has one tag."""
    found: dict[BaseTag, Act] = {}
    for name, act in _ACTS.items():
        for tag in getattr(_table, name):
            if len(tag) == 2:
                found[Tag(*tag)] = act
    for keyword in (*CHARACTERISTICS, *_OURS):
        tag = tag_for_keyword(keyword)
        if tag is not None:
            found[Tag(tag)] = "keep"
    return MappingProxyType(found)


def act_for(tag: BaseTag) -> Act:
    """Return what is done to an attribute; one that is in no table is kept, and looked into.

    Private attributes, curves (50xx) and overlays (60xx) are removed.
    """
    if tag.is_private or tag.group & 0xFF00 in {0x5000, 0x6000}:
        return "remove"
    return acts().get(tag, "keep")
