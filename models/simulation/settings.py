"""The data files of the simulation, read once into frozen values."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from models.errors import ModelsError

Rgb = tuple[int, int, int]
Content = Literal["solid", "lipomatous", "cystic", "sometimes_cystic"]
Encoding = Literal["RGB", "YBR_FULL_422", "MONOCHROME2"]


class SimulationError(ModelsError):
    """The simulation was asked for something it cannot make."""


@dataclass(frozen=True, slots=True)
class Latents:
    """What drives a simulated tumour's looks; each about N(0, 1) in the benign class."""

    age: float
    size: float
    irregularity: float
    margin: float
    heterogeneity: float
    vascularity: float
    posterior: float
    echo: float
    depth: float


LATENT_NAMES = tuple(field.name for field in fields(Latents))


@dataclass(frozen=True, slots=True)
class Vendor:
    """One imaginary scanner; lengths in mm, dynamic range in dB, screen in pixels."""

    key: str
    manufacturer: str
    model: str
    probe: str
    share: tuple[float, float]
    screen: tuple[int, int]
    header_rows: int
    header_rgb: Rgb
    caliper_rgb: Rgb
    box_rgb: Rgb
    bar: Literal["left", "right"]
    font_px: int
    finest_pixel: float
    dynamic_range: float
    tone: float
    looks: int
    smoothing: float
    axial: float
    lateral: float
    grey_encoding: Encoding
    colour_encoding: Encoding

    def __post_init__(self) -> None:
        if min(self.finest_pixel, self.axial, self.lateral, self.dynamic_range) <= 0:
            raise SimulationError(f"vendor {self.key}: lengths and dynamic range must be positive")
        if self.looks < 1 or not 0 <= self.smoothing <= 1:
            raise SimulationError(f"vendor {self.key}: needs looks >= 1 and smoothing in 0-1")


@dataclass(frozen=True, slots=True)
class Histology:
    """One tumour type: its share within its class and its shifts of the latents."""

    name: str
    share: float
    content: Content
    shift: Mapping[str, float]
    intermediate: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.shift) - set(LATENT_NAMES)
        if unknown:
            raise SimulationError(f"{self.name}: no such latents: {sorted(unknown)}")


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(files("models.simulation").joinpath(name).read_text(encoding="utf-8"))


def _frozen(value: Any) -> Any:  # noqa: ANN401 - TOML values have no narrower type
    if isinstance(value, list):
        return tuple(value)
    return MappingProxyType(value) if isinstance(value, dict) else value


@cache
def vendors() -> Mapping[str, Vendor]:
    """The scanners by key."""
    rows = _table("vendors.toml")
    return MappingProxyType(
        {
            key: Vendor(key=key, **{k: _frozen(v) for k, v in row.items()})
            for key, row in rows.items()
        }
    )


@cache
def histologies(*, malignant: bool) -> tuple[Histology, ...]:
    """The tumour types of one class."""
    rows = _table("histologies.toml")["malignant" if malignant else "benign"]
    return tuple(Histology(**{k: _frozen(v) for k, v in row.items()}) for row in rows)


@cache
def design(section: str) -> Mapping[str, Any]:
    """One section of design.toml."""
    return MappingProxyType({k: _frozen(v) for k, v in _table("design.toml")[section].items()})


@cache
def patient_names() -> tuple[str, ...]:
    """PatientName values, several of them not Latin."""
    return tuple(_table("names.toml")["names"])


@cache
def reading_codes() -> Mapping[str, Any]:
    """The codes of a reading, by the sections of reading_codes.toml."""
    return MappingProxyType(_table("reading_codes.toml"))
