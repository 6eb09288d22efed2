"""Pages read by the rows that the shipped finder finds."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from reading.test_pages import a_sheet, holds

from inkdigits.data.splits import Split
from inkdigits.reading.found_rows import FoundRow
from inkdigits.reading.page_reader import PageReader
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Item, LeftOut, NumberReading, PageReading
from inkdigits.reading.row_reader import LEAST_RIGHT, ReadRow, RowReader, confidences, in_lines


@pytest.fixture(scope="module")
def rows() -> RowReader:
    return Reader().pages.rows


def row(x: float, y: float, half_height: float = 15.0) -> FoundRow:
    return FoundRow(x, y, 60, half_height, 0.0, 0.9, 0.0)


def test_rows_side_by_side_are_one_line_in_the_direction_of_reading() -> None:
    found = [row(400, 103), row(100, 100), row(100, 160), row(390, 153), row(100, 40)]
    assert in_lines(found, 0.0) == [[4], [1, 0], [2, 3]]
    assert in_lines(found, np.pi) == [[3, 2], [0, 1], [4]]  # upside down
    assert in_lines([], 0.0) == []


def test_rows_that_the_networks_agree_on_are_surer(rows: RowReader) -> None:
    card = rows.finders[0].card["rows"]
    assert LEAST_RIGHT < card["accepted"] <= 1
    reading = NumberReading("12", "12", 0.95, True, ())
    unsure = NumberReading("12", "12", 0.3, False, ())
    three = [ReadRow(row(0, 0), reading, 0.99), ReadRow(row(0, 0), reading, 0.01), ReadRow(row(0, 0), unsure, 0.01)]
    chances = confidences([each.features() for each in three], card)
    assert chances[0] > chances[1] > chances[2]
    assert confidences([], card).shape == (0,)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 12, -17])
def test_a_turned_page_is_read_in_order_with_boxes_in_the_picture(
    rows: RowReader, mnist: tuple[Split, Split], degrees: int
) -> None:
    image, texts, boxes = a_sheet(mnist[0], 4, 5, seed=21, gap=14)
    image, boxes = image[:, :700], np.array(boxes, float)
    turn = cv2.getRotationMatrix2D((image.shape[1] / 2, image.shape[0] / 2), degrees, 1.0)
    turn[:, 2] += 200
    picture = cv2.warpAffine(image, turn, (1100, 990), borderMode=cv2.BORDER_REPLICATE)
    page = rows.read(picture)
    assert len(page.lines) == 4
    pairs = [
        (a, b) for line, text in zip(page.lines, texts, strict=True) for a, b in zip(line.digits, text, strict=False)
    ]
    assert sum(a == b for a, b in pairs) >= 17
    middles = (boxes[:, :2] + boxes[:, 2:] / 2) @ turn[:, :2].T + turn[:, 2]
    found = [item.box for line in page.lines for item in line.items]
    assert sum(any(holds(box, tuple(middle)) for box in found) for middle in middles.tolist()) >= 18


def test_words_and_bare_paper_are_no_numbers(rows: RowReader) -> None:
    paper = np.clip(np.random.default_rng(0).normal(200, 4, (480, 640)), 0, 255).astype(np.uint8)
    assert rows.read(paper).lines == ()
    for i, word in enumerate(("Hello", "Many words", "Kitchen")):
        cv2.putText(paper, word, (60, 130 + 120 * i), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 2.0, 60, 4, cv2.LINE_AA)
    assert not any(line.accepted for line in rows.read(paper).lines)


class Answers:
    """A reader by rows that has one answer."""

    def __init__(self, *lines: NumberReading) -> None:
        self.lines = lines

    def read(self, image: np.ndarray) -> PageReading:
        return PageReading(image.shape[1], image.shape[0], self.lines, (LeftOut((0, 0, 5, 5), "text"),))


def test_the_surer_answer_is_given_and_no_ink_of_the_other_vanishes(mnist: tuple[Split, Split]) -> None:
    reader = Reader()
    sheet, (first, _), boxes = a_sheet(mnist[0], 2, 4, seed=3)
    cv2.putText(sheet, "S", (700, 270), cv2.FONT_HERSHEY_SIMPLEX, 2.6, 60, 7, cv2.LINE_AA)  # not all is accepted

    def answer(*rows: NumberReading) -> PageReading:
        (page,) = PageReader(reader.digits, reader.lines, Answers(*rows)).read([sheet])  # type: ignore[arg-type]
        return page

    assert not any(line.accepted for line in answer().lines)  # nothing confirms them
    items = tuple(
        Item(int(d), 0.5, False, box, (), np.zeros((28, 28), np.uint8)) for d, box in zip(first, boxes, strict=False)
    )
    for confidence in (0.1, 1.0):  # of two, the answer by pieces, and that by rows
        confirmed = answer(
            NumberReading(first, first, confidence, False, items),
            NumberReading("9" * 9, "9" * 9, confidence, False, ()),
        )
        assert [line.digits for line in confirmed.lines if line.accepted] == [first]
    elsewhere = tuple(replace(item, box=(item.box[0], item.box[1] + 300, *item.box[2:])) for item in items)
    assert not any(line.accepted for line in answer(NumberReading(first, first, 0.1, False, elsewhere)).lines)
    page = answer(NumberReading("9" * 40, "9" * 40, 0.99, True, ()))
    assert [line.text for line in page.lines] == ["9" * 40]
    for x, y, width, height in boxes:
        assert any(holds(ink.box, (x + width / 2, y + height / 2)) for ink in page.left_out)
