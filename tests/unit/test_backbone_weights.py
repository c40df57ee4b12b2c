"""Weights files: what is read is what was written, and nothing else is accepted."""

import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.backbone.architecture import MEDICALNET, SLIM
from models.backbone.errors import WeightsError, WeightsHashError
from models.backbone.medicalnet import load_medicalnet
from models.backbone.resnet3d import ResNet18
from models.backbone.runner import DeepRunner
from models.backbone.weights import (
    Weights,
    load_into,
    load_weights,
    save_weights,
    serving_network,
    weights_of,
)

SLIM_2D = replace(SLIM, dimensions=2)
A_CROP = np.random.default_rng(0).standard_normal((1, 1, 64, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def some_weights() -> Weights:
    network = ResNet18(SLIM_2D, 2)
    network.initialise(3)
    return weights_of(network, {"source": "a test", "seed": 3})


def test_a_saved_file_gives_the_same_weights_and_card(
    some_weights: Weights, tmp_path: Path
) -> None:
    digest = save_weights(some_weights, tmp_path / "w.safetensors")
    back = load_weights(tmp_path / "w.safetensors", digest)
    assert back.architecture == SLIM_2D
    assert back.card == {"source": "a test", "seed": 3}
    assert back.sha256 == digest
    assert back.tensors.keys() == some_weights.tensors.keys()
    assert all(torch.equal(back.tensors[k], v) for k, v in some_weights.tensors.items())


def test_saving_twice_writes_the_same_bytes(some_weights: Weights, tmp_path: Path) -> None:
    first = save_weights(some_weights, tmp_path / "1")
    assert save_weights(some_weights, tmp_path / "2") == first
    assert hashlib.sha256((tmp_path / "2").read_bytes()).hexdigest() == first


def test_the_slim_file_is_small_enough_to_ship(some_weights: Weights, tmp_path: Path) -> None:
    save_weights(some_weights, tmp_path / "w")
    assert (tmp_path / "w").stat().st_size < 7_000_000


def test_a_file_with_another_hash_is_refused(some_weights: Weights, tmp_path: Path) -> None:
    path = tmp_path / "w"
    digest = save_weights(some_weights, path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsHashError, match=digest):
        load_weights(path, digest)


@pytest.mark.parametrize("content", [b"", b"\x00" * 8, b"not weights at all", b"\xff" * 64])
def test_a_file_that_is_no_backbone_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(WeightsError):
        load_weights(tmp_path / "w")


def test_a_truncated_file_is_refused(some_weights: Weights, tmp_path: Path) -> None:
    save_weights(some_weights, tmp_path / "w")
    (tmp_path / "half").write_bytes((tmp_path / "w").read_bytes()[:-1000])
    with pytest.raises(WeightsError):
        load_weights(tmp_path / "half")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        load_weights(tmp_path / "nowhere")


def test_weights_with_a_missing_or_unknown_or_misshapen_tensor_are_refused(
    some_weights: Weights,
) -> None:
    tensors = some_weights.tensors
    without = {k: v for k, v in tensors.items() if k != "layer3.1.conv2.weight"}
    with pytest.raises(WeightsError, match=r"layer3\.1\.conv2\.weight"):
        replace(some_weights, tensors=without)
    with pytest.raises(WeightsError, match="extra"):
        replace(some_weights, tensors={**tensors, "extra": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"conv1\.weight"):
        replace(some_weights, tensors={**tensors, "conv1.weight": torch.zeros(32, 1, 3, 3)})


def test_weights_too_large_for_half_precision_are_refused() -> None:
    network = ResNet18(SLIM_2D, 2)
    network.initialise(3)
    network.conv1.weight.data[0, 0, 0, 0] = 1e6
    with pytest.raises(WeightsError, match=r"conv1\.weight"):
        weights_of(network)


def test_features_before_and_after_a_save_are_the_same(
    some_weights: Weights, tmp_path: Path
) -> None:
    save_weights(some_weights, tmp_path / "w")
    before = DeepRunner(some_weights, "cpu").features(A_CROP)
    after = DeepRunner.from_file(tmp_path / "w", device="cpu").features(A_CROP)
    assert np.array_equal(before.features, after.features)


def test_making_a_serving_network_uses_no_random_numbers(some_weights: Weights) -> None:
    before = torch.random.get_rng_state()
    serving_network(some_weights)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_weights_do_not_load_into_another_architecture(some_weights: Weights) -> None:
    with pytest.raises(WeightsError, match="medicalnet"):
        load_into(ResNet18(replace(MEDICALNET, dimensions=2), 2), some_weights)


@pytest.fixture(scope="module")
def a_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A checkpoint of MedicalNet's published form, with values of our own, and its hash."""
    network = ResNet18(MEDICALNET, 3)
    network.initialise(4)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    state["module.conv_seg.0.weight"] = torch.zeros(512, 32, 2, 2, 2)
    path = tmp_path_factory.mktemp("medicalnet") / "resnet_18_23dataset.pth"
    form_of_its_day = {"_use_new_zipfile_serialization": False}
    torch.save({"state_dict": state}, path, **form_of_its_day)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


class TestMedicalNet:
    """The loader of the published checkpoint."""

    def test_it_loads_by_name_without_prefix_and_segmentation_head(
        self, a_checkpoint: tuple[Path, str]
    ) -> None:
        path, digest = a_checkpoint
        weights = load_medicalnet(path, digest)
        expected = ResNet18(MEDICALNET, 3)
        expected.initialise(4)
        assert weights.architecture == MEDICALNET
        assert torch.equal(weights.tensors["conv1.weight"], expected.conv1.weight)
        assert not [name for name in weights.tensors if "module" in name or "seg" in name]
        result = DeepRunner(weights, "cpu").features(A_CROP)
        assert result.features.shape == (1, 512)

    def test_it_refuses_a_wrong_hash(self, a_checkpoint: tuple[Path, str]) -> None:
        path, digest = a_checkpoint
        with pytest.raises(WeightsHashError):
            load_medicalnet(path, "0" * len(digest))

    def test_it_runs_no_code_of_a_pickle(self, tmp_path: Path) -> None:
        trace = tmp_path / "ran"
        path = tmp_path / "evil.pth"
        path.write_bytes(pickle.dumps(_TouchOnLoad(trace), protocol=2))
        with pytest.raises(WeightsError, match="plain tensors"):
            load_medicalnet(path, hashlib.sha256(path.read_bytes()).hexdigest())
        assert not trace.exists()

    def test_it_refuses_another_network(self, tmp_path: Path) -> None:
        path = tmp_path / "other.pth"
        torch.save({"state_dict": {"module.conv1.weight": torch.zeros(64, 1, 7, 7, 7)}}, path)
        with pytest.raises(WeightsError, match="lack"):
            load_medicalnet(path, hashlib.sha256(path.read_bytes()).hexdigest())


class _TouchOnLoad:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))
