"""Metrics against independent slow loops, and against scikit-learn and SciPy where these have the same measure."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inkdigits.evaluation import metrics, significance

N = st.integers(1, 40)


@st.composite
def labels_and_answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    n, n_classes = draw(N), draw(st.integers(1, 6))
    label = st.integers(0, n_classes - 1)
    arrays = hnp.arrays(np.int64, n, elements=label)
    return draw(arrays), draw(arrays), n_classes


@st.composite
def confidence_and_right(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(N)
    # Tenths, for ties and for the edges of the slices; any number, for the rest.
    number = st.one_of(st.integers(0, 10).map(lambda k: k / 10), st.floats(0, 1))
    return draw(hnp.arrays(np.float64, n, elements=number)), draw(hnp.arrays(np.bool_, n))


@given(labels_and_answers())
def test_confusion_matrix_and_errors_count_one_by_one(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    y_true, y_pred, n_classes = case
    slow = [[0] * n_classes for _ in range(n_classes)]
    errors = 0
    for truth, answer in zip(y_true, y_pred, strict=True):
        slow[truth][answer] += 1
        errors += truth != answer
    assert metrics.confusion_matrix(y_true, y_pred, n_classes).tolist() == slow
    assert metrics.count_errors(y_true, y_pred) == errors


@given(labels_and_answers())
def test_precision_recall_f1_by_their_definitions(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    y_true, y_pred, n_classes = case
    table = metrics.precision_recall_f1(metrics.confusion_matrix(y_true, y_pred, n_classes))
    for k in range(n_classes):
        hits = sum(1 for t, p in zip(y_true, y_pred, strict=True) if t == k and p == k)
        answered, there = sum(1 for p in y_pred if p == k), sum(1 for t in y_true if t == k)
        precision = hits / answered if answered else math.nan
        recall = hits / there if there else math.nan
        f1 = 2 * hits / (answered + there) if answered + there else math.nan
        np.testing.assert_allclose(table[k], [precision, recall, f1])


def test_precision_recall_f1_as_scikit_learn_has_them() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 10, 500)
    y_pred = np.where(rng.random(500) < 0.8, y_true, rng.integers(0, 10, 500))
    theirs = precision_recall_fscore_support(y_true, y_pred)[:3]
    ours = metrics.precision_recall_f1(metrics.confusion_matrix(y_true, y_pred, 10))
    np.testing.assert_allclose(ours, np.stack(theirs, axis=1))


@given(labels_and_answers())
def test_confused_pairs_are_all_and_in_order(case: tuple[np.ndarray, np.ndarray, int]) -> None:
    y_true, y_pred, n_classes = case
    names = [f"class {k}" for k in range(n_classes)]
    pairs = metrics.confused_pairs(metrics.confusion_matrix(y_true, y_pred, n_classes), names)
    slow: dict[tuple[str, str], int] = {}
    for truth, answer in zip(y_true, y_pred, strict=True):
        if truth != answer:
            key = (names[truth], names[answer])
            slow[key] = slow.get(key, 0) + 1
    assert {(a, b): n for a, b, n in pairs} == slow
    assert [n for _, _, n in pairs] == sorted(slow.values(), reverse=True)


@pytest.mark.parametrize(
    ("n_right", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_as_newcombe_1998_table_1_has_it(n_right: int, n: int, low: float, high: float) -> None:
    assert significance.wilson_interval(n_right, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_solves_its_equation(case: tuple[int, int]) -> None:
    n_right, n = case
    low, high = significance.wilson_interval(n_right, n)
    assert 0 <= low <= n_right / n <= high <= 1
    for bound in {low, high} - {0.0, 1.0}:
        # The bounds are where the observed share is 1.96 standard errors away.
        standard_error = math.sqrt(bound * (1 - bound) / n)
        assert abs(n_right / n - bound) == pytest.approx(significance.Z95 * standard_error, rel=1e-6, abs=1e-9)


@given(labels_and_answers(), st.integers(0, 2**32 - 1))
def test_log_loss_one_by_one(case: tuple[np.ndarray, np.ndarray, int], seed: int) -> None:
    y_true, _, n_classes = case
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(n_classes), len(y_true))
    slow = sum(-math.log(max(p[t], 1.4e-45)) for p, t in zip(probabilities, y_true, strict=True)) / len(y_true)
    assert metrics.log_loss(y_true, probabilities) == pytest.approx(slow)


def test_log_loss_of_an_impossible_truth_is_large_and_finite() -> None:
    assert 100 < metrics.log_loss(np.array([0]), np.array([[0.0, 1.0]], np.float32)) < 110


@given(confidence_and_right(), st.integers(1, 20))
def test_calibration_error_slice_by_slice(case: tuple[np.ndarray, np.ndarray], n_bins: int) -> None:
    confidence, right = case
    slow, total = 0.0, 0
    for m in range(n_bins):
        members = []
        for c, r in zip(confidence, right, strict=True):
            first = m == 0 and c == 0
            if first or m < c * n_bins <= m + 1:
                members.append((c, r))
        total += len(members)
        if members:
            mean = sum(c for c, _ in members) / len(members)
            share = sum(bool(r) for _, r in members) / len(members)
            slow += len(members) / len(confidence) * abs(mean - share)
    assert total == len(confidence)
    assert metrics.calibration_error(confidence, right, n_bins) == pytest.approx(slow, abs=1e-9)
    assert metrics.reliability(confidence, right, n_bins)[:, 0].sum() == len(confidence)


@given(confidence_and_right(), confidence_and_right())
def test_auroc_pair_by_pair(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> None:
    inside, outside = a[0], b[0]
    slow = sum(1.0 if i > o else 0.5 if i == o else 0.0 for i, o in itertools.product(inside, outside))
    assert metrics.auroc(inside, outside) == pytest.approx(slow / len(inside) / len(outside))


@given(confidence_and_right(), confidence_and_right(), st.integers(1, 100))
def test_fpr_at_tpr_threshold_by_threshold(
    a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray], percent: int
) -> None:
    inside, outside = a[0], b[0]
    for threshold in sorted(set(inside), reverse=True):
        if 100 * sum(i >= threshold for i in inside) >= percent * len(inside):
            break
    slow = sum(o >= threshold for o in outside) / len(outside)
    assert metrics.fpr_at_tpr(inside, outside, percent / 100) == pytest.approx(slow)


@given(confidence_and_right(), st.integers(1, 10))
def test_accuracy_of_surest_is_the_mean_over_all_orders_of_ties(
    case: tuple[np.ndarray, np.ndarray], tenths: int
) -> None:
    confidence, right = case[0][:6], case[1][:6]
    n_in = max(1, len(right) * tenths // 10)
    # Every order that sorts by confidence is as good as any other: take the mean over all of them.
    orders = [p for p in itertools.permutations(range(len(right))) if list(confidence[list(p)]) == sorted(confidence)]
    slow = sum(sum(bool(right[i]) for i in order[-n_in:]) / n_in for order in orders) / len(orders)
    assert metrics.accuracy_of_surest(right, confidence, tenths / 10) == pytest.approx(slow)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_two_sided_binomial_test(n_fixed: int, n_broken: int) -> None:
    from scipy.stats import binomtest

    theirs = binomtest(n_fixed, n_fixed + n_broken, 0.5).pvalue if n_fixed + n_broken else 1.0
    assert significance.mcnemar_exact(n_fixed, n_broken) == pytest.approx(theirs, rel=1e-6)


def test_mcnemar_of_many_does_not_underflow_to_nonsense() -> None:
    assert significance.mcnemar_exact(5000, 5000) == 1.0
    assert 0 <= significance.mcnemar_exact(9000, 1000) < 1e-300


def test_paired_interval_covers_the_truth_about_19_times_in_20() -> None:
    rng = np.random.default_rng(0)
    n, p_fixed, p_broken = 400, 0.06, 0.02
    draws = rng.multinomial(n, [p_fixed, p_broken, 1 - p_fixed - p_broken], size=2000)
    covered = 0
    for fixed, broken, _ in draws:
        low, high = significance.paired_interval(int(fixed), int(broken), n)
        covered += low <= p_fixed - p_broken <= high
    assert 0.93 < covered / 2000 < 0.975


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_by_its_definition(p_values: list[float]) -> None:
    adjusted = significance.holm(p_values)
    ranked = sorted(p_values)
    for p, ours in zip(p_values, adjusted, strict=True):
        # The largest, among the p-values not above this one, of (how many are not below it) times it.
        slow = max((len(p_values) - ranked.index(q)) * q for q in ranked if q <= p)
        assert ours == pytest.approx(min(1.0, slow))


@given(st.text("01.", max_size=7), st.text("01.", max_size=7))
def test_edit_distance_by_recursion(a: str, b: str) -> None:
    @cache
    def slow(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        replaced = slow(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(slow(i - 1, j) + 1, slow(i, j - 1) + 1, replaced)

    assert metrics.edit_distance(a, b) == slow(len(a), len(b))
    assert metrics.edit_distance(b, a) == slow(len(a), len(b))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: metrics.count_errors(np.zeros(3), np.zeros(2)), "3 and 2"),
        (lambda: metrics.count_errors(np.zeros(0), np.zeros(0)), "is empty"),
        (lambda: significance.wilson_interval(3, 2), "3 right of 2"),
        (lambda: significance.wilson_interval(0, 0), "0 right of 0"),
        (lambda: metrics.confusion_matrix(np.array([0]), np.array([10]), 10), "0 to 9"),
        (lambda: metrics.confusion_matrix(np.array([-1]), np.array([0]), 10), "0 to 9"),
        (lambda: metrics.auroc(np.zeros(0), np.zeros(2)), "inside is empty"),
        (lambda: metrics.auroc(np.zeros(2), np.zeros(0)), "outside is empty"),
        (lambda: metrics.fpr_at_tpr(np.zeros(2), np.zeros(2), 0.0), "tpr"),
        (lambda: metrics.accuracy_of_surest(np.zeros(2), np.zeros(2), 1.5), "share"),
        (lambda: significance.mcnemar_exact(-1, 2), "negative"),
        (lambda: significance.paired_interval(3, 3, 5), "3 fixed and 3 broken of 5"),
    ],
)
def test_nonsense_is_refused_in_words(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]
