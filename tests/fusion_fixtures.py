"""A small table of features whose classes overlap, and a bundle trained on it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from models.bundles.description import BundleDescription
from models.bundles.write import entry_of, write_bundle
from models.features.clinical import CLINICAL_NAMES
from models.features.deep import DeepSettings
from models.features.extract import FeatureSettings
from models.features.feature_set import FeatureSet
from models.features.radiomics import RadiomicsSettings
from models.fusion.settings import FusionSettings
from models.fusion.strict import TrainedModel, train_strict
from models.fusion.table import FeatureTable

QUICK = FusionSettings(folds=3, lasso_folds=3, search_folds=2, search_repeats=1, costs=(0.3, 1.0))
PINNED = tuple(
    json.loads(files("models.features").joinpath("radiomics", "names.json").read_bytes())
)
RADIOMICS = tuple(name for name in PINNED if name.startswith("original_glcm"))[:10]
DEEP = tuple(f"dl_{index:03d}" for index in range(10))


def make_table(cases: int = 60, seed: int = 0, effect: float = 0.8) -> FeatureTable:
    """Cases with two rows a patient now and then; clinical classes are 0 or 1."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(cases) % 5 < 2).astype(np.int64)
    names = (*CLINICAL_NAMES, *RADIOMICS, *DEEP)
    values = rng.normal(size=(cases, len(names)))
    values[:, ::2] += effect * labels[:, None]
    for column, name in enumerate(CLINICAL_NAMES):
        if name not in {"clinical_age", "clinical_size"}:
            values[:, column] = values[:, column] > 0.4
    patients = tuple(f"P{index - (index % 10 == 5) * 5:03d}" for index in range(cases))
    return FeatureTable(
        ids=tuple(f"C{index:03d}" for index in range(cases)),
        patients=patients,
        labels=labels,
        names=names,
        values=values,
    )


def make_features(table: FeatureTable, row: int) -> FeatureSet:
    """Row of a table as the features of a case."""
    values = dict(zip(table.names, table.values[row].tolist(), strict=True))
    return FeatureSet(
        radiomics={name: values[name] for name in RADIOMICS},
        deep=np.array([values[name] for name in DEEP], dtype=np.float32),
        clinical={name: values[name] for name in CLINICAL_NAMES},
    )


def without(features: FeatureSet, *names: str) -> FeatureSet:
    """The same case with clinical features unknown."""
    return replace(features, clinical={**features.clinical, **dict.fromkeys(names)})


@cache
def sixty_cases() -> tuple[FeatureTable, tuple[TrainedModel, ...]]:
    """A table of 60 cases and the nine models trained on it, once for all tests."""
    table = make_table(60)
    return table, train_strict(table, QUICK)


def write(out: Path, table: FeatureTable, models: tuple[TrainedModel, ...]) -> str:
    """Write a bundle of these models with stand-in backbone weights."""
    weights = out.with_name("weights.safetensors")
    weights.write_bytes(b"weights that no test runs")
    settings = FeatureSettings(
        radiomics=RadiomicsSettings(), deep=DeepSettings(), backbone_sha256="0" * 64
    )
    description = BundleDescription(
        name="small",
        version="1",
        created="2026-01-01T00:00:00+00:00",
        simulated=True,
        intended_use="Tests only.",
        population={"cases": len(table.ids)},
        prevalence=float(table.labels.mean()),
        settings=settings.to_dict(),
        features=table.names,
        dropped=(),
        fusion=QUICK.to_dict(),
        models=tuple(map(entry_of, models)),
    )
    return write_bundle(out, description, models, table.labels, weights, "# A bundle for tests\n")
