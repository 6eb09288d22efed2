import numpy as np
import pytest

from inkdigits.reading.digit_reader import DigitReader
from inkdigits.reading.explain import draw_map, occlusion_map
from inkdigits.reading.reader import Reader


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def one(reader: Reader) -> np.ndarray:
    picture = np.full((80, 60), 230, np.uint8)
    picture[10:70, 27:33] = 30
    return reader.frame(picture)


def test_the_ink_speaks_for_the_answer(reader: Reader, one: np.ndarray) -> None:
    importance = occlusion_map(reader, one)
    assert importance.shape == (28, 28)
    assert importance.dtype == np.float32
    assert (importance[one == 0] == 0).all()
    assert importance.max() > 0
    np.testing.assert_array_equal(importance, occlusion_map(DigitReader(), one, 1))
    assert occlusion_map(reader, one, 7).max() < importance.max()


def test_the_map_is_drawn_where_the_ink_is(reader: Reader, one: np.ndarray) -> None:
    drawn = draw_map(occlusion_map(reader, one), one)
    assert drawn.shape == (280, 280, 3)
    assert drawn[np.kron(one, np.ones((10, 10))) == 0].max() == 0
    assert drawn.max() > 0


def test_blank_paper_has_an_empty_map(reader: Reader) -> None:
    assert not occlusion_map(reader, np.zeros((28, 28), np.uint8)).any()


def test_other_pictures_and_digits_are_named(reader: Reader, one: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        occlusion_map(reader, np.zeros((30, 28), np.uint8))
    with pytest.raises(ValueError, match="digit must be 0 to 9"):
        occlusion_map(reader, one, 10)
