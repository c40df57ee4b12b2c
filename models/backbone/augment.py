"""Random changes of crops that change no finding: mirror, shift, size, gain and noise."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  torch's own convention

SHIFT = 0.06  # of the crop's side
ZOOM = 0.12  # relative
GAIN = 0.15  # relative
OFFSET = 0.15  # of the crops' unit of grey
NOISE = 0.05  # standard deviation, same unit


def augment(crops: Tensor, generator: torch.Generator) -> Tensor:
    """Changed copies of a batch.

    A probe may be turned round, so crops are mirrored left to right; depth has a direction
    (shadow and enhancement lie below a lesion), so they never are top to bottom, nor rotated.

    Args:
        crops: `(N, 1, S, S)` float32 on the CPU; zero is what lies beyond the kept tissue.
        generator: the source of every random number.

    Returns:
        `(N, 1, S, S)`.
    """
    count = len(crops)

    def uniform(reach: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2.0 - 1.0) * reach

    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    zoom = 1.0 + uniform(ZOOM)
    zero = torch.zeros(count)
    rows = [zoom * mirror, zero, uniform(2 * SHIFT), zero, zoom, uniform(2 * SHIFT)]
    moved = F.grid_sample(
        crops,
        F.affine_grid(torch.stack(rows, 1).reshape(count, 2, 3), list(crops.shape), False),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    gain = (1.0 + uniform(GAIN)).reshape(-1, 1, 1, 1)
    offset = uniform(OFFSET).reshape(-1, 1, 1, 1)
    noise = NOISE * torch.randn(moved.shape, generator=generator)
    return torch.where(moved != 0.0, moved * gain + offset + noise, 0.0)
