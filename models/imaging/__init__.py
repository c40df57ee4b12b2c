"""From DICOM pixels to a lesion ready for features: one code for training and for serving.

Nothing in this package imports torch, numba or a feature extractor.
"""
