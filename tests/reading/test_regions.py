"""`Reader.read_regions`: places of one picture, each as if it were cut out and read alone."""

import cv2
import numpy as np
import pytest

from inkdigits.files import images
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import NumberReading

Box = tuple[int, int, int, int]
# Two cells, one that no ink lies in, one taller than a cell of a form, and a piece without a whole digit.
PLACES: list[Box] = [(20, 20, 150, 60), (210, 25, 140, 50), (400, 20, 90, 60), (0, 100, 500, 190), (60, 30, 9, 8)]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def form() -> np.ndarray:
    picture = np.full((300, 500), 228, np.uint8)
    for text, place, size in (("125", (40, 66), 1.4), ("40", (230, 64), 1.2), ("30912", (90, 220), 2.4)):
        cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 40, 3, cv2.LINE_AA)
    noise = np.random.default_rng(0).normal(0, 2, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def shifted(line: NumberReading, x: int, y: int) -> NumberReading:
    return line.with_boxes(lambda box: (box[0] + x, box[1] + y, box[2], box[3]))


@pytest.mark.parametrize("layout", ["number", "digit"])
def test_a_region_reads_as_its_crop_does(reader: Reader, form: np.ndarray, layout: str) -> None:
    crops = [form[y : y + height, x : x + width] for x, y, width, height in PLACES]
    found = reader.read_regions(form, PLACES, layout)
    assert len(found) == len(PLACES)
    for line, (x, y, _, _), page in zip(found, PLACES, reader.read_many(crops, layout), strict=True):
        assert ((line,) if line.digits else ()) == tuple(shifted(alone, x, y) for alone in page.lines)


def test_numbers_are_found_in_their_places(reader: Reader, form: np.ndarray) -> None:
    first, second, empty, *_ = reader.read_regions(form, PLACES)
    assert (first.digits, second.digits) == ("125", "40")
    assert (empty.digits, empty.items) == ("", ())
    for line, (x, y, width, height) in zip((first, second), PLACES, strict=False):
        for item in line.items:
            left, top, wide, tall = item.box
            assert x <= left < left + wide <= x + width
            assert y <= top < top + tall <= y + height
            assert form[top : top + tall, left : left + wide].min() < 100


def test_what_lies_outside_the_picture_is_cut_off(reader: Reader, form: np.ndarray) -> None:
    inside = reader.read_regions(form, [(0, 0, 180, 90), (400, 250, 100, 50)])
    assert reader.read_regions(form, [(-30, -40, 210, 130), (400, 250, 900, 900)]) == inside


def test_boxes_may_be_an_array_or_none_at_all(reader: Reader, form: np.ndarray) -> None:
    assert reader.read_regions(form, np.array(PLACES)) == reader.read_regions(form, PLACES)  # type: ignore[arg-type]
    assert reader.read_regions(form, []) == []


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((10, 10, 0, 5), "no area"),
        ((10, 10, 5, 0), "no area"),
        ((10, 10, -5, 5), "no area"),
        ((500, 10, 5, 5), "outside"),
        ((10, 300, 5, 5), "outside"),
        ((-9, 10, 9, 5), "outside"),
    ],
)
def test_an_impossible_box_is_named(reader: Reader, form: np.ndarray, box: Box, says: str) -> None:
    with pytest.raises(ValueError, match=f"box 1: {says}"):
        reader.read_regions(form, [PLACES[0], box])


def test_a_page_is_no_layout_of_a_region(reader: Reader, form: np.ndarray) -> None:
    with pytest.raises(ValueError, match="layout must be digit or number"):
        reader.read_regions(form, PLACES, "page")


def test_answers_on_a_picture_read_reduced_lie_in_the_stored_picture(
    reader: Reader, form: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = cv2.resize(form, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    monkeypatch.setattr(images, "FULL_PIXELS", form.size)
    assert images.read_image(large).shape == form.shape
    for box, line, half in zip(
        PLACES, reader.read_regions(large, [doubled(b) for b in PLACES]), reader.read_regions(form, PLACES), strict=True
    ):
        assert line == half.with_boxes(doubled), box
    whole, halves = reader.read(large), reader.read(form)
    assert (whole.width, whole.height) == (2 * halves.width, 2 * halves.height)
    assert whole.lines == tuple(line.with_boxes(doubled) for line in halves.lines)
    cell = form[:90, :180]
    monkeypatch.setattr(images, "FULL_PIXELS", cell.size)
    assert reader.read_number(large[:180, :360]) == reader.read_number(cell).with_boxes(doubled)


def doubled(box: Box) -> Box:
    return box[0] * 2, box[1] * 2, box[2] * 2, box[3] * 2
