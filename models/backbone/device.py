"""Where a batch runs: from a configured name to a device."""

import os
import re
from dataclasses import dataclass

import torch

from models.backbone.errors import DeviceNameError

CPU = "cpu"

_CUDA_NAME = re.compile(r"cuda(?::(\d+))?")
_UUID = re.compile(r"(?:MIG|GPU)-[0-9A-Za-z/-]+")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """The device to run on.

    Attributes:
        device: "cpu" or "cuda:N".
        reason: why it is not the one asked for; empty where it is.
    """

    device: str
    reason: str = ""


def make_visible(asked: str) -> str:
    """Let this process see one GPU, or one part of a GPU, alone; call it before CUDA starts.

    Args:
        asked: the UUID that `nvidia-smi -L` prints (`GPU-...`, `MIG-...`), or any other name.

    Returns:
        The name that `choose_device` knows: "cuda:0" for a UUID.

    Raises:
        DeviceNameError: CUDA has started in this process, or sees another device alone.
    """
    if _UUID.fullmatch(asked) is None:
        return asked
    seen = os.environ.get(_VISIBLE)
    if seen not in {None, asked} and _UUID.fullmatch(seen or ""):
        raise DeviceNameError(f"this process sees {seen} alone: it cannot run on {asked} too")
    if torch.cuda.is_initialized() and seen != asked:  # type: ignore[no-untyped-call]
        raise DeviceNameError(f"CUDA has started: {asked} cannot be chosen any more")
    os.environ[_VISIBLE] = asked
    return "cuda:0"


def choose_device(asked: str, cuda_devices: int) -> DeviceChoice:
    """The device for a configured name.

    Args:
        asked: "auto" (the first CUDA device, else the CPU), "cpu", "cuda" (the first) or "cuda:N".
        cuda_devices: how many CUDA devices this process can use.

    Raises:
        DeviceNameError: the name is none of these.
    """
    if asked == CPU:
        return DeviceChoice(CPU)
    if asked == "auto":
        return DeviceChoice("cuda:0" if cuda_devices else CPU)
    match = _CUDA_NAME.fullmatch(asked)
    if match is None:
        raise DeviceNameError(f"device {asked!r} is none of auto, cpu, cuda, cuda:N")
    index = int(match.group(1) or 0)
    if index < cuda_devices:
        return DeviceChoice(f"cuda:{index}")
    return DeviceChoice(CPU, f"{asked} is not there ({cuda_devices} CUDA devices)")


def count_cuda_devices() -> int:
    """CUDA devices this process can use; none where there is no driver."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0
