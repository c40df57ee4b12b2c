"""One validated lesion on one slice, and the pixels its features rest on."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.features.radiomics.refusals import (
    EmptyMaskError,
    MaskShapeError,
    MaskTooSmallError,
    NotFiniteError,
    SpacingError,
)
from models.features.radiomics.settings import SLICE_SPACING_MM
from models.features.radiomics.wavelet import AFTER, BEFORE, tap_order, window

LARGEST_VALUE = 1e12
"""Beyond this a bin width of ordinary size is lost in the rounding of the sums."""


@dataclass(frozen=True, slots=True)
class Region:
    """A lesion that can be measured; constructing it refuses one that cannot.

    Attributes:
        image: (rows, columns) the whole slice, of any real type.
        full_mask: (rows, columns) the lesion on it.
        spacing_3d: edge lengths of a pixel along z, y, x, mm.
        mask: (height, width) the lesion cropped to its bounding box.
        block: (height + 5, width + 5) the pixels the wavelet of the box rests on, wrapped at the
            borders of the image.
        x_order: (width, 6) order of the wavelet's products along x.
        y_order: (height, 6) the same along y.

    Raises:
        EmptyMaskError, MaskTooSmallError, MaskShapeError, NotFiniteError, SpacingError: as their
            docstrings say.
    """

    image: NDArray[np.generic]
    full_mask: NDArray[np.bool_]
    spacing_3d: tuple[float, float, float]
    mask: NDArray[np.bool_] = field(init=False)
    block: NDArray[np.float64] = field(init=False)
    x_order: NDArray[np.int64] = field(init=False)
    y_order: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        rows, columns = self.image.shape
        on_rows = np.flatnonzero(self.full_mask.any(axis=1))
        on_columns = np.flatnonzero(self.full_mask.any(axis=0))
        if on_rows.size == 0:
            raise EmptyMaskError("the mask is empty: segment the lesion")
        y0, y1 = int(on_rows[0]), int(on_rows[-1]) + 1
        x0, x1 = int(on_columns[0]), int(on_columns[-1]) + 1
        if y1 - y0 < 2 or x1 - x0 < 2:
            raise MaskTooSmallError(
                f"the mask spans {y1 - y0} x {x1 - x0} pixels; a lesion needs 2 x 2 at least"
            )
        # only what is measured is converted: a slice is often many times its lesion
        block = self.image[window(y0, y1, rows)[:, None], window(x0, x1, columns)]
        block = np.ascontiguousarray(block, np.float64)
        # a NaN fails this comparison too
        if not -LARGEST_VALUE <= block.min() <= block.max() <= LARGEST_VALUE:
            raise NotFiniteError("the lesion or its surroundings hold NaN, infinity or over 1e12")
        put = object.__setattr__
        put(self, "mask", np.ascontiguousarray(self.full_mask[y0:y1, x0:x1]))
        put(self, "block", block)
        put(self, "y_order", np.ascontiguousarray(tap_order(rows + rows % 2)[y0:y1]))
        put(self, "x_order", np.ascontiguousarray(tap_order(columns + columns % 2)[x0:x1]))

    @classmethod
    def of(cls, image: ArrayLike, mask: ArrayLike, spacing: tuple[float, float]) -> "Region":
        """Check and convert what a caller holds.

        Args:
            image: (rows, columns) of any real type; what is measured is converted to float64
                before anything else, because uint8 arithmetic overflows silently in pyradiomics.
            mask: (rows, columns), true or nonzero inside the lesion.
            spacing: distance between rows and between columns, mm.

        Returns:
            The region.

        Raises:
            RadiomicsRefusal: one of the subclasses named in the class docstring.
        """
        pixels, inside = np.asarray(image), np.asarray(mask)
        if pixels.ndim != 2 or inside.shape != pixels.shape:
            raise MaskShapeError(
                f"an image of shape {pixels.shape} with a mask of shape {inside.shape}: "
                "both must be one plane of the same rows and columns"
            )
        if pixels.dtype.kind not in "biuf" or inside.dtype.kind not in "biuf":
            raise MaskShapeError(f"no real numbers: {pixels.dtype} image, {inside.dtype} mask")
        row_mm, column_mm = (float(s) for s in spacing)
        if not (0 < row_mm < np.inf and 0 < column_mm < np.inf):
            raise SpacingError(f"the spacing {spacing} is not two lengths in millimetres")
        return cls(pixels, inside != 0, (SLICE_SPACING_MM, row_mm, column_mm))

    @property
    def original(self) -> NDArray[np.float64]:
        """(height, width) the pixels of the bounding box."""
        return self.block[BEFORE:-AFTER, BEFORE:-AFTER]
