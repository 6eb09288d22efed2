"""Layout: rows and boxes of digits that we put on synthetic sheets ourselves, and pictures of every odd kind."""

import cv2
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inkdigits.reading.layout.page import find_layout
from inkdigits.reading.layout.structures import TextLine

Box = tuple[float, float, float, float]
TALL_PX = 60


def sheet(rng: np.random.Generator, rows: int = 4, fall: float = 0.0) -> tuple[np.ndarray, list[list[Box]]]:
    """Return dark digits on a light sheet, float32 (900, 1200), and their boxes row by row."""
    paper = np.full((900, 1200), rng.uniform(200, 240), np.float32)
    truth = []
    for row in range(rows):
        x, boxes = int(rng.integers(70, 200)), []
        for _ in range(int(rng.integers(3, 9))):
            digit = draw(str(rng.integers(10)), rng)
            y = int(120 + 150 * row + fall * x + rng.uniform(-4, 4))
            height, width = digit.shape
            place = paper[y : y + height, x : x + width]
            place *= 1 - 0.7 * digit / 255
            boxes.append((x, y, width, height))
            x += width + int(rng.uniform(0.25, 0.9) * TALL_PX)
        truth.append(boxes)
    return paper, truth


def draw(digit: str, rng: np.random.Generator) -> np.ndarray:
    """Return a digit of about TALL_PX height, cut to its ink; uint8, 255 = ink."""
    canvas = np.zeros((120, 120), np.uint8)
    pen = int(rng.integers(3, 8))
    cv2.putText(canvas, digit, (30, 90), cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(2.4, 2.9), 255, pen, cv2.LINE_AA)
    ys, xs = np.nonzero(canvas > 128)
    return canvas[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def photographed(paper: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return uint8: blurred a little, with a camera's noise and JPEG's blocks."""
    blurred = cv2.GaussianBlur(paper, (0, 0), 0.8)
    noisy = np.clip(blurred + rng.normal(0, 2.5, paper.shape), 0, 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)


def overlap(a: Box, b: Box) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def assert_found(rows: list[TextLine], truth: list[list[Box]]) -> None:
    """The same number of rows, in order, and in each the same digits, in order, where they are."""
    found = [[row.to_picture(box) for box in row.boxes] for row in rows]
    assert [len(row) for row in found] == [len(row) for row in truth]
    worst = min(overlap(a, b) for row, true in zip(found, truth, strict=True) for a, b in zip(row, true, strict=True))
    assert worst > 0.6


def with_rules(paper: np.ndarray) -> np.ndarray:
    for y in range(40, 900, 75):
        cv2.line(paper, (0, y), (1200, y + 6), 150.0, 2)
    return paper


def with_squares(paper: np.ndarray) -> np.ndarray:
    for at in range(15, 1200, 45):
        cv2.line(paper, (at, 0), (at, 900), 185.0, 1)
        cv2.line(paper, (0, at), (1200, at), 185.0, 1)
    return paper


def with_shadow(paper: np.ndarray) -> np.ndarray:
    across = np.linspace(-1, 1, paper.shape[1], dtype=np.float32)
    return paper * (1 - 0.55 / (1 + np.exp(-6 * across)))


def with_bleed_through(paper: np.ndarray) -> np.ndarray:
    back = np.zeros(paper.shape, np.uint8)
    for y in range(80, 900, 60):
        cv2.putText(back, "the other side of the sheet"[::-1], (60, y), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 255, 3)
    return paper * (1 - 0.08 * back / 255)


def with_stains(paper: np.ndarray) -> np.ndarray:
    for x, radius in ((200, 22), (600, 60), (1000, 35)):
        cv2.circle(paper, (x, 820), radius, 90.0, -1)
    return paper


SURROUNDINGS = {f.__name__: f for f in (with_rules, with_squares, with_shadow, with_bleed_through, with_stains)}


@pytest.mark.parametrize("name", SURROUNDINGS)
@pytest.mark.parametrize("seed", range(3))
def test_finds_the_rows_on_all_kinds_of_paper(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    paper, truth = sheet(rng)
    assert_found(find_layout(photographed(SURROUNDINGS[name](paper), rng)).lines, truth)


@pytest.mark.parametrize("fall", [-0.12, -0.05, 0.05, 0.12])
def test_follows_slanting_rows(fall: float) -> None:
    rng = np.random.default_rng(5)
    paper, truth = sheet(rng, fall=fall)
    rows = find_layout(photographed(paper, rng)).lines
    assert_found(rows, truth)
    # The crops are level: all digits of a row lie at the same height.
    assert all(np.ptp(row.boxes[:, 1] + row.boxes[:, 3]) < 0.3 * TALL_PX for row in rows)


def test_light_ink_on_dark_gives_the_same_rows() -> None:
    rng = np.random.default_rng(6)
    paper, truth = sheet(rng)
    image = photographed(paper, rng)
    assert_found(find_layout(image).lines, truth)
    assert_found(find_layout(255 - image).lines, truth)


def test_a_sheet_photographed_at_an_angle_on_a_cluttered_table() -> None:
    rng = np.random.default_rng(7)
    paper, truth = sheet(rng)
    table = rng.normal(70, 5, (1200, 1500)).astype(np.float32)
    for _ in range(25):
        start, end = rng.integers(0, 1200, (2, 2))
        cv2.line(table, start.tolist(), end.tolist(), float(rng.uniform(20, 130)), 4)
    outline = np.array([[0, 0], [1200, 0], [1200, 900], [0, 900]], np.float32)
    seen = np.array([[170, 150], [1330, 100], [1400, 1080], [110, 1000]], np.float32)
    look = cv2.getPerspectiveTransform(outline, seen)
    on_sheet = cv2.warpPerspective(np.ones_like(paper), look, (1500, 1200))
    picture = cv2.warpPerspective(paper, look, (1500, 1200)) * on_sheet + table * (1 - on_sheet)
    moved = [[seen_box(box, look) for box in row] for row in truth]
    assert_found(find_layout(photographed(picture, rng)).lines, moved)


def seen_box(box: Box, look: np.ndarray) -> Box:
    x, y, w, h = box
    corners = np.array([[[x, y], [x + w, y], [x, y + h], [x + w, y + h]]], np.float32)
    points = cv2.perspectiveTransform(corners, look)[0]
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def test_boxes_printed_around_numbers_are_no_ink() -> None:
    rng = np.random.default_rng(8)
    paper, truth = sheet(rng)
    for boxes in truth:
        right = int(boxes[-1][0] + boxes[-1][2]) + 25
        cv2.rectangle(paper, (int(boxes[0][0]) - 25, int(boxes[0][1]) - 25), (right, int(boxes[0][1]) + 95), 70.0, 2)
    assert_found(find_layout(photographed(paper, rng)).lines, truth)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_sheet_is_read_as_if_upright_and_its_boxes_lie_on_the_turned_picture(turns: int) -> None:
    rng = np.random.default_rng(9)
    paper, truth = sheet(rng)
    image = photographed(paper, rng)
    turned = np.ascontiguousarray(np.rot90(image, -turns))
    for upright, row in zip(find_layout(image).lines, find_layout(turned, turns).lines, strict=True):
        assert np.abs(upright.boxes - row.boxes).max() <= 2
        for box in row.boxes:
            x, y, width, height = row.to_picture(box)
            seen = turned[y : y + height, x : x + width]
            x, y, width, height = upright.to_picture(box)
            assert np.abs(np.rot90(seen, turns).mean() - image[y : y + height, x : x + width].mean()) < 12
    assert len(find_layout(turned, turns).lines) == len(truth)


def test_a_pieces_own_ink_leaves_out_what_a_neighbour_reaches_into_its_box() -> None:
    image = np.full((200, 300), 235, np.uint8)
    cv2.line(image, (60, 160), (120, 40), 30, 6)  # two slanting ones whose boxes overlap
    cv2.line(image, (95, 160), (155, 40), 30, 6)
    (row,) = find_layout(image).lines
    assert len(row.boxes) == 2
    columns = np.flatnonzero((row.piece(0) > 128).any(axis=0))
    assert (row.piece(0) > 128).sum() == pytest.approx((row.piece(1) > 128).sum(), rel=0.1)
    assert columns[0] <= 1
    assert columns[-1] >= row.piece(0).shape[1] - 2


@pytest.mark.parametrize("digit", ["1", "4", "7"])
def test_a_lone_digit_of_straight_strokes_is_no_ruled_line(digit: str) -> None:
    strokes = {"1": [(100, 20, 105, 180)], "4": [(60, 20, 60, 110), (60, 110, 150, 110), (120, 60, 120, 185)]}
    strokes["7"] = [(50, 25, 150, 25), (150, 25, 80, 180)]
    image = np.full((200, 200), 220, np.uint8)
    for x, y, to_x, to_y in strokes[digit]:
        cv2.line(image, (x, y), (to_x, to_y), 40, 3)
    (row,) = find_layout(image).lines
    assert len(row.boxes) == 1
    drawn = np.array(strokes[digit]).reshape(-1, 2)
    true = (*drawn.min(axis=0), *(np.ptp(drawn, axis=0) + 3))
    assert overlap(row.to_picture(row.boxes[0]), true) > 0.6


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 40000), (28, 28), (900, 700)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_pictures_without_ink_have_no_rows(shape: tuple[int, int], grey: int) -> None:
    assert find_layout(np.full(shape, grey, np.uint8)).lines == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.one_of(
        arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=60)),
        st.builds(
            lambda seed, height, width, share: grains(seed, height, width, share),
            st.integers(0, 2**32 - 1),
            st.integers(1, 300),
            st.integers(1, 900),
            st.floats(0.001, 0.6),
        ),
    ),
    st.integers(0, 3),
)
def test_any_picture_gives_rows_that_hold_together(image: np.ndarray, turns: int) -> None:
    height, width = image.shape
    for row in find_layout(image, turns).lines:
        assert row.image.shape == row.ink.shape == row.owner.shape
        assert row.image.dtype == row.ink.dtype == np.uint8
        assert (row.boxes[:, 2:] > 0).all()
        assert (row.boxes[:, :2] >= 0).all()
        assert (row.boxes[:, 0] + row.boxes[:, 2] <= row.ink.shape[1]).all()
        assert (row.boxes[:, 1] + row.boxes[:, 3] <= row.ink.shape[0]).all()
        for index, box in enumerate(row.boxes):
            assert row.piece(index).shape == (box[3], box[2])
            x, y, w, h = row.to_picture(box)
            assert min(x, y) >= -2
            assert x + w <= width + 2
            assert y + h <= height + 2


def grains(seed: int, height: int, width: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = (rng.random((height, width)) < share).astype(np.uint8) * 255
    return cv2.GaussianBlur(image, (0, 0), 1.5) if rng.random() < 0.5 else image


def test_a_page_of_noise_is_bounded_work() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2500, 2500), dtype=np.uint8)
    rows = find_layout(noise).lines
    assert sum(row.image.size for row in rows) < 40_000_000
    assert len(rows) <= 400
