"""The sentences of the report, filled in from wording.toml."""

from __future__ import annotations

from sr_templates.codes import code, refusal_code
from sr_templates.errors import TemplateError
from sr_templates.features import Feature, features
from sr_templates.influences import influence_words
from sr_templates.templates import table
from sr_templates.trend import earlier
from sr_templates.values import (
    AlgorithmValues,
    Assessment,
    LesionValues,
    NotAssessed,
    SemanticValue,
)
from sr_templates.words import closed, percent, say

__all__ = ["percent", "say"]


def banner(*, simulated: bool) -> str:
    """Return the warning that comes before everything else."""
    warnings = [say("banner", "simulated")] if simulated else []
    return " - ".join((*warnings, say("banner", "research")))


def series_description(kind: str, *, simulated: bool) -> str:
    """Return the Series Description of a `report` or a `summary` series, at most 64 characters."""
    warning = say("banner", "simulated" if simulated else "research")
    return f"{warning} - {say('series', kind)}"


def lesion_name(number: int, label: str) -> str:
    """Return how sentences call a lesion: its number in the report and the segment's label."""
    if label:
        return say("lesion", "labelled", number=str(number), label=label)
    return say("lesion", "name", number=str(number))


def opening(algorithm: AlgorithmValues) -> str:
    """Return the first text of the report."""
    return f"{banner(simulated=algorithm.simulated)}. {say('banner', 'disclaimer')}"


def verdict(lesion: LesionValues) -> str:
    """Return the sentence that says what was found in one lesion."""
    if isinstance(lesion.verdict, NotAssessed):
        return say("summary", "refused", lesion=lesion.name, **_refusal(lesion.verdict))
    found = lesion.verdict
    return say(
        "summary",
        "undetermined" if found.abstention else "assessed",
        lesion=lesion.name,
        probability=percent(found.probability),
        threshold=percent(found.threshold),
        accuracy=_accuracy(found),
        reason=closed(found.abstention),
        **{"class": say("class", found.malignancy)},
    )


def caveats(lesion: LesionValues) -> tuple[str, ...]:
    """Return what holds against the verdict and must stand beside it."""
    if not isinstance(lesion.verdict, Assessment):
        return ()
    sentences = []
    if lesion.verdict.out_of_distribution:
        sentences.append(say("summary", "out_of_distribution", lesion=lesion.name))
    if lesion.verdict.prior_shift is not None:
        shift = percent(lesion.verdict.prior_shift)
        sentences.append(say("summary", "prior_shift", lesion=lesion.name, prevalence=shift))
    return tuple(sentences)


def prevalence(algorithm: AlgorithmValues) -> str:
    """Return the training prevalence and population."""
    return say(
        "summary",
        "prevalence",
        prevalence=percent(algorithm.prevalence),
        population=algorithm.population.rstrip("."),
    )


def lesion_remarks(lesion: LesionValues) -> tuple[str, ...]:
    """Return what the group of a lesion says in words, one sentence an item."""
    if isinstance(lesion.verdict, NotAssessed):
        remarks = [
            say("lesion", "refused", **_refusal(lesion.verdict)),
            say("lesion", "details", text=lesion.verdict.text),
        ]
    else:
        remarks = _assessment_remarks(lesion.verdict)
    if lesion.source is not None and lesion.source.frame_number is not None:
        remarks.append(say("lesion", "frame", frame=str(lesion.source.frame_number)))
    if lesion.image_inferred:
        remarks.append(say("lesion", "inferred"))
    remarks.extend(feature_line(semantic) for semantic in lesion.semantic)
    remarks.extend(earlier(prior, lesion) for prior in lesion.priors)
    return tuple(remarks)


def _assessment_remarks(found: Assessment) -> list[str]:
    remarks = []
    if found.abstention:
        remarks.append(say("lesion", "undetermined", reason=closed(found.abstention)))
    if found.fallback_reason:
        reason = found.fallback_reason.rstrip(".")
        remarks.append(say("lesion", "fallback", model=found.model, reason=reason))
    else:
        remarks.append(say("lesion", "model", model=found.model))
    if found.out_of_distribution:
        remarks.append(say("lesion", "out_of_distribution"))
    if found.influences:
        remarks.append(_influences(found))
    return remarks


def _influences(found: Assessment) -> str:
    named = [
        say(
            "influence",
            "raises" if contribution > 0 else "lowers",
            feature=influence_words(name),
            contribution=f"{contribution:+.2f}",
        )
        for name, contribution in found.influences
    ]
    return say("influence", "line", influences=say("influence", "separator").join(named))


def _accuracy(found: Assessment) -> str:
    if found.sensitivity is None or found.specificity is None:
        return ""
    return say(
        "summary",
        "accuracy",
        sensitivity=percent(found.sensitivity),
        specificity=percent(found.specificity),
    )


def _refusal(refusal: NotAssessed) -> dict[str, str]:
    """Return what was met and what to do about it, in the report's language."""
    words = table("wording.toml")
    meaning = words["reason"].get(refusal.reason, refusal_code(refusal.reason).meaning)
    advice = words["advice"].get(refusal.reason, words["advice"]["unlisted"])
    return {"meaning": meaning, "advice": advice}


def feature_value(semantic: SemanticValue) -> str:
    """Print the value of a semantic feature as the report's language names it."""
    if semantic.silent:
        return say("provenance", "not assessed")
    row = _row(semantic.name)
    if isinstance(semantic.value, str):
        return semantic.value if row is None else _answer(row, semantic.value)
    decimals = 1 if row is None else row.decimals
    return f"{semantic.value:.{decimals}f} {semantic.unit}".rstrip()


def _answer(row: Feature, value: str) -> str:
    try:
        name = row.values[value]
    except KeyError as error:
        raise TemplateError(f"features.toml: {row.name} has no value {value!r}") from error
    meaning: str = table("wording.toml")["meaning"].get(name, code(name).meaning)
    return meaning


def feature_label(name: str) -> str:
    """Print the name of a semantic feature."""
    row = _row(name)
    known = name.replace("_", " ").capitalize() if row is None else row.label
    label: str = table("wording.toml")["label"].get(name, known)
    return label


def feature_line(semantic: SemanticValue) -> str:
    """Return a semantic feature with its provenance and confidence in words."""
    label = feature_label(semantic.name)
    if semantic.silent:
        return say("lesion", "feature_not_assessed", label=label)
    if semantic.provenance == "read" and semantic.reader:
        provenance = say("provenance", "read_by", reader=semantic.reader)
    else:
        provenance = say("provenance", semantic.provenance)
    if semantic.confidence is not None:
        provenance += say("lesion", "confidence", confidence=f"{100 * semantic.confidence:.0f}")
    value = feature_value(semantic)
    return say("lesion", "feature", label=label, value=value, provenance=provenance)


def _row(name: str) -> Feature | None:
    return next((row for row in features() if row.name == name), None)
