"""What earlier reports said, and how far that has changed."""

from __future__ import annotations

from sr_templates.features import features
from sr_templates.values import Assessment, LesionValues, PriorValues
from sr_templates.words import percent, say


def earlier(prior: PriorValues, lesion: LesionValues) -> str:
    """Return an earlier assessment of a lesion; with the change where the same bundle answered."""
    said = _said(prior)
    if not isinstance(lesion.verdict, Assessment):
        return say("trend", "earlier", change="", **said)
    if not prior.comparable:
        return say("trend", "other_bundle", **said)
    growth, length = "", _length(lesion)
    if prior.diameter_mm is not None and length is not None:
        growth = say("trend", "growth", growth=f"{length - prior.diameter_mm:+.1f}")
    points = 100 * (lesion.verdict.probability - prior.probability)
    change = say("trend", "change", change=f"{points:+.1f}", growth=growth)
    return say("trend", "earlier", change=change, **said)


def of_patient(prior: PriorValues) -> str:
    """Return an earlier assessment that cannot be tied to a lesion of this report."""
    return say("trend", "of_patient", **_said(prior))


def _said(prior: PriorValues) -> dict[str, str]:
    diameter = ""
    if prior.diameter_mm is not None:
        diameter = say("trend", "diameter", diameter=f"{prior.diameter_mm:.1f}")
    return {
        "date": prior.date.isoformat(),
        "probability": percent(prior.probability),
        "diameter": diameter,
        "bundle": prior.bundle_name,
        "version": prior.bundle_version,
    }


def _length(lesion: LesionValues) -> float | None:
    """Return the length that is drawn on the image, in mm."""
    names = {row.name for row in features() if row.caliper}
    for semantic in lesion.semantic:
        known = semantic.name in names and not semantic.silent
        if known and isinstance(semantic.value, int | float):
            return float(semantic.value)
    return None
