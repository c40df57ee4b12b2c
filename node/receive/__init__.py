"""Receive: DICOM in by C-STORE or STOW-RS; nothing is acknowledged before it is on the disk."""
