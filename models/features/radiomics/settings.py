"""What defines a feature value besides the pixels: one frozen object for training and serving."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Literal, get_args

from models.errors import ModelsError

FeatureSet = Literal["full851", "wellposed479"]
Engine = Literal["fused", "pyradiomics"]

MAXIMUM_GREY_LEVELS = 256
"""More levels than this after binning are refused (`TooManyGreyLevelsError`)."""

SLICE_SPACING_MM = 1.0
"""Thickness given to the single slice: what pyradiomics gets from `SetSpacing((col, row, 1.0))`."""


class RadiomicsSettingsError(ModelsError):
    """The radiomics settings name a value the extractor does not have."""


@dataclass(frozen=True)
class RadiomicsSettings:
    """The settings of one extraction.

    Attributes:
        bin_width: width of one grey-level bin, in units of the image (pyradiomics `binWidth`).
        wavelet: the mother wavelet; only `coif1`, which is what pyradiomics uses by default.
        feature_set: `full851`, or `wellposed479` without the four bands that high-pass the one
            slice across itself and so hold only rounding noise.
        engine: `fused`, or `pyradiomics` itself.

    Raises:
        RadiomicsSettingsError: on any other value.
    """

    bin_width: float = 25.0
    wavelet: str = "coif1"
    feature_set: FeatureSet = "wellposed479"
    engine: Engine = "fused"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.bin_width) and self.bin_width > 0):
            raise RadiomicsSettingsError(f"bin_width must be above 0, not {self.bin_width!r}")
        if self.wavelet != "coif1":
            raise RadiomicsSettingsError(f'wavelet must be "coif1", not {self.wavelet!r}')
        if self.feature_set not in get_args(FeatureSet):
            raise RadiomicsSettingsError(
                f"feature_set must be one of {get_args(FeatureSet)}, not {self.feature_set!r}"
            )
        if self.engine not in get_args(Engine):
            raise RadiomicsSettingsError(
                f"engine must be one of {get_args(Engine)}, not {self.engine!r}"
            )
        # 25 and 25.0 are one setting and must have one hash
        object.__setattr__(self, "bin_width", float(self.bin_width))

    def to_dict(self) -> dict[str, object]:
        """The settings as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "RadiomicsSettings":
        """Read back what `to_dict` wrote.

        Raises:
            RadiomicsSettingsError: if a name is unknown or a value is refused.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise RadiomicsSettingsError(f"unknown radiomics settings: {', '.join(unknown)}")
        bin_width = values.get("bin_width", cls.bin_width)
        if isinstance(bin_width, bool) or not isinstance(bin_width, (int, float)):
            raise RadiomicsSettingsError(f"bin_width must be a number, not {bin_width!r}")
        return cls(**{**values, "bin_width": bin_width})  # type: ignore[arg-type]  # checked above and in __post_init__

    @cached_property
    def sha256(self) -> str:
        """SHA-256 (hex) over the canonical JSON, sorted keys and no spaces."""
        canonical = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()
