"""Pages searched with PP-OCR's text detector too, as the extra `pages` has it."""

import cv2
import numpy as np
import pytest
from reading.test_pages import a_sheet, holds

from inkdigits.data.splits import Split
from inkdigits.errors import MissingExtraError
from inkdigits.reading.reader import Reader
from inkdigits.reading.row_reader import LEAST_RIGHT_OF_TWO, confidences
from inkdigits.reading.text_detector import ROWS, TextDetector, is_installed


@pytest.fixture(scope="module")
def detector() -> TextDetector:
    return TextDetector(threads=2)


def test_rows_are_found_where_they_are(detector: TextDetector, mnist: tuple[Split, Split]) -> None:
    sheet, texts, boxes = a_sheet(mnist[0], 3, 5, seed=5, gap=14)
    rows = detector.find(sheet)
    middles = np.array([(x + width / 2, y + height / 2) for x, y, width, height in boxes])
    inside = np.array([(np.abs(row.in_frame(middles)) <= 1).all(axis=1) for row in rows])
    assert len(rows) == len(texts) == 3
    assert inside.sum(axis=0).tolist() == [1] * 15
    heights = np.array(boxes)[:, 3]
    assert all(0.3 < row.half_height / np.median(heights) < 0.9 for row in rows)
    assert all(abs(row.angle) < 0.1 for row in rows)
    assert detector.find(sheet, threshold=1.0) == []


def test_a_row_that_reads_downwards_has_a_steep_angle(detector: TextDetector, mnist: tuple[Split, Split]) -> None:
    sheet = np.ascontiguousarray(np.rot90(a_sheet(mnist[0], 1, 6, seed=6, gap=14)[0]))
    (row,) = detector.find(sheet)
    assert abs(abs(row.angle) - np.pi / 2) < 0.1
    assert row.half_width > 2 * row.half_height


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 1), (90, 2200), (2200, 90)])
def test_pictures_of_any_shape_are_searched(detector: TextDetector, shape: tuple[int, int]) -> None:
    assert detector.find(np.full(shape, 200, np.uint8)) == []


def test_both_finders_rows_are_one_answer(mnist: tuple[Split, Split]) -> None:
    sheet, texts, boxes = a_sheet(mnist[0], 4, 5, seed=21, gap=14)
    rows = Reader(text_detector=True).pages.rows
    assert len(rows.finders) == 2
    page = rows.read(sheet)
    items = [item for line in page.lines for item in line.items]
    assert len(page.lines) == len(texts)
    for x, y, width, height in boxes:  # each digit once
        assert sum(holds(item.box, (x + width / 2, y + height / 2)) for item in items) <= 1
    assert sum(line.digits == text for line, text in zip(page.lines, texts, strict=True)) >= 3


def test_the_fitted_models_are_usable() -> None:
    for card in ROWS:
        assert LEAST_RIGHT_OF_TWO < card["accepted"] < 1
        sure, unsure = np.array([0, 2.0, 0, 4, 0, 0, 0]), np.array([-3.0, 0, -3, 1, 0, 1, 1])
        assert confidences(sure, card)[0] > 0.8 > 0.1 > confidences(unsure, card)[0]


def test_who_asks_for_it_without_the_extra_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_installed()
    monkeypatch.setattr("inkdigits.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"inkdigits\[pages\]"):
        Reader(text_detector=True)
    assert len(Reader().pages.rows.finders) == 1


def test_a_picture_of_words_stays_without_numbers(detector: TextDetector) -> None:
    paper = np.full((400, 900), 235, np.uint8)
    cv2.putText(paper, "Many words", (60, 200), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 3.0, 60, 5, cv2.LINE_AA)
    assert len(detector.find(paper)) >= 1
    page = Reader(text_detector=True).pages.rows.read(paper)
    assert not any(line.accepted for line in page.lines)
    assert page.left_out
