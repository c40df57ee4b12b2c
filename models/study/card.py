"""The model card of a bundle, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.bundles.description import BundleDescription, ModelEntry
from models.fusion.table import Family
from models.study.agreement import FamilyAgreement


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


def render_card(
    description: BundleDescription,
    origin: Origin,
    agreement: Mapping[Family, FamilyAgreement],
    agreement_cases: int,
) -> str:
    """Write the card.

    Args:
        description: Of the bundle.
        origin: Of the data.
        agreement: Between two readers' contours, by feature family; may be empty.
        agreement_cases: Over how many cases.
    """
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
        "## Models\n\n" + _models(description),
        "## Method\n\n" + _method(description, origin),
    ]
    if agreement:
        sections.append("## Agreement\n\n" + _agreement(agreement, agreement_cases))
    sections += ["## Limits\n\n" + _limits(description), "## Repeat\n\n" + _repeat(origin)]
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


def _models(description: BundleDescription) -> str:
    best = max(description.models, key=lambda model: model.auc)
    head = (
        "| model | needs | features | threshold | AUC | sensitivity | specificity "
        "| external AUC | external sensitivity | external specificity |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    )
    rows = "\n".join(_row(model) for model in description.models)
    return (
        f"{head}{rows}\n\nAUC, sensitivity and specificity are cross-validated on the training "
        f"cohort; the threshold (weighted Youden, r = {description.fusion['youden_weight']:g}) is "
        f"fixed there. {best.name} answers where all its inputs are there; otherwise the model "
        "with the next best AUC whose inputs are."
    )


def _row(model: ModelEntry) -> str:
    figures = [model.threshold, model.auc, model.sensitivity, model.specificity]
    outside = model.external or {}
    cells = [
        model.name,
        ", ".join(model.requires),
        str(model.features),
        *(f"{figure:.3f}" for figure in figures),
        *(
            f"{outside[key]:.3f}" if key in outside else "-"
            for key in ("auc", "sensitivity", "specificity")
        ),
    ]
    return "| " + " | ".join(cells) + " |"


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


def _agreement(agreement: Mapping[Family, FamilyAgreement], cases: int) -> str:
    rows = "\n".join(
        f"| {family} | {found.features} | {found.median:.3f} | {100 * found.stable:.0f} % |"
        for family, found in agreement.items()
    )
    return (
        f"ICC(A,1) between two readers' contours of {cases} training cases.\n\n"
        "| family | features | median ICC | above 0.80 |\n|---|---|---|---|\n" + rows
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
