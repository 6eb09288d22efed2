"""Pictures that occur twice are found, planted ones all of them, and different ones are not."""

from typing import Any

import cv2
import numpy as np
import pytest

from inkdigits.audit.duplicates import NEAR, Duplicate, _unit, find_duplicates
from inkdigits.data.splits import Split

Splits = tuple[Split, Split]


def shifted(image: np.ndarray, down: int, right: int) -> np.ndarray:
    return np.roll(image, (down, right), axis=(0, 1))


def noisy(image: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 5, image.shape)
    return np.clip(image * 0.85 + noise, 0, 255).astype(np.uint8)


def as_jpeg(image: np.ndarray) -> np.ndarray:
    decoded = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1], cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return decoded


CHANGES: dict[str, Any] = {
    "moved": lambda image: shifted(image, 2, -1),
    "darker": lambda image: (image * 0.6).astype(np.uint8),
    "noisy and moved": lambda image: shifted(noisy(image), -1, 1),
    "a JPEG": as_jpeg,
}


def near_pairs_the_slow_way(images: np.ndarray) -> set[tuple[int, int]]:
    """Every pair at every shift up to 6 pixels each way (printed digits are 4 apart at most), one after the other."""
    unit = np.pad(_unit(images), ((0, 0), (6, 6), (6, 6)))
    best = np.zeros((len(unit), len(unit)))
    for down in range(-6, 7):
        for right in range(-6, 7):
            moved = np.roll(unit, (down, right), axis=(1, 2)).reshape(len(unit), -1)
            best = np.maximum(best, unit.reshape(len(unit), -1) @ moved.T)
    return {(int(i), int(j)) for i, j in np.argwhere(best >= NEAR) if i < j}


def distinct(images: np.ndarray, n: int) -> np.ndarray:
    """The first n of the images which are like none before: printed digits repeat themselves."""
    pairs = find_duplicates(images)
    return np.delete(images, sorted({each.second for each in pairs}), axis=0)[:n].copy()


def test_all_that_the_slow_way_finds_and_no_more(toy: Splits) -> None:
    images = toy[0].images[:200]
    found = {(each.first, each.second) for each in find_duplicates(images)}
    assert found == near_pairs_the_slow_way(images)
    assert len(found) > 5


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found(change: str, toy: Splits) -> None:
    images = distinct(toy[0].images, 200)
    images[150] = CHANGES[change](images[20])
    (found,) = find_duplicates(images)
    assert (found.first, found.second, found.exact) == (20, 150, False)
    assert NEAR <= found.similarity <= 1


def test_equal_pictures_are_paired_with_the_first(toy: Splits) -> None:
    images = distinct(toy[0].images, 100)
    images[[40, 70]] = images[3]
    images[[50, 60]] = 0
    assert find_duplicates(images) == [Duplicate(*pair, 1.0, True) for pair in ((3, 40), (50, 60), (3, 70))]


def test_few_pictures_have_few_twins() -> None:
    assert find_duplicates(np.zeros((0, 28, 28), np.uint8)) == []
    assert find_duplicates(np.zeros((1, 28, 28), np.uint8)) == []


def test_no_digit_of_mnist_is_taken_for_another(mnist: Splits) -> None:
    assert find_duplicates(mnist[1].images) == []
