"""What can go wrong between a weights file and 512 features."""

from typing import ClassVar

from models.errors import ModelsError


class BackboneError(ModelsError):
    """The deep feature extractor cannot do what was asked; the subclass says what and why."""

    code: ClassVar[str] = "deep-features"


class ArchitectureError(BackboneError):
    """The architecture description is not one this backbone can build."""

    code: ClassVar[str] = "deep-architecture"


class WeightsError(BackboneError):
    """The weights file cannot be read, or does not hold the tensors its architecture needs."""

    code: ClassVar[str] = "deep-weights"


class WeightsHashError(WeightsError):
    """The weights file's SHA-256 is not the pinned one: replace the file or correct the pin."""

    code: ClassVar[str] = "deep-weights-hash"


class DeviceNameError(BackboneError):
    """The device is none of auto, cpu, cuda or cuda:N: correct the configuration."""

    code: ClassVar[str] = "deep-device"


class DeepInputError(BackboneError):
    """The image, mask or batch handed to the backbone has the wrong shape or content."""

    code: ClassVar[str] = "deep-input"


class DeadlineExceededError(BackboneError):
    """The deep features of a case took longer than its deadline: retry, or raise the deadline."""

    code: ClassVar[str] = "deep-deadline"


class PretrainingError(BackboneError):
    """The samples, targets or settings handed to pretraining cannot be trained on."""

    code: ClassVar[str] = "deep-pretraining"
