"""Pretraining learns, repeats itself by seed, keeps its patients apart and says what it did."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.backbone.architecture import SLIM
from models.backbone.errors import PretrainingError
from models.backbone.pretrain import PretrainSettings, Samples, pretrain, split
from models.backbone.runner import DeepRunner
from models.backbone.tasks import TASKS, Targets, multi_task_loss, scores
from models.backbone.weights import save_weights

TINY = replace(SLIM, name="tiny", width=4)
RECIPE = PretrainSettings(
    architecture=TINY, seed=1, epochs=6, batch=8, threads=1, device="cpu", holdout=0.25
)


def striped_or_plain(count: int, seed: int) -> Samples:
    """Crops with and without stripes: as easy as a lesion never is."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(count) % 2).astype(np.float64)
    stripes = np.sin(np.arange(32) * 1.2)[None, :, None] * label[:, None, None]
    crops = stripes * 1.5 + 0.5 * rng.standard_normal((count, 32, 32))
    targets = {
        "label": label,
        "diameter_mm": np.exp(3.0 + 0.3 * label),
        "adler": np.where(label == 1.0, 2.0, np.nan),
    }
    return Samples(crops.astype(np.float32), targets, source="stripes")


@pytest.fixture(scope="module")
def the_samples() -> Samples:
    return striped_or_plain(96, seed=2)


def test_it_learns_a_task_it_can_see(the_samples: Samples) -> None:
    weights = pretrain(the_samples, RECIPE)
    found = weights.card["held_out_scores"]
    assert isinstance(found, dict)
    assert found["label_auc"] > 0.9
    assert found["diameter_mm_r"] > 0.7


def test_the_features_it_leaves_separate_samples_it_never_saw(the_samples: Samples) -> None:
    others = striped_or_plain(40, seed=3)
    features = DeepRunner(pretrain(the_samples, RECIPE), "cpu").features(others.crops[:, None])
    label = others.targets["label"] == 1.0
    apart = np.abs(features.features[label].mean(0) - features.features[~label].mean(0))
    spread = features.features[label].std(0) + features.features[~label].std(0)
    assert (apart > spread)[spread > 0.0].mean() > 0.2


def test_the_same_seed_writes_the_same_file_and_another_does_not(
    the_samples: Samples, tmp_path: Path
) -> None:
    short = replace(RECIPE, epochs=2)
    first = save_weights(pretrain(the_samples, short), tmp_path / "1")
    again = save_weights(pretrain(the_samples, short), tmp_path / "2")
    other = save_weights(pretrain(the_samples, replace(short, seed=9)), tmp_path / "3")
    assert first == again
    assert first != other


def test_the_callers_random_numbers_are_left_alone(the_samples: Samples) -> None:
    import torch  # noqa: PLC0415  the state of this very generator is the question

    before = torch.random.get_rng_state()
    pretrain(the_samples, replace(RECIPE, epochs=1))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_fine_tuning_starts_from_the_weights_it_is_given(the_samples: Samples) -> None:
    start = pretrain(the_samples, RECIPE)
    barely = replace(RECIPE, epochs=1, learning_rate=1e-9)
    tuned = pretrain(the_samples, barely, start=start)
    change = (tuned.tensors["conv1.weight"] - start.tensors["conv1.weight"]).abs().max()
    assert change < 1e-3
    recipe = tuned.card["recipe"]
    assert isinstance(recipe, dict)
    assert "started_from_sha256" in recipe


def test_no_patient_is_on_both_sides_of_the_split(the_samples: Samples) -> None:
    patients = np.arange(96) // 2
    training, heldout = split(replace(the_samples, groups=patients), RECIPE)
    assert len(heldout) == 24
    assert not set(patients[training]) & set(patients[heldout])
    assert sorted([*training, *heldout]) == list(range(96))


def test_the_card_says_what_was_done(the_samples: Samples) -> None:
    told: list[int] = []
    weights = pretrain(
        the_samples, replace(RECIPE, epochs=2), progress=lambda epoch, _n, _loss: told.append(epoch)
    )
    assert told == [1, 2]
    assert weights.card["source"] == "stripes"
    assert weights.card["samples"] == {"training": 72, "held_out": 24}
    assert weights.architecture.dimensions == 2


def test_targets_are_standardised_and_unknown_ones_stay_unknown() -> None:
    columns = {"diameter_mm": np.array([10.0, 1000.0, np.nan]), "label": np.array([0.0, 1.0, 1.0])}
    targets = Targets.of(columns, 3)
    place = [task.name for task in TASKS].index("diameter_mm")
    assert np.allclose(targets.values[:2, place], [-1.0, 1.0])
    assert np.isnan(targets.values[2, place])
    assert np.isnan(targets.values[:, -1]).all()


def test_an_unknown_target_takes_no_part_in_the_loss() -> None:
    import torch  # noqa: PLC0415  only this test needs it

    outputs = torch.zeros((2, len(TASKS)))
    known = torch.full((2, len(TASKS)), float("nan"))
    known[0, 0] = 1.0
    share = TASKS[0].weight / sum(task.weight for task in TASKS)
    assert multi_task_loss(outputs, known).item() == pytest.approx(np.log(2.0) * share)


def test_scores_are_auc_and_correlation() -> None:
    names = [task.name for task in TASKS]
    outputs = np.full((4, len(TASKS)), 0.0)
    targets = np.full((4, len(TASKS)), np.nan)
    outputs[:, 0], targets[:, 0] = [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]  # AUC 0.75 by hand
    outputs[:, names.index("adler")] = [1, 2, 3, 4]
    targets[:, names.index("adler")] = [2, 4, 6, 8]
    assert scores(outputs, targets) == {"label_auc": 0.75, "adler_r": 1.0}


@pytest.mark.parametrize(
    "columns",
    [
        {"size": np.zeros(8)},
        {"label": np.zeros(7)},
        {"label": np.full(8, 2.0)},
        {"diameter_mm": np.zeros(8)},
        {},
        {"label": np.full(8, np.nan)},
    ],
    ids=["unknown", "too short", "out of range", "not positive", "none", "all unknown"],
)
def test_targets_that_cannot_be_learned_are_refused(
    columns: dict[str, NDArray[np.float64]],
) -> None:
    with pytest.raises(PretrainingError):
        Targets.of(columns, 8)


def test_samples_that_cannot_be_trained_on_are_refused(the_samples: Samples) -> None:
    with pytest.raises(PretrainingError, match="fewer"):
        replace(the_samples, crops=the_samples.crops[:3])
    with pytest.raises(PretrainingError, match="finite"):
        replace(the_samples, crops=the_samples.crops * np.float32("nan"))
    with pytest.raises(PretrainingError, match="source"):
        replace(the_samples, source="")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch": 1},
        {"holdout": 1.0},
        {"architecture": replace(SLIM, volume=True)},
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PretrainingError):
        replace(RECIPE, **wrong)
