"""Synthesis: pictures of rows with their truth, the same for the same seed."""

import cv2
import numpy as np
import pytest

from inkdigits.reading.normalise.line import normalise_line
from inkdigits.training.synthesis import camera
from inkdigits.training.synthesis.lines import bent, compose_line
from inkdigits.training.synthesis.page_lines import line_images
from inkdigits.training.synthesis.strokes import GLYPHS, MANY_GLYPHS
from inkdigits.training.synthesis.styles import ALPHABET, STYLES, Digits


@pytest.fixture(scope="module")
def digits() -> Digits:
    """Bars and boxes in place of MNIST: the synthesis knows shapes only by their labels."""
    images = np.zeros((40, 28, 28), np.uint8)
    for i, image in enumerate(images):
        image[4:24, 8 : 10 + i % 10] = 255
        image[8:20, 9 : 9 + i % 10] = 0
    return Digits(images, np.arange(40) % 10)


@pytest.mark.parametrize("style", STYLES)
def test_rows_have_ink_and_a_text_of_the_alphabet(digits: Digits, style: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        picture, text = compose_line(rng, digits, STYLES[style])
        assert picture.dtype == np.uint8
        assert picture.ndim == 2
        assert min(picture.shape) >= 8
        assert text
        assert set(text) <= set(ALPHABET)
        assert any(char.isdigit() for char in text) or STYLES[style].mixed
        assert np.ptp(picture) > 3


def test_the_same_seed_makes_the_same_strips(digits: Digits) -> None:
    first, second, other = (line_images(np.random.default_rng(s), digits, "cell", 12, 32) for s in (5, 5, 6))
    assert first[1] == second[1] != other[1]
    assert all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True))
    assert all(image.shape[0] == 32 and image.shape[1] % 16 == 0 for image in first[0])


def test_every_digit_has_a_drawing_of_points_in_or_near_its_box() -> None:
    assert sorted(GLYPHS) == sorted(MANY_GLYPHS) == list(range(10))
    for ways in MANY_GLYPHS.values():
        for stroke in (stroke for way in ways for stroke in way):
            assert stroke.shape[1] == 2
            assert len(stroke) >= 2
            assert stroke.min() >= -0.1
            assert stroke.max() <= 1.5


def test_a_bent_digit_keeps_its_ink_and_about_its_size() -> None:
    piece = np.zeros((40, 24), np.uint8)
    piece[:, 8:14] = 255
    moved = bent(np.random.default_rng(0), piece, 0.04)
    assert 0.7 < np.count_nonzero(moved > 127) / np.count_nonzero(piece) < 1.4
    assert 30 <= moved.shape[0] <= 50
    assert not np.array_equal(moved, piece)
    assert cv2.connectedComponents((moved > 127).astype(np.uint8))[0] == 2


def test_strips_are_the_readers_own(digits: Digits) -> None:
    rng, again = np.random.default_rng(2), np.random.default_rng(2)
    images, texts = line_images(rng, digits, "clean", 1, 32)
    picture, text = compose_line(again, digits, STYLES["clean"])
    assert text == texts[0]
    assert np.array_equal(images[0], normalise_line(picture, 32))


def test_a_row_as_flat_as_a_minus_is_cut_by_the_edge_and_still_there(digits: Digits) -> None:
    row = np.full((3, 40), 255, np.uint8)
    for seed in range(400):  # one in some was empty, and failed
        picture = camera._on_paper(np.random.default_rng(seed), digits, row, 90.0, STYLES["page"])
        assert min(picture.shape) >= 12
