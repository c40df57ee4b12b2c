"""Refusals: an explicit "not assessed" with a reason code, never silence."""

from __future__ import annotations

from models.errors import ModelsError
from node.case import InstanceHeader, Refusal
from node.pipeline.gate import is_ultrasound


class CaseRefusedError(Exception):
    """A case cannot be assessed for a reason that lies between its files."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.refusal = Refusal(code, text)


def refusal_of(error: ModelsError | CaseRefusedError) -> Refusal:
    """Turn a named error of the models into a refusal: its code, and what to do."""
    if isinstance(error, CaseRefusedError):
        return error.refusal
    return Refusal(error.code, str(error))


def require_kinship(seg: InstanceHeader, image: InstanceHeader) -> None:
    """Let pass a mask that was drawn on an ultrasound image of its own study and patient.

    Raises:
        CaseRefusedError: `other-study`, `patient-mismatch` or `not-ultrasound`.
    """
    if not is_ultrasound(image):
        raise CaseRefusedError(
            "not-ultrasound",
            f"The mask lies on an image of modality {image.modality or 'unknown'}. "
            "Draw it on the ultrasound image.",
        )
    if image.study_instance_uid != seg.study_instance_uid:
        raise CaseRefusedError(
            "other-study",
            "The mask lies on an image of another study. "
            "Store the segmentation in the study of its image.",
        )
    if image.patient_id != seg.patient_id:
        raise CaseRefusedError(
            "patient-mismatch",
            "The segmentation and its image name different patients. "
            "Correct the Patient ID of one and send both again.",
        )
