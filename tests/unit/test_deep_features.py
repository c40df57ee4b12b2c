"""The crop the backbone sees: the whole lesion, fitted, masked, normalised, the same every time."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.backbone.errors import DeepInputError
from models.backbone.result import DeepResult
from models.features.deep import (
    DeepSettings,
    deep_features,
    deep_result,
    feature_names,
    prepare_crop,
)

Lesion = tuple[NDArray[np.float64], NDArray[np.bool_]]
PLAIN = DeepSettings(size=64, margin=0.0, masked=False, normalisation="fixed")


def grey(crop: NDArray[np.float32]) -> NDArray[np.float64]:
    """Grey levels of a crop made with the fixed normalisation."""
    return crop[0, 0].astype(np.float64) * 64.0 + 128.0


@pytest.fixture
def a_lesion() -> Lesion:
    """A bright speckled ellipse, 120 by 80 pixels, in darker tissue."""
    rng = np.random.default_rng(1)
    rows, cols = np.mgrid[:200, :240]
    mask = ((rows - 90.5) / 40.0) ** 2 + ((cols - 120.5) / 60.0) ** 2 < 1.0
    return 60.0 + 60.0 * mask + 10.0 * rng.standard_normal(mask.shape), mask


def test_a_crop_is_one_channel_of_the_set_size(a_lesion: Lesion) -> None:
    crop = prepare_crop(*a_lesion, DeepSettings())
    assert crop.shape == (1, 1, 96, 96)
    assert crop.dtype == np.float32


def test_the_same_lesion_gives_the_same_bits(a_lesion: Lesion) -> None:
    first, second = (prepare_crop(*a_lesion, DeepSettings()) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_lesion_as_large_as_the_crop_is_taken_pixel_for_pixel() -> None:
    image = np.random.default_rng(2).uniform(0.0, 255.0, (100, 100))
    mask = np.zeros((100, 100), bool)
    mask[20:84, 10:74] = True
    assert np.allclose(grey(prepare_crop(image, mask, PLAIN)), image[20:84, 10:74], atol=1e-4)


def test_shrinking_averages_and_does_not_pick_pixels() -> None:
    checkers = np.where(np.indices((256, 256)).sum(0) % 2 == 0, 0.0, 200.0)
    crop = grey(prepare_crop(checkers, np.ones((256, 256), bool), PLAIN))
    assert np.abs(crop - 100.0).max() < 5.0


def test_growing_keeps_a_ramp_a_ramp() -> None:
    ramp = np.tile(np.arange(32.0), (32, 1))
    mask = np.zeros((32, 32), bool)
    mask[8:24, 8:24] = True
    steps = np.diff(grey(prepare_crop(ramp, mask, PLAIN))[0])
    assert np.allclose(steps, 16.0 / 64.0, atol=1e-4)


def test_the_longest_side_with_its_margin_fills_the_crop(a_lesion: Lesion) -> None:
    image, mask = a_lesion
    crop = prepare_crop(image, mask, replace(PLAIN, margin=0.1))
    shown = grey(crop) > 90.0
    columns = np.flatnonzero(shown.mean(axis=0) > 0.1)
    width = columns[-1] - columns[0] + 1
    assert abs(width - 64 / 1.2) <= 4


def test_position_in_the_image_does_not_matter(a_lesion: Lesion) -> None:
    image, mask = a_lesion
    wider = [np.pad(part, ((7, 13), (21, 4)), mode="edge") for part in a_lesion]
    moved = prepare_crop(wider[0], wider[1], DeepSettings())
    assert np.array_equal(prepare_crop(image, mask, DeepSettings()), moved)


def test_what_lies_beyond_the_margin_has_no_influence(a_lesion: Lesion) -> None:
    image, mask = a_lesion
    other = image.copy()
    other[:20] = 255.0
    other[:, :20] = 0.0
    settings = DeepSettings()
    assert np.array_equal(prepare_crop(image, mask, settings), prepare_crop(other, mask, settings))


def test_masking_sets_the_corners_to_zero_and_keeps_a_rim(a_lesion: Lesion) -> None:
    masked = prepare_crop(*a_lesion, DeepSettings(margin=0.1))[0, 0]
    bare = prepare_crop(*a_lesion, DeepSettings(margin=0.0))[0, 0]
    assert not masked[:8, :8].any()
    lesion_share = np.pi / 4 * (80 / 120)
    assert (bare != 0).mean() == pytest.approx(lesion_share, abs=0.02)
    assert (masked != 0).mean() > (bare != 0).mean() / 1.2**2 + 0.1


def test_tissue_that_was_never_recorded_is_not_made_up(a_lesion: Lesion) -> None:
    image, mask = a_lesion
    at_the_edge = prepare_crop(image[51:], mask[51:], DeepSettings(margin=0.2, masked=False))
    assert not at_the_edge[0, 0, :20].any()
    assert at_the_edge[0, 0, 40:60].all()


def test_region_zscore_takes_out_gain_and_offset(a_lesion: Lesion) -> None:
    image, mask = a_lesion
    crop = prepare_crop(image, mask, DeepSettings())
    kept = crop[crop != 0]
    assert abs(float(kept.mean())) < 1e-5
    assert float(kept.std()) == pytest.approx(1.0, abs=1e-5)
    louder = prepare_crop(image * 1.7 + 11.0, mask, DeepSettings())
    assert np.allclose(crop, louder, atol=1e-5)


def test_a_flat_lesion_gives_zeros_and_not_amplified_rounding() -> None:
    crop = prepare_crop(np.full((50, 50), 77.7), np.ones((50, 50), bool), DeepSettings())
    assert np.abs(crop).max() < 1e-6


def test_a_lesion_thinner_than_a_pixel_of_the_crop_is_still_seen() -> None:
    image = np.random.default_rng(3).uniform(0.0, 255.0, (40, 900))
    mask = np.zeros((40, 900), bool)
    mask[20, 10:890] = True
    assert prepare_crop(image, mask, DeepSettings(margin=0.0)).any()


def test_one_pixel_is_a_lesion() -> None:
    image = np.random.default_rng(4).uniform(0.0, 255.0, (9, 9))
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    assert np.isfinite(prepare_crop(image, mask, DeepSettings())).all()


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        (np.zeros((4, 4)), np.zeros((4, 4), bool)),
        (np.zeros((4, 4)), np.ones((4, 5), bool)),
        (np.zeros((4, 4, 3)), np.ones((4, 4, 3), bool)),
        (np.full((4, 4), np.nan), np.ones((4, 4), bool)),
    ],
    ids=["empty mask", "other shape", "colour", "NaN"],
)
def test_what_is_no_lesion_is_refused(image: NDArray[np.float64], mask: NDArray[np.bool_]) -> None:
    with pytest.raises(DeepInputError):
        prepare_crop(image, mask, DeepSettings())


def test_settings_survive_their_dictionary_and_change_their_hash() -> None:
    settings = DeepSettings(size=112, margin=0.25, masked=False, normalisation="fixed")
    assert DeepSettings.from_dict(settings.to_dict()) == settings
    assert settings.to_dict()["scaling"] == "fit-to-lesion"
    assert settings.sha256 != DeepSettings().sha256
    assert DeepSettings().sha256 == DeepSettings(size=96).sha256


@pytest.mark.parametrize(
    "wrong", [{"size": 16}, {"margin": -0.1}, {"margin": 2.0}, {"normalisation": "none"}]
)
def test_settings_no_crop_can_be_made_with_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DeepInputError):
        replace(DeepSettings(), **wrong)


@pytest.mark.parametrize("change", [{"scaling": "fixed"}, {"colour": True}])
def test_settings_of_another_recipe_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(DeepInputError):
        DeepSettings.from_dict({**DeepSettings().to_dict(), **change})


class ARunner:
    """Answers with the mean of what it was given."""

    def features(self, batch: NDArray[np.float32]) -> DeepResult:
        assert batch.shape == (1, 1, 96, 96)
        return DeepResult(np.full((1, 512), batch.mean(), np.float32), "cpu", "cuda is not there")


def test_deep_features_are_one_vector_and_the_result_tells_the_device(a_lesion: Lesion) -> None:
    vector = deep_features(*a_lesion, ARunner(), DeepSettings())
    assert vector.shape == (512,)
    assert vector.dtype == np.float32
    result = deep_result(*a_lesion, ARunner(), DeepSettings())
    assert (result.device, result.fallback_reason) == ("cpu", "cuda is not there")


def test_feature_names_sort_as_they_count() -> None:
    names = feature_names(512)
    assert (names[0], names[511]) == ("dl_000", "dl_511")
    assert list(names) == sorted(names)
