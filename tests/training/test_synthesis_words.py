"""Ink that is no digit: something is drawn, at the size of the digits beside it, the same for the same seed."""

import numpy as np

from inkdigits.training.synthesis.styles import PEN_PX
from inkdigits.training.synthesis.words import LOOK_ALIKES, SIGNS, cross_out, other_ink


def test_other_ink_is_about_as_tall_as_digits_and_never_empty() -> None:
    rng = np.random.default_rng(0)
    pieces = [other_ink(rng, 5.0) for _ in range(300)]
    assert all(piece.dtype == np.uint8 and piece.ndim == 2 for piece in pieces)
    assert min(int(piece.max()) for piece in pieces) > 60
    heights = np.array([piece.shape[0] for piece in pieces])
    assert heights.max() <= 2 * PEN_PX
    assert 0.5 * PEN_PX < np.median(heights) < 1.2 * PEN_PX
    widths = np.array([piece.shape[1] for piece in pieces])
    assert len(set(widths.tolist())) > 80, "words of many lengths"


def test_the_same_seed_draws_the_same() -> None:
    first, second = (other_ink(np.random.default_rng(7), 4.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_signs_are_none_that_numbers_are_written_with() -> None:
    assert not set(SIGNS) & set("0123456789.,-|")
    assert set("oOlISZ") <= set(LOOK_ALIKES)


def test_what_is_crossed_out_keeps_its_ink_and_gets_more() -> None:
    rng = np.random.default_rng(1)
    ink = np.zeros((40, 90), np.uint8)
    ink[5:35, 20:25] = 200
    for _ in range(20):
        crossed = cross_out(rng, ink, 4.0)
        assert crossed.shape == ink.shape
        assert (crossed >= ink).all()
        assert int(crossed.astype(int).sum()) > 1.2 * int(ink.astype(int).sum())
        assert ink[:, :20].max() == 0, "the ink handed in is not changed"
