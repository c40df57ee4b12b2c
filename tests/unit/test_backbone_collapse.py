"""One slice through the 3D network and through its 2D twin gives the same 512 numbers."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.backbone.architecture import MEDICALNET, SLIM, STRIDED, Architecture
from models.backbone.collapse import collapse, fold_batch_norm
from models.backbone.errors import ArchitectureError
from models.backbone.resnet3d import ResNet18

FORMS = pytest.mark.parametrize("form", [MEDICALNET, STRIDED, SLIM], ids=lambda form: form.name)


def a_lived_in_network(form: Architecture) -> ResNet18:
    """A 3D network whose normalisations are not the identity, as after training."""
    network = ResNet18(form, 3)
    network.initialise(seed=5)
    generator = torch.Generator().manual_seed(6)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_(0.0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0.0, 0.1, generator=generator)
    return network.eval()


@pytest.fixture
def a_crop() -> Tensor:
    return torch.randn((1, 1, 64, 64), generator=torch.Generator().manual_seed(7))


@FORMS
def test_the_2d_twin_equals_the_3d_network_on_one_slice(form: Architecture, a_crop: Tensor) -> None:
    volume = a_lived_in_network(form)
    slice_ = ResNet18(form, 2)
    slice_.load_state_dict(collapse(volume.state_dict()))
    with torch.no_grad():
        expected, found = volume(a_crop[:, :, None]), slice_.eval()(a_crop)
    assert found.shape == (1, 512)
    assert expected.abs().max() > 0.1  # not a comparison of zeros
    assert (found - expected).abs().max() <= 1e-6


@FORMS
def test_folding_batch_normalisation_changes_features_by_rounding_only(
    form: Architecture, a_crop: Tensor
) -> None:
    volume = a_lived_in_network(form)
    folded = ResNet18(form, 2, folded=True)
    folded.load_state_dict(fold_batch_norm(collapse(volume.state_dict())))
    with torch.no_grad():
        expected, found = volume(a_crop[:, :, None]), folded.eval()(a_crop)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_folded_network_holds_no_normalisation() -> None:
    folded = ResNet18(SLIM, 2, folded=True)
    assert not [m for m in folded.modules() if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm3d))]


def test_two_slices_are_not_the_2d_twin(a_crop: Tensor) -> None:
    volume = a_lived_in_network(SLIM)
    slice_ = ResNet18(SLIM, 2)
    slice_.load_state_dict(collapse(volume.state_dict()))
    with torch.no_grad():
        two = volume(torch.stack([a_crop, a_crop], dim=2))
        one = slice_.eval()(a_crop)
    assert (two - one).abs().max() > 1e-3


def test_shortcut_a_pads_channels_with_zeros_and_subsamples() -> None:
    block = ResNet18(MEDICALNET, 2).layer2[0]  # 64 to 128 channels, stride 2
    x = torch.randn((1, 64, 6, 6), generator=torch.Generator().manual_seed(8))
    shortcut = block._shortcut(x)
    assert shortcut.shape == (1, 128, 3, 3)
    assert torch.equal(shortcut[:, :64], x[:, :, ::2, ::2])
    assert not shortcut[:, 64:].any()


def test_the_medicalnet_form_has_the_published_number_of_parameters() -> None:
    """Chen et al. 2019 print 32.99 million for their 3D-ResNet18."""
    with torch.device("meta"):
        network = ResNet18(MEDICALNET, 3)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert round(count / 1e6, 2) == 32.99


def test_the_same_seed_initialises_the_same_network() -> None:
    first, second, other = (ResNet18(SLIM, 2) for _ in range(3))
    first.initialise(1)
    second.initialise(1)
    other.initialise(2)
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_an_architecture_survives_its_description() -> None:
    form = replace(STRIDED, volume=True, precision="bf16")
    assert Architecture.from_dict(form.to_dict()) == form
    assert {f.features for f in (MEDICALNET, STRIDED, SLIM)} == {512}


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"strides": (1, 2, 2)},
        {"dilations": (0, 1, 1, 1)},
        {"shortcut": "C"},
        {"dimensions": 2, "volume": True},
        {"precision": "fp8"},
        {"name": ""},
    ],
)
def test_an_architecture_that_cannot_be_built_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ArchitectureError):
        replace(SLIM, **change)


def test_a_description_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="depth"):
        Architecture.from_dict({**SLIM.to_dict(), "depth": 18})
