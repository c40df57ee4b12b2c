"""The deep feature extractor: a 3D ResNet-18, run as its exact 2D twin on one-slice input.

This package imports nothing at import time, so that code which may not load torch can still name
`models.backbone.result` and `models.backbone.architecture`.
"""
