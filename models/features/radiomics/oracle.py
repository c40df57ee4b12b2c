"""pyradiomics itself: the oracle of the tests and a selectable engine.

Imported only where it is used: it brings SimpleITK with it.
"""

import logging

import numpy as np
import radiomics
import SimpleITK
from numpy.typing import NDArray
from radiomics.featureextractor import RadiomicsFeatureExtractor

from models.features.radiomics.region import Region
from models.features.radiomics.settings import SLICE_SPACING_MM, RadiomicsSettings
from models.features.radiomics.shape import shape_features

TEXTURE_CLASSES = ("firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")


def pyradiomics_features(
    image: NDArray[np.generic],
    mask: NDArray[np.bool_],
    spacing: tuple[float, float],
    settings: RadiomicsSettings,
    *,
    with_shape: bool = True,
) -> dict[str, float]:
    """What pyradiomics answers for one slice, all 851 features.

    Args:
        image: (rows, columns) pixel values of any real type.
        mask: (rows, columns) the lesion.
        spacing: distance between rows and between columns, mm.
        settings: bin width and wavelet.
        with_shape: leave the shape class in. Its diameters compare every pair of mesh vertices,
            which takes seconds for a large lesion.

    Returns:
        Values by name, in pyradiomics' order.
    """
    radiomics.logger.setLevel(logging.ERROR)
    row_mm, column_mm = spacing
    volume = SimpleITK.GetImageFromArray(np.asarray(image, np.float64)[None])
    volume.SetSpacing((column_mm, row_mm, SLICE_SPACING_MM))  # type: ignore[no-untyped-call]
    label = SimpleITK.GetImageFromArray(mask.astype(np.uint8)[None])
    label.CopyInformation(volume)  # type: ignore[no-untyped-call]
    extractor = RadiomicsFeatureExtractor(binWidth=settings.bin_width, additionalInfo=False)
    extractor.enableImageTypes(Original={}, Wavelet={"wavelet": settings.wavelet})
    extractor.disableAllFeatures()
    for name in (("shape",) if with_shape else ()) + TEXTURE_CLASSES:
        extractor.enableFeatureClassByName(name)
    with np.errstate(all="ignore"):
        return {name: float(value) for name, value in extractor.execute(volume, label).items()}


def engine(region: Region, settings: RadiomicsSettings) -> dict[str, float]:
    """The pyradiomics engine: its intensity features, with the shape room's exact diameters.

    Args:
        region: the validated lesion.
        settings: bin width and wavelet.

    Returns:
        All 851 values by name.
    """
    shape = shape_features(region.mask, region.spacing_3d)
    found = pyradiomics_features(
        region.image, region.full_mask, region.spacing_3d[1:], settings, with_shape=False
    )
    return {f"original_shape_{name}": value for name, value in shape.items()} | found
