"""Features of a matrix of grey level against length: runs, zones and dependences.

The run length (IBSI 3.7), size zone (IBSI 3.8) and dependence (IBSI 3.11) matrices share one set
of formulas with j for the run length, the zone size or the dependence count.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

EPSILON = float(np.spacing(1.0))
"""pyradiomics adds it inside every logarithm."""

RUN_NAMES = (
    "ShortRunEmphasis",
    "LongRunEmphasis",
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "RunLengthNonUniformity",
    "RunLengthNonUniformityNormalized",
    "RunPercentage",
    "GrayLevelVariance",
    "RunVariance",
    "RunEntropy",
    "LowGrayLevelRunEmphasis",
    "HighGrayLevelRunEmphasis",
    "ShortRunLowGrayLevelEmphasis",
    "ShortRunHighGrayLevelEmphasis",
    "LongRunLowGrayLevelEmphasis",
    "LongRunHighGrayLevelEmphasis",
)
ZONE_NAMES = (
    "SmallAreaEmphasis",
    "LargeAreaEmphasis",
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "SizeZoneNonUniformity",
    "SizeZoneNonUniformityNormalized",
    "ZonePercentage",
    "GrayLevelVariance",
    "ZoneVariance",
    "ZoneEntropy",
    "LowGrayLevelZoneEmphasis",
    "HighGrayLevelZoneEmphasis",
    "SmallAreaLowGrayLevelEmphasis",
    "SmallAreaHighGrayLevelEmphasis",
    "LargeAreaLowGrayLevelEmphasis",
    "LargeAreaHighGrayLevelEmphasis",
)
DEPENDENCE_NAMES = (
    "SmallDependenceEmphasis",
    "LargeDependenceEmphasis",
    "GrayLevelNonUniformity",
    "",  # normalised: equal to first-order uniformity, so pyradiomics leaves it out
    "DependenceNonUniformity",
    "DependenceNonUniformityNormalized",
    "",  # percentage: always 1
    "GrayLevelVariance",
    "DependenceVariance",
    "DependenceEntropy",
    "LowGrayLevelEmphasis",
    "HighGrayLevelEmphasis",
    "SmallDependenceLowGrayLevelEmphasis",
    "SmallDependenceHighGrayLevelEmphasis",
    "LargeDependenceLowGrayLevelEmphasis",
    "LargeDependenceHighGrayLevelEmphasis",
)
N_FEATURES = 16


@kernel
def sparse(matrix: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """The nonzero entries of a count matrix whose row and column 0 mean level 1 and length 1.

    Args:
        matrix: (levels, lengths) counts.

    Returns:
        level, length and count of each nonzero entry, each (entries,).
    """
    n = 0
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            n += matrix[i, j] > 0
    level = np.empty(n, np.int64)
    length = np.empty(n, np.int64)
    count = np.empty(n, np.int64)
    k = 0
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            if matrix[i, j] > 0:
                level[k], length[k], count[k] = i + 1, j + 1, matrix[i, j]
                k += 1
    return level, length, count


@kernel
def length_features(
    level: NDArray[np.int64], length: NDArray[np.int64], count: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The 16 features of one matrix, given as its nonzero entries.

    Args:
        level: (entries,) grey level i.
        length: (entries,) length j.
        count: (entries,) number of runs, zones or pixels.

    Returns:
        (16,) in the order of `RUN_NAMES`; the percentage is entries over pixels covered.
    """
    total = pixels = 0.0
    short = long = low = high = 0.0
    short_low = short_high = long_low = long_high = 0.0
    mean_i = mean_j = 0.0
    longest = highest = 0
    for k in range(level.size):
        longest = max(longest, length[k])
        highest = max(highest, level[k])
    of_level = np.zeros(highest + 1)
    of_length = np.zeros(longest + 1)
    for k in range(level.size):
        c, i, j = float(count[k]), float(level[k]), float(length[k])
        i2, j2 = i * i, j * j
        total += c
        pixels += c * j
        short += c / j2
        long += c * j2
        low += c / i2
        high += c * i2
        short_low += c / (i2 * j2)
        short_high += c * i2 / j2
        long_low += c * j2 / i2
        long_high += c * i2 * j2
        mean_i += c * i
        mean_j += c * j
        of_level[level[k]] += c
        of_length[length[k]] += c
    mean_i /= total
    mean_j /= total
    var_i = var_j = entropy = 0.0
    for k in range(level.size):
        p = count[k] / total
        var_i += p * (level[k] - mean_i) ** 2
        var_j += p * (length[k] - mean_j) ** 2
        entropy -= p * math.log2(p + EPSILON)
    non_uniform_i = non_uniform_j = 0.0
    for v in of_level:
        non_uniform_i += v * v
    for v in of_length:
        non_uniform_j += v * v
    return np.array(
        [
            short / total,
            long / total,
            non_uniform_i / total,
            non_uniform_i / total**2,
            non_uniform_j / total,
            non_uniform_j / total**2,
            total / pixels,
            var_i,
            var_j,
            entropy,
            low / total,
            high / total,
            short_low / total,
            short_high / total,
            long_low / total,
            long_high / total,
        ]
    )


@kernel
def matrix_features(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """The 16 features of a whole matrix, as `sparse` takes it."""
    level, length, count = sparse(matrix)
    return length_features(level, length, count)


@kernel
def run_features(runs: NDArray[np.int64], directions: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The 16 run length features, averaged over the directions.

    Args:
        runs: (4, levels, lengths) runs by level - 1 and length - 1.
        directions: (4,) which directions count.

    Returns:
        (16,) the mean in the order of `RUN_NAMES`; NaN if no direction counts.
    """
    mean = np.zeros(N_FEATURES)
    for a in range(4):
        if directions[a]:
            mean += matrix_features(runs[a])
    mean /= directions.sum()
    return mean
