"""The numbers of a lesion: probability of cancer and the measured features (TID 300)."""

from __future__ import annotations

from highdicom.sr import ContentItem

from sr_templates.errors import TemplateError
from sr_templates.features import Feature
from sr_templates.items import coded, modified, number
from sr_templates.values import SemanticValue

PROBABILITY_DECIMALS = 2


def probability(value: float) -> ContentItem:
    """Return (111047, DCM, "Probability of cancer") in percent.

    It carries no confidence limits: PixelMed's TID 300 admits none of another unit below it.

    Args:
        value: 0..1.
    """
    return number("probability_of_cancer", 100 * value, "percent", PROBABILITY_DECIMALS)


def measured_feature(feature: Feature, semantic: SemanticValue) -> ContentItem:
    """Return the NUM of a measured feature with derivation and provenance as modifiers.

    Args:
        feature: A row of kind "number".
        semantic: Its value, in the row's unit.

    Raises:
        TemplateError: If the value is no number.
    """
    if not isinstance(semantic.value, int | float):
        raise TemplateError(f"{feature.name} must be a number, got {semantic.value!r}")
    item = number(feature.concept, semantic.value, feature.unit, feature.decimals)
    modifiers = [coded("provenance", semantic.provenance, "HAS CONCEPT MOD")]
    if feature.derivation:
        modifiers.insert(0, coded("derivation", feature.derivation, "HAS CONCEPT MOD"))
    return modified(item, *modifiers)
