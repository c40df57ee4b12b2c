"""Who the simulated patient is, and what drives the looks of the tumour."""

from dataclasses import dataclass

import numpy as np

from models.simulation.settings import (
    LATENT_NAMES,
    Histology,
    Latents,
    SimulationError,
    design,
    histologies,
    patient_names,
    vendors,
)


@dataclass(frozen=True, slots=True)
class Patient:
    """One simulated patient with one tumour; age in years, label 1 malignant."""

    id: str
    name: str
    site: int
    vendor: str
    label: int
    histology: Histology
    age: int
    sex: str
    latents: Latents

    def __post_init__(self) -> None:
        if self.site not in (1, 2):
            raise SimulationError(f"site must be 1 or 2, not {self.site}")
        if self.sex not in ("F", "M"):
            raise SimulationError(f"sex must be F or M, not {self.sex}")


def _draw_histology(rng: np.random.Generator, *, malignant: bool) -> Histology:
    candidates = histologies(malignant=malignant)
    shares = np.array([h.share for h in candidates])
    return candidates[int(rng.choice(len(candidates), p=shares / shares.sum()))]


def _mean_shift(latent: str, *, malignant: bool) -> float:
    """Mean shift over the class's types: subtracted, so that `effects` stays the class effect."""
    types = histologies(malignant=malignant)
    total = sum(h.share for h in types)
    return sum(h.share * h.shift.get(latent, 0.0) for h in types) / total


def _draw_latents(rng: np.random.Generator, histology: Histology, *, malignant: bool) -> Latents:
    effects, spread = design("effects"), design("spread")
    common = spread["shared"] * rng.standard_normal()
    own = np.sqrt(1 - spread["shared"] ** 2) * spread["residual"]
    values = {}
    for name in LATENT_NAMES:
        shift = histology.shift.get(name, 0.0) - _mean_shift(name, malignant=malignant)
        effect = effects[name] if malignant else 0.0
        noise = common + own * rng.standard_normal()
        values[name] = float(effect + spread["histology"] * shift + noise)
    return Latents(**values)


def draw_patient(index: int, site: int, rng: np.random.Generator) -> Patient:
    """Draw one patient of a site.

    Args:
        index: number of the case within its site, part of the identifier.
        site: 1 (training hospital) or 2 (external hospital).
        rng: source of randomness.

    Raises:
        SimulationError: for a site other than 1 or 2.
    """
    if site not in (1, 2):
        raise SimulationError(f"site must be 1 or 2, not {site}")
    population = design("population")
    malignant = bool(rng.random() < population["malignant"])
    histology = _draw_histology(rng, malignant=malignant)
    latents = _draw_latents(rng, histology, malignant=malignant)
    age = population["age_mean"] + population["age_per_sd"] * latents.age
    age += population["age_shift_site2"] if site == 2 else 0.0
    shares = np.array([vendor.share[site - 1] for vendor in vendors().values()])
    names = patient_names()
    return Patient(
        id=f"S{site}-{index:04d}",
        name=names[int(rng.integers(len(names)))],
        site=site,
        vendor=str(rng.choice(list(vendors()), p=shares / shares.sum())),
        label=int(malignant),
        histology=histology,
        age=int(np.clip(age, *population["years"])),
        sex="F" if rng.random() < population["female"] else "M",
        latents=latents,
    )
