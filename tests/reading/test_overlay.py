import numpy as np

from inkdigits.reading.overlay import ACCEPTED, GREY, REJECTED, draw_explanation, draw_overlay
from inkdigits.reading.results import Item, LeftOut, NumberReading


def item(digit: int, accepted: bool, box: tuple[int, int, int, int]) -> Item:
    framed = np.zeros((28, 28), np.uint8)
    framed[8:20, 13:15] = 255
    return Item(digit, 0.9 if accepted else 0.4, accepted, box, ((7, 0.05),), framed)


def has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(colour, np.uint8)).all(axis=2).any())


def test_an_overlay_tells_accepted_from_rejected_by_colour_and_by_shape() -> None:
    paper = np.full((600, 800), 230, np.uint8)
    for accepted, colour, other in ((True, ACCEPTED, REJECTED), (False, REJECTED, ACCEPTED)):
        one = item(1, accepted, (300, 200, 80, 120))
        overlay = draw_overlay(paper, [NumberReading("1", "1", 0.9, accepted, (one,))])
        assert has(overlay, colour)
        assert not has(overlay, other)
    # The right edge of a rejected box has gaps.
    dashed = (overlay[200:321, 380] != 230).any(axis=1)
    assert 0.3 < dashed.mean() < 0.8


def test_left_out_ink_has_a_grey_dashed_box() -> None:
    overlay = draw_overlay(np.full((600, 800), 230, np.uint8), [], [LeftOut((300, 200, 80, 120), "text")])
    assert has(overlay, GREY)
    assert not has(overlay, ACCEPTED)
    dashed = (overlay[200:321, 380] != 230).any(axis=1)
    assert 0.3 < dashed.mean() < 0.8


def test_a_small_picture_is_enlarged_and_boxes_with_it() -> None:
    cell = np.full((34, 60), 230, np.uint8)
    overlay = draw_overlay(cell, [NumberReading("1", "1", 0.9, True, (item(1, True, (10, 5, 8, 20)),))])
    zoom = overlay.shape[0] // 34
    assert overlay.shape == (34 * zoom, 60 * zoom, 3)
    assert zoom >= 4
    assert (overlay[15 * zoom, 10 * zoom] == ACCEPTED).all()


def test_an_explanation_shows_the_crop_the_framed_picture_and_the_bars() -> None:
    picture = np.full((100, 100), 200, np.uint8)
    picture[40:60, 48:52] = 20
    one = item(1, True, (46, 38, 8, 24))
    panel = draw_explanation(picture, one)
    assert panel.shape == (240, 720, 3)
    assert (panel[60:200, 20:210] == 20).any()
    assert (panel[60:200, 240:430] == 255).any()
    bars = (panel[52:70, 488:690] == np.array(ACCEPTED, np.uint8)).all(axis=2)
    assert 170 < bars.any(axis=0).sum() < 190  # the bar of digit 1: 90 % of 200 pixels


def test_a_box_at_the_edge_or_without_area_is_drawn_without_an_error() -> None:
    picture = np.full((20, 20), 200, np.uint8)
    for box in ((0, 0, 20, 20), (19, 19, 1, 1), (0, 0, 0, 0)):
        draw_overlay(picture, [NumberReading("1", "1", 0.4, False, (item(1, False, box),))])
        draw_explanation(picture, item(1, False, box))
