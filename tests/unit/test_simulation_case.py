"""One simulated case: what it must be whatever was drawn."""

import dataclasses

import numpy as np
import pytest

from models.simulation.case import SimulatedCase, second_look, simulate_case
from models.simulation.outline import maximum_diameter
from models.simulation.settings import SimulationError, vendors

SEED = 1


@pytest.fixture(scope="module")
def some_cases() -> list[SimulatedCase]:
    return [simulate_case(index, SEED) for index in range(1, 7)]


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_same_seed_gives_the_same_case_bit_for_bit(some_cases: list[SimulatedCase]) -> None:
    again = simulate_case(2, SEED)
    assert np.array_equal(again.grey, some_cases[1].grey)
    assert np.array_equal(again.colour, some_cases[1].colour)
    assert again.patient == some_cases[1].patient
    assert again.readings[0].semantics == some_cases[1].readings[0].semantics


def test_another_seed_or_site_gives_another_case(some_cases: list[SimulatedCase]) -> None:
    for other in (simulate_case(2, SEED + 1), simulate_case(2, SEED, site=2)):
        assert other.patient.latents != some_cases[1].patient.latents


def test_the_screen_has_the_vendors_size_and_both_images_share_it(
    some_cases: list[SimulatedCase],
) -> None:
    for case in some_cases:
        columns, rows = vendors()[case.vendor].screen
        assert case.grey.shape == case.colour.shape == (rows, columns, 3)
        assert case.grey.dtype == case.colour.dtype == np.uint8


def test_the_tumour_lies_inside_the_scan_region(some_cases: list[SimulatedCase]) -> None:
    for case in some_cases:
        box = case.grey_region
        outside = case.mask.copy()
        outside[box.top : box.bottom + 1, box.left : box.right + 1] = False
        assert case.mask.any()
        assert not outside.any()


def test_the_colour_box_holds_the_tumour_but_for_its_border(
    some_cases: list[SimulatedCase],
) -> None:
    for case in some_cases:
        box = case.flow_region
        inside = case.colour_mask[box.top : box.bottom + 1, box.left : box.right + 1].sum()
        assert inside >= 0.97 * case.colour_mask.sum()


def test_colour_appears_inside_the_tumour_only_when_there_is_flow() -> None:
    cases = [simulate_case(index, SEED) for index in (1, 2, 6, 7, 9, 10)]
    assert {case.adler > 0 for case in cases} == {True, False}
    for case in cases:
        pixels = case.colour[case.colour_mask].astype(int)
        coloured = (pixels.max(axis=1) - pixels.min(axis=1) > 30).sum()
        assert (coloured > 0) == (case.adler > 0)


def test_the_diameter_is_that_of_the_true_mask(some_cases: list[SimulatedCase]) -> None:
    for case in some_cases:
        assert case.diameter_mm == maximum_diameter(case.mask, case.spacing_mm)
        assert 5 < case.diameter_mm < 64


def test_readers_agree_with_the_truth_and_not_to_the_pixel(some_cases: list[SimulatedCase]) -> None:
    for case in some_cases:
        first, second = case.readings
        assert 0.85 < _dice(first.mask, case.mask) < 1
        assert 0.85 < _dice(second.colour_mask, case.colour_mask) < 1
        assert not np.array_equal(first.mask, second.mask)


def test_a_second_look_differs_from_the_first_but_repeats_itself(
    some_cases: list[SimulatedCase],
) -> None:
    case = some_cases[0]
    look = second_look(case, 1)
    assert 0.85 < _dice(look.mask, case.readings[0].mask) < 1
    assert 0.85 < _dice(look.colour_mask, case.readings[0].colour_mask) < 1
    assert look.semantics == case.readings[0].semantics
    assert np.array_equal(look.mask, second_look(case, 1).mask)
    assert not np.array_equal(look.mask, second_look(case, 2).mask)


def test_every_fifth_case_has_a_clip_that_moves(some_cases: list[SimulatedCase]) -> None:
    assert [case.index for case in some_cases if case.clip is not None] == [5]
    clip = some_cases[4].clip
    assert clip is not None
    assert clip.shape[1:] == some_cases[4].grey.shape
    assert not np.array_equal(clip[0], clip[-1])


def test_images_are_not_clipped(some_cases: list[SimulatedCase]) -> None:
    for case in some_cases:
        box = case.grey_region
        grey = case.grey[box.top : box.bottom + 1, box.left : box.right + 1, 1]
        assert (grey == 0).mean() < 0.10
        assert (grey >= 250).mean() < 0.01


@pytest.mark.parametrize(
    ("index", "seed", "site"), [(-1, 1, 1), (10000, 1, 1), (1, -1, 1), (1, 1, 3)]
)
def test_arguments_out_of_range_are_refused(index: int, seed: int, site: int) -> None:
    with pytest.raises(SimulationError):
        simulate_case(index, seed, site)


def test_a_reader_who_is_not_there_is_refused(some_cases: list[SimulatedCase]) -> None:
    with pytest.raises(SimulationError, match="readers"):
        second_look(some_cases[0], 3)


def test_a_case_whose_mask_does_not_fit_its_picture_is_refused(
    some_cases: list[SimulatedCase],
) -> None:
    with pytest.raises(SimulationError, match="differ in size"):
        dataclasses.replace(some_cases[0], mask=np.ones((3, 3), dtype=bool))
