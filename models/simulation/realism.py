"""How close the simulated images come to real ones: `python -m models.simulation.realism`.

Targets are medians over real breast ultrasound (METHOD, Simulated cohort). Each figure is taken
inside the scan region of the grey image: `image` its mean grey, `lesion` and `lesion_sd` mean
and standard deviation inside the true mask, `ring` the mean within RING_MM outside it, and
`axial_correlation` the Pearson correlation of all pixel pairs LAG_PX apart in depth.
"""

import argparse
import sys
import time
from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from models.simulation.case import SimulatedCase, simulate_case

RING_MM = 2.0
LAG_PX = 8


@dataclass(frozen=True, slots=True)
class Realism:
    """First-order and correlation figures of one grey image, or their targets."""

    image: float
    lesion: float
    ring: float
    lesion_sd: float
    axial_correlation: float


TARGETS = Realism(image=87, lesion=60, ring=120, lesion_sd=35, axial_correlation=0.85)


def realism_of(case: SimulatedCase) -> Realism:
    """The realism figures of one case's grey image."""
    box = case.grey_region
    window = np.s_[box.top : box.bottom + 1, box.left : box.right + 1]
    # green carries the grey value; burned-in calipers stay in, as they do in real images
    grey = case.grey[..., 1][window].astype(np.float64)
    mask = case.mask[window]
    distance = ndimage.distance_transform_edt(~mask) * case.spacing_mm
    ring = (distance > 0) & (distance <= RING_MM)
    shallow, deep = grey[:-LAG_PX].ravel(), grey[LAG_PX:].ravel()
    return Realism(
        image=float(grey.mean()),
        lesion=float(grey[mask].mean()),
        ring=float(grey[ring].mean()),
        lesion_sd=float(grey[mask].std()),
        axial_correlation=float(np.corrcoef(shallow, deep)[0, 1]),
    )


def medians(cases: int, seed: int) -> Realism:
    """Medians over the first `cases` cases of site 1."""
    rows = [realism_of(simulate_case(index, seed)) for index in range(cases)]
    columns = {f.name: [getattr(row, f.name) for row in rows] for f in fields(Realism)}
    return Realism(**{name: float(np.median(values)) for name, values in columns.items()})


def main() -> int:
    """Print the medians beside their targets."""
    parser = argparse.ArgumentParser(description="Medians of simulated images against real ones")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    start = time.process_time()
    measured = medians(arguments.cases, arguments.seed)
    seconds = (time.process_time() - start) / arguments.cases
    lines = [f"{'median':<18} {'simulated':>9} {'target':>7}"]
    for field in fields(Realism):
        value, target = getattr(measured, field.name), getattr(TARGETS, field.name)
        lines.append(f"{field.name:<18} {value:>9.2f} {target:>7.2f}")
    lines.append(f"{arguments.cases} cases, {seconds:.2f} CPU s a case")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
