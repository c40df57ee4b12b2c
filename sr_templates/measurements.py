"""The numbers of a lesion: probability of cancer and the measured features (TID 300)."""

from __future__ import annotations

from highdicom.sr import ContentItem

from sr_templates.codes import code
from sr_templates.errors import TemplateError
from sr_templates.features import Feature
from sr_templates.findings import SHARE_DECIMALS, provenance
from sr_templates.items import coded, modified, number, polyline
from sr_templates.values import LesionValues, SemanticValue


def probability(value: float) -> ContentItem:
    """Return (111047, DCM, "Probability of cancer") in percent.

    It carries no confidence limits: PixelMed's TID 300 admits none of another unit below it.

    Args:
        value: 0..1.
    """
    return number("probability_of_cancer", 100 * value, "percent", SHARE_DECIMALS)


def measured_feature(
    feature: Feature, semantic: SemanticValue, lesion: LesionValues
) -> ContentItem:
    """Return the NUM of a measured feature with derivation and provenance as modifiers.

    A length that was measured between two points is inferred from them (TID 320 row 3).

    Args:
        feature: A row of kind "number".
        semantic: Its value, in the row's unit.
        lesion: Whose caliper it is, if the row has one.

    Raises:
        TemplateError: If the value is no number, or in another unit.
    """
    if not isinstance(semantic.value, int | float):
        raise TemplateError(f"{feature.name} must be a number, got {semantic.value!r}")
    unit = code(feature.unit).value
    if semantic.unit not in ("", unit):
        raise TemplateError(f"features.toml: {feature.name} is in {unit}, got {semantic.unit}")
    item = number(feature.concept, semantic.value, feature.unit, feature.decimals)
    below = list(provenance(semantic, coded_context=False))
    if feature.derivation:
        below.insert(0, coded("derivation", feature.derivation, "HAS CONCEPT MOD"))
    if feature.caliper and lesion.caliper and lesion.source is not None:
        below.append(polyline("path", lesion.caliper, lesion.source, "INFERRED FROM"))
    return modified(item, *below)
