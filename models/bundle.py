"""A bundle: one versioned, hash-pinned fusion model, loaded from its folder and asked for scores.

Serving computes with numpy on the bundle's arrays alone; nothing here needs scikit-learn or torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.bundles.arrays import (
    ARRAYS,
    from_npz,
    unpack_conformal,
    unpack_model,
    unpack_novelty,
)
from models.bundles.attribution import most_influential
from models.bundles.description import DESCRIPTION, BundleDescription, ModelEntry
from models.bundles.errors import (
    AbstentionError,
    AttributionError,
    BundleNotFoundError,
    BundleSchemaError,
    IllPosedFeaturesError,
    MissingInputsError,
)
from models.bundles.manifest import MANIFEST, read_verified
from models.bundles.seen import SEEN, TrainingImages
from models.features.clinical import CLINICAL_NAMES
from models.features.feature_set import FeatureSet
from models.fusion.calibration import logit, prior_shift, sigmoid
from models.fusion.conformal import ClassName, ConformalReference
from models.fusion.errors import FusionError
from models.fusion.frozen import FrozenModel
from models.fusion.novelty import NoveltyReference
from models.fusion.table import family_of, input_of

BACKBONE = "backbone.safetensors"
CARD = "card.md"
SHIPPED = Path(str(files("models.bundles")))
"""Where the bundles that come with the software lie."""

# Wavelet bands high-passed across a single slice: rounding noise (DESIGN, "Radiomics").
_NOISE_BANDS = ("wavelet-LLH", "wavelet-LHH", "wavelet-HLH", "wavelet-HHH")


Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Score:
    """What a bundle says about one case.

    Attributes:
        probability: Of malignancy, at `prevalence` where that was given, else as in training.
        malignancy: `malignant` at or above the threshold, whatever `classes` says.
        threshold: Operating point on the scale of `probability`.
        model: Which model answered.
        fallback_reason: Which inputs better models lacked; "" where the best one answered.
        sensitivity: Of the answering model at its threshold, cross-validated.
        specificity: Likewise. Both hold at any prevalence, because the threshold shifts along.
        contributions: The five most influential features with their signed share of the
            log-odds (`models.bundles.attribution`); empty where it cannot be shared out.
        novelty: Distance from the training cases in units of what 99 % of them stay within.
        out_of_distribution: `novelty` is above 1.
        prior_shift: The prevalence that was applied instead of the training one, or None.
        classes: What the case may be at the tolerated error, none, one or both; None where no
            error was given (`models.fusion.conformal`).
    """

    probability: float
    malignancy: ClassName
    threshold: float
    model: str
    fallback_reason: str
    sensitivity: float
    specificity: float
    contributions: tuple[tuple[str, float], ...]
    novelty: float
    out_of_distribution: bool
    prior_shift: float | None = None
    classes: tuple[ClassName, ...] | None = None

    @property
    def abstains(self) -> bool:
        """Whether no class should be given: not exactly the class of the threshold may hold."""
        return self.classes is not None and self.classes != (self.malignancy,)


@dataclass(frozen=True, slots=True, eq=False)
class BundledModel:
    """One model of a bundle, ready to compute."""

    entry: ModelEntry
    model: FrozenModel
    novelty: NoveltyReference
    conformal: ConformalReference


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle.

    Attributes:
        folder: Where it lies.
        sha256: Of its manifest, and so of everything in it.
        description: What it says about itself.
        models: Best cross-validated AUC first.
        card: The model card, Markdown.
        backbone: The backbone's weights, or None where no model needs deep features.
        images: By which an image that it was trained on is recognised.
    """

    folder: Path
    sha256: str
    description: BundleDescription
    models: tuple[BundledModel, ...]
    card: str
    backbone: Path | None
    images: TrainingImages

    @classmethod
    def load(cls, path_or_name: str | Path, *, allow_full851: bool = False) -> Self:
        """Read a bundle and check everything in it.

        Args:
            path_or_name: A folder, or the name of a shipped bundle.
            allow_full851: Accept a bundle on pyradiomics' 851 features, 372 of which are rounding
                noise on a single slice.

        Raises:
            BundleError: It is not there, was changed, holds what it may not, is of another form,
                or rests on ill-posed features; the subclass says which.
        """
        folder = _find(path_or_name)
        contents, sha256 = read_verified(folder)
        absent = {DESCRIPTION, ARRAYS, CARD, SEEN} - set(contents)
        if absent:
            raise BundleSchemaError(f"{folder.name} has no {min(absent)}")
        description = BundleDescription.from_json(contents[DESCRIPTION])
        _check_features(description, allow_full851=allow_full851)
        arrays = from_npz(contents[ARRAYS])
        models = []
        for entry in description.models:
            model = unpack_model(entry.name, entry.members, arrays, description.features)
            novelty = unpack_novelty(entry.name, model, arrays)
            models.append(BundledModel(entry, model, novelty, unpack_conformal(entry.name, arrays)))
        models.sort(key=lambda model: -model.entry.auc)  # stable: the paper's order breaks ties
        deep = any(family_of(name) == "deep" for name in description.features)
        if deep and BACKBONE not in contents:
            raise BundleSchemaError(f"{folder.name} has deep features but no {BACKBONE}")
        return cls(
            folder=folder,
            sha256=sha256,
            description=description,
            models=tuple(models),
            card=contents[CARD].decode(),
            backbone=folder / BACKBONE if deep else None,
            images=TrainingImages.from_json(contents[SEEN]),
        )

    @property
    def name(self) -> str:
        """Its short name."""
        return self.description.name

    @property
    def version(self) -> str:
        """Its version."""
        return self.description.version

    @property
    def simulated(self) -> bool:
        """Whether it was trained on simulated patients."""
        return self.description.simulated

    @property
    def prevalence(self) -> float:
        """Share of malignant cases it was trained on."""
        return self.description.prevalence

    @property
    def backbone_sha256(self) -> str:
        """SHA-256 of the backbone's weights file, to pin it when it is loaded; "" without one."""
        return str(self.description.settings.get("backbone_sha256", ""))

    def require_abstention(self, error: float) -> None:
        """Let pass a tolerated error that every model of the bundle can keep to.

        Raises:
            AbstentionError: The bundle has too few training cases for it.
        """
        for model in self.models:
            lowest = model.conformal.lowest_error()
            if not lowest <= error < 1:
                raise AbstentionError(
                    f"{model.entry.name} of {self.name} can keep to an error of {lowest:.3f} or "
                    f"more, not {error:g}"
                )

    def score(
        self,
        features: FeatureSet,
        prevalence: float | None = None,
        tolerated_error: float | None = None,
    ) -> Score:
        """Score one case with the best model whose required inputs are all there.

        A prior shift moves probability and threshold alike, so the class does not change with
        the prevalence and the stated sensitivity and specificity stay true.

        Args:
            features: Of the case, extracted with this bundle's settings.
            prevalence: Share of malignant tumours where the bundle is used; None: as in training.
            tolerated_error: Share of the cases of a class whose class may be missed by the
                score's `classes`; None gives none. The classes do not depend on the prevalence.

        Raises:
            MissingInputsError: Every model lacks an input.
            BundleError: The prevalence is not strictly between 0 and 1, or the bundle cannot
                keep to the tolerated error.
        """
        values = features.values
        lacking = {m.entry.name: _missing(m.model, values) for m in self.models}
        answering = next((m for m in self.models if not lacking[m.entry.name]), None)
        if answering is None:
            every = sorted(set().union(*lacking.values()))
            raise MissingInputsError(f"no model of {self.name} can answer without {every[0]}")
        vector = np.array([values[name] for name in answering.model.names], dtype=np.float64)
        log_odds = float(answering.model.logit(vector[None, :])[0])
        entry = answering.entry
        trained = float(sigmoid(np.array(log_odds)))
        shift = 0.0 if prevalence is None else self._shift(prevalence)
        novelty = answering.novelty.score(vector)
        return Score(
            probability=float(sigmoid(np.array(log_odds + shift))),
            malignancy="malignant" if trained >= entry.threshold else "benign",
            threshold=_shifted(entry.threshold, shift),
            model=entry.name,
            fallback_reason=_fallback_reason(self.models, answering, lacking),
            sensitivity=entry.sensitivity,
            specificity=entry.specificity,
            contributions=_contributions(answering.model, vector),
            novelty=novelty,
            out_of_distribution=novelty > 1,
            prior_shift=prevalence,
            classes=None
            if tolerated_error is None
            else self._classes(answering, trained, tolerated_error),
        )

    def _classes(
        self, answering: BundledModel, probability: float, error: float
    ) -> tuple[ClassName, ...]:
        self.require_abstention(error)
        return answering.conformal.classes(probability, error)

    def _shift(self, prevalence: float) -> float:
        try:
            return prior_shift(self.prevalence, prevalence)
        except FusionError as error:
            raise BundleSchemaError(f"a prevalence lies between 0 and 1: {prevalence}") from error


def shipped_bundles() -> tuple[str, ...]:
    """Return the names of the bundles that come with the software."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST}")))


def _find(path_or_name: str | Path) -> Path:
    path = Path(path_or_name)
    shipped = SHIPPED / path
    # A bare name is a shipped bundle before it is a folder that happens to be here.
    if len(path.parts) == 1 and (shipped / MANIFEST).is_file():
        return shipped
    if not path.is_dir():
        known = ", ".join(shipped_bundles()) or "none"
        raise BundleNotFoundError(f"no bundle {path_or_name}: give a folder, or one of: {known}")
    return path


def _check_features(description: BundleDescription, *, allow_full851: bool) -> None:
    """Refuse features that this software does not measure, or measures as noise."""
    # The file and not the extractor's module: that would load compiled kernels.
    pinned = json.loads(files("models.features").joinpath("radiomics", "names.json").read_bytes())
    measured = {*CLINICAL_NAMES, *pinned}
    for name in description.features:
        if family_of(name) != "deep" and name not in measured:
            raise BundleSchemaError(f"{description.name}: {name} is no feature of this software")
        if name.startswith(_NOISE_BANDS) and not allow_full851:
            raise IllPosedFeaturesError(f"{description.name} rests on {name} of the full851 set")


def _missing(model: FrozenModel, values: Mapping[str, float | None]) -> set[str]:
    """Return which inputs of the model the case lacks, as a person would call them."""
    return {
        input_of(name)
        for name in model.names
        if (value := values.get(name)) is None or not math.isfinite(value)
    }


def _contributions(model: FrozenModel, vector: Vector) -> tuple[tuple[str, float], ...]:
    try:
        return most_influential(model, vector)
    except AttributionError:
        return ()  # the score stands all the same


def _fallback_reason(
    models: tuple[BundledModel, ...], answering: BundledModel, lacking: Mapping[str, set[str]]
) -> str:
    better = models[: models.index(answering)]
    if not better:
        return ""
    inputs = sorted(set().union(*(lacking[model.entry.name] for model in better)))
    return f"{better[0].entry.name} could not answer: {', '.join(inputs)} not available"


def _shifted(threshold: float, shift: float) -> float:
    if shift == 0:
        return threshold
    return float(sigmoid(np.array(logit(threshold) + shift)))
