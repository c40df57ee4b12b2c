"""What a bundle says about itself (bundle.json)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from models.bundles.errors import BundleSchemaError

SCHEMA = 2
DESCRIPTION = "bundle.json"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of a bundle with its required inputs, operating point and performance.

    Attributes:
        name: One of the nine names, such as `PreCRDL`.
        title: For a person.
        requires: Inputs without which it cannot answer: "age", "flow", "radiomics", "deep", ...
        members: Models it fuses by probability; empty for a single model.
        threshold: Operating point, a probability at the training prevalence.
        auc: Cross-validated area under the ROC curve.
        sensitivity: Cross-validated, at the threshold.
        specificity: Cross-validated, at the threshold.
        cases: Training cases that had all its inputs.
        features: How many features it uses.
        intervals: 95 % confidence intervals [low, high] of `auc`, `sensitivity`, `specificity`.
        external: On the external cohort, with the threshold of the training: `cases`,
            `malignant`, `auc`, `sensitivity`, `specificity`, `brier`, each of the first three
            with its interval under `auc_ci` and so on, `novel` (share flagged as out of
            distribution) and `abstention` (a row a tolerated error); None without one.
        influence: Features with the mean magnitude of their share of the log-odds over the
            training cases, largest first (`models.bundles.attribution`).
    """

    name: str
    title: str
    requires: tuple[str, ...]
    members: tuple[str, ...]
    threshold: float
    auc: float
    sensitivity: float
    specificity: float
    cases: int
    features: int
    intervals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    external: Mapping[str, Any] | None = None
    influence: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.name or not self.requires:
            raise BundleSchemaError("a model needs a name and at least one input")
        if not 0 < self.threshold < 1:
            raise BundleSchemaError(f"{self.name}: {self.threshold} is no operating point")
        if not all(0 <= x <= 1 for x in (self.auc, self.sensitivity, self.specificity)):
            raise BundleSchemaError(f"{self.name}: its performance does not lie in 0..1")


@dataclass(frozen=True, slots=True)
class BundleDescription:
    """The identity, origin and contents of a bundle.

    Attributes:
        name: Short, as in `[model] bundle`.
        version: Of this training.
        created: ISO 8601 date and time, UTC.
        simulated: Trained on simulated patients: not for any diagnosis.
        intended_use: One sentence.
        population: The training cohort in words and counts.
        prevalence: Share of malignant cases in training.
        settings: Feature settings as `models.features.extract.FeatureSettings` writes them.
        features: Every feature name the models chose from, in the order of the arrays' indices.
        dropped: Features left out because they were constant or undefined in some case.
        fusion: Fixed choices of the fitting, as `models.fusion.settings` writes them.
        inputs: SHA-256 of everything it was trained from: `table`, `dicom` (all files of the
            training cases, with their count), `backbone`, `feature_settings`.
        models: The models, in the paper's order.
    """

    name: str
    version: str
    created: str
    simulated: bool
    intended_use: str
    population: Mapping[str, Any]
    prevalence: float
    settings: Mapping[str, Any]
    features: tuple[str, ...]
    dropped: tuple[str, ...]
    fusion: Mapping[str, Any]
    models: tuple[ModelEntry, ...]
    inputs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name or not self.version:
            raise BundleSchemaError("a bundle needs a name and a version")
        if not 0 < self.prevalence < 1:
            raise BundleSchemaError(f"a prevalence of {self.prevalence} is no training prevalence")
        if len(set(self.features)) != len(self.features):
            raise BundleSchemaError("a feature is named twice")
        if not self.models or len({m.name for m in self.models}) != len(self.models):
            raise BundleSchemaError("a bundle needs models, each named once")

    @property
    def settings_sha256(self) -> str:
        """SHA-256 of the canonical JSON of the feature settings."""
        return _canonical_sha256(self.settings)

    def to_json(self) -> str:
        """Return the description with the hash of each part of the settings."""
        data = dataclasses.asdict(self)
        hashes = {
            part: _canonical_sha256(value)
            for part, value in self.settings.items()
            if isinstance(value, Mapping)
        }
        data |= {
            "schema": SCHEMA,
            "settings_sha256": self.settings_sha256,
            "settings_part_sha256": hashes,
        }
        return json.dumps(data, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read what `to_json` wrote.

        Raises:
            BundleSchemaError: It is no such description, of another schema, or its settings are
                not those that were hashed.
        """
        try:
            data = json.loads(text)
            schema = data.pop("schema")
            if schema != SCHEMA:
                raise BundleSchemaError(
                    f"the bundle is of schema {schema} and this software reads schema {SCHEMA}: "
                    "train it again, or use the software it came with"
                )
            pinned = data.pop("settings_sha256")
            data.pop("settings_part_sha256")
            models = tuple(_model_entry(entry) for entry in data.pop("models"))
            lists: dict[str, Any] = {key: tuple(data.pop(key)) for key in ("features", "dropped")}
            description = cls(**data, **lists, models=models)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleSchemaError(f"{DESCRIPTION} is no bundle description: {error}") from error
        if description.settings_sha256 != pinned:
            raise BundleSchemaError("the feature settings are not those that were hashed")
        return description


def _model_entry(data: dict[str, Any]) -> ModelEntry:
    lists: dict[str, Any] = {key: tuple(data.pop(key)) for key in ("requires", "members")}
    lists["influence"] = tuple((name, share) for name, share in data.pop("influence", ()))
    return ModelEntry(**data, **lists)


def _canonical_sha256(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
