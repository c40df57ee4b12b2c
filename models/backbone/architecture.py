"""The description of a backbone: what a weights file must state so that it can be rebuilt."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self, cast

from models.backbone.errors import ArchitectureError

Shortcut = Literal["A", "B"]
Precision = Literal["fp32", "bf16"]
Four = tuple[int, int, int, int]

STAGES = 4
BASE_FEATURES = 8  # the last stage is eight times as wide as the first


@dataclass(frozen=True, slots=True)
class Architecture:
    """One member of the 3D ResNet-18 family (He et al. 2016, table 1; Chen et al. 2019, Med3D).

    Attributes:
        name: how cards and tables call it.
        width: channels of the first stage; the four stages have 1, 2, 4 and 8 times as many.
        strides: stride of the first block of each stage, along every axis.
        dilations: dilation of both convolutions of every block of each stage.
        shortcut: "A" subsamples and pads channels with zeros (parameter-free), "B" projects by a
            strided 1x1 convolution (He et al. 2016, section 3.3).
        projection: features of a final 1x1 convolution with ReLU, or None for none.
        dimensions: 3, or 2 where the stored kernels are the collapsed centre slices.
        volume: True where the model was trained on true volumes, and so must run in 3D.
        precision: "bf16" only where the model was trained so.

    Raises:
        ArchitectureError: a value lies outside what can be built.
    """

    name: str
    width: int
    strides: Four
    dilations: Four
    shortcut: Shortcut
    projection: int | None = None
    dimensions: Literal[2, 3] = 3
    volume: bool = False
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        if not self.name:
            raise ArchitectureError("an architecture needs a name")
        if self.width < 1 or (self.projection is not None and self.projection < 1):
            raise ArchitectureError(f"{self.name}: width and projection must be positive")
        for values in (self.strides, self.dilations):
            if len(values) != STAGES or min(values) < 1:
                raise ArchitectureError(f"{self.name}: needs {STAGES} positive strides, dilations")
        if self.shortcut not in ("A", "B"):
            raise ArchitectureError(f"{self.name}: shortcut is A or B, not {self.shortcut!r}")
        if self.dimensions not in (2, 3):
            raise ArchitectureError(f"{self.name}: dimensions are 2 or 3, not {self.dimensions}")
        if self.volume and self.dimensions != 3:
            raise ArchitectureError(f"{self.name}: a model of volumes needs its 3D kernels")
        if self.precision not in ("fp32", "bf16"):
            raise ArchitectureError(f"{self.name}: precision is fp32 or bf16")

    @property
    def features(self) -> int:
        """Length of the feature vector."""
        return self.projection if self.projection is not None else self.width * BASE_FEATURES

    def to_dict(self) -> dict[str, object]:
        """The description as JSON values."""
        return {
            "name": self.name,
            "width": self.width,
            "strides": list(self.strides),
            "dilations": list(self.dilations),
            "shortcut": self.shortcut,
            "projection": self.projection,
            "dimensions": self.dimensions,
            "volume": self.volume,
            "precision": self.precision,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """The architecture of a description written by `to_dict`.

        Raises:
            ArchitectureError: a key is missing or unknown, or a value has the wrong type or range.
        """
        known = set(cls.__slots__)
        if set(values) != known:
            wrong = ", ".join(sorted(set(values) ^ known))
            raise ArchitectureError(f"architecture description: missing or unknown {wrong}")
        projection = values["projection"]
        return cls(
            name=str(values["name"]),
            width=_whole(values["width"], "width"),
            strides=_four(values["strides"], "strides"),
            dilations=_four(values["dilations"], "dilations"),
            shortcut=cast("Shortcut", values["shortcut"]),
            projection=None if projection is None else _whole(projection, "projection"),
            dimensions=cast("Literal[2, 3]", values["dimensions"]),
            volume=values["volume"] is True,
            precision=cast("Precision", values["precision"]),
        )


def _whole(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ArchitectureError(f"architecture description: {name} is no whole number: {value!r}")
    return value


def _four(value: object, name: str) -> Four:
    if not isinstance(value, (list, tuple)) or len(value) != STAGES:
        raise ArchitectureError(f"architecture description: {name} are no {STAGES} numbers")
    return cast("Four", tuple(_whole(item, name) for item in value))


MEDICALNET = Architecture(
    name="medicalnet-resnet18",
    width=64,
    strides=(1, 2, 1, 1),
    dilations=(1, 1, 2, 4),
    shortcut="A",
)
"""The dilated form MedicalNet published its 18-layer weights for (Chen et al. 2019)."""

STRIDED = Architecture(
    name="strided-resnet18",
    width=64,
    strides=(1, 2, 2, 2),
    dilations=(1, 1, 1, 1),
    shortcut="B",
)
"""The usual strided form with projection shortcuts (He et al. 2016, table 1)."""

SLIM = Architecture(
    name="slim-resnet18-w32",
    width=32,
    strides=(1, 2, 2, 2),
    dilations=(1, 1, 1, 1),
    shortcut="B",
    projection=512,
)
"""Half as wide, projected to the same 512 features: small enough to ship."""
