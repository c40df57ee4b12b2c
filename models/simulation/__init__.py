"""The simulated cohort: soft-tissue tumours that never were, as real DICOM.

No patient data exist in this project, so everything that has to be trained, demonstrated or
tested end to end runs on these phantoms. Class effects are design parameters (design.toml),
never findings.
"""

from models.simulation.case import SimulatedCase, simulate_case
from models.simulation.cohort import write_cohort

__all__ = ["SimulatedCase", "simulate_case", "write_cohort"]
