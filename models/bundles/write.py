"""Write a bundle: description, arrays, backbone weights, card, and the manifest over them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import BACKBONE, CARD
from models.bundles.arrays import (
    ARRAYS,
    Arrays,
    pack_conformal,
    pack_model,
    pack_novelty,
    to_npz,
)
from models.bundles.description import DESCRIPTION, BundleDescription, ModelEntry
from models.bundles.errors import BundleError
from models.bundles.manifest import MANIFEST, write_manifest
from models.bundles.seen import SEEN, TrainingImages
from models.fusion.conformal import ConformalReference
from models.fusion.strict import TrainedModel
from models.fusion.table import input_of


def entry_of(trained: TrainedModel) -> ModelEntry:
    """Describe a trained model by its own figures: inputs, operating point, performance."""
    return ModelEntry(
        name=trained.specification.name,
        title=trained.specification.title,
        requires=tuple(dict.fromkeys(input_of(name) for name in trained.frozen.names)),
        members=trained.specification.members,
        threshold=trained.threshold,
        auc=trained.auc,
        sensitivity=trained.sensitivity,
        specificity=trained.specificity,
        cases=int(np.isfinite(trained.out_of_fold).sum()),
        features=len(trained.frozen.names),
    )


def write_bundle(
    out: Path,
    description: BundleDescription,
    models: Sequence[TrainedModel],
    labels: NDArray[np.int64],
    backbone: Path | None,
    card: str,
    images: TrainingImages | None = None,
) -> str:
    """Write a bundle folder, whole or not at all.

    Args:
        out: The folder; an earlier bundle there is replaced, anything else is left alone.
        description: What the bundle says about itself.
        models: In the order of the description's entries.
        labels: (cases,) of the training cases, 1 malignant, in the order of their out-of-fold
            scores: the reference for abstaining.
        backbone: Weights to copy in, or None.
        card: The model card, Markdown.
        images: By which an evaluation recognises a training image; None leaves them unknown.

    Returns:
        The bundle's SHA-256.

    Raises:
        BundleError: `out` is there and is no bundle.
    """
    if out.exists() and not (out / MANIFEST).is_file():
        raise BundleError(f"{out} is there already and is no bundle: give another folder")
    arrays: Arrays = {}
    for trained in models:
        specification = trained.specification
        arrays |= pack_model(
            specification.name, specification.members, trained.frozen, description.features
        )
        arrays |= pack_novelty(specification.name, trained.novelty)
        reference = ConformalReference.of(trained.out_of_fold, labels)
        arrays |= pack_conformal(specification.name, reference)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / DESCRIPTION).write_text(description.to_json(), encoding="utf-8")
    (partial / ARRAYS).write_bytes(to_npz(arrays))
    (partial / CARD).write_text(card, encoding="utf-8")
    (partial / SEEN).write_text((images or TrainingImages.of(())).to_json(), encoding="utf-8")
    if backbone is not None:
        shutil.copyfile(backbone, partial / BACKBONE)
    sha256 = write_manifest(partial)
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
    return sha256
