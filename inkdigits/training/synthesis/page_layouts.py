"""What a page holds: rows of numbers, tables, lists, lattices, sums, text, drawings, or nothing."""

import itertools
from collections.abc import Callable

import cv2
import numpy as np

from inkdigits.arrays import Rng
from inkdigits.training.synthesis.page_parts import Part, number, numbers_apart, sum_of, with_words, words_only
from inkdigits.training.synthesis.page_print import draw_grid, draw_something, print_text, print_word
from inkdigits.training.synthesis.page_rows import OPEN_GAPS, Sheet, Writer, random_pen
from inkdigits.training.synthesis.styles import Digits
from inkdigits.training.synthesis.surfaces import log_uniform

LEAST_PX = 8.0  # digits less tall are a blur at the network's stride
LARGEST = 0.9  # of a sheet's height
MOST_NUMBERS = 300


def fill_sheet(rng: Rng, digits: Digits, sheet: Sheet, pens: tuple[str, ...]) -> None:
    """Write a page on an empty sheet, in place; what is printed on it beside the writing comes last.

    Args:
        rng: fixes all.
        digits: what is written with.
        sheet: empty.
        pens: names in `page_rows.PENS` to choose from.
    """
    names = list(LAYOUTS)
    name = names[int(rng.choice(len(names), p=[LAYOUTS[each][1] for each in names]))]
    layout, _, (low, high) = LAYOUTS[name]
    tallest = high * len(sheet.ink)
    height = log_uniform(rng, max(LEAST_PX, low * len(sheet.ink)), max(tallest, LEAST_PX + 2))
    writer = Writer(rng, digits, sheet, random_pen(rng, height, str(rng.choice(pens))))
    writer.is_boxed = bool(rng.random() < 0.08)
    layout(rng, writer)
    if rng.random() < (0.9 if name in ("text", "empty") else 0.3):
        print_text(rng, sheet, int(rng.integers(1, 30 if name == "text" else 6)))
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.3 else 0):
        draw_something(rng, sheet)


# ------------------------------------------------------------------------------------------------- layouts


def _row(rng: Rng) -> list[Part]:
    """Return what stands in some row: mostly one number."""
    kind = rng.random()
    if kind < 0.6:
        return [Part(number(rng), "number")]
    if kind < 0.75:
        return numbers_apart(rng)
    return sum_of(rng) if kind < 0.88 else with_words(rng)


def _one(rng: Rng, writer: Writer) -> None:
    """One row anywhere, up to filling the sheet."""
    height, width = writer.sheet.ink.shape
    tall = writer.pen.height_px
    for _ in range(6):
        parts = _row(rng)
        wide = tall * (0.3 + sum(0.75 * max(1, len(part.text)) + part.gap for part in parts))
        x = rng.uniform(0.02, max(0.03, 1 - wide / width)) * width
        base = rng.uniform(min(1.05 * tall, 0.97 * height), 0.99 * height)
        bend = rng.normal(0, 0.25) if rng.random() < 0.25 else 0.0
        if writer.write(parts, x, base, rng.normal(0, 0.03), bend) is not None:
            return


def _rows(rng: Rng, writer: Writer) -> None:
    """Row below row, in one column or some."""
    height, width = writer.sheet.ink.shape
    tall = writer.pen.height_px
    pitch = tall * rng.uniform(1.15, 2.6)
    n_columns = int(rng.choice([1, 2, 3, 5], p=[0.6, 0.2, 0.12, 0.08]))
    n_rows = int(min(rng.integers(2, 40), height / pitch))
    first = 1.1 * tall + rng.uniform(0, max(1.0, height - n_rows * pitch - tall))
    kind, fan, slope = rng.random(), rng.normal(0, 0.003), rng.normal(0, 0.015)
    same = int(rng.integers(1, 9)) if rng.random() < 0.4 else 0
    writer.sheet.ruling = (pitch, first)
    for column in range(n_columns):
        left = (column + rng.uniform(0.02, 0.3)) * width / n_columns
        for i in range(n_rows):
            parts = _row(rng) if kind < 0.7 else sum_of(rng) if kind < 0.8 else [Part(number(rng, 8), "number")]
            if same:
                parts = [Part("".join(map(str, rng.integers(0, 10, same))), "number")]
            writer.pen = writer.pen.of_height(tall * rng.uniform(0.9, 1.1))
            bend = rng.normal(0, 0.12) if rng.random() < 0.15 else 0.0
            base = first + i * pitch + rng.normal(0, 0.04) * tall
            writer.write(parts, left + rng.normal(0, 0.15) * tall, base, slope + i * fan + rng.normal(0, 0.008), bend)


def _scatter(rng: Rng, writer: Writer) -> None:
    """Short numbers anywhere, of several sizes."""
    height, width = writer.sheet.ink.shape
    tall = writer.pen.height_px
    for _ in range(int(log_uniform(rng, 3, min(60, 0.5 * height * width / tall**2 + 3)))):
        size = min(tall * log_uniform(rng, 0.6, 1.7), 0.85 * height)
        writer.pen = writer.pen.of_height(max(size, LEAST_PX))
        parts = [Part("", "other")] if rng.random() < 0.1 else [Part(number(rng, int(rng.integers(1, 7))), "number")]
        writer.write(parts, rng.uniform(0, 0.95) * width, rng.uniform(0.05, 1) * height, rng.normal(0, 0.06))


def _lattice(rng: Rng, writer: Writer) -> None:
    """Single digits in rows and columns, as samples of handwriting are collected."""
    height, width = writer.sheet.ink.shape
    tall = writer.pen.height_px
    gap = rng.uniform(0.2, 2.6)
    step_y = tall * (1 + (gap if rng.random() < 0.6 else rng.uniform(0.15, 2.0)))
    step_x = tall * (0.75 + gap)
    n = int(min(rng.integers(3, 26), MOST_NUMBERS / max(1.0, height / step_y), width / step_x + 1))
    first, left = 1.2 * tall + rng.uniform(0, 0.5) * tall, rng.uniform(0.1, 1) * tall
    writer.sheet.ruling = (step_y, first)
    ordered = rng.random() < 0.4
    for i, base in enumerate(np.arange(first, height, step_y)):
        drawn = [str(i % 10 if ordered else rng.integers(10)) for _ in range(n)]
        parts = [Part(digit, "number", max(0.02, gap + rng.normal(0, 0.06))) for digit in drawn]
        writer.write(parts, left + rng.normal(0, 0.05) * tall, base + rng.normal(0, 0.03) * tall)
    if rng.random() < 0.3:
        draw_grid(rng, writer.sheet.ink, left - 0.3 * tall, first - 1.15 * tall, [step_x] * n, [step_y] * 30)


def _table(rng: Rng, writer: Writer) -> None:
    """A table by hand or in print, its cells with numbers, words, several numbers, or nothing."""
    height, width = writer.sheet.ink.shape
    tall = writer.pen.height_px
    row_px = tall * rng.uniform(1.15, 2.2)
    n_columns = int(rng.integers(1, 9))
    x, y = rng.uniform(0.0, 0.25) * width, rng.uniform(0.0, 0.25) * height
    widths = tall * rng.uniform(1.4, 6, n_columns) if rng.random() < 0.6 else [tall * rng.uniform(1.4, 5)] * n_columns
    widths = [each for each, end in zip(widths, np.cumsum(widths), strict=True) if x + end < width - 2]
    n_rows = int(min(rng.integers(1, 30), (height - y) / row_px - 0.2, MOST_NUMBERS / max(1, len(widths))))
    if not widths or n_rows < 1:
        return _rows(rng, writer)
    is_head, label_column, full = rng.random() < 0.5, rng.random() < 0.35, rng.uniform(0.5, 1.0)
    share = float(rng.choice([0.0, 0.15, 1.0], p=[0.55, 0.37, 0.08]))  # of cells with words
    shift = rng.uniform(0.1, 0.28)
    for j in range(n_rows):
        left = x
        for i, cell in enumerate(widths):
            is_word = (is_head and j == 0) or (label_column and i == 0) or rng.random() < share
            if rng.random() < full:
                writer.pen = writer.pen.of_height(tall * rng.uniform(0.72, 0.92))
                base = y + (j + 1) * row_px - shift * (row_px - 0.8 * tall) - 0.06 * tall
                _fill_cell(rng, writer, left, base, cell, is_word)
            left += cell
    if rng.random() < 0.85:
        draw_grid(rng, writer.sheet.ink, x, y, widths, [row_px] * n_rows)
    else:
        _leave_gaps_open(writer.sheet)


def _leave_gaps_open(sheet: Sheet) -> None:
    """Say of narrow gaps between the cells of a table without lines that they may part two rows or not."""
    for row, following in itertools.pairwise(sheet.rows):
        start, end = row[:, -1], following[:, 0]
        tall = row[1, 0, 1] - row[0, 0, 1]
        if abs(end[1, 1] - start[1, 1]) < 0.7 * tall and 0 < end[0, 0] - start[0, 0] < OPEN_GAPS[1] * tall:
            sheet.unsure.append(np.array([start[0], end[0], end[1], start[1]]))


def _fill_cell(rng: Rng, writer: Writer, left: float, base: float, width: float, is_word: bool) -> None:
    tall = writer.pen.height_px
    most = max(1, int((width / tall - 0.3) / (0.7 + max(0.0, writer.pen.hand.gap))))
    if is_word:
        if rng.random() < 0.5:
            print_word(rng, writer.sheet, left + 0.15 * tall, base - 0.7 * tall, 0.7 * tall, width - 0.2 * tall)
            return
        parts = [Part("", "other")]
    else:
        text = number(rng, most) if rng.random() < 0.6 else "".join(map(str, rng.integers(0, 10, min(most, 3))))
        parts = [Part(text, "number")]
    slack = max(0.0, width - tall * (0.3 + 0.8 * len(parts[0].text)))
    # A word may run over its cell's end: people write so.
    writer.write(
        parts, left + 0.1 * tall + rng.uniform(0, 0.6) * slack, base, must_fit=not is_word or rng.random() < 0.7
    )


def _list(rng: Rng, writer: Writer) -> None:
    """Names with a number beside each, the numbers in a column; or numbers first."""
    height, width = writer.sheet.ink.shape
    tall = writer.pen.height_px
    pitch = tall * rng.uniform(1.2, 2.4)
    left, column = rng.uniform(0.02, 0.15) * width, rng.uniform(0.35, 0.8) * width
    numbers_first = rng.random() < 0.3
    writer.sheet.ruling = (pitch, 1.3 * tall)
    for base in np.arange(1.3 * tall, height, pitch)[: int(rng.integers(2, 35))]:
        if rng.random() < 0.3:
            writer.write(with_words(rng), left, base)
            continue
        words = words_only(rng)[: int(rng.integers(1, 4))]
        one = [Part(number(rng, 7), "number")]
        end = writer.write(one if numbers_first else words, left, base, rng.normal(0, 0.008))
        beside = max(column, (end or left) + rng.uniform(0.3, 1.5) * tall)
        writer.write(words if numbers_first else one, beside + rng.normal(0, 0.1) * tall, base)


def _sums(rng: Rng, writer: Writer) -> None:
    """A page of exercises: sums in a row, or numbers below each other over a line."""
    height, width = writer.sheet.ink.shape
    tall = writer.pen.height_px
    below = rng.random() < 0.35
    step_x, pitch = tall * rng.uniform(5, 10), tall * rng.uniform(1.2, 2.2)
    for x in np.arange(rng.uniform(0.2, 2) * tall, width, step_x)[: int(rng.integers(1, 5))]:
        for i, base in enumerate(np.arange(1.3 * tall, height, pitch)[: int(rng.integers(2, 14))]):
            if not below:
                writer.write(sum_of(rng), x, base, rng.normal(0, 0.015))
                continue
            sign = [Part("+-x"[rng.integers(3)], "other")] if i % 3 == 1 else []
            one = Part("".join(map(str, rng.integers(0, 10, int(rng.integers(1, 5))))), "number", rng.uniform(0.1, 0.5))
            end = writer.write([*sign, one], x, base)
            if end and i % 3 == 1:
                y = int(base + 0.15 * tall)
                cv2.line(writer.sheet.ink, (int(x), y), (int(end), y), 220, max(1, int(0.05 * tall)), cv2.LINE_AA)


def _text(rng: Rng, writer: Writer) -> None:
    """Handwriting without numbers, sometimes nothing but print."""
    height, width = writer.sheet.ink.shape
    tall = writer.pen.height_px
    for base in np.arange(1.4 * tall, height, tall * rng.uniform(1.3, 2.2))[: int(rng.integers(0, 14))]:
        writer.write([*words_only(rng), *words_only(rng)], rng.uniform(0.02, 0.1) * width, base, rng.normal(0, 0.01))


def _empty(rng: Rng, writer: Writer) -> None:
    """Nothing written; there may be print or a drawing."""


# Name -> layout, its share of the pages, the height of its digits as shares of the sheet's (lowest, highest).
LAYOUTS: dict[str, tuple[Callable[[Rng, Writer], None], float, tuple[float, float]]] = {
    "one": (_one, 0.17, (0.02, LARGEST)),
    "rows": (_rows, 0.22, (0.0, 0.3)),
    "scatter": (_scatter, 0.09, (0.02, 0.4)),
    "lattice": (_lattice, 0.09, (0.0, 0.2)),
    "table": (_table, 0.16, (0.0, 0.14)),
    "list": (_list, 0.09, (0.0, 0.12)),
    "sums": (_sums, 0.06, (0.02, 0.16)),
    "text": (_text, 0.08, (0.015, 0.2)),
    "empty": (_empty, 0.04, (0.02, 0.1)),
}
