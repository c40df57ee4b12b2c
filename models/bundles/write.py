"""Write a bundle: description, arrays, backbone weights, card, and the manifest over them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.bundle import BACKBONE, CARD
from models.bundles.arrays import ARRAYS, Arrays, pack_model, pack_novelty, to_npz
from models.bundles.description import DESCRIPTION, BundleDescription, ModelEntry
from models.bundles.errors import BundleError
from models.bundles.manifest import MANIFEST, write_manifest
from models.fusion.strict import TrainedModel
from models.fusion.table import input_of


def entry_of(trained: TrainedModel, cases: int, external: Mapping[str, float] | None) -> ModelEntry:
    """Describe a trained model.

    Args:
        trained: The model.
        cases: Training cases that had all its inputs.
        external: Its performance on the external cohort, if there is one.
    """
    return ModelEntry(
        name=trained.specification.name,
        title=trained.specification.title,
        requires=tuple(dict.fromkeys(input_of(name) for name in trained.frozen.names)),
        members=trained.specification.members,
        threshold=trained.threshold,
        auc=trained.auc,
        sensitivity=trained.sensitivity,
        specificity=trained.specificity,
        cases=cases,
        features=len(trained.frozen.names),
        external=external,
    )


def write_bundle(
    out: Path,
    description: BundleDescription,
    models: Sequence[TrainedModel],
    backbone: Path | None,
    card: str,
) -> str:
    """Write a bundle folder, whole or not at all.

    Args:
        out: The folder; an earlier bundle there is replaced, anything else is left alone.
        description: What the bundle says about itself.
        models: In the order of the description's entries.
        backbone: Weights to copy in, or None.
        card: The model card, Markdown.

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
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / DESCRIPTION).write_text(description.to_json(), encoding="utf-8")
    (partial / ARRAYS).write_bytes(to_npz(arrays))
    (partial / CARD).write_text(card, encoding="utf-8")
    if backbone is not None:
        shutil.copyfile(backbone, partial / BACKBONE)
    sha256 = write_manifest(partial)
    if out.exists():
        shutil.rmtree(out)
    partial.rename(out)
    return sha256
