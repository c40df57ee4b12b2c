"""The simulated population and its readers, without drawing an image."""

import numpy as np
import pytest

from models.simulation.cohort import split_sites
from models.simulation.outline import extreme_points, maximum_diameter
from models.simulation.patient import Patient, draw_patient
from models.simulation.random_fields import smooth_field, smooth_line
from models.simulation.readers import draw_contour
from models.simulation.settings import (
    LATENT_NAMES,
    SimulationError,
    design,
    histologies,
    vendors,
)


@pytest.fixture(scope="module")
def a_population() -> list[Patient]:
    return [draw_patient(i, 1, np.random.default_rng([5, i])) for i in range(3000)]


def test_594_cases_split_as_in_the_paper() -> None:
    assert split_sites(594) == (516, 78)


@pytest.mark.parametrize(("cases", "split"), [(1, (1, 0)), (10, (9, 1)), (60, (52, 8))])
def test_other_sizes_keep_the_proportion(cases: int, split: tuple[int, int]) -> None:
    assert split_sites(cases) == split


def test_an_empty_cohort_is_refused() -> None:
    with pytest.raises(SimulationError, match="at least one"):
        split_sites(0)


def test_class_effects_are_the_designed_ones(a_population: list[Patient]) -> None:
    """Mean differences, to within three standard errors of 3000 draws."""
    labels = np.array([p.label for p in a_population])
    for name in LATENT_NAMES:
        values = np.array([getattr(p.latents, name) for p in a_population])
        difference = values[labels == 1].mean() - values[labels == 0].mean()
        assert difference == pytest.approx(design("effects")[name], abs=0.13), name


def test_the_share_of_malignant_and_intermediate_is_the_designed_one(
    a_population: list[Patient],
) -> None:
    malignant = np.mean([p.label for p in a_population])
    intermediate = np.mean([p.histology.intermediate for p in a_population])
    assert malignant == pytest.approx(0.42, abs=0.03)
    assert intermediate == pytest.approx(11 / 594, abs=0.008)
    assert all(p.label == 1 for p in a_population if p.histology.intermediate)


def test_every_scanner_and_every_histology_occurs(a_population: list[Patient]) -> None:
    assert {p.vendor for p in a_population} == set(vendors())
    types = {h.name for flag in (True, False) for h in histologies(malignant=flag)}
    assert {p.histology.name for p in a_population} == types


def test_some_names_are_not_latin(a_population: list[Patient]) -> None:
    assert any(not p.name.isascii() for p in a_population)


def test_a_smooth_field_has_unit_variance_and_its_correlation_length(
    a_generator: np.random.Generator,
) -> None:
    field = smooth_field((300, 400), (4.0, 12.0), a_generator)
    assert field.mean() == pytest.approx(0, abs=1e-4)
    assert field.std() == pytest.approx(1, abs=1e-3)
    # white noise under a Gaussian of sigma s has correlation exp(-d^2 / 4 s^2)
    down = np.corrcoef(field[:-8].ravel(), field[8:].ravel())[0, 1]
    across = np.corrcoef(field[:, :-24].ravel(), field[:, 24:].ravel())[0, 1]
    assert down == pytest.approx(np.exp(-1), abs=0.12)
    assert across == pytest.approx(np.exp(-1), abs=0.15)


def test_smooth_lines_have_unit_variance_over_many_draws(a_generator: np.random.Generator) -> None:
    lines = np.stack([smooth_line(200, 30, a_generator) for _ in range(300)])
    assert lines.std() == pytest.approx(1, abs=0.1)


def test_the_diameter_of_a_rectangle_is_its_diagonal() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:35, 10:50] = True
    assert maximum_diameter(mask, 0.5) == pytest.approx(0.5 * np.hypot(29, 39))


def test_the_diameter_of_a_concave_mask_is_taken_across_the_gap() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[5:35, 10:15] = True
    mask[5:10, 10:50] = True
    assert maximum_diameter(mask, 1.0) == pytest.approx(np.hypot(29, 35), abs=4.5)
    assert maximum_diameter(mask, 1.0) >= np.hypot(29, 4)


@pytest.mark.parametrize("shape", [(0, 0), (1, 9), (9, 1)])
def test_a_mask_without_area_has_no_diameter(shape: tuple[int, int]) -> None:
    mask = np.zeros((12, 12), dtype=bool)
    mask[: shape[0], : shape[1]] = True
    with pytest.raises(SimulationError):
        maximum_diameter(mask, 1.0)


def test_calipers_end_at_the_outermost_pixels() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[10, 3:25] = True
    mask[4:16, 12] = True
    assert extreme_points(mask) == (((3, 10), (24, 10)), ((12, 4), (12, 15)))


def test_a_contour_is_one_region_without_holes(a_generator: np.random.Generator) -> None:
    rows, columns = np.mgrid[:120, :160]
    distance = (np.hypot(rows - 60, columns - 80) - 30).astype(np.float32) * np.float32(0.1)
    drawn = draw_contour(distance, 0.1, a_generator)
    assert drawn[60, 80]
    assert drawn.sum() == pytest.approx((distance < 0).sum(), rel=0.5)


def test_a_contour_needs_a_tumour(a_generator: np.random.Generator) -> None:
    with pytest.raises(SimulationError, match="no tumour"):
        draw_contour(np.full((20, 20), 2.0, dtype=np.float32), 0.1, a_generator)


@pytest.fixture
def a_generator() -> np.random.Generator:
    return np.random.default_rng(3)
