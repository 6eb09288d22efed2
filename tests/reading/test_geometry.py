import cv2
import numpy as np
import pytest

from inkdigits.reading.geometry import (
    box_around,
    box_of,
    hull_of,
    map_box,
    map_points,
    resized,
    rotation,
    sample_picture,
    translation,
    turn_back,
)


def test_the_box_of_a_mask() -> None:
    mask = np.zeros((6, 9), bool)
    assert box_of(mask) is None
    mask[2, 3] = mask[4, 7] = True
    assert box_of(mask) == (3, 2, 5, 3)
    mask[:] = True
    assert box_of(mask) == (0, 0, 9, 6)


def test_boxes_around_points_and_boxes() -> None:
    assert box_around(np.array([[1.2, 3.0], [4.0, 5.9]])) == (1, 3, 3, 3)
    assert box_around(np.array([[0.9999, 3.0], [4.0001, 5.0]]), slack_px=0.01) == (1, 3, 3, 2)
    assert hull_of([(1, 2, 3, 4), (0.5, 3, 1, 1)]) == (0, 2, 4, 4)


def test_points_through_affine_and_projective_transforms() -> None:
    points = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(map_points(translation(10, 20), points), [[11, 22], [13, 24]])
    np.testing.assert_array_equal(map_points(translation(10, 20)[:2], points), [[11, 22], [13, 24]])
    half = np.diag([1.0, 1.0, 2.0])
    np.testing.assert_array_equal(map_points(half, points), points / 2)
    np.testing.assert_allclose(map_box(rotation(np.pi / 2), (0, 0, 4, 2)), (-2, 0, 2, 4), atol=1e-12)


@pytest.mark.parametrize("turns", range(4))
def test_a_turned_picture_and_the_way_back(turns: int) -> None:
    picture = np.zeros((30, 50), np.uint8)
    picture[4:7, 10:15] = 255
    turned = np.rot90(picture, turns)
    box = box_of(turned > 0)
    assert box is not None
    np.testing.assert_allclose(map_box(turn_back(turns, (50, 30)), box), (10, 4, 5, 3))


def test_a_picture_is_resized_to_at_least_one_pixel() -> None:
    image = np.full((3, 200), 7, np.uint8)
    assert resized(image, 0.01).shape == (1, 2)
    assert resized(image, 2).shape == (6, 400)
    assert resized(image.astype(np.float32), 0.5).dtype == np.float32


def test_a_sample_is_the_picture_seen_through_the_transform() -> None:
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8), (0, 0), 2)
    np.testing.assert_array_equal(sample_picture(picture, np.eye(3), (80, 60)), picture)
    np.testing.assert_array_equal(sample_picture(picture, translation(10, 20), (30, 25)), picture[20:45, 10:40])
    assert sample_picture(picture, np.diag([2.0, 2.0, 1.0]), (40, 30)).shape == (30, 40)
