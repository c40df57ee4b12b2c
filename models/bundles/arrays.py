"""The models of a bundle as named arrays in one .npz file, without pickles."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.bundles.errors import BundleSchemaError
from models.fusion.calibration import Sigmoid
from models.fusion.conformal import ConformalReference
from models.fusion.errors import FusionError
from models.fusion.frozen import FrozenFusion, FrozenModel, FrozenSvm
from models.fusion.novelty import NoveltyReference

ARRAYS = "arrays.npz"
HEAD = "head"
NOVELTY = "novelty"
CONFORMAL = "conformal"

Arrays = dict[str, NDArray[np.generic]]


def pack_svm(prefix: str, svm: FrozenSvm, order: tuple[str, ...]) -> Arrays:
    """Return a support vector machine's arrays.

    Args:
        prefix: What their names begin with.
        svm: The model.
        order: Names that `selected` counts in: the bundle's features, or a fusion's members.
    """
    position = {name: index for index, name in enumerate(order)}
    return {
        f"{prefix}.selected": np.array([position[name] for name in svm.names], np.int64),
        f"{prefix}.mean": svm.mean,
        f"{prefix}.scale": svm.scale,
        f"{prefix}.support": svm.support,
        f"{prefix}.dual": svm.dual,
        f"{prefix}.intercept_gamma": np.array([svm.intercept, svm.gamma]),
        f"{prefix}.platt": np.array([svm.calibration.slope, svm.calibration.offset]),
    }


def pack_model(
    name: str, members: tuple[str, ...], model: FrozenModel, order: tuple[str, ...]
) -> Arrays:
    """Return a model's arrays; `members` names those of a late fusion."""
    if isinstance(model, FrozenSvm):
        return pack_svm(name, model, order)
    packed = pack_svm(f"{name}.{HEAD}", model.head, members)
    for member, svm in zip(members, model.members, strict=True):
        packed |= pack_svm(f"{name}.{member}", svm, order)
    return packed


def pack_novelty(name: str, novelty: NoveltyReference) -> Arrays:
    """Return the arrays of a model's novelty reference; its features are the model's."""
    return {
        f"{name}.{NOVELTY}.mean": novelty.mean,
        f"{name}.{NOVELTY}.scale": novelty.scale,
        f"{name}.{NOVELTY}.whitening": novelty.whitening,
        f"{name}.{NOVELTY}.cutoff": np.array([novelty.cutoff]),
    }


def pack_conformal(name: str, reference: ConformalReference) -> Arrays:
    """Return the arrays of a model's conformal reference."""
    return {
        f"{name}.{CONFORMAL}.benign": reference.benign,
        f"{name}.{CONFORMAL}.malignant": reference.malignant,
    }


def to_npz(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """Return the arrays as an uncompressed .npz; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    ordered: dict[str, Any] = dict(sorted(arrays.items()))
    np.savez(buffer, **ordered)
    return buffer.getvalue()


def from_npz(content: bytes) -> Arrays:
    """Read an .npz.

    Raises:
        BundleSchemaError: It is none, or it holds objects.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleSchemaError(f"{ARRAYS} holds no plain arrays: {error}") from error


def unpack_model(
    name: str, members: tuple[str, ...], arrays: Arrays, order: tuple[str, ...]
) -> FrozenModel:
    """Rebuild a model.

    Raises:
        BundleSchemaError: An array is missing or does not fit.
    """
    if not members:
        return _unpack_svm(name, arrays, order)
    parts = tuple(_unpack_svm(f"{name}.{member}", arrays, order) for member in members)
    return FrozenFusion(parts, _unpack_svm(f"{name}.{HEAD}", arrays, members))


def unpack_novelty(name: str, model: FrozenModel, arrays: Arrays) -> NoveltyReference:
    """Rebuild a model's novelty reference.

    Raises:
        BundleSchemaError: An array is missing or does not fit.
    """
    prefix = f"{name}.{NOVELTY}"
    try:
        return NoveltyReference(
            names=model.names,
            mean=_floats(arrays, f"{prefix}.mean"),
            scale=_floats(arrays, f"{prefix}.scale"),
            whitening=_floats(arrays, f"{prefix}.whitening"),
            cutoff=float(_floats(arrays, f"{prefix}.cutoff")[0]),
        )
    except (KeyError, IndexError, FusionError) as error:
        raise BundleSchemaError(f"{ARRAYS}: {prefix} does not fit: {error}") from error


def unpack_conformal(name: str, arrays: Arrays) -> ConformalReference:
    """Rebuild a model's conformal reference.

    Raises:
        BundleSchemaError: An array is missing or does not fit.
    """
    prefix = f"{name}.{CONFORMAL}"
    try:
        return ConformalReference(
            _floats(arrays, f"{prefix}.benign"), _floats(arrays, f"{prefix}.malignant")
        )
    except (KeyError, FusionError) as error:
        raise BundleSchemaError(f"{ARRAYS}: {prefix} does not fit: {error}") from error


def _unpack_svm(prefix: str, arrays: Arrays, order: tuple[str, ...]) -> FrozenSvm:
    try:
        intercept, gamma = _floats(arrays, f"{prefix}.intercept_gamma")
        slope, offset = _floats(arrays, f"{prefix}.platt")
        return FrozenSvm(
            names=tuple(order[index] for index in arrays[f"{prefix}.selected"].tolist()),
            mean=_floats(arrays, f"{prefix}.mean"),
            scale=_floats(arrays, f"{prefix}.scale"),
            support=_floats(arrays, f"{prefix}.support"),
            dual=_floats(arrays, f"{prefix}.dual"),
            intercept=float(intercept),
            gamma=float(gamma),
            calibration=Sigmoid(float(slope), float(offset)),
        )
    except (KeyError, IndexError, ValueError, TypeError, FusionError) as error:
        raise BundleSchemaError(f"{ARRAYS}: {prefix} does not fit: {error}") from error


def _floats(arrays: Arrays, name: str) -> NDArray[np.float64]:
    array = arrays[name]
    if array.dtype != np.float64:
        raise BundleSchemaError(f"{ARRAYS}: {name} is {array.dtype}, not float64")
    return np.ascontiguousarray(array)
