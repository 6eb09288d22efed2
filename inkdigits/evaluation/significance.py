"""Intervals and tests: what is significant and what is noise.

`compare_over_seeds` needs SciPy (extra `train`); the others need the standard library alone.
"""

import math
from collections.abc import Sequence

import numpy as np

from inkdigits.arrays import Floats, Mask

# 97.5 % of the standard normal distribution lie below: two-sided 95 %.
Z95 = 1.959963984540054


def wilson_interval(n_right: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval for a share of which `n_right` of `n` were seen.

    Unlike "share ± 2 standard errors" it stays within [0, 1] and is honest near 0 and 1.

    Args:
        n_right: 0 to n.
        n: >= 1.

    Raises:
        ValueError: the counts are not as above.

    Source: Wilson 1927, "Probable inference"; Brown, Cai, DasGupta 2001, section 3.1.1.
    """
    if n < 1 or not 0 <= n_right <= n:
        raise ValueError(f"{n_right} right of {n}: not a share")
    share, z2 = n_right / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    # At the two ends the bound is 0 or 1 exactly, which rounding would miss.
    low = 0.0 if n_right == 0 else centre - half
    high = 1.0 if n_right == n else centre + half
    return low, high


def mcnemar_exact(n_fixed: int, n_broken: int) -> float:
    """Return the two-sided exact p of McNemar's test: could two equally good models differ so by chance?

    Args:
        n_fixed: >= 0, examples which only the second model has right.
        n_broken: >= 0, examples which only the first has right.

    Raises:
        ValueError: a negative count.

    Source: McNemar 1947; exact binomial form, Fagerland, Lydersen, Laake 2013, section "exact conditional test".
    """
    if min(n_fixed, n_broken) < 0:
        raise ValueError(f"counts must not be negative, got {n_fixed} and {n_broken}")
    n, fewer = n_fixed + n_broken, min(n_fixed, n_broken)
    # Binomial(n, 1/2) up to `fewer`; logarithms, for 2**-n underflows.
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(fewer + 1)]
    tail = math.fsum(math.exp(log - n * math.log(2)) for log in logs)
    return min(1.0, 2 * tail)


def paired_interval(n_fixed: int, n_broken: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval for the difference of two accuracies on the same examples (second less first).

    Args:
        n_fixed: examples which only the second model has right.
        n_broken: examples which only the first has right.
        n: all examples, >= 1.

    Raises:
        ValueError: the counts are negative or more than n.

    Source: Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data".
    """
    if n < 1 or min(n_fixed, n_broken) < 0 or n_fixed + n_broken > n:
        raise ValueError(f"{n_fixed} fixed and {n_broken} broken of {n}: not counts of one set")
    up, down = (n_fixed + 1) / (n + 2), (n_broken + 1) / (n + 2)
    half = Z95 * math.sqrt((up + down - (up - down) ** 2) / (n + 2))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def compare_over_seeds(right: Mask) -> tuple[Floats, Floats]:
    """Compare networks, each trained with several seeds, on the same examples.

    The result should hold for other examples and for other seeds. McNemar's test ignores the variation between seeds
    and calls one pair in six of equal networks on MNIST different. So the variance of a difference has two parts, from
    the mean squares of the two-way layout examples x seeds: (MS_examples + (rho - 1) MS_rest) / (S N), where
    rho = MS_seeds / MS_rest says how much more the seeds scatter than their flips of single answers explain. A few
    seeds say little about rho, so it is the mean over the configurations, at least 1, with C (S - 1) degrees of
    freedom; a configuration whose seeds scatter far more than the others' (some of them fail, say) has its own rho.

    Args:
        right: bool (C, S, N): configuration, seed, example. C >= 2, S >= 2, N >= 2.

    Returns:
        float (C, C): half of the 95 % interval of each difference of mean accuracies, and its two-sided p (Student's
        t), not adjusted for the number of pairs.

    Raises:
        ValueError: fewer than two configurations, seeds or examples.

    Source: Cornfield and Tukey 1956, "Average values of mean squares in factorials" (the mean squares of two crossed
    random factors); Bonett and Price 2012 (the two examples more, one on either side, that keep the variance of nearly
    equal networks from 0). Its rate of false alarms on equal networks: `benchmarks/sweep_noise.py`.
    """
    from scipy import stats

    if min(right.shape) < 2:
        raise ValueError(f"{right.shape} configurations, seeds and examples: at least two of each are needed")
    n, n_seeds, n_examples = right.shape
    by_example, by_seed = right.mean(axis=1), right.mean(axis=2)
    # Sums of squares of the differences of each two configurations, (C, C).
    mean = _squared_distances(by_seed.mean(axis=1, keepdims=True))
    of_examples = n_seeds * (_squared_distances(by_example) - n_examples * mean)
    of_seeds = n_examples * (_squared_distances(by_seed) - n_seeds * mean)
    of_all = _squared_distances(right.reshape(n, -1).astype(np.float64)) - n_seeds * n_examples * mean
    rest = (of_all - of_examples - of_seeds) / ((n_seeds - 1) * (n_examples - 1))
    rho, freedom = _scatter_of_seeds(right)
    rho = np.maximum(rho[:, None], rho[None, :])
    mean_square = (of_examples + 2 * n_seeds) / (n_examples - 1) + (rho - 1) * np.maximum(rest, 0)
    errors = np.sqrt(mean_square / (n_seeds * n_examples))
    p_values: Floats = 2 * stats.t.sf(np.sqrt(np.maximum(mean, 0)) / errors, freedom)
    return stats.t.ppf(0.975, freedom) * errors, p_values


def _squared_distances(rows: Floats) -> Floats:
    """Return float64 (C, C): the squared distance of each two of C rows."""
    gram = rows @ rows.T
    squares = np.diag(gram)
    result: Floats = squares[:, None] + squares[None, :] - 2 * gram
    return result


def _scatter_of_seeds(right: Mask) -> tuple[Floats, int]:
    """Return float (C,), rho for each configuration, >= 1, and the degrees of freedom of the pooled one."""
    from scipy import stats

    n, n_seeds, n_examples = right.shape
    by_seed, total = right.mean(axis=2), n_seeds * n_examples * right.var(axis=(1, 2))
    of_seeds = n_examples * n_seeds * by_seed.var(axis=1)
    of_examples = n_seeds * n_examples * right.mean(axis=1).var(axis=1)
    rest = (total - of_seeds - of_examples) / ((n_seeds - 1) * (n_examples - 1))
    # Seeds that all give the same answers say nothing about either: 1.
    own = np.where(rest > 0, of_seeds / (n_seeds - 1) / np.where(rest > 0, rest, 1), 1.0)
    typical = np.median(own) / (stats.chi2.median(n_seeds - 1) / (n_seeds - 1))
    alike = own <= max(1.0, typical) * stats.chi2.ppf(1 - 0.01 / n, n_seeds - 1) / (n_seeds - 1)
    alike |= own <= np.median(own)
    pooled = max(1.0, float(own[alike].mean()))
    # An own rho was chosen for being large: that is conservative enough without fewer degrees of freedom.
    return np.where(alike, pooled, np.maximum(own, pooled)), int(alike.sum()) * (n_seeds - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for having looked at all of them at once.

    Args:
        p_values: each 0 to 1.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    n = len(p_values)
    adjusted, least = [0.0] * n, 0.0
    for rank, i in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (n - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted
