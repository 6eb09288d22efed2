"""Rows cut out of composed pages: what stands in a crop is its text, and what is cut through is not asked for."""

from dataclasses import replace

import numpy as np
import pytest

from inkdigits.data.splits import Split
from inkdigits.reading.decoding import OTHER
from inkdigits.training.synthesis.page_lines import (
    FOUND,
    compose_lines,
    line_images,
    row_around,
    rows_cut,
    text_in,
)
from inkdigits.training.synthesis.page_maps import draw_maps
from inkdigits.training.synthesis.page_parts import Part
from inkdigits.training.synthesis.page_rows import Pen, Sheet, Writer
from inkdigits.training.synthesis.pages import PAGE_STYLES, Page, compose_page
from inkdigits.training.synthesis.styles import ALPHABET, Digits, Hand

SHAPE = (128, 704)
PEN = Pen(Hand(0.0, 1.0, 4.0, 0.1, 0.0, 0.0, (0,) * 10), 30.0, 1.0)


@pytest.fixture(scope="module")
def digits(toy: tuple[Split, Split]) -> Digits:
    return Digits(toy[0].images, toy[0].labels)


def page_of(digits: Digits, parts: list[Part]) -> Page:
    """Return a flat page with one row at its middle."""
    sheet = Sheet(np.zeros(SHAPE, np.uint8))
    assert Writer(np.random.default_rng(0), digits, sheet, PEN).write(parts, 40.0, 80.0) is not None
    maps = draw_maps(SHAPE, sheet.rows, sheet.other, sheet.unsure)
    return Page(255 - sheet.ink, maps, sheet.rows, sheet.texts, sheet.other, sheet.unsure)


def test_the_text_of_a_crop_is_what_it_shows(digits: Digits) -> None:
    page = page_of(digits, [Part("12.5", "number"), Part("304", "number", 0.8), Part("", "other", 2.0)])
    row = row_around(page.rows[0])
    assert page.texts == ["12.5 304"]
    assert text_in(row, page) == "12.5 304"
    far = page.other[0][:, 0].max() - row.x
    assert text_in(replace(row, half_width=far), page) == "12.5 304" + OTHER
    assert text_in(replace(row, y=row.y - 40), page) == ""  # nothing on its own line


def test_a_crop_through_a_number_is_not_asked_for(digits: Digits) -> None:
    page = page_of(digits, [Part("123456", "number")])
    row = row_around(page.rows[0])
    assert text_in(replace(row, half_width=row.half_width / 2), page) is None


def test_a_crop_with_what_may_be_a_digit_or_not_is_not_asked_for(digits: Digits) -> None:
    page = page_of(digits, [Part("O", "unsure"), Part("77", "number", 0.3)])
    assert text_in(row_around(page.rows[0]), page) is None


def test_crops_lie_about_where_rows_are(digits: Digits) -> None:
    page = page_of(digits, [Part("12345", "number"), Part("", "other", 1.0)])
    truth = row_around(page.rows[0])
    found = [cut for seed in range(40) for cut in rows_cut(np.random.default_rng(seed), page)]
    numbers = [row for row, text in found if text.startswith("12345")]
    assert len(numbers) >= 30
    off = [abs(row.y - truth.y) / truth.half_height for row in numbers]
    assert 0 < np.median(off) < 0.2
    assert {text for _, text in found} == {"12345", OTHER}


def test_found_rows_of_any_page_are_lines_of_the_alphabet(digits: Digits) -> None:
    images, texts = line_images(np.random.default_rng(3), digits, FOUND, 60, 32)
    again = line_images(np.random.default_rng(3), digits, FOUND, 60, 32)
    assert texts == again[1]
    assert len(images) == len(texts) == 60
    assert all(image.shape[0] == 32 and image.shape[1] % 16 == 0 for image in images)
    assert all(text and set(text) <= set(ALPHABET) for text in texts)
    assert 5 < sum(text == OTHER for text in texts) < 45


def test_pages_of_other_styles_make_other_lines(digits: Digits) -> None:
    train, held_out = (
        next(compose_lines(np.random.default_rng(1), digits, FOUND, PAGE_STYLES[name]))[0]
        for name in ("train", "held_out")
    )
    assert train.shape != held_out.shape or (train != held_out).any()


def test_a_page_tells_where_its_other_writing_is(digits: Digits) -> None:
    pages = [compose_page(np.random.default_rng(s), digits, (256, 256), PAGE_STYLES["train"]) for s in range(12)]
    assert any(page.other for page in pages)
    assert all(polygon.shape[1] == 2 for page in pages for polygon in page.other)
