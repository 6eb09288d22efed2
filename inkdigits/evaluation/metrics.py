"""Arrays in, numbers out: accuracy, confusion, calibration, out-of-distribution detection."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from inkdigits.arrays import Floats, Labels, Mask, NDArray

ConfusionMatrix = NDArray[np.int64]  # (classes, classes), row = ground truth, column = answer


def _counted(values: NDArray[Any], name: str) -> int:
    if len(values) == 0:
        raise ValueError(f"{name} is empty: there is nothing to evaluate")
    return len(values)


def _of_equal_length(a: NDArray[Any], b: NDArray[Any]) -> int:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values: they must be of the same examples")
    return _counted(a, "the input")


def count_errors(y_true: Labels, y_pred: Labels) -> int:
    """Return how many answers are wrong.

    Args:
        y_true: int (N,), N >= 1.
        y_pred: int (N,).

    Raises:
        ValueError: different lengths, or no examples.

    Examples:
        >>> import numpy as np
        >>> count_errors(np.array([7, 2, 1]), np.array([7, 2, 4]))
        1
    """
    _of_equal_length(y_true, y_pred)
    return int((np.asarray(y_true) != np.asarray(y_pred)).sum())


def log_loss(y_true: Labels, probabilities: Floats) -> float:
    """Return the mean of -log(probability of the true class), in nats; what Keras calls sparse cross-entropy.

    Args:
        y_true: int (N,), columns of `probabilities`.
        probabilities: float (N, classes), 0 to 1.

    Raises:
        ValueError: different lengths, or no examples.
    """
    n = _of_equal_length(y_true, probabilities)
    of_truth = np.asarray(probabilities, np.float64)[np.arange(n), y_true]
    # The smallest float32 above 0: a probability that has underflowed costs much, not infinitely much.
    return float(-np.log(np.maximum(of_truth, 1.4e-45)).mean())


def confusion_matrix(y_true: Labels, y_pred: Labels, n_classes: int) -> ConfusionMatrix:
    """Return int64 (n_classes, n_classes): row = ground truth, column = answer, as in scikit-learn and the tutorial.

    Args:
        y_true: int (N,), 0 <= label < n_classes.
        y_pred: int (N,), 0 <= label < n_classes.
        n_classes: >= 1.

    Raises:
        ValueError: different lengths, no examples, or a label out of range.
    """
    _of_equal_length(y_true, y_pred)
    pairs = np.stack([y_true, y_pred])
    if pairs.min() < 0 or pairs.max() >= n_classes:
        raise ValueError(f"labels must be 0 to {n_classes - 1}, found {pairs.min()} to {pairs.max()}")
    flat = np.bincount(pairs[0].astype(np.int64) * n_classes + pairs[1], minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes).astype(np.int64)


def precision_recall_f1(matrix: ConfusionMatrix) -> Floats:
    """Return float64 (classes, 3) of a confusion matrix: precision, recall and F1 of each class.

    Precision: of the answers "k", the share that is right. Recall: of the true k, the share that is found. F1: their
    harmonic mean. Where there is nothing to share out, the value is NaN, not 0: nothing was measured.

    Args:
        matrix: int (classes, classes), row = ground truth.
    """
    right = np.diag(matrix).astype(np.float64)
    answered, there = matrix.sum(axis=0), matrix.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([right / answered, right / there, 2 * right / (answered + there)], axis=1)


def confused_pairs(matrix: ConfusionMatrix, class_names: Sequence[str]) -> list[tuple[str, str, int]]:
    """Return (label, answer, count) for every confusion that occurred, the most frequent first.

    Args:
        matrix: int (classes, classes), row = ground truth.
        class_names: what each class is called.
    """
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
    rows, columns = np.unravel_index(order, wrong.shape)
    return [(class_names[i], class_names[j], int(wrong[i, j])) for i, j in zip(rows, columns, strict=True)]


def reliability(confidence: Floats, right: Mask, n_bins: int = 15) -> Floats:
    """Return float64 (n_bins, 3): count, mean confidence and share right of each of n_bins equal slices of (0, 1].

    Args:
        confidence: float (N,), 0 to 1.
        right: bool (N,), was the answer right?
        n_bins: >= 1.

    Returns:
        Empty slices have NaN for mean and share.

    Raises:
        ValueError: different lengths, or no examples.

    Source: Guo et al. 2017, "On calibration of modern neural networks", section 2.
    """
    _of_equal_length(confidence, right)
    # Slice m is ((m - 1) / n_bins, m / n_bins]; a confidence of 0 goes to the first.
    confidence = np.asarray(confidence, np.float64)
    slices = np.clip(np.ceil(confidence * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    counts = np.bincount(slices, minlength=n_bins).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(slices, confidence, n_bins) / counts
        share = np.bincount(slices, np.asarray(right, np.float64), n_bins) / counts
    return np.stack([counts, mean, share], axis=1)


def calibration_error(confidence: Floats, right: Mask, n_bins: int = 15) -> float:
    """Return the expected calibration error: how far, on average, confidence lies from the share that is right.

    0.02 means: answers given with 90 % confidence are right 88 or 92 times in 100, say.

    Args:
        confidence: float (N,), 0 to 1.
        right: bool (N,).
        n_bins: >= 1.

    Raises:
        ValueError: different lengths, or no examples.

    Source: Guo et al. 2017, equation 3.

    Examples:
        >>> import numpy as np
        >>> round(calibration_error(np.full(4, 0.9), np.array([True, True, True, False])), 2)
        0.15
    """
    counts, mean, share = reliability(confidence, right, n_bins).T
    return float(np.nansum(counts * np.abs(mean - share)) / counts.sum())


def fit_temperature(logits: Floats, y_true: Labels) -> float:
    """Return the temperature, 0.25 to 4, by which to divide logits so that the labels are likeliest.

    Of 200 on a logarithmic scale (Guo et al. 2017, section 4.2).

    Args:
        logits: float (N, classes), N >= 1.
        y_true: int (N,), 0 <= label < classes.
    """
    rows = np.arange(_of_equal_length(logits, y_true))

    def loss(temperature: float) -> float:
        shifted = (logits - logits.max(axis=1, keepdims=True)) / temperature
        return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, y_true]).mean())

    return min((float(each) for each in np.geomspace(0.25, 4, 200)), key=loss)


def auroc(inside: Floats, outside: Floats) -> float:
    """Return the probability that a random insider has more confidence than a random outsider (ties count half).

    Args:
        inside: float (N,), confidence on things that are digits.
        outside: float (M,), confidence on things that are not.

    Raises:
        ValueError: one of them is empty.

    Source: Hanley and McNeil 1982; Hendrycks and Gimpel 2017 for its use here.

    Examples:
        >>> import numpy as np
        >>> auroc(np.array([0.9, 0.8, 0.6]), np.array([0.7, 0.2]))
        0.8333333333333334
    """
    n, m = _counted(inside, "inside"), _counted(outside, "outside")
    ordered = np.sort(outside)
    below = np.searchsorted(ordered, inside, side="left")
    up_to = np.searchsorted(ordered, inside, side="right")
    return float((below + up_to).sum() / 2 / n / m)


def fpr_at_tpr(inside: Floats, outside: Floats, tpr: float = 0.95) -> float:
    """Return the share of outsiders that are let in by the highest threshold that lets `tpr` of the insiders in.

    Args:
        inside: float (N,), confidence on things that are digits.
        outside: float (M,), confidence on things that are not.
        tpr: in (0, 1].

    Raises:
        ValueError: one of them is empty, or `tpr` is out of range.
    """
    n = _counted(inside, "inside")
    _counted(outside, "outside")
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must be over 0 and at most 1, got {tpr}")
    # A tiny slack, or rounding would ask for 96 of 100 where 95 are meant.
    needed = math.ceil(tpr * n - 1e-9)
    threshold = np.sort(inside)[n - needed]
    return float((np.asarray(outside) >= threshold).mean())


def accuracy_of_surest(right: Mask, confidence: Floats, share: float = 0.5) -> float:
    """Return the accuracy among that share of the answers that have the most confidence.

    Args:
        right: bool (N,).
        confidence: float (N,). Answers as sure as the last one that is in count as parts of one, so that their order
            does not matter.
        share: in (0, 1]; at least one answer counts.

    Raises:
        ValueError: different lengths, no examples, or `share` out of range.
    """
    n = _of_equal_length(right, confidence)
    if not 0 < share <= 1:
        raise ValueError(f"share must be over 0 and at most 1, got {share}")
    right, confidence = np.asarray(right, np.float64), np.asarray(confidence)
    n_in = max(1, math.floor(share * n + 1e-9))
    last = np.sort(confidence)[n - n_in]
    surer, tied = confidence > last, confidence == last
    return float((right[surer].sum() + (n_in - surer.sum()) * right[tied].mean()) / n_in)


def edit_distance(truth: str, answer: str) -> int:
    """Return how many characters must be inserted, deleted or replaced to turn one string into the other.

    Source: Levenshtein 1966; Wagner and Fischer 1974.

    Examples:
        >>> edit_distance("1987", "197")
        1
    """
    row = list(range(len(answer) + 1))
    for i, wanted in enumerate(truth, 1):
        previous, row = row, [i]
        for j, got in enumerate(answer, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (wanted != got)))
    return row[-1]
