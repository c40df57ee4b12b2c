"""Radiomics of one lesion on one slice, equal to pyradiomics and some hundred times faster."""
