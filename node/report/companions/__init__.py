"""What goes with the Structured Report: one file a kind of object.

`sc` a summary picture a lesion, `pdf` a document, `seg` the masks as a segmentation that viewers
can lay over the image, `gsps` outline and caliper as a presentation state, `ko` a key object
selection. Which of them are built is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from pydicom.dataset import Dataset

from node.report.companions.encapsulated_pdf import encapsulated_pdf
from node.report.companions.key_object import key_object
from node.report.companions.presentation_state import presentation_states
from node.report.companions.secondary_capture import secondary_captures
from node.report.companions.segmentation import segmentations
from node.report.request import ReportRequest

BUILDERS: Final[Mapping[str, Callable[[ReportRequest], Iterable[Dataset]]]] = {
    "sc": secondary_captures,
    "pdf": encapsulated_pdf,
    "seg": segmentations,
    "gsps": presentation_states,
    "ko": key_object,
}
"""By configured name, in the order in which they are sent."""
