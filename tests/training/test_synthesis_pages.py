"""Synthetic pages: the same for the same seed, of every kind, with maps that tell where the rows are."""

import cv2
import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.training.synthesis.page_layouts import LAYOUTS, fill_sheet
from inkdigits.training.synthesis.page_lines import row_around
from inkdigits.training.synthesis.page_maps import CHANNELS, as_floats, draw_maps
from inkdigits.training.synthesis.page_parts import Part
from inkdigits.training.synthesis.page_rows import PENS, Pen, Sheet, Writer, random_pen
from inkdigits.training.synthesis.pages import PAGE_STYLES, View, compose_page
from inkdigits.training.synthesis.papers import PAPERS, printed_paper
from inkdigits.training.synthesis.styles import Digits, Hand
from inkdigits.training.synthesis.surfaces import DESKS, desk

STYLE = PAGE_STYLES["train"]
PEN = Pen(Hand(0.0, 1.0, 4.0, 0.1, 0.0, 0.0, (0,) * 10), 30.0, 1.0)


@pytest.fixture(scope="module")
def digits(toy: tuple[Split, Split]) -> Digits:
    return Digits(toy[0].images, toy[0].labels)


def writer(digits: Digits, shape: tuple[int, int] = (120, 700)) -> Writer:
    return Writer(np.random.default_rng(0), digits, Sheet(np.zeros(shape, np.uint8)), PEN)


def test_a_page_has_a_picture_and_maps_a_quarter_its_size_fixed_by_the_seed(digits: Digits) -> None:
    first, again, other = (compose_page(np.random.default_rng(s), digits, (192, 256), STYLE) for s in (4, 4, 5))
    assert first.image.shape == (192, 256)
    assert first.maps.shape == (48, 64, len(CHANNELS))
    assert first.image.dtype == first.maps.dtype == np.uint8
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.maps, again.maps)
    assert (first.image != other.image).any()


def test_held_out_styles_share_nothing_with_those_that_are_learned() -> None:
    train, held_out = PAGE_STYLES["train"], PAGE_STYLES["held_out"]
    for ours, theirs, every in (
        (train.papers, held_out.papers, PAPERS),
        (train.desks, held_out.desks, DESKS),
        (train.pens, held_out.pens, PENS),
    ):
        assert set(ours) | set(theirs) == set(every)
        assert not set(ours) & set(theirs)
        assert theirs
    assert len(held_out.papers) >= 2
    assert len(held_out.desks) >= 2


@pytest.mark.parametrize("kind", DESKS)
def test_desks_have_their_texture(kind: str) -> None:
    surface = desk(np.random.default_rng(1), (100, 140), kind)
    assert surface.shape == (100, 140)
    assert np.isfinite(surface).all()
    assert surface.std() > 0.1


@pytest.mark.parametrize("kind", PAPERS)
def test_papers_have_their_lines(kind: str) -> None:
    layer = printed_paper(np.random.default_rng(2), (200, 300), kind, (24.0, 30.0))
    assert layer.shape == (200, 300)
    assert layer.dtype == np.uint8
    assert bool(layer.any()) == (kind != "blank")


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_write_what_they_label(digits: Digits, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, _, sizes = LAYOUTS[name]
    monkeypatch.setattr("inkdigits.training.synthesis.page_layouts.LAYOUTS", {name: (layout, 1.0, sizes)})
    n_rows = 0
    for seed in range(6):
        sheet = Sheet(np.zeros((300, 400), np.uint8))
        fill_sheet(np.random.default_rng(seed), digits, sheet, tuple(PENS))
        n_rows += len(sheet.rows)
        for row in sheet.rows:
            mask = np.zeros(sheet.ink.shape, np.uint8)
            cv2.fillPoly(mask, [np.concatenate([row[0], row[1, ::-1]]).astype(np.int32)], 1)
            assert not mask.any() or sheet.ink[mask > 0].max() > 40
    assert (n_rows == 0) == (name in ("text", "empty"))


def test_shares_of_layouts_sum_to_one() -> None:
    assert sum(share for _, share, _ in LAYOUTS.values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", PENS)
def test_pens_write_legibly_at_any_size(digits: Digits, kind: str) -> None:
    for height in (9.0, 40.0, 300.0):
        sheet = Sheet(np.zeros((int(1.6 * height) + 8, int(4 * height) + 8), np.uint8))
        pen = random_pen(np.random.default_rng(3), height, kind)
        Writer(np.random.default_rng(3), digits, sheet, pen).write([Part("8", "number")], 4, 1.3 * height)
        assert len(sheet.rows) == 1
        assert sheet.ink.max() > 60


def test_close_numbers_are_one_row_and_wide_gaps_and_signs_part_rows(digits: Digits) -> None:
    for parts, n_rows, n_other, n_unsure in (
        ([Part("12", "number"), Part("345", "number", 0.8)], 1, 0, 0),
        ([Part("12", "number"), Part("345", "number", 3.0)], 2, 0, 0),
        ([Part("12", "number"), Part("345", "number", 1.7)], 2, 0, 1),
        ([Part("12", "number"), Part("+", "other", 0.2), Part("3", "number", 0.2)], 2, 1, 0),
        ([Part("12", "number"), Part("+", "other", 0.5), Part("3", "number", 0.5)], 2, 1, 0),
        ([Part("", "other"), Part("O", "unsure", 0.6)], 0, 1, 1),
    ):
        one = writer(digits)
        assert one.write(parts, 10, 80) is not None
        assert (len(one.sheet.rows), len(one.sheet.other), len(one.sheet.unsure)) == (n_rows, n_other, n_unsure)


def test_nothing_is_written_over_other_writing_or_beyond_the_edge(digits: Digits) -> None:
    one = writer(digits)
    assert one.write([Part("123", "number")], 10, 80) is not None
    assert one.write([Part("123", "number")], 20, 70) is None
    assert one.write([Part("123", "number")], 300, 10) is None
    assert one.write([Part("123", "number")], 695, 80) is None
    assert len(one.sheet.rows) == 1


def test_cores_lie_in_their_rows_and_heights_and_axes_are_theirs(digits: Digits) -> None:
    n_cores = 0
    for seed in range(25):
        page = compose_page(np.random.default_rng((8, seed)), digits, (256, 256), STYLE)
        maps = as_floats(page.maps)
        band = np.zeros((256, 256), np.uint8)
        for row in page.rows:
            cv2.fillPoly(band, [np.rint(np.concatenate([row[0], row[1, ::-1]])).astype(np.int32)], 255)
        near = cv2.resize(cv2.dilate(band, np.ones((9, 9), np.uint8)), (64, 64), interpolation=cv2.INTER_AREA)
        assert not (maps[..., 0] > 0.5)[near == 0].any()
        for row in page.rows:
            true = row_around(row)
            x, y = int(true.x / 4), int(true.y / 4)
            if not (0 <= x < 64 and 0 <= y < 64) or maps[y, x, 0] < 0.9 or true.half_width > 4 * true.half_height:
                continue
            n_cores += 1
            assert 16 * np.exp(maps[y, x, 2]) == pytest.approx(true.half_height, rel=0.25)
            assert maps[y, x, 3:5] @ (np.cos(2 * true.angle), np.sin(2 * true.angle)) > 0.8
    assert n_cores > 20


def test_maps_of_a_row_as_drawn() -> None:
    x = np.linspace(40, 120, 9)
    row = np.stack([np.stack([x, np.full(9, 40.0)], axis=1), np.stack([x, np.full(9, 72.0)], axis=1)])
    cut, low = row + np.array([100, 0]), row * (1, 0.1)
    other, lone = (
        np.array([[10, 80], [60, 80], [60, 90], [10, 90.0]]),
        np.array([[80, 80], [90, 80], [90, 90], [80, 90.0]]),
    )
    maps = as_floats(draw_maps((96, 160), [row, cut, low], [other], [lone]))
    inside = maps[12:16, 12:28]
    np.testing.assert_allclose(inside[..., 0], 1)
    np.testing.assert_allclose(16 * np.exp(inside[..., 2]), 16, rtol=0.03)
    np.testing.assert_allclose(inside[..., 3:5], np.broadcast_to([1, 0], (4, 16, 2)), atol=0.02)
    assert maps[9, 20, 0] == 0  # the outer quarters of its height are no core
    assert maps[21, 8, 1] == 1
    assert maps[21, 21, 5] == 0
    assert maps[14, 37, 5] == 0  # the cut row
    assert maps[1, 20, 5] == 0  # the low row
    assert maps[5, 5, 5] == 1


def test_a_view_shows_points_where_it_places_them() -> None:
    sheet = np.zeros((200, 260), np.float32)
    points = np.array([[50.0, 40.0], [200.0, 150.0], [120.0, 90.0]])
    for x, y in points:
        cv2.circle(sheet, (int(x), int(y)), 3, 1.0, -1)
    to_picture = np.array([[0.8, 0.2, 10], [-0.1, 0.9, 40], [0.0002, 0.0001, 1]])
    waves = np.array([[4.0, 0.04, 0.5, 0.0], [3.0, 0.03, 1.0, 1.0]])
    view = View((256, 256), to_picture, waves, (130.0, 0.05))
    seen = view.seen(sheet, cv2.BORDER_CONSTANT)
    for x, y in view.place(points + 0.5):
        ys, xs = np.nonzero(seen[int(y) - 8 : int(y) + 9, int(x) - 8 : int(x) + 9] > 0.5)
        assert np.hypot(xs.mean() - 8 - (x % 1) + 0.5, ys.mean() - 8 - (y % 1) + 0.5) < 0.8
    assert np.abs(view.slope()).max() > 0.1
