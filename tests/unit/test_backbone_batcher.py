"""Threads that share one backbone: together where they can, each for itself where it fails."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.backbone import runner as runners
from models.backbone.agreement import TOLERANCE, disagreement, reference_crop
from models.backbone.architecture import SLIM
from models.backbone.batcher import MicroBatcher
from models.backbone.device import choose_device, make_visible
from models.backbone.errors import DeadlineExceededError, DeepInputError, DeviceNameError
from models.backbone.resnet3d import ResNet18
from models.backbone.result import DeepResult
from models.backbone.runner import DeepRunner
from models.backbone.weights import Weights, weights_of

TINY = replace(SLIM, name="tiny", width=4, projection=512)


@pytest.fixture(scope="module")
def some_weights_of_a_model() -> Weights:
    network = ResNet18(TINY, TINY.dimensions)
    network.initialise(1)
    return weights_of(network)


def crop(number: int) -> NDArray[np.float32]:
    return np.random.default_rng(number).standard_normal((1, 1, 32, 32)).astype(np.float32)


def together(batcher: MicroBatcher, batches: Sequence[NDArray[np.float32]]) -> list[object]:
    """What each caller gets, all at once."""
    found: list[object] = [None] * len(batches)
    gate = threading.Barrier(len(batches))

    def ask(place: int) -> None:
        gate.wait()
        try:
            found[place] = batcher.features(batches[place])
        except Exception as error:  # noqa: BLE001 - the test looks at it
            found[place] = error

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_cases_of_several_threads_share_a_batch_and_get_the_bits_they_get_alone(
    some_weights_of_a_model: Weights,
) -> None:
    alone = DeepRunner(some_weights_of_a_model, "cpu")
    batcher = MicroBatcher(DeepRunner(some_weights_of_a_model, "cpu"), wait_s=2.0, most=4)
    crops = [crop(number) for number in range(4)]
    answers = together(batcher, crops)
    assert batcher.batches == 1
    for one, answer in zip(crops, answers, strict=True):
        assert isinstance(answer, DeepResult)
        assert np.array_equal(answer.features, alone.features(one).features)


def test_a_case_that_cannot_run_fails_alone(some_weights_of_a_model: Weights) -> None:
    batcher = MicroBatcher(DeepRunner(some_weights_of_a_model, "cpu"), wait_s=2.0, most=3)
    bad = crop(1)
    bad[0, 0, 0, 0] = np.nan
    first, second, third = together(batcher, [crop(0), bad, crop(2)])
    assert isinstance(second, DeepInputError)
    assert isinstance(first, DeepResult)
    assert isinstance(third, DeepResult)


def test_crops_of_another_size_run_in_a_batch_of_their_own(
    some_weights_of_a_model: Weights,
) -> None:
    batcher = MicroBatcher(DeepRunner(some_weights_of_a_model, "cpu"), wait_s=0.5, most=8)
    larger = np.zeros((1, 1, 48, 48), np.float32)
    answers = together(batcher, [crop(0), larger])
    assert all(isinstance(answer, DeepResult) for answer in answers)
    assert batcher.batches == 2


def test_a_deadline_is_each_case_s_own(
    some_weights_of_a_model: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = DeepRunner(some_weights_of_a_model, "cpu")
    honest = runner.features

    def slow(batch: NDArray[np.float32]) -> DeepResult:
        if batch.max() > 100:
            raise DeadlineExceededError("deep features took 40 s, the deadline was 30 s")
        return honest(batch)

    monkeypatch.setattr(runner, "features", slow)
    batcher = MicroBatcher(runner, wait_s=2.0, most=2)
    fast, late = together(batcher, [crop(0), crop(1) + 1000])
    assert isinstance(fast, DeepResult)
    assert isinstance(late, DeadlineExceededError)


def test_a_card_that_runs_out_of_memory_or_is_lost_is_told_to_everybody_in_the_batch(
    some_weights_of_a_model: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "count_cuda_devices", lambda: 1)
    runner = DeepRunner(some_weights_of_a_model, "cuda")
    honest = runner._run

    def lost(batch, device, chunk, deadline):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        if device != "cpu":
            raise RuntimeError("CUDA error: device-side assert triggered")
        return honest(batch, device, chunk, deadline)

    monkeypatch.setattr(runner, "_run", lost)
    batcher = MicroBatcher(runner, wait_s=2.0, most=2)
    answers = together(batcher, [crop(0), crop(1)])
    assert [answer.device for answer in answers if isinstance(answer, DeepResult)] == ["cpu"] * 2
    assert all("driver failure" in getattr(one, "fallback_reason", "") for one in answers)
    assert batcher.device == "cpu"


def test_the_cpu_agrees_with_itself(some_weights_of_a_model: Weights) -> None:
    found = disagreement(some_weights_of_a_model, "cpu")
    assert found.relative == 0
    assert not found.fallback_reason
    assert np.array_equal(reference_crop(volume=False), reference_crop(volume=False))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_card_agrees_with_the_cpu(some_weights_of_a_model: Weights) -> None:
    found = disagreement(some_weights_of_a_model, "cuda:0")
    assert not found.fallback_reason
    assert 0 <= found.relative <= TOLERANCE


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_on_the_card_gives_each_case_the_bits_it_gets_alone(
    some_weights_of_a_model: Weights,
) -> None:
    batcher = MicroBatcher(DeepRunner(some_weights_of_a_model, "cuda:0"), wait_s=2.0, most=4)
    alone = DeepRunner(some_weights_of_a_model, "cuda:0")
    crops = [crop(number) for number in range(4)]
    for one, answer in zip(crops, together(batcher, crops), strict=True):
        assert isinstance(answer, DeepResult)
        assert np.array_equal(answer.features, alone.features(one).features)


@pytest.mark.parametrize("uuid", ["MIG-4c9ee9f7-7b7f-5b3e-9a3a-1f2e3d4c5b6a", "GPU-a1b2c3d4-0000"])
def test_a_uuid_lets_the_process_see_that_part_alone(
    uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert make_visible(uuid) == "cuda:0"
    assert make_visible(uuid) == "cuda:0"
    assert choose_device("cuda:0", 1).device == "cuda:0"
    with pytest.raises(DeviceNameError, match="alone"):
        make_visible("MIG-00000000-another")
    assert make_visible("cuda:1") == "cuda:1"


def test_an_architecture_of_volumes_has_a_reference_volume() -> None:
    assert reference_crop(volume=True).ndim == 5
