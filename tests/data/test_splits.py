import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigits.data.splits import Split, hold_out
from inkdigits.errors import DataError

Splits = tuple[Split, Split]


def test_hold_out_is_stratified_deterministic_and_loses_nothing(toy: Splits) -> None:
    train, validation = hold_out(toy[0], 100, seed=3)
    assert (len(train), len(validation), train.name, validation.name) == (500, 100, "train", "validation")
    assert np.bincount(validation.labels).tolist() == [10] * 10
    together = sorted(image.tobytes() for image in [*train.images, *validation.images])
    assert together == sorted(image.tobytes() for image in toy[0].images)
    again = hold_out(toy[0], 100, seed=3)[1]
    np.testing.assert_array_equal(again.images, validation.images)
    assert (hold_out(toy[0], 100, seed=4)[1].images != validation.images).any()


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.data())
def test_hold_out_gives_every_class_its_share_within_one(labels: list[int], data: st.DataObject) -> None:
    y = np.array(labels)
    n = data.draw(st.integers(1, len(y) - 1))
    split = Split(np.zeros((len(y), 28, 28), np.uint8), y, "train", tuple("0123"), "", "")
    train, validation = hold_out(split, n, 0)
    assert (len(train), len(validation)) == (len(y) - n, n)
    share = np.bincount(y, minlength=4) * n / len(y)
    assert (abs(np.bincount(validation.labels, minlength=4) - share) <= 2).all()


@pytest.mark.parametrize("n", [0, -1, 600, 601])
def test_hold_out_of_all_or_nothing_is_refused(toy: Splits, n: int) -> None:
    with pytest.raises(DataError, match="choose 1 to 599"):
        hold_out(toy[0], n, 0)


def test_take(toy: Splits) -> None:
    assert len(toy[0].take(7)) == 7
    np.testing.assert_array_equal(toy[0].take(slice(5, 9)).labels, toy[0].labels[5:9])
