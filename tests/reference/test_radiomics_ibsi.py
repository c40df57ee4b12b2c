"""The IBSI-1 digital phantom (Zwanenburg et al., Radiology 2020; reference manual section 4.1).

The phantom is a 5 x 4 x 4 volume; the extractor measures one slice. Comparable are the texture
features that IBSI averages over slices ("2D averaged"), and the intensity statistics, which do
not depend on where a pixel lies: for them the four slices are laid side by side. The phantom's
grey values 1..6 are its grey levels, so the bin width is 1. Values are published to three
significant digits. Not in this list: shape (IBSI's is a volume), and MCC, which IBSI does not have.
"""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from models.features.radiomics import RadiomicsSettings, extract

HERE = Path(__file__).parent / "radiomics"
SETTINGS = RadiomicsSettings(bin_width=1.0)


def _rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


REFERENCE = _rows("ibsi_reference_values.csv")


@pytest.fixture(scope="module")
def the_phantom() -> np.ndarray:
    rows = [
        [math.nan if v == "-" else float(v) for v in row["values"].split()]
        for row in _rows("ibsi_digital_phantom.csv")
    ]
    return np.array(rows).reshape(4, 4, 5)


def _measure(plane: np.ndarray) -> dict[str, float]:
    return extract(np.nan_to_num(plane, nan=1.0), ~np.isnan(plane), (2.0, 2.0), SETTINGS)


@pytest.fixture(scope="module")
def the_measured(the_phantom: np.ndarray) -> dict[str, dict[str, float]]:
    slices = [_measure(plane) for plane in the_phantom]
    return {
        "slices": {name: float(np.mean([s[name] for s in slices])) for name in slices[0]},
        "volume": _measure(np.concatenate(list(the_phantom), axis=1)),
    }


def test_the_phantom_has_the_74_voxels_of_its_description(the_phantom: np.ndarray) -> None:
    assert np.isfinite(the_phantom).sum() == 74


@pytest.mark.parametrize("row", REFERENCE, ids=[row["ibsi_tag"] for row in REFERENCE])
def test_a_feature_has_its_published_value(
    row: dict[str, str], the_measured: dict[str, dict[str, float]]
) -> None:
    name, _, offset = row["feature"].partition(" - ")
    measured = the_measured[row["aggregation"]][f"original_{name}"] - float(offset or 0)
    published = float(row["published"])
    half_a_digit = 0.5 * 10 ** (math.floor(math.log10(abs(published))) - 2)
    assert abs(measured - published) <= half_a_digit * (1 + 1e-9)
