"""From the finder's maps to rows, and from copies of a picture to the picture, without any network."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inkdigits.errors import ModelError
from inkdigits.reading.finder import TILE_PX, Finder, cut_row
from inkdigits.reading.found_rows import FoundRow, merged, rows_of
from inkdigits.reading.geometry import map_points
from inkdigits.reading.model import SHIPPED, OnnxModel

CARD = {"kind": "finder", "classes": list("abcde"), "stride": 4, "half_px": 16.0, "threshold": 0.6, "rows": {}}


def row(x: float, y: float, half_width: float, half_height: float, degrees: float = 0.0) -> FoundRow:
    return FoundRow(x, y, half_width, half_height, float(np.deg2rad(degrees)), 0.9, 0.0)


def maps_of(shape: tuple[int, int], rows: list[FoundRow], other: list[FoundRow] | None = None) -> np.ndarray:
    """Return maps float32 (h, w, 5) of a picture in which the rows lie, drawn at 16 times their resolution."""
    height, width = -(-shape[0] // 4), -(-shape[1] // 4)
    maps = np.zeros((height, width, 5), np.float32)
    maps[..., :2], maps[..., 3] = -6, 1
    for channel, group in ((0, rows), (1, other or [])):
        for each in group:
            thin = FoundRow(each.x, each.y, each.half_width, each.half_height / 2 ** (channel == 0), each.angle, 1, 0)
            fine = np.zeros((height * 4, width * 4), np.uint8)
            cv2.fillPoly(fine, [np.rint((thin.corners() - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
            there = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA) > 110
            maps[there, channel] = 4
            if channel == 0:
                maps[there, 2] = np.log(each.half_height / 16)
                maps[there, 3:] = np.cos(2 * each.angle), np.sin(2 * each.angle)
    return maps


def found(shape: tuple[int, int], rows: list[FoundRow], other: list[FoundRow] | None = None) -> list[FoundRow]:
    return sorted(rows_of(maps_of(shape, rows, other), 4, 16.0, 0.6), key=lambda each: (round(each.y), each.x))


def assert_same(ours: FoundRow, theirs: FoundRow, slack_px: float = 4.0) -> None:
    assert np.hypot(ours.x - theirs.x, ours.y - theirs.y) < slack_px
    assert abs(ours.half_width - theirs.half_width) < slack_px
    assert ours.half_height == pytest.approx(theirs.half_height, rel=0.05)
    turn = (ours.angle - theirs.angle + np.pi / 2) % np.pi - np.pi / 2
    assert abs(turn) < 0.06


@pytest.mark.parametrize("degrees", [0, 7, -20, 45, 89, -90, 70])
def test_rows_lie_where_the_maps_show_them(degrees: float) -> None:
    true = row(150, 160, 90, 16, degrees)
    (ours,) = found((320, 300), [true])
    assert_same(ours, true)
    assert ours.score > 0.9
    assert ours.other == 0


@pytest.mark.parametrize("degrees", [0, 90, 30])
def test_a_single_digit_has_the_axis_of_the_map(degrees: float) -> None:
    (ours,) = found((200, 200), [row(100, 100, 12, 20, degrees)])
    assert_same(ours, row(100, 100, 12, 20, degrees))


def test_tiny_rows_close_together_stay_apart() -> None:
    rows = [row(60, 20 + 14 * i, 40, 4) for i in range(8)]
    ours = found((140, 130), rows)
    assert len(ours) == 8
    for each, true in zip(ours, rows, strict=True):
        assert_same(each, true)


def test_broken_rows_are_joined_but_not_over_signs_or_wide_gaps() -> None:
    left, right, far = row(60, 60, 30, 12, 0), row(130, 62, 30, 12, 0), row(230, 60, 30, 12, 0)
    ours = found((120, 300), [left, right, far])
    assert [round(each.half_width, -1) for each in ours] == [60, 30] or len(ours) == 2
    assert len(found((120, 300), [left, right], [row(95, 60, 4, 8)])) == 2
    assert len(found((120, 300), [left, row(130, 62, 30, 24)])) == 2


def test_writing_beside_a_row_is_told() -> None:
    (ours,) = found((120, 300), [row(100, 60, 40, 12)], [row(180, 60, 35, 12)])
    assert 0.3 < ours.other <= 0.5


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (64, 64), (65, 131)])
def test_empty_maps_hold_no_rows(shape: tuple[int, int]) -> None:
    assert found(shape, []) == []


def test_unsure_cores_are_left_out() -> None:
    maps = maps_of((120, 200), [row(100, 60, 40, 12)])
    maps[..., 0] = np.where(maps[..., 0] > 0, 0.2, -6)
    assert rows_of(maps, 4, 16.0, 0.6) == []
    assert len(rows_of(maps, 4, 16.0, 0.5)) == 1


def test_of_rows_over_each_other_the_surer_and_longer_stays() -> None:
    digit, curves = row(100, 100, 30, 45), [row(100, 75, 6, 8), row(100, 125, 6, 8)]
    assert merged(curves, [digit]) == [digit]
    page = [row(100, 60 + 20 * i, 80, 8) for i in range(5)]
    assert merged(page, [row(100, 100, 30, 45)]) == page
    apart = row(300, 100, 30, 45)
    assert merged([digit], [apart]) == [digit, apart]


# ------------------------------------------------------------------------------------------------- the whole finder


class Painted(OnnxModel):
    """Stands for a network: where a picture is dark there is a core, as high as the card's usual row."""

    def __init__(self) -> None:
        self.path, self.card, self.largest = Path("painted.onnx"), CARD, 0

    def require(self, kind: str, fields: object) -> None:
        pass

    def scores(self, images: np.ndarray) -> np.ndarray:
        assert images.shape[1] % 64 == images.shape[2] % 64 == 0
        self.largest = max(self.largest, images[0].size)
        maps = np.zeros((len(images), images.shape[1] // 4, images.shape[2] // 4, 5), np.float32)
        small = cv2.resize(images[0], maps.shape[2:0:-1], interpolation=cv2.INTER_AREA)
        maps[..., 0], maps[..., 1], maps[..., 3] = np.where(small < 128, 5, -5), -5, 1
        ys = np.flatnonzero((small < 128).any(axis=1))
        tall = 4.0 * len(ys) if len(ys) else 16.0  # the core is half as high as its row
        maps[..., 2] = np.log(tall / 16)
        return maps


@pytest.mark.parametrize(
    ("shape", "half_height"),
    [((480, 640), 20), ((479, 641), 20), ((3000, 4000), 700), ((3000, 4000), 25), ((50, 90), 15)],
)
def test_a_row_of_any_size_is_found_once_in_the_pictures_pixels(shape: tuple[int, int], half_height: int) -> None:
    picture = np.full(shape, 255, np.uint8)
    y, x = shape[0] // 2, shape[1] // 2
    picture[y - half_height // 2 : y + half_height // 2, x // 2 : x + x // 2] = 0
    network = Painted()
    (ours,) = Finder(network).find(picture)
    slack = max(4.0, max(shape) / 150)
    assert abs(ours.x - x) < slack
    assert abs(ours.y - y) < slack
    assert abs(ours.half_width - x / 2) < 2 * slack
    assert ours.half_height == pytest.approx(half_height, rel=0.35)
    assert network.largest <= TILE_PX**2 + 64 * 64


def test_tiles_give_the_maps_that_one_piece_gives() -> None:
    picture = np.full((TILE_PX + 300, 2 * TILE_PX + 40), 255, np.uint8)
    picture[200:240, 100:2500] = picture[1400:1440, 1000:1400] = 0
    maps = Finder(Painted()).maps(picture)
    assert maps.shape == (-(-picture.shape[0] // 4), -(-picture.shape[1] // 4), 5)
    np.testing.assert_array_equal(maps[..., 0] > 0, picture[::4, ::4] == 0)


def test_another_network_is_no_finder() -> None:
    with pytest.raises(ModelError, match="not a page finder"):
        Finder(SHIPPED / "line.onnx")
    with pytest.raises(ValueError, match="threads"):
        Finder(Painted(), threads=0)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("degrees", [0, 25, 90, -60])
def test_a_crop_is_level_with_room_and_leads_back_to_the_picture(degrees: float, turned: bool) -> None:
    picture = np.full((400, 500), 200, np.uint8)
    true = row(240, 210, 80, 15, degrees)
    cv2.fillPoly(picture, [np.rint(true.corners()).astype(np.int32)], 0)
    crop, to_picture = cut_row(picture, true, turned)
    assert crop.dtype == np.uint8
    assert crop.shape == (45, 190)
    assert (crop[9:36, 17:173] < 60).all()
    assert (crop[:6] > 150).all()
    assert (crop[:, :13] > 150).all()
    middle = map_points(to_picture, np.array([[95.0, 22.5], [100.0, 22.5]]))
    np.testing.assert_allclose(middle[0], (240, 210), atol=1e-6)
    along = (middle[1] - middle[0]) / 5
    np.testing.assert_allclose(along, (-1) ** turned * np.array([np.cos(true.angle), np.sin(true.angle)]), atol=1e-6)


def test_large_rows_are_reduced_and_rows_at_the_edge_are_cut() -> None:
    picture = np.zeros((2000, 3000), np.uint8)
    crop, _ = cut_row(picture, row(1500, 1000, 1200, 400))
    assert crop.shape[0] == 96
    crop, _ = cut_row(picture, row(2990, 1990, 60, 15))
    assert crop.shape == (45, 150)
    crop, _ = cut_row(picture, row(1, 1, 0.5, 0.2))
    assert min(crop.shape) >= 4
