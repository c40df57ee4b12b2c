"""Two exact rewritings of a network's weights: 3D to 2D for one slice, and BN into convolutions.

On an input one slice deep every output of every layer is one slice deep too: a kernel of length k
with padding (k-1)/2 times its dilation meets the slice only with its centre, all else meets zero
padding, and a stride or a pooling window along depth has one place to stand. So the centre slice
of each kernel is the whole of it, and the 2D network of centre slices is the same function.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

State = dict[str, Tensor]

EPSILON = 1e-5  # torch.nn.BatchNorm's default, which MedicalNet was trained with
VOLUME_KERNEL_NDIM = 5


def collapse(state: Mapping[str, Tensor]) -> State:
    """The 2D twin's weights: the centre slice of each 3D kernel, everything else as it is.

    Args:
        state: weights of a 3D `ResNet18`; kernels `(out, in, D, H, W)`.

    Returns:
        weights of the 2D `ResNet18`; kernels `(out, in, H, W)`.
    """
    return {
        name: tensor[:, :, tensor.shape[2] // 2].contiguous()
        if tensor.ndim == VOLUME_KERNEL_NDIM
        else tensor
        for name, tensor in state.items()
    }


def fold_batch_norm(state: Mapping[str, Tensor]) -> State:
    """The weights with every batch normalisation folded into the convolution before it.

    In evaluation, BN(conv(x)) = s * conv(x) + (beta - s * mean) with s = gamma / sqrt(var + eps)
    (Ioffe and Szegedy 2015, algorithm 2). Computed in float64, returned in float32.

    Args:
        state: weights of an unfolded `ResNet18`, 2D or 3D.

    Returns:
        weights of the same network built with `folded=True`.
    """
    folded: State = {}
    for name, tensor in state.items():
        layer = name.removesuffix(".weight")
        norm = _norm_after(layer)
        if norm is not None and layer != name:
            scale, shift = _affine(state, norm)
            shape = (-1, *([1] * (tensor.ndim - 1)))
            folded[name] = (tensor.double() * scale.reshape(shape)).float()
            folded[f"{layer}.bias"] = shift.float()
        elif layer.startswith("projection"):
            folded[name] = tensor.float()
    return folded


def _norm_after(layer: str) -> str | None:
    """Name of the normalisation after a convolution, or None for a layer that has none."""
    head, _, last = layer.rpartition(".")
    if last.startswith("conv"):
        return f"{head}.{last.replace('conv', 'bn')}".lstrip(".")
    if head.endswith("downsample") and last == "0":
        return f"{head}.1"
    return None


def _affine(state: Mapping[str, Tensor], norm: str) -> tuple[Tensor, Tensor]:
    gamma, beta = state[f"{norm}.weight"].double(), state[f"{norm}.bias"].double()
    mean, var = state[f"{norm}.running_mean"].double(), state[f"{norm}.running_var"].double()
    scale = gamma / torch.sqrt(var + EPSILON)
    return scale, beta - scale * mean
