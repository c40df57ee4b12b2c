"""The ResNet-18 itself: one class for the 3D network, its 2D twin, and either with BN folded.

The parameter names are MedicalNet's (and torchvision's), so that its checkpoint loads by name:
`conv1`, `bn1`, `layer1.0.conv1`, `layer2.0.downsample.0`, ...; only `projection` is ours.
"""

from collections.abc import Callable
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  torch's own convention

from models.backbone.architecture import Architecture

Dimensions = Literal[2, 3]
Stage = Callable[[Tensor], Tensor]

BLOCKS_PER_STAGE = 2  # two basic blocks of two convolutions in each of four stages: 18 layers


def _convolution(
    dimensions: Dimensions,
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    bias: bool = False,
) -> nn.Module:
    layer = nn.Conv3d if dimensions == 3 else nn.Conv2d
    padding = dilation * (kernel // 2)
    return layer(inputs, outputs, kernel, stride, padding, dilation, bias=bias)


def _norm(dimensions: Dimensions, channels: int, *, folded: bool) -> nn.Module:
    if folded:
        return nn.Identity()
    return nn.BatchNorm3d(channels) if dimensions == 3 else nn.BatchNorm2d(channels)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016, figure 2 and section 3.3)."""

    def __init__(
        self,
        architecture: Architecture,
        dimensions: Dimensions,
        inputs: int,
        outputs: int,
        *,
        stride: int,
        dilation: int,
        folded: bool,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.extra_channels = outputs - inputs
        self.conv1 = _convolution(
            dimensions, inputs, outputs, 3, stride=stride, dilation=dilation, bias=folded
        )
        self.bn1 = _norm(dimensions, outputs, folded=folded)
        self.conv2 = _convolution(dimensions, outputs, outputs, 3, dilation=dilation, bias=folded)
        self.bn2 = _norm(dimensions, outputs, folded=folded)
        self.downsample: nn.Module | None = None
        if architecture.shortcut == "B" and (stride != 1 or inputs != outputs):
            self.downsample = nn.Sequential(
                _convolution(dimensions, inputs, outputs, 1, stride=stride, bias=folded),
                _norm(dimensions, outputs, folded=folded),
            )

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, `(N, outputs, ...)`."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + self._shortcut(x), inplace=True)

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.downsample is not None:
            return cast("Tensor", self.downsample(x))
        if self.stride != 1:
            every = slice(None, None, self.stride)
            x = x[(slice(None), slice(None), *([every] * (x.ndim - 2)))]
        if self.extra_channels:
            # F.pad counts from the last axis: nothing on the spatial axes, zeros after channels
            x = F.pad(x, [0, 0] * (x.ndim - 2) + [0, self.extra_channels])
        return x


class ResNet18(nn.Module):
    """The backbone without a classifier: one grey channel in, one feature vector out.

    Args:
        architecture: width, strides, dilations, shortcut and projection.
        dimensions: 3 for `(N, 1, D, H, W)` input, 2 for `(N, 1, H, W)`.
        folded: True for the serving form: batch normalisation folded into biased convolutions.
    """

    def __init__(
        self, architecture: Architecture, dimensions: Dimensions = 3, *, folded: bool = False
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.dimensions = dimensions
        channels = architecture.width
        self.conv1 = _convolution(dimensions, 1, channels, 7, stride=2, bias=folded)
        self.bn1 = _norm(dimensions, channels, folded=folded)
        stages: list[nn.Module] = []
        for index, (stride, dilation) in enumerate(
            zip(architecture.strides, architecture.dilations, strict=True)
        ):
            outputs = architecture.width * 2**index
            blocks: list[nn.Module] = []
            for place in range(BLOCKS_PER_STAGE):
                block_stride = stride if place == 0 else 1
                blocks.append(
                    BasicBlock(
                        architecture,
                        dimensions,
                        channels,
                        outputs,
                        stride=block_stride,
                        dilation=dilation,
                        folded=folded,
                    )
                )
                channels = outputs
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.projection: nn.Module | None = None
        if architecture.projection is not None:
            self.projection = _convolution(
                dimensions, channels, architecture.projection, 1, bias=True
            )

    def stem(self, x: Tensor) -> Tensor:
        """First convolution and pooling: a quarter of the input's length along every axis."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        pool = F.max_pool3d if self.dimensions == 3 else F.max_pool2d
        return pool(x, kernel_size=3, stride=2, padding=1)

    def head(self, x: Tensor) -> Tensor:
        """Projection where there is one, then the mean over space: `(N, features)`."""
        if self.projection is not None:
            x = F.relu(self.projection(x), inplace=True)
        return x.mean(dim=tuple(range(2, x.ndim)))

    def stages(self) -> tuple[Stage, ...]:
        """The forward pass in order, so that a caller can look at the clock between stages."""
        return (self.stem, self.layer1, self.layer2, self.layer3, self.layer4, self.head)

    def forward(self, x: Tensor) -> Tensor:
        """Features of a batch.

        Args:
            x: `(N, 1, D, H, W)` in 3D, `(N, 1, H, W)` in 2D.

        Returns:
            `(N, architecture.features)`.
        """
        for stage in self.stages():
            x = stage(x)
        return x

    def initialise(self, seed: int) -> None:
        """He initialisation (fan out) of every convolution, the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(
                    module.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
                module.reset_parameters()
