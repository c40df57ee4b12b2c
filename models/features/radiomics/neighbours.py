"""One pass over the grey levels that counts everything a pixel and its 8 neighbours define.

Directions are those of pyradiomics on one slice at distance 1: along x, along y, the diagonal
and the antidiagonal. Definitions: IBSI 3.6 (co-occurrence), 3.7 (run length), 3.10
(neighbourhood grey tone difference) and 3.11 (neighbouring grey level dependence).
"""

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

Counts = tuple[
    NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]
]


@kernel
def count_neighbours(levels: NDArray[np.int32], n_levels: int) -> Counts:
    """Count pairs, runs, dependences and tone differences.

    Args:
        levels: (rows + 2, columns + 2) grey levels from 1, 0 outside the lesion and on the rim.
        n_levels: the highest level.

    Returns:
        pairs: (4, n_levels + 1, n_levels + 1) one-way co-occurrences; row and column 0 count
            neighbours outside the lesion.
        runs: (4, n_levels, longest side) runs by level - 1 and length - 1.
        dependences: (n_levels, 9) pixels by level - 1 and number of equal neighbours.
        pixels: (n_levels,) pixels of each level.
        difference: (n_levels,) sum of |level - mean of the neighbours in the lesion|.
    """
    rows, columns = levels.shape[0] - 2, levels.shape[1] - 2
    pairs = np.zeros((4, n_levels + 1, n_levels + 1), np.int64)
    runs = np.zeros((4, n_levels, max(rows, columns)), np.int64)
    dependences = np.zeros((n_levels, 9), np.int64)
    pixels = np.zeros(n_levels, np.int64)
    # |level * neighbours - their sum| is whole: summed exactly by number of neighbours
    scaled = np.zeros((n_levels, 9), np.int64)
    # length of the run that ends at each pixel of the row above and of this row
    above_y = np.zeros(columns + 2, np.int32)
    above_d = np.zeros(columns + 2, np.int32)
    above_a = np.zeros(columns + 2, np.int32)
    here_y = np.zeros(columns + 2, np.int32)
    here_d = np.zeros(columns + 2, np.int32)
    here_a = np.zeros(columns + 2, np.int32)
    for y in range(1, rows + 1):
        up, row, down = levels[y - 1], levels[y], levels[y + 1]
        run_x = 0
        for x in range(1, columns + 1):
            g = row[x]
            if g == 0:
                run_x = 0
                continue
            nw, n, ne = up[x - 1], up[x], up[x + 1]
            w, e = row[x - 1], row[x + 1]
            sw, s, se = down[x - 1], down[x], down[x + 1]
            # unsigned indices spare numba the question whether they are negative
            i = np.uint64(g - 1)
            pairs[0, np.uint64(g), np.uint64(e)] += 1
            pairs[1, np.uint64(g), np.uint64(s)] += 1
            pairs[2, np.uint64(g), np.uint64(se)] += 1
            pairs[3, np.uint64(g), np.uint64(sw)] += 1
            pixels[i] += 1
            equal = (
                int(nw == g)
                + int(n == g)
                + int(ne == g)
                + int(w == g)
                + int(e == g)
                + int(sw == g)
                + int(s == g)
                + int(se == g)
            )
            dependences[i, np.uint64(equal)] += 1
            inside = (
                int(nw != 0)
                + int(n != 0)
                + int(ne != 0)
                + int(w != 0)
                + int(e != 0)
                + int(sw != 0)
                + int(s != 0)
                + int(se != 0)
            )
            scaled[i, np.uint64(inside)] += abs(g * inside - (nw + n + ne + w + e + sw + s + se))
            # a run is counted where it ends; adding 0 elsewhere is faster than asking
            run_x = run_x * int(w == g) + 1
            runs[0, i, np.uint64(run_x - 1)] += int(e != g)
            run = above_y[x] * int(n == g) + 1
            here_y[x] = run
            runs[1, i, np.uint64(run - 1)] += int(s != g)
            run = above_d[x - 1] * int(nw == g) + 1
            here_d[x] = run
            runs[2, i, np.uint64(run - 1)] += int(se != g)
            run = above_a[x + 1] * int(ne == g) + 1
            here_a[x] = run
            runs[3, i, np.uint64(run - 1)] += int(sw != g)
        above_y, here_y = here_y, above_y
        above_d, here_d = here_d, above_d
        above_a, here_a = here_a, above_a
    difference = np.zeros(n_levels)
    for g in range(n_levels):
        for k in range(1, 9):
            difference[g] += scaled[g, k] / k
    return pairs, runs, dependences, pixels, difference


@kernel
def shared_lines(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """In which directions some line holds more than one lesion pixel.

    pyradiomics gives a direction no runs at all where no line holds two pixels.

    Args:
        inside: (rows, columns) the lesion.

    Returns:
        (4,) one flag for each direction.
    """
    rows, columns = inside.shape
    shared = np.zeros(4, np.bool_)
    seen = np.zeros((4, rows + columns), np.bool_)
    for y in range(rows):
        for x in range(columns):
            if not inside[y, x]:
                continue
            for a in range(4):
                if a == 0:
                    line = y
                elif a == 1:
                    line = x
                elif a == 2:
                    line = x - y + rows - 1
                else:
                    line = x + y
                if seen[a, line]:
                    shared[a] = True
                seen[a, line] = True
        if shared.all():
            break
    return shared
