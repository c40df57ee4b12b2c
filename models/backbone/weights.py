"""Weights in a file: safetensors in half precision, with the architecture and a card inside.

Kernels are stored as float16, everything else (normalisation statistics, biases) as float32: the
running variances span more than float16 does, and they are a thousandth of the bytes. A file never
holds code: safetensors is plain numbers behind a JSON header.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors
from torch import Tensor

from models.backbone.architecture import Architecture
from models.backbone.collapse import State, collapse, fold_batch_norm
from models.backbone.errors import ArchitectureError, WeightsError, WeightsHashError
from models.backbone.resnet3d import Dimensions, ResNet18

FORMAT = "crdl-backbone-1"
HEADER_LENGTH_BYTES = 8  # safetensors: a little-endian length, then the JSON header
METADATA_KEY = "crdl"  # one key only: the writer does not promise an order of several


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A backbone's weights, whole and of the right shapes.

    Attributes:
        architecture: what the tensors belong to.
        tensors: float32 on the CPU, by MedicalNet's parameter names.
        card: what the weights are, as JSON values: source, seed, samples, figures.
        sha256: of the file they were read from; empty where they come from no file.

    Raises:
        WeightsError: a tensor is missing, unknown, of another shape or not finite.
    """

    architecture: Architecture
    tensors: State
    card: Mapping[str, object] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        expected = _shapes(self.architecture)
        if missing := sorted(set(expected) - set(self.tensors)):
            raise WeightsError(f"weights lack {len(missing)} tensors, the first is {missing[0]}")
        if unknown := sorted(set(self.tensors) - set(expected)):
            raise WeightsError(f"weights hold {len(unknown)} unknown tensors, e.g. {unknown[0]}")
        for name, tensor in self.tensors.items():
            if tuple(tensor.shape) != expected[name]:
                raise WeightsError(f"{name} is {tuple(tensor.shape)}, needs {expected[name]}")
            if tensor.dtype != torch.float32 or not bool(torch.isfinite(tensor).all()):
                raise WeightsError(f"{name} is not finite float32")


def weights_of(network: ResNet18, card: Mapping[str, object] | None = None) -> Weights:
    """The weights of an unfolded network, rounded as a file would round them.

    Rounding here and not only in the file makes features before and after a save the same.
    """
    state = {
        name: _stored(tensor.detach().cpu()).float().contiguous()
        for name, tensor in network.state_dict().items()
        if _is_weight(name)
    }
    return Weights(network.architecture, state, card or {})


def save_weights(weights: Weights, path: Path) -> str:
    """Write weights to a safetensors file.

    Returns:
        SHA-256 of the file, to be pinned by whoever refers to it.
    """
    description = {
        "format": FORMAT,
        "architecture": weights.architecture.to_dict(),
        "card": dict(weights.card),
    }
    tensors = {name: _stored(tensor).contiguous() for name, tensor in weights.tensors.items()}
    metadata = {METADATA_KEY: json.dumps(description, sort_keys=True)}
    content = bytes_from_tensors(tensors, metadata=metadata)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load_weights(path: Path, sha256: str | None = None) -> Weights:
    """Read weights written by `save_weights`.

    Args:
        path: the safetensors file.
        sha256: the pinned hash; None only where whoever calls has checked the file already.

    Raises:
        WeightsHashError: the file is not the pinned one.
        WeightsError: the file cannot be read, is of another format or lacks tensors.
    """
    content, digest = read_pinned(path, sha256)
    try:
        architecture, card = _description(content)
        tensors = tensors_from_bytes(content)
    except (SafetensorError, ArchitectureError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path.name} is no backbone file of this project: {error}") from error
    state = {name: tensor.float() for name, tensor in tensors.items()}
    return Weights(architecture, state, card, digest)


def read_pinned(path: Path, sha256: str | None) -> tuple[bytes, str]:
    """A file's bytes and their SHA-256, read once so that what is checked is what is used.

    Raises:
        WeightsError: the file cannot be read.
        WeightsHashError: its hash is not the pinned one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"weights file {path} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise WeightsHashError(f"{path.name} has SHA-256 {digest}, pinned is {sha256}")
    return content, digest


def serving_network(weights: Weights) -> ResNet18:
    """The network that serves: 2D unless trained on volumes, BN folded, in evaluation.

    Returns:
        a float32 network on the CPU whose parameters need no gradient.
    """
    architecture = weights.architecture
    dimensions: Dimensions = 3 if architecture.volume else 2
    state = collapse(weights.tensors) if dimensions == 2 else weights.tensors
    with torch.device("meta"):  # no memory and no random numbers for values replaced at once
        network = ResNet18(architecture, dimensions, folded=True)
    network.load_state_dict(fold_batch_norm(state), assign=True)
    return network.eval().requires_grad_(requires_grad=False)


def load_into(network: ResNet18, weights: Weights) -> None:
    """Start a network's training from weights of the same architecture.

    Raises:
        WeightsError: the weights belong to another architecture.
    """
    if network.architecture != weights.architecture:
        raise WeightsError(
            f"weights of {weights.architecture.name} do not fit {network.architecture.name}"
        )
    # not strict: the file leaves out torch's count of batches seen, which nothing reads here
    network.load_state_dict(weights.tensors, strict=False)


def _stored(tensor: Tensor) -> Tensor:
    """A tensor as the file holds it: kernels (more than one axis) in half precision."""
    return tensor.half() if tensor.ndim > 1 else tensor.float()


def _is_weight(name: str) -> bool:
    return not name.endswith("num_batches_tracked")


def _shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = ResNet18(architecture, architecture.dimensions)
    return {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if _is_weight(name)
    }


def _description(content: bytes) -> tuple[Architecture, dict[str, object]]:
    """The architecture and the card in a safetensors header."""
    length = int.from_bytes(content[:HEADER_LENGTH_BYTES], "little")
    header = json.loads(content[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + length])
    description = json.loads(header["__metadata__"][METADATA_KEY])
    if description["format"] != FORMAT:
        raise WeightsError(f"format is {description['format']!r}, this software reads {FORMAT}")
    return Architecture.from_dict(description["architecture"]), dict(description["card"])
