"""Where a batch runs and what happens when the accelerator fails: pure decisions."""

import pytest
import torch

from models.backbone.device import DeviceChoice, choose_device
from models.backbone.errors import DeviceNameError
from models.backbone.fallback import Failure, after_failure, classify, run_with_fallback

OUT_OF_MEMORY = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
BROKEN_DRIVER = RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize(
    ("asked", "there", "device"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_device_that_is_there_is_used(asked: str, there: int, device: str) -> None:
    assert choose_device(asked, there) == DeviceChoice(device)


@pytest.mark.parametrize(("asked", "there"), [("cuda", 0), ("cuda:1", 1)])
def test_a_device_that_is_not_there_falls_back_to_the_cpu_and_says_so(
    asked: str, there: int
) -> None:
    choice = choose_device(asked, there)
    assert choice.device == "cpu"
    assert asked in choice.reason


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:-1", "CUDA", "", "cuda:0x"])
def test_a_name_that_is_no_device_is_refused(asked: str) -> None:
    with pytest.raises(DeviceNameError, match="auto, cpu, cuda"):
        choose_device(asked, 1)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (OUT_OF_MEMORY, Failure.OUT_OF_MEMORY),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), Failure.OUT_OF_MEMORY),
        (BROKEN_DRIVER, Failure.DRIVER),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), Failure.DRIVER),
        (RuntimeError("Found no NVIDIA driver on your system"), Failure.DRIVER),
        (RuntimeError("shape '[2]' is invalid for input of size 3"), None),
        (ValueError("CUDA"), None),
    ],
)
def test_failures_are_told_apart(error: Exception, failure: Failure | None) -> None:
    assert classify(error) is failure


def test_out_of_memory_halves_the_batch_before_it_leaves_the_device() -> None:
    following = after_failure(Failure.OUT_OF_MEMORY, "cuda:0", 16)
    assert (following.device, following.chunk, following.for_good) == ("cuda:0", 8, False)


def test_out_of_memory_on_one_case_goes_to_the_cpu_for_this_batch_only() -> None:
    following = after_failure(Failure.OUT_OF_MEMORY, "cuda:0", 1)
    assert (following.device, following.for_good) == ("cpu", False)


def test_a_driver_failure_goes_to_the_cpu_for_good() -> None:
    following = after_failure(Failure.DRIVER, "cuda:1", 16)
    assert (following.device, following.for_good) == ("cpu", True)


class ADevice:
    """A forward pass that records its tries and fails as told where it is not on the CPU."""

    def __init__(self, error: Exception, largest: int = 0) -> None:
        self.error, self.largest = error, largest
        self.tries: list[tuple[str, int]] = []

    def __call__(self, device: str, chunk: int) -> str:
        self.tries.append((device, chunk))
        if device != "cpu" and chunk > self.largest:
            raise self.error
        return f"features of {device}"


def test_a_full_device_is_tried_with_less_and_less_and_then_left() -> None:
    a_full_device = ADevice(OUT_OF_MEMORY)
    ran = run_with_fallback(a_full_device, DeviceChoice("cuda:0"), 4)
    assert a_full_device.tries == [("cuda:0", 4), ("cuda:0", 2), ("cuda:0", 1), ("cpu", 1)]
    assert ran.answer == "features of cpu"
    assert ran.choice == DeviceChoice("cpu", "cuda:0: out of memory")
    assert not ran.for_good


def test_a_device_with_room_for_half_answers_and_says_so() -> None:
    ran = run_with_fallback(ADevice(OUT_OF_MEMORY, largest=2), DeviceChoice("cuda:0"), 4)
    assert ran.choice == DeviceChoice("cuda:0", "cuda:0: out of memory, 2 cases at once")


def test_a_broken_device_is_left_at_once_and_for_good() -> None:
    a_broken_device = ADevice(BROKEN_DRIVER)
    ran = run_with_fallback(a_broken_device, DeviceChoice("cuda:0"), 4)
    assert a_broken_device.tries == [("cuda:0", 4), ("cpu", 1)]
    assert ran.for_good
    assert ran.choice.reason == "cuda:0: driver failure"


def test_a_fault_of_our_own_is_not_hidden_by_a_fallback() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run_with_fallback(
            ADevice(RuntimeError("mat1 and mat2 shapes cannot be multiplied")),
            DeviceChoice("cuda:0"),
            4,
        )


def test_a_failure_on_the_cpu_itself_is_raised() -> None:
    def run(device: str, chunk: int) -> str:
        raise RuntimeError(f"CUDA error on {device} {chunk}")

    with pytest.raises(RuntimeError, match="CUDA error on cpu"):
        run_with_fallback(run, DeviceChoice("cpu"), 1)


def test_the_reason_for_not_having_the_asked_device_is_kept() -> None:
    ran = run_with_fallback(ADevice(BROKEN_DRIVER), choose_device("cuda", 0), 1)
    assert "cuda is not there" in ran.choice.reason
