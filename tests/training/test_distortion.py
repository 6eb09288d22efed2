import numpy as np

from inkdigits.data.splits import Split
from inkdigits.training.synthesis.distortion import CHUNK, distort

Splits = tuple[Split, Split]


def test_nothing_changes_at_nought_and_next_to_nothing_just_above(toy: Splits) -> None:
    images = toy[0].images
    assert distort(images, 0.0, 1) is images
    np.testing.assert_array_equal(distort(images, 1e-6, 1), images)


def test_the_seed_fixes_all_and_every_image_goes_its_own_way(toy: Splits) -> None:
    same = np.repeat(toy[0].images[:1], 50, axis=0)
    first, again, other = distort(same, 1.0, 3), distort(same, 1.0, 3), distort(same, 1.0, 4)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len(np.unique(first.reshape(50, -1), axis=0)) == 50


def test_neighbours_in_the_tall_picture_do_not_show() -> None:
    images = np.zeros((CHUNK + 7, 28, 28), np.uint8)
    images[::2] = 255  # ink to the very edge beside blank paper
    distorted = distort(images, 1.5, 0)
    assert distorted.shape == images.shape
    assert distorted.dtype == np.uint8
    assert distorted[1::2].max() == 0
    assert distorted[::2].mean() > 150


def test_more_distortion_moves_more(toy: Splits) -> None:
    images = toy[0].images.astype(float)
    apart = [np.abs(distort(toy[0].images, strength, 2) - images).mean() for strength in (0.1, 0.5, 1.0)]
    assert apart == sorted(apart)
    assert apart[0] > 0


def test_digits_stay_in_the_picture(toy: Splits) -> None:
    ink = toy[0].images.sum(axis=(1, 2), dtype=float)
    kept = distort(toy[0].images, 0.7, 2).sum(axis=(1, 2), dtype=float) / ink
    assert np.quantile(kept, 0.01) > 0.7
