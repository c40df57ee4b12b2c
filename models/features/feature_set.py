"""All features of one lesion as one frozen value: what a bundle scores."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelsError
from models.features.semantic.values import SemanticFeature


class FeatureSetError(ModelsError):
    """The features of a lesion do not go together: a name is in two families."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureSet:
    """The features of one lesion.

    Attributes:
        radiomics: Value by pyradiomics' name; NaN where a feature is not defined.
        deep: (512,) float32, or (0,) where no backbone ran.
        clinical: Value by `models.features.clinical.CLINICAL_NAMES`; None where unknown.
        semantic: What the clinical values rest on, with provenance.

    Raises:
        FeatureSetError: A feature name is there twice.
    """

    radiomics: Mapping[str, float]
    deep: NDArray[np.float32]
    clinical: Mapping[str, float | None]
    semantic: tuple[SemanticFeature, ...] = ()

    def __post_init__(self) -> None:
        if self.deep.ndim != 1:
            raise FeatureSetError(f"deep features are one vector, not of shape {self.deep.shape}")
        both = set(self.radiomics) & set(self.clinical)
        if both:
            raise FeatureSetError(f"{min(both)} is both a radiomics and a clinical feature")

    @property
    def values(self) -> dict[str, float | None]:
        """Every number by feature name: clinical, radiomics, then deep (`dl_000`, ...)."""
        deep = {f"dl_{index:03d}": float(value) for index, value in enumerate(self.deep)}
        return {**self.clinical, **self.radiomics, **deep}

    @property
    def sha256(self) -> str:
        """SHA-256 over names and numbers: equal exactly when every bit a model sees is equal.

        Each feature, by name, gives its UTF-8 name, a zero byte, and the number as a
        little-endian IEEE 754 double; an unknown value gives the letters `none` instead.
        """
        digest = hashlib.sha256()
        for name, value in sorted(self.values.items()):
            digest.update(name.encode() + b"\0")
            digest.update(b"none" if value is None else struct.pack("<d", value))
        return digest.hexdigest()
