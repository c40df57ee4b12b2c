"""The runner: the same bits for the same crop, whatever the batch, the process or the moment."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.backbone.architecture import SLIM, Architecture
from models.backbone.deadline import Deadline
from models.backbone.errors import DeadlineExceededError, DeepInputError
from models.backbone.resnet3d import ResNet18
from models.backbone.runner import CASES_AT_ONCE, DeepRunner
from models.backbone.weights import Weights, save_weights, weights_of

TINY = replace(SLIM, name="tiny", width=4, projection=512)

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def weights(architecture: Architecture = TINY) -> Weights:
    network = ResNet18(architecture, architecture.dimensions)
    network.initialise(1)
    return weights_of(network)


@pytest.fixture
def three_crops() -> NDArray[np.float32]:
    return np.random.default_rng(2).standard_normal((3, 1, 48, 48)).astype(np.float32)


def test_a_batch_gives_512_features_a_case_and_names_the_device(
    three_crops: NDArray[np.float32],
) -> None:
    result = DeepRunner(weights(), "cpu").features(three_crops)
    assert result.features.shape == (3, 512)
    assert (result.device, result.fallback_reason) == ("cpu", "")
    assert len(np.unique(result.features, axis=0)) == 3


def test_a_crop_has_the_same_features_alone_and_in_any_batch(
    three_crops: NDArray[np.float32],
) -> None:
    runner = DeepRunner(weights(), "cpu")
    together = runner.features(three_crops).features
    turned = runner.features(three_crops[::-1]).features[::-1]
    alone = np.concatenate([runner.features(three_crops[i : i + 1]).features for i in range(3)])
    assert np.array_equal(together, turned)
    assert np.array_equal(together, alone)


def test_another_process_gives_the_same_bits(
    three_crops: NDArray[np.float32], tmp_path: Path
) -> None:
    save_weights(weights(), tmp_path / "w")
    np.save(tmp_path / "x.npy", three_crops)
    program = (
        "import sys, hashlib, numpy as np\n"
        "from pathlib import Path\n"
        "from models.backbone.runner import DeepRunner\n"
        "runner = DeepRunner.from_file(Path(sys.argv[1]), device='cpu')\n"
        "result = runner.features(np.load(sys.argv[2]))\n"
        "print(hashlib.sha256(result.features.tobytes()).hexdigest())\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "w"), str(tmp_path / "x.npy")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    here = DeepRunner.from_file(tmp_path / "w", device="cpu").features(three_crops).features
    assert there == hashlib.sha256(here.tobytes()).hexdigest()


def test_the_callers_number_of_threads_is_given_back(three_crops: NDArray[np.float32]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        DeepRunner(weights(), "cpu", threads=1).features(three_crops)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_device_that_is_not_there_is_answered_by_the_cpu_with_the_reason(
    three_crops: NDArray[np.float32],
) -> None:
    asked = f"cuda:{torch.cuda.device_count()}"
    result = DeepRunner(weights(), asked).features(three_crops)
    assert result.device == "cpu"
    assert result.fallback_reason.startswith(f"{asked} is not there")


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((48, 48), np.float32),
        np.zeros((0, 1, 48, 48), np.float32),
        np.zeros((1, 3, 48, 48), np.float32),
        np.zeros((1, 1, 4, 48, 48), np.float32),
        np.zeros((1, 1, 48, 48), np.float64),
        np.full((1, 1, 48, 48), np.nan, np.float32),
    ],
    ids=["2D", "empty", "three channels", "a volume", "float64", "NaN"],
)
def test_a_batch_of_another_form_is_refused(batch: NDArray[np.float32]) -> None:
    with pytest.raises(DeepInputError):
        DeepRunner(weights(), "cpu").features(batch)


def test_a_model_of_volumes_runs_in_3d() -> None:
    volumes = np.random.default_rng(3).standard_normal((2, 1, 8, 32, 32)).astype(np.float32)
    form = replace(TINY, volume=True)
    reference = ResNet18(form, 3)
    reference.initialise(1)
    reference.load_state_dict(weights(form).tensors, strict=False)
    with torch.no_grad():
        expected = reference.eval()(torch.from_numpy(volumes)).numpy()
    runner = DeepRunner(weights(form), "cpu")
    found = runner.features(volumes).features
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert runner.warm_up().features.shape == (1, 512)


def test_a_model_of_volumes_refuses_slices(three_crops: NDArray[np.float32]) -> None:
    with pytest.raises(DeepInputError, match="5 axes"):
        DeepRunner(weights(replace(TINY, volume=True)), "cpu").features(three_crops)


def test_half_precision_runs_only_where_the_architecture_says_so(
    three_crops: NDArray[np.float32],
) -> None:
    full = DeepRunner(weights(), "cpu").features(three_crops).features
    short = DeepRunner(weights(replace(TINY, precision="bf16")), "cpu").features(three_crops)
    assert short.features.dtype == np.float32
    difference = np.abs(short.features - full).max()
    assert 1e-6 < difference < 0.05 * np.abs(full).max()


def test_a_deadline_that_has_passed_stops_the_forward_pass(
    three_crops: NDArray[np.float32],
) -> None:
    runner = DeepRunner(weights(), "cpu", case_deadline_s=1e-9)
    with pytest.raises(DeadlineExceededError, match="deadline"):
        runner.features(three_crops)


def test_a_deadline_counts_from_the_start_of_its_batch_and_by_its_cases() -> None:
    now = [100.0]
    deadline = Deadline.of(cases=3, case_s=2.0, clock=lambda: now[0])
    now[0] = 106.0
    deadline.check()
    now[0] = 106.1
    with pytest.raises(DeadlineExceededError, match=r"6\.1 s, the deadline was 6\.0 s"):
        deadline.check()


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"case_deadline_s": 0.0}])
def test_a_runner_without_threads_or_time_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DeepInputError):
        DeepRunner(weights(), "cpu", **wrong)


@pytest.mark.cuda
@needs_cuda
def test_cuda_agrees_with_the_cpu_and_with_itself_in_any_batch() -> None:
    count = CASES_AT_ONCE + 3
    crops = np.random.default_rng(4).standard_normal((count, 1, 96, 96)).astype(np.float32)
    runner = DeepRunner(weights(SLIM), "cuda")
    together = runner.features(crops)
    alone = np.concatenate([runner.features(crops[i : i + 1]).features for i in range(count)])
    cpu = DeepRunner(weights(SLIM), "cpu").features(crops).features
    assert (together.device, together.fallback_reason) == ("cuda:0", "")
    assert np.array_equal(together.features, alone)
    assert np.abs(together.features - cpu).max() <= 1e-4 * np.abs(cpu).max()


@pytest.mark.cuda
@needs_cuda
def test_a_batch_too_large_for_the_cuda_device_is_answered_all_the_same() -> None:
    free, _total = torch.cuda.mem_get_info()
    taken = torch.empty(int(free * 0.999), dtype=torch.uint8, device="cuda")
    try:
        crops = np.zeros((CASES_AT_ONCE, 1, 1024, 1024), np.float32)
        result = DeepRunner(weights(SLIM), "cuda", case_deadline_s=300.0).features(crops)
    finally:
        del taken
        torch.cuda.empty_cache()
    assert result.features.shape == (CASES_AT_ONCE, 512)
    assert "out of memory" in result.fallback_reason
