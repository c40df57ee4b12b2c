"""The qualitative evaluations of a lesion: class, refusal and coded semantic features."""

from __future__ import annotations

from highdicom.sr import ContentItem

from sr_templates.codes import refusal_code
from sr_templates.errors import TemplateError
from sr_templates.features import Feature
from sr_templates.items import coded, modified
from sr_templates.values import Malignancy, NotAssessed, SemanticValue


def malignancy_class(malignancy: Malignancy) -> ContentItem:
    """Return the class at the operating point, malignant or benign."""
    return coded("class_at_operating_point", malignancy)


def not_assessed(refusal: NotAssessed) -> tuple[ContentItem, ContentItem]:
    """Return the class as "not assessed" and the coded reason."""
    return (
        coded("class_at_operating_point", "not_assessed"),
        coded("reason_not_assessed", refusal_code(refusal.reason)),
    )


def coded_feature(feature: Feature, semantic: SemanticValue) -> ContentItem:
    """Return the CODE of a semantic feature with its provenance as a modifier.

    Args:
        feature: A row of kind "code".
        semantic: Its value; None, or the provenance "not assessed", says "not assessed".

    Raises:
        TemplateError: If the value is a number, or one that the row does not know.
    """
    if semantic.silent:
        return coded(feature.concept, feature.answer(None))
    if not isinstance(semantic.value, str):
        raise TemplateError(f"{feature.name} must be a word, got {semantic.value!r}")
    item = coded(feature.concept, feature.answer(semantic.value))
    return modified(item, coded("provenance", semantic.provenance, "HAS CONCEPT MOD"))
