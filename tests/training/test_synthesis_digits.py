import cv2
import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.reading.normalise.digit import is_framed
from inkdigits.training.synthesis.degrade import enlarge, gridded
from inkdigits.training.synthesis.digits import NONE, another_hand, compose_digits
from inkdigits.training.synthesis.non_digits import MAKERS, WEIGHTS, Maker
from inkdigits.training.synthesis.strokes import DRAWN_STYLES, HANDS, drawn, segments, smooth_curve

Splits = tuple[Split, Split]


@pytest.fixture(scope="module")
def composed(toy: Splits) -> tuple[np.ndarray, np.ndarray]:
    return compose_digits(toy[0].images, toy[0].labels, 1000, seed=3, none_share=0.25)


def test_shapes_types_and_shares(composed: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = composed
    assert images.shape == (1000, 28, 28)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert set(labels) == set(range(11))
    assert (labels == NONE).mean() == pytest.approx(0.25, abs=0.06)


def test_the_seed_fixes_all(toy: Splits, composed: tuple[np.ndarray, np.ndarray]) -> None:
    again = compose_digits(toy[0].images, toy[0].labels, 1000, seed=3, none_share=0.25)
    other = compose_digits(toy[0].images, toy[0].labels, 1000, seed=4, none_share=0.25)
    np.testing.assert_array_equal(again[0], composed[0])
    np.testing.assert_array_equal(again[1], composed[1])
    assert (other[0] != composed[0]).any()


def test_digits_have_ink_and_lie_in_the_middle(composed: tuple[np.ndarray, np.ndarray]) -> None:
    digits = composed[0][composed[1] != NONE].astype(float)
    mass = digits.sum(axis=(1, 2))
    assert (mass > 1000).mean() > 0.99
    place = np.arange(28)
    off = np.abs((digits.sum(axis=1) @ place) / mass - 13.8)
    assert np.quantile(off, 0.95) < 2.5


def test_digits_are_changed_but_known_again(toy: Splits) -> None:
    # A nearest-mean classifier of the unchanged digits still knows most of the changed ones.
    means = np.stack([toy[0].images[toy[0].labels == k].mean(axis=0).ravel() for k in range(10)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    labels = toy[0].labels[:300]
    changed = [another_hand(rng, i, int(k)) for i, k in zip(toy[0].images, labels, strict=False)]
    answers = (np.stack(changed).reshape(300, -1) @ means.T).argmax(axis=1)
    assert (answers == labels).mean() > 0.4
    assert all((a != b).any() for a, b in zip(changed, toy[0].images, strict=False))


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_every_maker_of_no_digits_makes_different_pictures(maker: Maker, toy: Splits) -> None:
    rng = np.random.default_rng(1)
    made = [maker(rng, toy[0].images, toy[0].labels) for _ in range(30)]
    assert all(m.shape in ((28, 28), (112, 112)) or m.ndim == 2 for m in made)
    assert len({m.tobytes() for m in made}) > 15
    assert np.isfinite(np.concatenate([m.ravel() for m in made])).all()


@pytest.mark.parametrize("label", sorted({*HANDS, *DRAWN_STYLES}))
def test_drawn_styles_fill_their_canvas(label: int) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        strokes = drawn(rng, label)
        assert strokes.shape == (112, 112)
        assert strokes.dtype == np.float32
        assert 0.01 < strokes.mean() < 0.5
        assert strokes.max() == 1


@pytest.mark.parametrize(("steps", "overshoot"), [(8, 0), (6, 1)])
def test_a_curve_passes_through_its_points_and_turns_sharply_at_one_given_twice(steps: int, overshoot: float) -> None:
    points = np.array([[0, 0], [1, 0], [1, 0], [1, 1], [0, 2]], float)
    curve = smooth_curve(points, steps, overshoot)
    np.testing.assert_allclose(curve[::steps], points, atol=1e-12)
    assert len(curve) == 4 * steps + 1
    assert np.abs(curve[steps : 2 * steps] - [1, 0]).max() < 0.1  # no more than a small loop at the corner


def test_the_callers_opencv_threads_are_left_alone(toy: Splits) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        compose_digits(toy[0].images, toy[0].labels, 20, seed=0)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_calculator_digits_are_ten_different_ones() -> None:
    shapes = [segments(np.random.default_rng(5), label) > 0.5 for label in range(10)]
    assert len({s.tobytes() for s in shapes}) == 10
    # An 8 lights every segment, so that it covers all others.
    assert all((s & shapes[8]).sum() > 0.8 * s.sum() for s in shapes)


def test_coarse_scans_come_back_in_mnists_form(toy: Splits) -> None:
    rng = np.random.default_rng(0)
    scans = np.stack([gridded(rng, enlarge(i)) for i in toy[0].images[:100]])
    assert is_framed(scans)


def test_weights_are_shares() -> None:
    assert sum(WEIGHTS) == pytest.approx(1)
    assert len(WEIGHTS) == len(MAKERS)
