"""What a semantic feature is: a name, a value of its set, and where it comes from.

The set is the paper's (section 2.3): maximum diameter, blood flow signal (0-1/2-3), morphology
(regular/irregular), boundary (clear/unclear) and internal echo (uniform/uneven).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal

from models.errors import ModelsError

Provenance = Literal["measured", "read", "header", "not assessed"]

DIAMETER = "maximum_diameter"
FLOW = "flow_grade"
MORPHOLOGY = "morphology"
BOUNDARY = "boundary"
ECHO = "internal_echo"

SEMANTIC_NAMES = (DIAMETER, FLOW, MORPHOLOGY, BOUNDARY, ECHO)
"""Every semantic feature, in the paper's order."""

CLASSES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        FLOW: ("0-1", "2-3"),
        MORPHOLOGY: ("regular", "irregular"),
        BOUNDARY: ("clear", "unclear"),
        ECHO: ("uniform", "uneven"),
    }
)
"""The two classes of each classified feature; the second speaks for malignancy."""


class SemanticValueError(ModelsError):
    """A reading names a feature or a value that the set does not hold."""

    code: ClassVar[str] = "semantic-value"


@dataclass(frozen=True, slots=True)
class SemanticFeature:
    """One semantic feature of one lesion.

    Attributes:
        name: One of `SEMANTIC_NAMES`.
        value: Millimetres for the diameter, one of `CLASSES` for the others; None where not
            assessed.
        unit: UCUM unit of the value; "" for a class.
        provenance: `measured` from the image, `read` by a radiologist, taken from the `header`,
            or `not assessed`.
        confidence: Probability of a measured class, 0.5..1; for a measured diameter 1, or 0.5
            where the lesion runs out of the image; None for a reading.

    Raises:
        SemanticValueError: Name, value and provenance do not go together.
    """

    name: str
    value: float | str | None
    unit: str
    provenance: Provenance
    confidence: float | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.provenance == "not assessed"):
            raise SemanticValueError(
                f"{self.name} is {self.value!r} and {self.provenance!r}: these exclude each other"
            )
        if self.value is not None:
            check_value(self.name, self.value)
        elif self.name not in SEMANTIC_NAMES:
            raise SemanticValueError(f"{self.name!r} is no semantic feature")
        if self.confidence is not None and not 0.0 <= self.confidence <= 1.0:
            raise SemanticValueError(f"a confidence lies in 0..1, got {self.confidence}")


def not_assessed(name: str) -> SemanticFeature:
    """The feature, with nothing said about it."""
    return SemanticFeature(name, None, unit_of(name), "not assessed")


def unit_of(name: str) -> str:
    """UCUM unit of a feature's value; "" for a class."""
    return "mm" if name == DIAMETER else ""


def check_value(name: str, value: float | str) -> None:
    """Raise SemanticValueError unless `value` is in the feature's set."""
    if name == DIAMETER:
        if isinstance(value, (str, bool)) or not (math.isfinite(value) and value > 0):
            raise SemanticValueError(f"{name} is a length in mm, got {value!r}")
        return
    if name not in CLASSES:
        raise SemanticValueError(f"{name!r} is no semantic feature")
    if value not in CLASSES[name]:
        raise SemanticValueError(f"{name} is one of {', '.join(CLASSES[name])}, got {value!r}")
