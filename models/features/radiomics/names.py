"""The names of the 851 features, pinned, and which of them one slice defines."""

import json
from pathlib import Path
from typing import Final

from models.features.radiomics.settings import FeatureSet

_PINNED = Path(__file__).with_name("names.json")

FULL_851: Final[tuple[str, ...]] = tuple(json.loads(_PINNED.read_text(encoding="utf-8")))
"""All names as pyradiomics 3.1.4 gives them, in its order."""

HIGH_ACROSS_SLICE: Final = ("wavelet-LLH", "wavelet-LHH", "wavelet-HLH", "wavelet-HHH")
"""Bands high-passed along z, where a single slice has nothing but rounding errors."""

WELL_POSED_479: Final[tuple[str, ...]] = tuple(
    name for name in FULL_851 if not name.startswith(HIGH_ACROSS_SLICE)
)


def names_of(feature_set: FeatureSet) -> tuple[str, ...]:
    """The names of a feature set, in pyradiomics' order."""
    return FULL_851 if feature_set == "full851" else WELL_POSED_479
