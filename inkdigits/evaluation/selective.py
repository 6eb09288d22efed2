"""Promises about accepted values: the lowest confidence from which on, at a given probability, few enough are wrong.

Learn-then-Test with a fixed sequence (Angelopoulos et al., arXiv:2110.01052; Geifman and El-Yaniv, NeurIPS 2017).
Whether a promise still holds is watched with a bound that may be looked at after every value (`Watch`).
Promises and bounds need SciPy (extras `train` and `forms`); curves and their figures do not.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inkdigits.arrays import Floats, Indices, Mask
from inkdigits.evaluation.text import counted
from inkdigits.reading.promise import Step, last_passed

# Fixed beforehand, the strictest first: a threshold chosen by the sample itself would promise too much.
THRESHOLDS = (0.999, 0.998, 0.995, 0.99, 0.98, 0.97, 0.96, 0.95, 0.93, 0.9, 0.87, 0.83, 0.8, 0.75, 0.7, 0.6, 0.5, 0.0)
MOST_CHECKED = 1_000_000  # what more is missing is no longer counted


@dataclass(frozen=True)
class Promise:
    """What a checked sample allows to promise.

    Attributes:
        risk: the share of accepted values that may be wrong.
        delta: how likely it is, over the draw of the sample, that more are.
        threshold: values of this confidence and above are accepted; None where nothing can be promised yet.
        n: values in the sample.
        n_accepted: of these, at or above the threshold.
        n_wrong: of those, wrong.
        n_missing: how many more sure values must be checked at least, and be right, before anything can be promised; 0
            where something is.
    """

    risk: float
    delta: float
    threshold: float | None
    n: int
    n_accepted: int
    n_wrong: int
    n_missing: int

    @property
    def coverage(self) -> float:
        """The share of the sample that is accepted, 0 to 1."""
        return self.n_accepted / self.n if self.n and self.threshold is not None else 0.0

    def __str__(self) -> str:
        if self.threshold is None:
            return f"cannot promise yet: {counted(self.n_missing, 'more checked value')}, all right"
        return (
            f"promise: at most {self.risk * 100:g} % wrong ({(1 - self.delta) * 100:g} % sure) at threshold "
            f"{self.threshold:g}, {self.coverage * 100:.1f} % accepted ({self.n_wrong} of {self.n_accepted:,} wrong)"
        )


@dataclass(frozen=True)
class Watch:
    """What was checked after a promise was given: whether more is wrong than it allows.

    Attributes:
        n: values that were checked.
        n_wrong: of these, wrong.
        evidence: the largest e-value after any of them; 1 says nothing.
        delta: how likely a false alarm is, however often somebody looks.
    """

    n: int
    n_wrong: int
    evidence: float
    delta: float

    @property
    def is_alarm(self) -> bool:
        """Whether more is wrong than was promised."""
        return self.evidence >= 1 / self.delta


def watch(right: Mask | Sequence[bool], risk: float, delta: float = 0.05) -> Watch:
    """Return what values that were checked one after the other say of a promise.

    An alarm is false with a probability of at most delta over the whole sequence, however long it is and however often
    one looks (Ville's inequality). See `e_values`.

    Args:
        right: (n,), whether each is, in the order in which they were chosen for the check.
        risk, delta: of the promise.

    Raises:
        ValueError: risk or delta are not between 0 and 1.
    """
    is_right = np.asarray(right, bool)
    _check_shares(risk, delta)
    largest = float(np.exp(min(700.0, e_values(~is_right, risk).max()))) if is_right.size else 1.0
    return Watch(is_right.size, int((~is_right).sum()), max(1.0, largest), delta)


def e_values(wrong: Mask, risk: float) -> Floats:
    """Return the logarithms of the e-values against "no value is wrong with a higher probability than risk".

    The likelihood ratio of an error rate q against `risk`, averaged over q > risk: a nonnegative supermartingale, with
    the conjugate beta mixture of Robbins (1970) and of Howard et al. (Annals of Statistics 2021, arXiv:1810.08240,
    section 3), cut off at `risk`. Its weight lies about twice the risk, where drift matters first.

    Args:
        wrong: (n,), whether each value is, in order.
        risk: between 0 and 1.

    Returns:
        float64 (n,), after each of them.
    """
    from scipy.special import betaln
    from scipy.stats import beta

    n_wrong = np.cumsum(np.asarray(wrong, bool))
    n_right = np.arange(1, len(n_wrong) + 1) - n_wrong
    b = 1 / (2 * risk)
    mixed = betaln(n_wrong + 1, n_right + b) - betaln(1, b)
    cut = beta.logsf(risk, n_wrong + 1, n_right + b) - beta.logsf(risk, 1, b)
    ratio: Floats = mixed + cut - n_wrong * math.log(risk) - n_right * math.log1p(-risk)
    return ratio


def promise(
    confidences: Floats | Sequence[float],
    right: Mask | Sequence[bool],
    risk: float,
    delta: float = 0.05,
    thresholds: Sequence[float] = THRESHOLDS,
) -> Promise:
    """Return the lowest threshold t for which P(wrong | confidence >= t) <= risk holds, but for a chance of delta.

    Thresholds are tested one after the other, the strictest first, each with an exact binomial test; the first that
    fails ends it. The first one tested is that from which on enough values lie for a test to succeed at all, and a
    tenth of the sample (`reading.promise.FIRST_SHARE`): this looks at confidences alone, not at what is right, and so
    costs nothing.

    Args:
        confidences: (n,), 0 to 1, of values drawn at random and independently from those to promise about.
        right: (n,), whether each is.
        risk: between 0 and 1.
        delta: between 0 and 1.
        thresholds: fixed before the sample was seen, falling.

    Raises:
        ValueError: the arrays differ in length, or risk, delta or thresholds make no sense.
    """
    if not 0 < risk < 1:
        raise ValueError(f"risk lies between 0 and 1; got {risk}")
    steps = steps_of(confidences, right, delta, thresholds)
    passed = last_passed(steps, risk, delta)
    if passed is not None:
        return Promise(risk, delta, passed.threshold, len(confidences), passed.n, passed.n_wrong, 0)
    return Promise(risk, delta, None, len(confidences), 0, 0, _missing(steps, risk, delta))


def steps_of(
    confidences: Floats | Sequence[float],
    right: Mask | Sequence[bool],
    delta: float = 0.05,
    thresholds: Sequence[float] = THRESHOLDS,
) -> tuple[Step, ...]:
    """Return what a sample says about each threshold; the arguments are those of `promise`.

    Raises:
        ValueError: as for `promise`.
    """
    sure, is_right = np.asarray(confidences, float), np.asarray(right, bool)
    if sure.shape != is_right.shape or sure.ndim != 1:
        raise ValueError(f"as many confidences as answers, please: {sure.shape} and {is_right.shape}")
    if not 0 < delta < 1:
        raise ValueError(f"delta lies between 0 and 1; got {delta}")
    if any(a <= b for a, b in itertools.pairwise(thresholds)):
        raise ValueError("thresholds fall, the strictest first")
    inside = sure >= np.array(thresholds, float)[:, None]  # (thresholds, n)
    return _steps(thresholds, inside.sum(axis=1), (inside & ~is_right).sum(axis=1), delta)


def _steps(thresholds: Sequence[float], n: Indices, n_wrong: Indices, delta: float) -> tuple[Step, ...]:
    rows = zip(thresholds, n.tolist(), n_wrong.tolist(), upper_bounds(n_wrong, n, delta).tolist(), strict=True)
    return tuple(Step(*row) for row in rows)


def upper_bounds(n_wrong: Indices, n: Indices, delta: float = 0.05) -> Floats:
    """Return the one-sided bounds of Clopper and Pearson (1934) on shares: float64 (N,), 1 where all or none is known.

    A share is above its bound with a probability of delta at most. A bound is at most r exactly where the binomial test
    of "the share is above r" succeeds: P(at most `n_wrong` of n | r) <= delta.

    Args:
        n_wrong: int (N,), 0 to n.
        n: int (N,).
        delta: between 0 and 1.
    """
    from scipy.stats import beta

    bounds: Floats = np.where(n_wrong < n, beta.ppf(1 - delta, n_wrong + 1, np.maximum(n - n_wrong, 1)), 1.0)
    return bounds


def _check_shares(risk: float, delta: float) -> None:
    if not (0 < risk < 1 and 0 < delta < 1):
        raise ValueError(f"risk and delta lie between 0 and 1; got {risk} and {delta}")


def least_checked(risk: float, delta: float = 0.05) -> int:
    """Return how many checked values, all of them right, are needed at least: 598 for 0.5 % at 95 %."""
    return math.ceil(math.log(delta) / math.log1p(-risk))


def least_risk(n: int, delta: float = 0.05) -> float:
    """Return the smallest risk, 0 to 1, that n checked values can promise, all of them right: 0.5 % for 598 at 95 %."""
    return 1 - delta ** (1 / n) if n else 1.0


def _missing(steps: Sequence[Step], risk: float, delta: float) -> int:
    """Return how many more of the surest values must be checked, and be right, before a sample that fails succeeds."""
    thresholds = [step.threshold for step in steps]
    n, n_wrong = np.array([step.n for step in steps]), np.array([step.n_wrong for step in steps])

    def succeeds(more: int) -> bool:
        return last_passed(_steps(thresholds, n + more, n_wrong, delta), risk, delta) is not None

    low, high = 0, 1  # it fails with `low`
    while not succeeds(high):
        low, high = high, 2 * high
        if high > MOST_CHECKED:
            return MOST_CHECKED
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if succeeds(middle) else (middle, high)
    return high


def risk_coverage(confidences: Floats, right: Mask) -> tuple[Floats, Floats]:
    """Return coverage and the share of errors within it, the surest first: float64 (n,) each, 0 to 1."""
    order = np.argsort(-np.asarray(confidences, float), kind="stable")
    counts = np.arange(1, len(order) + 1)
    return counts / len(order), np.cumsum(~np.asarray(right, bool)[order]) / counts


def aurc(confidences: Floats, right: Mask) -> float:
    """Return the area under the risk-coverage curve: the mean error over all coverages, lower is better."""
    return float(risk_coverage(confidences, right)[1].mean())


def coverage_at(confidences: Floats, right: Mask, error: float) -> float:
    """Return the largest share, the surest first, of which at most `error` is wrong: both 0 to 1.

    It was chosen for this sample: of others more may be wrong. What holds for others says `promise`.
    """
    coverage, errors = risk_coverage(confidences, right)
    kept = np.flatnonzero(errors <= error)
    return float(coverage[kept[-1]]) if len(kept) else 0.0


def bounded_risk_coverage(confidences: Floats, right: Mask, delta: float = 0.05) -> Floats:
    """Return float64 (n, 3): coverage, the share of errors within it, and the upper bound of that share.

    The bound is that of Clopper and Pearson at 1 - delta for each coverage by itself, not for all of them at once.
    """
    coverage, errors = risk_coverage(confidences, right)
    counts = np.arange(1, len(coverage) + 1)
    return np.column_stack([coverage, errors, upper_bounds(np.rint(errors * counts).astype(int), counts, delta)])


def points_of(curve: Floats, n: int) -> Floats:
    """Return the rows of a curve (N, columns) at 1/n, 2/n, ... of its length; n of them, or all if there are fewer."""
    places = np.unique(np.ceil(np.arange(1, n + 1) * len(curve) / n).astype(int)) - 1
    points: Floats = curve[places]
    return points
