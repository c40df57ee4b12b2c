"""Zones: 8-connected regions of one grey level (IBSI 3.8, grey level size zone matrix)."""

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

SMALL = 64
"""Pixels of the largest zone that is counted in a table."""

Zones = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@kernel
def count_zones(levels: NDArray[np.int16]) -> Zones:
    """Label the zones by union-find and count them by level and size.

    Args:
        levels: (rows + 2, columns + 2) grey levels from 1, 0 outside the lesion and on the rim.

    Returns:
        level, size and number of each kind of zone there is, each (kinds,).
    """
    rows, columns = levels.shape[0] - 2, levels.shape[1] - 2
    parent = np.empty(rows * columns + 1, np.int32)
    grey = np.empty(rows * columns + 1, np.int16)
    size = np.zeros(rows * columns + 1, np.int32)
    labels = np.zeros((2, columns + 2), np.int32)  # of two rows
    # which neighbours are of one level is hard to foresee, so no branch hangs on it: loops the
    # compiler turns into vector instructions prepare the choice of each pixel of the row
    known = np.empty(columns, np.int32)  # label from the row above, -1 for none
    continues = np.empty(columns, np.int32)  # -1 where the pixel to the west is of the level
    meets = np.empty(columns, np.bool_)  # two zones meet: all other neighbours touch each other
    fresh = np.int64(0)
    for y in range(rows):
        up, row = levels[y], levels[y + 1]
        above, here = labels[y & 1], labels[1 - (y & 1)]
        for x in range(columns):
            g = row[x + 1]
            label = above[x] if up[x] == g else np.int32(-1)
            label = above[x + 2] if up[x + 2] == g else label
            known[x] = above[x + 1] if up[x + 1] == g else label
        for x in range(columns):
            continues[x] = -np.int32(row[x] == row[x + 1])
        for x in range(columns):
            g = row[x + 1]
            meets[x] = (
                (up[x + 2] == g) & (up[x + 1] != g) & ((up[x] == g) | (row[x] == g)) & (g != 0)
            )
        west = np.int64(0)
        for x in range(columns):
            if row[x + 1] == 0:
                continue
            parent[fresh] = fresh
            grey[fresh] = row[x + 1]
            # in bits: the label from above, else the one from the west, else a fresh one
            label = np.int64(known[x])
            other = fresh ^ ((fresh ^ west) & np.int64(continues[x]))
            label ^= (label ^ other) & (label >> 63)
            if meets[x]:
                one = west if row[x] == row[x + 1] else np.int64(above[x])
                if one != label:
                    two = label
                    while parent[one] != one:
                        parent[one] = parent[parent[one]]
                        one = np.int64(parent[one])
                    while parent[two] != two:
                        parent[two] = parent[parent[two]]
                        two = np.int64(parent[two])
                    parent[max(one, two)] = min(one, two)
            here[x + 1] = label
            west = label
            size[label] += 1
            fresh += label == fresh
    # a label's parent is below it, so every size moves down to its root
    n_zones = 0
    highest = 0
    for i in range(fresh - 1, -1, -1):
        highest = max(highest, grey[i])
        if parent[i] == i:
            n_zones += 1
        else:
            size[parent[i]] += size[i]
            size[i] = 0
    # small zones are many: counted in a table; large ones are few: sorted as one integer each
    table = np.zeros((highest + 1, SMALL + 1), np.int64)
    large = np.empty(n_zones, np.int64)
    n_large = 0
    for i in range(fresh):
        if size[i] > SMALL:
            large[n_large] = (np.int64(grey[i]) << 32) + size[i]
            n_large += 1
        elif size[i] > 0:
            table[grey[i], size[i]] += 1
    large[:n_large].sort()
    n_kinds = n_large
    for g in range(highest + 1):
        for j in range(SMALL + 1):
            n_kinds += table[g, j] > 0
    level = np.empty(n_kinds, np.int64)
    length = np.empty(n_kinds, np.int64)
    count = np.empty(n_kinds, np.int64)
    kinds = 0
    for g in range(highest + 1):
        for j in range(SMALL + 1):
            if table[g, j] > 0:
                level[kinds], length[kinds], count[kinds] = g, j, table[g, j]
                kinds += 1
    for k in range(n_large):
        if k > 0 and large[k] == large[k - 1]:
            count[kinds - 1] += 1
            continue
        level[kinds] = large[k] >> 32
        length[kinds] = large[k] & 0xFFFFFFFF
        count[kinds] = 1
        kinds += 1
    return level[:kinds], length[:kinds], count[:kinds]
