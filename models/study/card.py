"""The model card of a bundle, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.bundles.description import BundleDescription
from models.fusion.table import Family
from models.study import card_results as results
from models.study.agreement import FamilyAgreement
from models.study.strata import Stratum


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a bundle's numbers come from.

    Attributes:
        cohort: The data in one sentence.
        command: What repeats the training.
        backbone: Where the backbone's weights come from, one sentence.
    """

    cohort: str = "A local cohort of DICOM ultrasound with segmentations and a clinical table."
    command: str = "crdl models train"
    backbone: str = "As given by file."


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the card shows beside the description.

    Attributes:
        agreement: Between two readers' contours, by feature family; may be empty.
        agreement_cases: Over how many cases.
        strata: The model that answers complete cases, in subgroups.
    """

    agreement: Mapping[Family, FamilyAgreement]
    agreement_cases: int
    strata: Sequence[Stratum]


def render_card(description: BundleDescription, origin: Origin, evidence: Evidence) -> str:
    """Write the card of a bundle, Markdown."""
    title = f"# {description.name} {description.version}"
    warning = (
        "**SIMULATED MODEL - NOT FOR DIAGNOSIS.** Every patient it was trained and judged on was "
        "simulated. Its figures are design parameters of the simulation, no findings."
        if description.simulated
        else "**Research use only. Not a medical device.**"
    )
    sections = [
        title,
        warning,
        "Not for clinical use.",
        "## Intended use\n\n" + description.intended_use,
        "## Data\n\n" + origin.cohort + "\n\n" + _population(description),
        "## Models\n\n" + results.models(description),
        "## Subgroups\n\n" + results.subgroups(description, evidence.strata),
        "## Abstention\n\n" + results.abstention(description),
        "## Out of distribution\n\n" + results.novelty(description),
        "## Influential features\n\n" + results.influence(description),
        "## Method\n\n" + _method(description, origin),
    ]
    if evidence.agreement:
        found = results.agreement(evidence.agreement, evidence.agreement_cases)
        sections.append("## Agreement\n\n" + found)
    sections += [
        "## Limits\n\n" + _limits(description),
        "## Inputs\n\n" + _inputs(description),
        "## Repeat\n\n" + _repeat(origin),
    ]
    return "\n\n".join(sections) + "\n"


def _population(description: BundleDescription) -> str:
    population = description.population
    training = (
        f"{population['cases']} cases of {population['patients']} patients, "
        f"{population['malignant']} malignant (prevalence {description.prevalence:.3f})"
    )
    external = f"{population['external_cases']} cases, {population['external_malignant']} malignant"
    lines = [
        f"- Training: {training}",
        f"- External, scored once: {external}",
        f"- Median age {population['median_age_years']} years, {_counts(population['sexes'])}",
        f"- Sites: {_counts(population['sites'])}",
        f"- Vendors: {_counts(population['vendors'])}",
        f"- Excluded, because they could not be measured: {len(population['excluded'])}",
    ]
    return "\n".join(lines)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "not stated"


def _inputs(description: BundleDescription) -> str:
    labels = {
        "table": "Cohort table",
        "dicom": "All DICOM files (hash of their sorted hashes)",
        "dicom_files": "DICOM files",
        "backbone": "Backbone",
        "feature_settings": "Feature settings",
    }
    lines = [f"- {labels.get(k, k)}: {v or 'none'}" for k, v in description.inputs.items()]
    return "SHA-256 of what it was trained from:\n\n" + "\n".join(lines)


def _method(description: BundleDescription, origin: Origin) -> str:
    fusion, settings = description.fusion, description.settings
    return (
        f"Features: {settings['radiomics']['feature_set']} radiomics at "
        f"{settings['imaging']['spacing_mm']} mm (standardisation "
        f"{settings['imaging']['standardisation']}), 512 deep features, age and sex from the "
        "header, semantic features measured from the image with thresholds learned from the "
        "training readings.\n\n"
        f"Backbone: {origin.backbone} SHA-256 {settings['backbone_sha256'] or 'none'}.\n\n"
        f"Strict training: z-score, Student t-test (p < {fusion['significance']}), LASSO with "
        f"{fusion['lasso_folds']}-fold cross-validation and an RBF SVM (gamma = auto), every "
        f"step inside a patient-grouped {fusion['folds']}-fold cross-validation; C by "
        f"{fusion['search_folds']}-fold cross-validation repeated {fusion['search_repeats']} "
        "times on the training side; Platt calibration on held-out folds; late fusion on "
        "held-out probabilities. "
        f"{len(description.dropped)} features were left out as constant or undefined.\n\n"
        f"Feature settings SHA-256: {description.settings_sha256}."
    )


def _limits(description: BundleDescription) -> str:
    lines = [
        "- Two-dimensional B-mode stills with calibrated regions; no video, no volumes.",
        "- The probability holds at the training prevalence; a prior shift can be configured.",
        "- A case far from the training cases is flagged as out of distribution, not refused.",
        "- Features are chosen for discrimination; none was shown to cause anything.",
    ]
    if description.simulated:
        lines.insert(0, "- Nothing about real patients was learned.")
    return "\n".join(lines)


def _repeat(origin: Origin) -> str:
    return f"```\n{origin.command}\n```"
