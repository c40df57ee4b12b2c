"""The qualitative evaluations of a lesion: class, refusal and coded semantic features."""

from __future__ import annotations

from collections.abc import Iterator

from highdicom.sr import ContentItem

from sr_templates.codes import refusal_code
from sr_templates.errors import TemplateError
from sr_templates.features import Feature
from sr_templates.items import coded, modified, number, person
from sr_templates.values import Assessment, NotAssessed, SemanticValue, person_value

SHARE_DECIMALS = 2


def malignancy_class(found: Assessment) -> ContentItem:
    """Return the class at the operating point, with the operating point as its properties.

    The properties are those of a row of TID 4023: the threshold, and the cross-validated
    sensitivity and specificity there, in percent.
    """
    shares = {
        "operating_point": found.threshold,
        "sensitivity": found.sensitivity,
        "specificity": found.specificity,
    }
    properties = [
        number(name, 100 * share, "percent", SHARE_DECIMALS, "HAS PROPERTIES")
        for name, share in shares.items()
        if share is not None
    ]
    return modified(coded("class_at_operating_point", found.malignancy), *properties)


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
    return modified(item, *provenance(semantic))


def provenance(semantic: SemanticValue, *, coded_context: bool = True) -> Iterator[ContentItem]:
    """Yield where a value comes from; what a named person read is a quotation (TID 1000, 1003).

    Args:
        semantic: The value.
        coded_context: False below a measurement, where TID 1419 row 6 takes every code for a
            modifier: the reader's name then stands alone, and a person is the default type.
    """
    yield coded("provenance", semantic.provenance, "HAS CONCEPT MOD")
    reader = person_value(semantic.reader)
    if semantic.provenance == "read" and reader:
        if coded_context:
            yield coded("quotation_mode", "document", "HAS OBS CONTEXT")
            yield coded("observer_type", "person", "HAS OBS CONTEXT")
        yield person("person_observer_name", reader, "HAS OBS CONTEXT")
