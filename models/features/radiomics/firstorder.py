"""First-order statistics (IBSI 3.3 and 3.4) of the pixel values and their histogram."""

import math

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

EPSILON = float(np.spacing(1.0))

NAMES = (
    "10Percentile",
    "90Percentile",
    "Energy",
    "Entropy",
    "InterquartileRange",
    "Kurtosis",
    "Maximum",
    "MeanAbsoluteDeviation",
    "Mean",
    "Median",
    "Minimum",
    "Range",
    "RobustMeanAbsoluteDeviation",
    "RootMeanSquared",
    "Skewness",
    "TotalEnergy",
    "Uniformity",
    "Variance",
)

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


MEDIAN = QUANTILES.index(0.5)

BUCKETS = 2048


@kernel
def extremes(values: NDArray[np.float64]) -> tuple[float, float]:
    """Smallest and largest value, in four lanes that need not wait for one another.

    Args:
        values: (n,) pixel values, finite.
    """
    n = values.size
    a = b = c = d = e = f = g = h = values[0]
    for k in range(0, n - 3, 4):
        a, e = min(a, values[k]), max(e, values[k])
        b, f = min(b, values[k + 1]), max(f, values[k + 1])
        c, g = min(c, values[k + 2]), max(g, values[k + 2])
        d, h = min(d, values[k + 3]), max(h, values[k + 3])
    for k in range(n - n % 4, n):
        a, e = min(a, values[k]), max(e, values[k])
    return min(a, b, c, d), max(e, f, g, h)


@kernel
def order_statistics(values: NDArray[np.float64], ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """The values of given rank: only the buckets that hold them are sorted.

    Args:
        values: (n,) pixel values, finite.
        ranks: (m,) ranks from 0, none below the one before it.

    Returns:
        (m,) the values of these ranks.
    """
    low, high = extremes(values)
    scale = BUCKETS / (high - low)
    out = np.empty(ranks.size)
    if not np.isfinite(scale):  # a flat or all but flat lesion
        ordered = np.sort(values)
        for m in range(ranks.size):
            out[m] = ordered[ranks[m]]
        return out
    bucket = np.empty(values.size, np.uint16)
    counts = np.zeros(BUCKETS, np.int64)
    for k in range(values.size):
        place = min(int((values[k] - low) * scale), BUCKETS - 1)
        bucket[k] = place
        counts[np.uint64(place)] += 1
    wanted = np.zeros(BUCKETS, np.bool_)
    shift = np.empty(ranks.size, np.int64)
    before = skipped = m = 0
    for b in range(BUCKETS):
        while m < ranks.size and ranks[m] < before + counts[b]:
            wanted[b] = True
            shift[m] = skipped
            m += 1
        before += counts[b]
        if not wanted[b]:
            skipped += counts[b]
    kept = np.empty(values.size - skipped)
    n = 0
    for k in range(values.size):
        if wanted[bucket[k]]:
            kept[n] = values[k]
            n += 1
    kept.sort()
    for m in range(ranks.size):
        out[m] = kept[ranks[m] - shift[m]]
    return out


@kernel
def quantiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The order statistics first-order features rest on.

    Args:
        values: (n,) pixel values.

    Returns:
        (7,) minimum, 10th, 25th, 50th, 75th, 90th percentile and maximum, linearly interpolated
        as `numpy.percentile` and `numpy.median` do.
    """
    last = values.size - 1
    below = np.empty(len(QUANTILES), np.int64)
    ranks = np.empty(2 * len(QUANTILES), np.int64)
    for q in range(len(QUANTILES)):
        below[q] = int(last * QUANTILES[q])
        ranks[2 * q] = below[q]
        ranks[2 * q + 1] = min(below[q] + 1, last)
    ranks.sort()
    ordered = order_statistics(values, ranks)
    found = np.empty(len(QUANTILES))
    for q in range(len(QUANTILES)):
        t = last * QUANTILES[q] - below[q]
        at = np.searchsorted(ranks, below[q])
        low = ordered[at]
        high = ordered[np.searchsorted(ranks, min(below[q] + 1, last))]
        # numpy interpolates from the nearer end
        found[q] = low + (high - low) * t if t < 0.5 else high - (high - low) * (1.0 - t)
        if q == MEDIAN and t > 0.0:  # numpy's median is the mean of the middle two
            found[q] = (low + high) / 2
    return found


@kernel
def pairwise_sum(values: NDArray[np.float64]) -> float:
    """Sum in the order of `numpy.add.reduce`, so that means round as pyradiomics' do.

    In a flat lesion the mean may differ from every pixel by one rounding error, and skewness and
    kurtosis are then made of that error.

    Args:
        values: (n,) contiguous.

    Returns:
        The sum: blocks of up to 128 values over 8 accumulators, halves added pairwise.
    """
    n = values.size
    if n < 8:
        # numpy starts from -0.0, which keeps the sign of a sum of negative zeros
        total = -0.0
        for v in values:
            total += v
        return total
    if n > 128:
        half = n // 2
        half -= half % 8
        return pairwise_sum(values[:half]) + pairwise_sum(values[half:])
    a, b, c, d = float(values[0]), float(values[1]), float(values[2]), float(values[3])
    e, f, g, h = float(values[4]), float(values[5]), float(values[6]), float(values[7])
    k = 8
    while k < n - n % 8:
        a += values[k]
        b += values[k + 1]
        c += values[k + 2]
        d += values[k + 3]
        e += values[k + 4]
        f += values[k + 5]
        g += values[k + 6]
        h += values[k + 7]
        k += 8
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    while k < n:
        total += values[k]
        k += 1
    return total


@kernel
def first_order_features(
    values: NDArray[np.float64],
    order: NDArray[np.float64],
    pixels: NDArray[np.int64],
    pixel_volume: float,
) -> NDArray[np.float64]:
    """The 18 features.

    Args:
        values: (n,) pixel values.
        order: (7,) from `quantiles`.
        pixels: (levels,) pixels of each grey level.
        pixel_volume: volume of one pixel of the slice, mm^3.

    Returns:
        (18,) in the order of `NAMES`. Kurtosis is not reduced by 3; a flat lesion has skewness
        and kurtosis 0.
    """
    n = values.size
    p10, p90 = order[1], order[5]
    robust = np.empty(n)
    robust_n = 0
    for k in range(n):
        v = values[k]
        # pyradiomics compares the differences, not the values, and sums the others as zeros
        outside = (v - p10 < 0.0) | (v - p90 > 0.0)
        robust[k] = 0.0 if outside else v
        robust_n += 0 if outside else 1
    mean = pairwise_sum(values) / n
    robust_mean = pairwise_sum(robust) / robust_n
    energy = m2 = m3 = m4 = deviation = robust_deviation = 0.0
    for v in values:
        energy += v * v
        d = v - mean
        d2 = d * d
        m2 += d2
        m3 += d2 * d
        m4 += d2 * d2
        deviation += abs(d)
        outside = (v - p10 < 0.0) | (v - p90 > 0.0)
        # a sum of absolute values is the same with zeros in it
        robust_deviation += 0.0 if outside else abs(v - robust_mean)
    m2 /= n
    m3 /= n
    m4 /= n
    entropy = uniformity = 0.0
    for count in pixels:
        if count > 0:
            p = count / n
            entropy -= p * math.log2(p + EPSILON)
            uniformity += p * p
    spread = m2 if m2 != 0.0 else 1.0
    return np.array(
        [
            p10,
            p90,
            energy,
            entropy,
            order[4] - order[2],
            m4 / spread**2,
            order[6],
            deviation / n,
            mean,
            order[3],
            order[0],
            order[6] - order[0],
            robust_deviation / robust_n,
            math.sqrt(energy / n),
            m3 / spread**1.5,
            energy * pixel_volume,
            uniformity,
            m2,
        ]
    )
