"""Bundles: what is written is what is scored, and nothing else is loaded."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle, shipped_bundles
from models.bundles.arrays import ARRAYS, from_npz, to_npz
from models.bundles.attribution import attribute
from models.bundles.description import DESCRIPTION
from models.bundles.errors import (
    AbstentionError,
    BundleContentError,
    BundleError,
    BundleNotFoundError,
    BundleSchemaError,
    BundleTamperedError,
    IllPosedFeaturesError,
    MissingInputsError,
)
from models.bundles.manifest import write_manifest
from models.bundles.seen import TrainingImages
from models.features.feature_set import FeatureSet, FeatureSetError
from models.fusion.calibration import sigmoid
from models.fusion.strict import TrainedModel
from tests.fusion_fixtures import make_features, make_table, sixty_cases, without, write

TABLE, MODELS = sixty_cases()


@pytest.fixture(scope="module")
def the_models() -> tuple[TrainedModel, ...]:
    return MODELS


@pytest.fixture
def a_bundle_folder(tmp_path: Path, the_models: tuple[TrainedModel, ...]) -> Path:
    write(tmp_path / "small", TABLE, the_models)
    return tmp_path / "small"


@pytest.fixture
def a_bundle(a_bundle_folder: Path) -> Bundle:
    return Bundle.load(a_bundle_folder)


def rewrite(folder: Path, **changes: object) -> None:
    """Change the description and make the manifest fit again, as a forger would."""
    data = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps(data | changes))
    write_manifest(folder)


def test_a_loaded_bundle_scores_as_the_trained_models_do(
    a_bundle: Bundle, the_models: tuple[TrainedModel, ...]
) -> None:
    trained = {model.specification.name: model for model in the_models}
    assert [m.entry.auc for m in a_bundle.models] == sorted(
        (model.auc for model in the_models), reverse=True
    )
    for loaded in a_bundle.models:
        model = trained[loaded.entry.name]
        values = TABLE.columns(model.frozen.names)
        np.testing.assert_array_equal(loaded.model.logit(values), model.frozen.logit(values))
        assert loaded.novelty.score(values[0]) == model.novelty.score(values[0])


def test_the_best_model_answers_where_everything_is_there(a_bundle: Bundle) -> None:
    features = make_features(TABLE, 3)
    score = a_bundle.score(features)
    best = a_bundle.models[0]
    values = np.array([features.values[name] for name in best.model.names], dtype=np.float64)
    assert score.model == best.entry.name
    assert score.fallback_reason == ""
    assert score.probability == float(sigmoid(best.model.logit(values[None]))[0])
    assert score.threshold == best.entry.threshold
    assert score.malignancy == ("malignant" if score.probability >= score.threshold else "benign")
    assert (score.sensitivity, score.specificity) == (
        best.entry.sensitivity,
        best.entry.specificity,
    )
    assert len(score.contributions) == min(5, len(best.model.names))
    assert score.prior_shift is None


def test_a_score_does_not_hang_on_what_was_scored_before(a_bundle: Bundle) -> None:
    first = a_bundle.score(make_features(TABLE, 3))
    a_bundle.score(make_features(TABLE, 4))
    assert a_bundle.score(make_features(TABLE, 3)) == first


def test_the_best_model_whose_inputs_are_there_answers_and_says_what_was_missing(
    a_bundle: Bundle,
) -> None:
    features = without(make_features(TABLE, 3), "clinical_flow", "clinical_age")
    needing = {m.entry.name for m in a_bundle.models if {"flow", "age"} & set(m.entry.requires)}
    expected = next(m for m in a_bundle.models if m.entry.name not in needing)
    score = a_bundle.score(features)
    assert score.model == expected.entry.name
    if a_bundle.models[0].entry.name in needing:
        assert a_bundle.models[0].entry.name in score.fallback_reason
        assert "not available" in score.fallback_reason
    assert "CM" in needing


def test_without_a_backbone_a_model_without_deep_features_answers(a_bundle: Bundle) -> None:
    features = replace(make_features(TABLE, 3), deep=np.zeros(0, np.float32))
    score = a_bundle.score(features)
    entry = next(m.entry for m in a_bundle.models if m.entry.name == score.model)
    assert "deep" not in entry.requires
    assert any("deep" in m.entry.requires for m in a_bundle.models)


def test_an_undefined_radiomics_feature_counts_as_missing(a_bundle: Bundle) -> None:
    features = make_features(TABLE, 3)
    undefined = replace(features, radiomics=dict.fromkeys(features.radiomics, float("nan")))
    entry = next(
        m.entry for m in a_bundle.models if m.entry.name == a_bundle.score(undefined).model
    )
    assert "radiomics" not in entry.requires


def test_a_case_with_nothing_is_refused_by_name(a_bundle: Bundle) -> None:
    empty = FeatureSet(radiomics={}, deep=np.zeros(0, np.float32), clinical={})
    with pytest.raises(MissingInputsError) as refused:
        a_bundle.score(empty)
    assert refused.value.code == "missing-inputs"


def test_a_prior_shift_moves_probability_and_threshold_but_not_the_class(a_bundle: Bundle) -> None:
    for row in range(8):
        features = make_features(TABLE, row)
        plain, rare = a_bundle.score(features), a_bundle.score(features, prevalence=0.05)
        assert rare.probability < plain.probability
        assert rare.threshold < plain.threshold
        assert rare.malignancy == plain.malignancy
        assert rare.prior_shift == 0.05


def test_the_training_prevalence_shifts_nothing(a_bundle: Bundle) -> None:
    features = make_features(TABLE, 3)
    same = a_bundle.score(features, prevalence=a_bundle.prevalence)
    assert same.probability == a_bundle.score(features).probability


def test_an_impossible_prevalence_is_refused(a_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="prevalence"):
        a_bundle.score(make_features(TABLE, 3), prevalence=1.0)


def test_equal_models_make_equal_bundles(
    tmp_path: Path, the_models: tuple[TrainedModel, ...]
) -> None:
    assert write(tmp_path / "one", TABLE, the_models) == write(tmp_path / "two", TABLE, the_models)


@pytest.mark.parametrize("name", [DESCRIPTION, ARRAYS, "card.md", "backbone.safetensors"])
def test_a_changed_file_is_refused(a_bundle_folder: Path, name: str) -> None:
    content = bytearray((a_bundle_folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (a_bundle_folder / name).write_bytes(content)
    with pytest.raises(BundleTamperedError, match=name):
        Bundle.load(a_bundle_folder)


def test_a_missing_and_an_unlisted_file_are_refused(a_bundle_folder: Path) -> None:
    (a_bundle_folder / "notes.md").write_text("not listed")
    with pytest.raises(BundleTamperedError, match=r"notes\.md"):
        Bundle.load(a_bundle_folder)
    (a_bundle_folder / "notes.md").unlink()
    (a_bundle_folder / "card.md").unlink()
    with pytest.raises(BundleTamperedError, match=r"card\.md"):
        Bundle.load(a_bundle_folder)


def test_a_pickle_and_a_link_are_refused_even_if_listed(a_bundle_folder: Path) -> None:
    (a_bundle_folder / "model.pkl").write_bytes(b"cos\nsystem\n.")
    with pytest.raises(BundleContentError, match=r"model\.pkl"):
        Bundle.load(a_bundle_folder)
    (a_bundle_folder / "model.pkl").unlink()
    (a_bundle_folder / "link.md").symlink_to(a_bundle_folder / "card.md")
    with pytest.raises(BundleContentError, match="plain file"):
        Bundle.load(a_bundle_folder)


def test_an_object_array_is_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([object()], dtype=object))
    with pytest.raises(BundleSchemaError, match="no plain arrays"):
        from_npz(buffer.getvalue())


@pytest.mark.parametrize(
    ("array", "named"),
    [
        ("CM.dual", "CM does not fit"),
        ("CM.novelty.mean", "CM.novelty does not fit"),
        ("CM.conformal.benign", "CM.conformal does not fit"),
    ],
)
def test_a_missing_array_is_refused(a_bundle_folder: Path, array: str, named: str) -> None:
    arrays = from_npz((a_bundle_folder / ARRAYS).read_bytes())
    del arrays[array]
    (a_bundle_folder / ARRAYS).write_bytes(to_npz(arrays))
    write_manifest(a_bundle_folder)
    with pytest.raises(BundleSchemaError, match=named):
        Bundle.load(a_bundle_folder)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"schema": 99}, BundleSchemaError),
        ({"schema": 1}, BundleSchemaError),
        ({"name": ""}, BundleSchemaError),
        ({"models": []}, BundleSchemaError),
        ({"features": ["dl_000", "dl_000"]}, BundleSchemaError),
        ({"settings": {"imaging": {"spacing_mm": 0.1}}}, BundleSchemaError),
        ({"prevalence": 0.0}, BundleSchemaError),
        ({"surprise": 1}, BundleSchemaError),
        ({"features": ["original_glcm_Novelty"]}, BundleSchemaError),
        ({"features": ["wavelet-LLH_glcm_Idm"]}, IllPosedFeaturesError),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    a_bundle_folder: Path, changes: dict[str, object], error: type[BundleError]
) -> None:
    rewrite(a_bundle_folder, **changes)
    with pytest.raises(error):
        Bundle.load(a_bundle_folder)


def test_a_bundle_of_another_schema_says_what_to_do(a_bundle_folder: Path) -> None:
    rewrite(a_bundle_folder, schema=1)
    with pytest.raises(BundleSchemaError, match="train it again"):
        Bundle.load(a_bundle_folder)


def test_a_tolerated_error_gives_classes_and_leaves_everything_else_as_it_is(
    a_bundle: Bundle,
) -> None:
    decided = []
    fresh = make_table(60, seed=9)
    for row in range(len(fresh.ids)):
        features = make_features(fresh, row)
        plain, cautious = a_bundle.score(features), a_bundle.score(features, None, 0.1)
        assert plain.classes is None
        assert not plain.abstains
        assert replace(cautious, classes=None) == plain
        assert cautious.classes is not None
        assert cautious.abstains == (cautious.classes != (cautious.malignancy,))
        decided.append(not cautious.abstains)
    assert 0 < sum(decided) < len(decided)


def test_the_prevalence_does_not_change_the_classes(a_bundle: Bundle) -> None:
    for row in range(8):
        features = make_features(TABLE, row)
        plain = a_bundle.score(features, None, 0.2)
        assert a_bundle.score(features, 0.05, 0.2).classes == plain.classes


@pytest.mark.parametrize("error", [0.001, 1.0, 0.0])
def test_an_error_that_the_bundle_cannot_keep_to_is_refused(a_bundle: Bundle, error: float) -> None:
    with pytest.raises(AbstentionError, match="can keep to an error of"):
        a_bundle.score(make_features(TABLE, 3), None, error)


def test_the_shares_of_a_served_score_are_those_of_the_answering_model(a_bundle: Bundle) -> None:
    features = make_features(TABLE, 3)
    best = a_bundle.models[0].model
    values = np.array([features.values[name] for name in best.names], dtype=np.float64)
    score = a_bundle.score(features)
    named = dict(zip(best.names, attribute(best, values).tolist(), strict=True))
    assert dict(score.contributions).items() <= named.items()


def test_a_training_image_is_recognised_without_its_name_in_the_bundle() -> None:
    images = TrainingImages.of(["1.2.3", "1.2.4"])
    again = TrainingImages.from_json(images.to_json().encode())
    assert "1.2.3" in again
    assert "1.2.5" not in again
    assert "" not in again
    assert "1.2.3" not in images.to_json()
    assert TrainingImages.of(["1.2.4", "1.2.3"]) == images
    # Another cohort has another salt: its hashes of the same image differ.
    assert not TrainingImages.of(["1.2.3"]).hashes & images.hashes


@pytest.mark.parametrize(
    "text", [b"no json", b"[]", b'{"salt": "a"}', b'{"salt": "a", "images": 3}']
)
def test_a_list_of_training_images_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(BundleSchemaError, match="training images"):
        TrainingImages.from_json(text)


def test_a_bundle_on_the_851_features_loads_only_when_forced(a_bundle_folder: Path) -> None:
    features = json.loads((a_bundle_folder / DESCRIPTION).read_text())["features"]
    rewrite(a_bundle_folder, features=[*features, "wavelet-LLH_glcm_Idm"])
    with pytest.raises(IllPosedFeaturesError):
        Bundle.load(a_bundle_folder)
    assert Bundle.load(a_bundle_folder, allow_full851=True).name == "small"


def test_a_name_that_is_no_bundle_is_refused() -> None:
    with pytest.raises(BundleNotFoundError, match="give a folder"):
        Bundle.load("no-such-bundle")


def test_a_folder_that_is_no_bundle_is_never_overwritten(
    tmp_path: Path, the_models: tuple[TrainedModel, ...]
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.md").write_text("mine")
    with pytest.raises(BundleError, match="no bundle"):
        write(tmp_path / "thesis", TABLE, the_models)
    assert (tmp_path / "thesis" / "chapter.md").read_text() == "mine"


def test_every_shipped_bundle_loads_and_says_that_it_is_simulated() -> None:
    for name in shipped_bundles():
        bundle = Bundle.load(name)
        assert bundle.name == name
        assert bundle.simulated
        assert "not for clinical use" in bundle.card.lower()


def test_loading_a_bundle_needs_neither_torch_nor_compiled_kernels_nor_scikit_learn() -> None:
    program = (
        "import sys, models.bundle; "
        "print({'torch', 'numba', 'sklearn', 'radiomics'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_the_hash_of_features_sees_every_bit_and_every_gap() -> None:
    features = make_features(TABLE, 3)
    assert features.sha256 == make_features(TABLE, 3).sha256
    nudged = features.deep.copy()
    nudged[2] = np.nextafter(nudged[2], np.float32(9))
    others = [
        replace(features, deep=nudged),
        without(features, "clinical_flow"),
        replace(features, radiomics={**features.radiomics, "original_glcm_Extra": 0.0}),
    ]
    assert len({features.sha256, *(other.sha256 for other in others)}) == 4


def test_a_feature_in_two_families_is_refused() -> None:
    with pytest.raises(FeatureSetError, match="clinical_age"):
        FeatureSet({"clinical_age": 1.0}, np.zeros(0, np.float32), {"clinical_age": 1.0})
