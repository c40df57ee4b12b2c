"""Why a slice has no radiomics: one named refusal for each reason."""

from typing import ClassVar

from models.errors import ModelsError


class RadiomicsRefusal(ModelsError):  # noqa: N818  a refusal is the project's word for it
    """This slice cannot be measured; the subclass says why."""


class EmptyMaskError(RadiomicsRefusal):
    """The mask marks no pixel at all."""

    code: ClassVar[str] = "empty-mask"


class MaskTooSmallError(RadiomicsRefusal):
    """The mask is one pixel, one row or one column: it has no area to describe.

    pyradiomics refuses the same masks (`minimumROIDimensions` is 2 by default).
    """

    code: ClassVar[str] = "mask-too-small"


class MaskShapeError(RadiomicsRefusal):
    """Image and mask are not two planes of real numbers of the same rows and columns."""

    code: ClassVar[str] = "mask-outside-image"


class NotFiniteError(RadiomicsRefusal):
    """The lesion or the pixels around it hold NaN, infinity or a value beyond 1e12."""

    code: ClassVar[str] = "not-finite"


class SpacingError(RadiomicsRefusal):
    """The pixel spacing is not two positive, finite lengths in millimetres."""

    code: ClassVar[str] = "no-calibration"


class TooManyGreyLevelsError(RadiomicsRefusal):
    """Binning gives more than 256 grey levels: the image is no 8-bit ultrasound.

    The limit also bounds the memory: every texture matrix grows with the number of levels.
    """

    code: ClassVar[str] = "too-many-grey-levels"
