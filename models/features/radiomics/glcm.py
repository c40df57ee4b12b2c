"""Grey level co-occurrence features (IBSI 3.6; Haralick 1973), averaged over the directions."""

import math

import numpy as np
from numpy.typing import NDArray

from models.features.radiomics.jit import kernel

EPSILON = float(np.spacing(1.0))
"""pyradiomics adds it inside every logarithm and to some divisors."""

NAMES = (
    "Autocorrelation",
    "JointAverage",
    "ClusterProminence",
    "ClusterShade",
    "ClusterTendency",
    "Contrast",
    "Correlation",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "JointEnergy",
    "JointEntropy",
    "Imc1",
    "Imc2",
    "Idm",
    "Idmn",
    "Id",
    "Idn",
    "InverseVariance",
    "MaximumProbability",
    "SumAverage",
    "SumEntropy",
    "SumSquares",
)
"""What `cooccurrence_features` returns, in its order; MCC comes from `maximal_correlation`."""

IMC2 = NAMES.index("Imc2")


@kernel
def cooccurrence_features(
    pairs: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The features without MCC, and the matrices MCC needs.

    Sums run over (i, j) row by row as NumPy runs them in pyradiomics: where a difference of two
    entropies should vanish, its rounding error becomes the feature and has to be the same.

    Args:
        pairs: (4, levels + 1, levels + 1) one-way counts; row and column 0 are ignored.

    Returns:
        features: (23,) in the order of `NAMES`, the mean over directions that hold any pair;
            NaN if none does.
        q: (directions with pairs, levels, levels) with
            Q(i, j) = sum over k of p(i, k) p(j, k) / (p_x(i) p_y(k) + epsilon).
    """
    n = pairs.shape[1] - 1
    mean = np.zeros(23)
    q = np.zeros((4, n, n))
    p = np.empty((n, n))
    used = imc2_used = 0
    for a in range(4):
        total = 0.0
        for i in range(n):
            for j in range(n):
                p[i, j] = pairs[a, i + 1, j + 1] + pairs[a, j + 1, i + 1]
                total += p[i, j]
        if total == 0.0:
            continue
        px = np.zeros(n)
        p_sum = np.zeros(2 * n + 1)
        p_diff = np.zeros(n)
        autocorrelation = energy = largest = hxy = ux = uy = 0.0
        for i in range(n):
            for j in range(n):
                v = p[i, j] / total
                p[i, j] = v
                if v == 0.0:
                    continue
                px[i] += v
                p_sum[i + j + 2] += v
                p_diff[abs(i - j)] += v
                ux += (i + 1) * v
                uy += (j + 1) * v
                autocorrelation += v * ((i + 1) * (j + 1))
                energy += v * v
                largest = max(largest, v)
                hxy -= v * math.log2(v + EPSILON)
        prominence = shade = tendency = contrast = 0.0
        squares = covariance = hx = hxy1 = hxy2 = 0.0
        for i in range(n):
            squares += px[i] * (i + 1 - ux) ** 2
            hx -= px[i] * math.log2(px[i] + EPSILON)
            for j in range(n):
                independent = px[i] * px[j]
                if independent == 0.0:
                    continue
                log_independent = math.log2(independent + EPSILON)
                hxy2 -= independent * log_independent
                v = p[i, j]
                if v == 0.0:
                    continue
                t = i + 1 + j + 1 - ux - uy
                tendency += v * (t * t)
                shade += v * (t * t * t)
                prominence += v * (t * t * t * t)
                contrast += v * (i - j) ** 2
                covariance += v * (i + 1 - ux) * (j + 1 - uy)
                hxy1 -= v * log_independent
        deviation = math.sqrt(squares)
        deviation *= deviation
        correlation = covariance / (deviation + EPSILON) if deviation != 0.0 else 1.0
        d_mean = d_entropy = d_variance = 0.0
        idm = idmn = inverse = idn = inverse_variance = 0.0
        for k in range(n):
            v = p_diff[k]
            d_mean += k * v
            d_entropy -= v * math.log2(v + EPSILON)
            idm += v / (1 + k * k)
            idmn += v / (1 + k * k / (n * n))
            inverse += v / (1 + k)
            idn += v / (1 + k / n)
            if k > 0:
                inverse_variance += v / (k * k)
        for k in range(n):
            d_variance += p_diff[k] * (k - d_mean) ** 2
        s_mean = s_entropy = 0.0
        for k in range(2, 2 * n + 1):
            s_mean += k * p_sum[k]
            s_entropy -= p_sum[k] * math.log2(p_sum[k] + EPSILON)
        imc1 = (hxy - hxy1) / hx if hx != 0.0 else 0.0
        # hxy2 is below hxy only by rounding: pyradiomics' root is NaN then and leaves the mean
        imc2 = 0.0
        if hxy2 >= hxy:
            imc2 = math.sqrt(1.0 - math.exp(-2.0 * (hxy2 - hxy)))
            imc2_used += 1
        for i in range(n):
            if px[i] == 0.0:
                continue
            for j in range(n):
                for k in range(n):
                    if px[k] > 0.0:
                        q[used, i, j] += p[i, k] * p[j, k] / (px[i] * px[k] + EPSILON)
        values = (
            autocorrelation,
            ux,
            prominence,
            shade,
            tendency,
            contrast,
            correlation,
            d_mean,
            d_entropy,
            d_variance,
            energy,
            hxy,
            imc1,
            imc2,
            idm,
            idmn,
            inverse,
            idn,
            inverse_variance,
            largest,
            s_mean,
            s_entropy,
            squares,
        )
        for k in range(23):
            mean[k] += values[k]
        used += 1
    mean[IMC2] *= used / imc2_used
    return mean / used, q[:used]


def maximal_correlation(q: NDArray[np.float64], pixels: NDArray[np.int64]) -> float:
    """MCC: the root of the second largest eigenvalue of Q, averaged over the directions.

    Args:
        q: (directions, levels, levels) from `cooccurrence_features`.
        pixels: (levels,) pixels of each level; absent levels are left out.

    Returns:
        The maximal correlation coefficient; 1 for a single level, NaN without any pair.
    """
    present = np.flatnonzero(pixels)
    if present.size < 2:
        return 1.0
    if q.shape[0] == 0:
        return float("nan")
    compact = q if present.size == q.shape[1] else q[:, present[:, None], present]
    eigenvalues = np.linalg.eigvals(compact)
    eigenvalues.sort()
    # an eigenvalue of 0 may round below 0: its NaN is left out of the mean, as in pyradiomics
    with np.errstate(invalid="ignore"):
        roots = np.sqrt(eigenvalues[:, -2])
    kept = roots[~np.isnan(roots)]
    return float(kept.mean().real) if kept.size else float("nan")
