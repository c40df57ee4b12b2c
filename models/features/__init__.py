"""What is measured of a case: clinical, semantic, radiomic and deep features."""
