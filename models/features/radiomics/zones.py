"""Zones: 8-connected regions of one grey level (IBSI 3.8, grey level size zone matrix)."""

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

SMALL = 64
"""Pixels of the largest zone that is counted in a table."""

Zones = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


@kernel
def count_zones(levels: NDArray[np.int32]) -> Zones:
    """Label the zones by union-find and count them by level and size.

    Args:
        levels: (rows + 2, columns + 2) grey levels from 1, 0 outside the lesion and on the rim.

    Returns:
        level, size and number of each kind of zone there is, each (kinds,).
    """
    width = levels.shape[1]
    flat = levels.ravel()
    parent = np.empty(flat.size, np.int32)
    size = np.zeros(flat.size, np.int32)
    n_zones = 0
    highest = 0
    for y in range(1, levels.shape[0] - 1):
        for i in range(y * width + 1, (y + 1) * width - 1):
            g = flat[i]
            if g == 0:
                continue
            highest = max(highest, g)
            above = i - width
            if flat[above] == g:
                # the west, north-west and north-east neighbours already touch this one
                root = above
                while parent[root] != root:
                    parent[root] = parent[parent[root]]
                    root = parent[root]
            else:
                root = -1
                if flat[i - 1] == g:
                    root = i - 1
                elif flat[above - 1] == g:
                    root = above - 1
                if root >= 0:
                    while parent[root] != root:
                        parent[root] = parent[parent[root]]
                        root = parent[root]
                if flat[above + 1] == g:
                    other = above + 1
                    while parent[other] != other:
                        parent[other] = parent[parent[other]]
                        other = parent[other]
                    if root < 0:
                        root = other
                    elif root != other:
                        low, high = min(root, other), max(root, other)
                        parent[high] = low
                        size[low] += size[high]
                        size[high] = 0
                        root = low
                        n_zones -= 1
                if root < 0:
                    root = i
                    n_zones += 1
            parent[i] = root
            size[root] += 1
    # small zones are many: counted in a table; large ones are few: sorted as one integer each
    table = np.zeros((highest + 1, SMALL + 1), np.int64)
    large = np.empty(n_zones, np.int64)
    n_large = 0
    for i in range(flat.size):
        if size[i] > SMALL:
            large[n_large] = (np.int64(flat[i]) << 32) + size[i]
            n_large += 1
        elif size[i] > 0:
            table[flat[i], size[i]] += 1
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
