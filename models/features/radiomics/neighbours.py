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
def count_neighbours(levels: NDArray[np.int16], n_levels: int) -> Counts:
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
    side = max(rows, columns)
    pairs = np.zeros((4, n_levels + 1, n_levels + 1), np.int64)
    # pixels by level - 1 and their place within their run
    reach = np.zeros((4, n_levels, side + 1), np.int64)
    dependences = np.zeros((n_levels, 9), np.int64)
    # |level * neighbours - their sum| is whole: summed exactly by number of neighbours
    scaled = np.zeros((n_levels, 9), np.int64)
    equal = np.empty(columns, np.int16)
    inside = np.empty(columns, np.int16)
    total = np.empty(columns, np.int16)
    # place within its run along y, diagonal and antidiagonal of each pixel of two rows
    place = np.zeros((2, 3, columns + 2), np.int32)
    for y in range(rows):
        up, row, down = levels[y], levels[y + 1], levels[y + 2]
        # loops over short integers that the compiler turns into vector instructions
        for x in range(columns):
            g = row[x + 1]
            equal[x] = (
                int(up[x] == g)
                + int(up[x + 1] == g)
                + int(up[x + 2] == g)
                + int(row[x] == g)
                + int(row[x + 2] == g)
                + int(down[x] == g)
                + int(down[x + 1] == g)
                + int(down[x + 2] == g)
            )
        for x in range(columns):
            inside[x] = (
                int(up[x] != 0)
                + int(up[x + 1] != 0)
                + int(up[x + 2] != 0)
                + int(row[x] != 0)
                + int(row[x + 2] != 0)
                + int(down[x] != 0)
                + int(down[x + 1] != 0)
                + int(down[x + 2] != 0)
            )
        for x in range(columns):
            total[x] = (
                up[x]
                + up[x + 1]
                + up[x + 2]
                + row[x]
                + row[x + 2]
                + down[x]
                + down[x + 1]
                + down[x + 2]
            )
        above_y, above_d, above_a = place[y & 1]
        here_y, here_d, here_a = place[1 - (y & 1)]
        for x in range(1, columns + 1):
            here_y[x] = above_y[x] * np.int32(up[x] == row[x]) + np.int32(1)
        for x in range(1, columns + 1):
            here_d[x] = above_d[x - 1] * np.int32(up[x - 1] == row[x]) + np.int32(1)
        for x in range(1, columns + 1):
            here_a[x] = above_a[x + 1] * np.int32(up[x + 1] == row[x]) + np.int32(1)
        run = np.int64(0)
        for x in range(columns):
            level = row[x + 1]
            if level == 0:
                continue
            # unsigned indices spare numba the question whether they are negative
            g = np.uint64(level)
            i = g - np.uint64(1)
            pairs[0, g, np.uint64(row[x + 2])] += 1
            pairs[1, g, np.uint64(down[x + 1])] += 1
            pairs[2, g, np.uint64(down[x + 2])] += 1
            pairs[3, g, np.uint64(down[x])] += 1
            dependences[i, np.uint64(equal[x])] += 1
            scaled[i, np.uint64(inside[x])] += abs(np.int64(level) * inside[x] - total[x])
            run = run * np.int64(row[x] == level) + 1
            reach[0, i, np.uint64(run)] += 1
            reach[1, i, np.uint64(here_y[x + 1])] += 1
            reach[2, i, np.uint64(here_d[x + 1])] += 1
            reach[3, i, np.uint64(here_a[x + 1])] += 1
    # a run of k pixels has one that is the k-th and none after it
    runs = np.empty((4, n_levels, side), np.int64)
    for a in range(4):
        for g in range(n_levels):
            for k in range(1, side):
                runs[a, g, k - 1] = reach[a, g, k] - reach[a, g, k + 1]
            runs[a, g, side - 1] = reach[a, g, side]
    pixels = np.zeros(n_levels, np.int64)
    difference = np.zeros(n_levels)
    for g in range(n_levels):
        for k in range(9):
            pixels[g] += dependences[g, k]
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
