"""The sentences of the report, filled in from wording.toml."""

from __future__ import annotations

from functools import cache
from typing import Any

from sr_templates.codes import read_table, refusal_code
from sr_templates.errors import TemplateError
from sr_templates.features import Feature, features
from sr_templates.values import (
    AlgorithmValues,
    Assessment,
    LesionValues,
    NotAssessed,
    SemanticValue,
)


@cache
def _table() -> dict[str, Any]:
    return read_table("wording.toml")


def say(section: str, sentence: str, **blanks: str) -> str:
    """Return one sentence of wording.toml with its blanks filled in.

    Raises:
        TemplateError: If there is no such sentence, or it asks for a blank that nobody fills.
    """
    try:
        template: str = _table()[section][sentence]
        return template.format(**blanks)
    except (KeyError, ValueError) as error:
        raise TemplateError(f"wording.toml: [{section}] {sentence}: {error}") from error


def percent(share: float) -> str:
    """Print a share of 0..1 in percent with one decimal, as every sentence does."""
    return f"{100 * share:.1f}"


def banner(*, simulated: bool) -> str:
    """Return the warning that comes before everything else."""
    warnings = [say("banner", "simulated")] if simulated else []
    return " - ".join((*warnings, say("banner", "research")))


def series_description(kind: str, *, simulated: bool) -> str:
    """Return the Series Description of a `report` or a `summary` series, at most 64 characters."""
    warning = say("banner", "simulated" if simulated else "research")
    return f"{warning} - {say('series', kind)}"


def opening(algorithm: AlgorithmValues) -> str:
    """Return the first text of the report."""
    return f"{banner(simulated=algorithm.simulated)}. {say('banner', 'disclaimer')}"


def verdict(lesion: LesionValues) -> str:
    """Return the sentence that says what was found in one lesion."""
    if isinstance(lesion.verdict, NotAssessed):
        return say("summary", "refused", lesion=lesion.name, text=lesion.verdict.text)
    found = lesion.verdict
    accuracy = ""
    if found.sensitivity is not None and found.specificity is not None:
        accuracy = say(
            "summary",
            "accuracy",
            sensitivity=percent(found.sensitivity),
            specificity=percent(found.specificity),
        )
    return say(
        "summary",
        "assessed",
        lesion=lesion.name,
        probability=percent(found.probability),
        threshold=percent(found.threshold),
        accuracy=accuracy,
        **{"class": found.malignancy},
    )


def prevalence(algorithm: AlgorithmValues) -> str:
    """Return the training prevalence and population."""
    return say(
        "summary",
        "prevalence",
        prevalence=percent(algorithm.prevalence),
        population=algorithm.population.rstrip("."),
    )


def prior_shift(lesion: LesionValues) -> str | None:
    """Return the sentence that names a configured prevalence, if it was applied."""
    if not isinstance(lesion.verdict, Assessment) or lesion.verdict.prior_shift is None:
        return None
    shift = percent(lesion.verdict.prior_shift)
    return say("summary", "prior_shift", lesion=lesion.name, prevalence=shift)


def lesion_remarks(lesion: LesionValues) -> tuple[str, ...]:
    """Return what the group of a lesion says in words, one sentence an item."""
    remarks = []
    if isinstance(lesion.verdict, NotAssessed):
        meaning = refusal_code(lesion.verdict.reason).meaning
        remarks.append(say("lesion", "refused", meaning=meaning, text=lesion.verdict.text))
    else:
        remarks.extend(_assessment_remarks(lesion.verdict))
    if lesion.source is not None and lesion.source.frame_number is not None:
        remarks.append(say("lesion", "frame", frame=str(lesion.source.frame_number)))
    if lesion.image_inferred:
        remarks.append(say("lesion", "inferred"))
    return (*remarks, *(feature_line(semantic) for semantic in lesion.semantic))


def _assessment_remarks(found: Assessment) -> list[str]:
    if found.fallback_reason:
        reason = found.fallback_reason.rstrip(".")
        remarks = [say("lesion", "fallback", model=found.model, reason=reason)]
    else:
        remarks = [say("lesion", "model", model=found.model)]
    if found.out_of_distribution:
        remarks.append(say("lesion", "out_of_distribution"))
    if found.influences:
        named = ", ".join(f"{name} {weight:+.2f}" for name, weight in found.influences)
        remarks.append(say("lesion", "influences", influences=named))
    return remarks


def feature_value(semantic: SemanticValue) -> str:
    """Print the value of a semantic feature as the report's codes name it."""
    if semantic.silent:
        return say("provenance", "not assessed")
    row = _row(semantic.name)
    if isinstance(semantic.value, str):
        return semantic.value if row is None else row.answer(semantic.value).meaning
    decimals = 1 if row is None else row.decimals
    return f"{semantic.value:.{decimals}f} {semantic.unit}".rstrip()


def feature_label(name: str) -> str:
    """Print the name of a semantic feature."""
    row = _row(name)
    return name.replace("_", " ").capitalize() if row is None else row.label


def feature_line(semantic: SemanticValue) -> str:
    """Return a semantic feature with its provenance and confidence in words."""
    label = feature_label(semantic.name)
    if semantic.silent:
        return say("lesion", "feature_not_assessed", label=label)
    provenance = say("provenance", semantic.provenance)
    if semantic.confidence is not None:
        provenance += say("lesion", "confidence", confidence=f"{100 * semantic.confidence:.0f}")
    value = feature_value(semantic)
    return say("lesion", "feature", label=label, value=value, provenance=provenance)


def _row(name: str) -> Feature | None:
    return next((row for row in features() if row.name == name), None)
