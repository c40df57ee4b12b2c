"""MedicalNet's published 18-layer checkpoint (Chen et al. 2019, `resnet_18_23dataset.pth`).

The file is a user's own copy, given by path and pinned by its SHA-256. It was saved from a
`DataParallel` network with a segmentation head: names begin with `module.`, and `conv_seg` is not
part of the backbone.
"""

import io
import pickle
from pathlib import Path

import torch
from torch import Tensor

from models.backbone.architecture import MEDICALNET, Architecture
from models.backbone.errors import WeightsError
from models.backbone.weights import Weights, read_pinned

PARALLEL_PREFIX = "module."
SEGMENTATION_HEAD = "conv_seg."
COUNTER = "num_batches_tracked"


def load_medicalnet(path: Path, sha256: str, architecture: Architecture = MEDICALNET) -> Weights:
    """Read a MedicalNet checkpoint, without running any code it may hold.

    Args:
        path: the `.pth` file.
        sha256: its pinned hash; required, for a pickle is trusted only when it is a known one.
        architecture: `MEDICALNET`, or the same with `volume=True` for a model of true volumes.

    Raises:
        WeightsHashError: the file is not the pinned one.
        WeightsError: the file cannot be read, holds more than tensors, or not this network.
    """
    content, digest = read_pinned(path, sha256)
    try:
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(f"{path.name} is no checkpoint of plain tensors") from error
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise WeightsError(f"{path.name} holds no state_dict")
    tensors = {
        name.removeprefix(PARALLEL_PREFIX): tensor.float()
        for name, tensor in state.items()
        if isinstance(tensor, Tensor) and _belongs(name)
    }
    card = {"name": "MedicalNet", "source": path.name, "source_sha256": digest}
    return Weights(architecture, tensors, card, digest)


def _belongs(name: str) -> bool:
    bare = name.removeprefix(PARALLEL_PREFIX)
    return not bare.startswith(SEGMENTATION_HEAD) and not bare.endswith(COUNTER)
