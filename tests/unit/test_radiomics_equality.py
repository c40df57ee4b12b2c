"""The fused extractor against pyradiomics, on lesions nobody chose."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from models.features.radiomics import RadiomicsRefusal, RadiomicsSettings, extract, names_of
from models.features.radiomics.oracle import pyradiomics_features

Lesion = tuple[np.ndarray, np.ndarray, tuple[float, float]]

FULL = RadiomicsSettings(feature_set="full851")
RELATIVE = 1e-6

# What a sum that is zero in theory may leave, as a share of the scale of its terms: pyradiomics'
# own value is its rounding error there, so equality to it can only be absolute.
ROUNDING = 1e-12
VANISHING = {
    "firstorder_Mean": 1.0,
    "firstorder_Skewness": 1.0,
    "glcm_ClusterShade": 100.0,
    # roots of a rounding error: 1e-16 becomes 1e-8
    "glcm_Imc2": 1e5,
    "glcm_MCC": 1e5,
    "glcm_Imc1": 1.0,
    "glcm_Correlation": 1.0,
    "shape_Elongation": 1e4,
    "shape_MinorAxisLength": 1e5,
}


def mismatches(ours: dict[str, float], oracle: dict[str, float]) -> dict[str, tuple[float, float]]:
    wrong = {}
    for name, value in oracle.items():
        absolute = ROUNDING * VANISHING.get(name.split("_", 1)[1], 0.0)
        if math.isnan(value) and math.isnan(ours[name]):
            continue
        if not math.isclose(ours[name], value, rel_tol=RELATIVE, abs_tol=absolute):
            wrong[name] = (ours[name], value)
    return wrong


@st.composite
def a_slice(draw: st.DrawFn) -> Lesion:
    rows = draw(st.integers(2, 36))
    columns = draw(st.integers(2, 36))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    texture = draw(st.sampled_from(["bytes", "noise", "two levels", "flat", "drift", "negative"]))
    image = {
        "bytes": lambda: rng.integers(0, 256, (rows, columns)).astype(np.uint8),
        "noise": lambda: rng.normal(100, 60, (rows, columns)),
        "two levels": lambda: rng.integers(0, 2, (rows, columns)) * 60.0,
        "flat": lambda: np.full((rows, columns), float(rng.integers(0, 256))),
        "drift": lambda: np.cumsum(rng.normal(0, 8, (rows, columns)), axis=0),
        "negative": lambda: -rng.gamma(2.0, 30.0, (rows, columns)).astype(np.float32),
    }[texture]()
    mask = rng.random((rows, columns)) < draw(st.sampled_from([0.03, 0.2, 0.6, 0.95, 1.0]))
    if draw(st.booleans()):
        y, x = np.indices((rows, columns))
        size = draw(st.floats(0.2, 1.3))
        mask &= ((y / rows - 0.5) ** 2 + (x / columns - 0.4) ** 2) < (0.5 * size) ** 2
    spacing = (draw(st.floats(0.05, 2.0)), draw(st.floats(0.05, 2.0)))
    return image, mask, spacing


def _check(lesion: Lesion) -> None:
    image, mask, spacing = lesion
    assume(mask.any())
    try:
        ours = extract(image, mask, spacing, FULL)
    except RadiomicsRefusal:
        with pytest.raises(ValueError, match="mask"):
            pyradiomics_features(image, mask, spacing, FULL)
        return
    oracle = pyradiomics_features(image, mask, spacing, FULL)
    assert tuple(oracle) == tuple(ours) == names_of("full851")
    assert mismatches(ours, oracle) == {}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(a_slice())
def test_every_feature_of_a_random_lesion_equals_pyradiomics(lesion: Lesion) -> None:
    _check(lesion)


@pytest.mark.bench
@pytest.mark.timeout(1800)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(a_slice())
def test_every_feature_of_300_random_lesions_equals_pyradiomics(lesion: Lesion) -> None:
    _check(lesion)
