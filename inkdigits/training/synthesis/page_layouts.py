"""What a page holds: rows of numbers, tables, lists, lattices, sums, text, drawings, or nothing."""

import itertools
import math
from collections.abc import Callable

import cv2
import numpy as np

from inkdigits.arrays import Ink, Rng
from inkdigits.training.synthesis.page_rows import (
    OPEN_GAPS,
    Part,
    Sheet,
    Writer,
    number,
    numbers_apart,
    random_pen,
    sum_of,
    with_words,
    words_only,
)
from inkdigits.training.synthesis.strokes import smooth_curve
from inkdigits.training.synthesis.styles import Digits
from inkdigits.training.synthesis.surfaces import log_uniform
from inkdigits.training.synthesis.words import FONTS, SMALL_LETTERS

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
        _print_text(rng, sheet, int(rng.integers(1, 30 if name == "text" else 6)))
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.3 else 0):
        _draw_something(rng, sheet)


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
        _grid(rng, writer.sheet.ink, left - 0.3 * tall, first - 1.15 * tall, [step_x] * n, [step_y] * 30)


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
        _grid(rng, writer.sheet.ink, x, y, widths, [row_px] * n_rows)
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
            _print_word(rng, writer.sheet, left + 0.15 * tall, base - 0.7 * tall, 0.7 * tall, width - 0.2 * tall)
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


# ------------------------------------------------------------------------------------------------- print, lines


def _grid(rng: Rng, ink: Ink, x: float, y: float, widths: list[float], heights: list[float]) -> None:
    """Draw a table's lines on a sheet, by ruler or by hand, some of them missing."""
    tone, pen = int(255 * rng.uniform(0.2, 1.0)), 1 + int(rng.random() < 0.3)
    shake = float(rng.choice([0.0, 0.0, 1.0, 2.5]))
    xs, ys = x + np.concatenate([[0], np.cumsum(widths)]), y + np.concatenate([[0], np.cumsum(heights)])
    ys = ys[ys < len(ink)]
    rare = float(rng.choice([0.0, 0.5, 1.0], p=[0.7, 0.15, 0.15]))  # inner lines that are left out
    for lines, ends, is_across in ((ys, xs[[0, -1]], True), (xs, ys[[0, -1]], False)):
        for i, place in enumerate(lines):
            if 0 < i < len(lines) - 1 and rng.random() < rare:
                continue
            a, b = np.array([place, place]) + rng.normal(0, shake, 2), ends + rng.normal(0, 2 * shake, 2)
            points = np.stack([b, a] if is_across else [a, b], axis=1)
            first, last = ((round(float(px)), round(float(py))) for px, py in points)
            cv2.line(ink, first, last, tone, pen, cv2.LINE_AA)


def _typeset(text: str, px: int, font: str) -> Ink:
    from PIL import Image, ImageDraw

    face = _face(font, px)
    left, top, right, bottom = (int(v) for v in face.getbbox(text))
    image = Image.new("L", (max(2, right - left + 2), max(2, bottom - top + 2)), 0)
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=face)
    return np.asarray(image, np.uint8)


_FACES: dict[tuple[str, int], object] = {}


def _face(font: str, px: int):  # type: ignore[no-untyped-def]
    import matplotlib
    from PIL import ImageFont

    if (font, px) not in _FACES:
        _FACES[font, px] = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{font}.ttf", px)
    return _FACES[font, px]


def _words(rng: Rng, n: int) -> str:
    words = []
    for _ in range(n):
        word = "".join(SMALL_LETTERS[i] for i in rng.integers(0, 26, int(rng.integers(1, 10))))
        words.append(word.upper() if rng.random() < 0.12 else word.capitalize() if rng.random() < 0.3 else word)
    return " ".join(words) + str(rng.choice(["", "", ".", ":", ","]))


def _print_text(rng: Rng, sheet: Sheet, n_lines: int) -> None:
    """Print a paragraph, a heading or a label where there is room; printed numbers are left open."""
    height, width = sheet.ink.shape
    px, font, tone = int(log_uniform(rng, 7, max(9, 0.09 * height))), str(rng.choice(FONTS)), rng.uniform(0.3, 1.0)
    x, y = int(rng.uniform(0, 0.6) * width), rng.uniform(0, 0.9) * height
    for _ in range(n_lines):
        is_number = rng.random() < 0.1
        text = (
            str(rng.integers(0, 10 ** int(rng.integers(1, 8)))) if is_number else _words(rng, int(rng.integers(1, 8)))
        )
        ink = _typeset(text, px, font)[:, : max(2, width - x)]
        tall, wide = ink.shape
        box = (x - 2.0, y - 2.0, x + wide + 2.0, y + tall + 2.0)
        if y + tall < height and sheet.is_free(box):
            sheet.take(box)
            sheet.paste((ink * tone).astype(np.uint8), x, int(y))
            corners = np.array([[x, y], [x + wide, y], [x + wide, y + tall], [x, y + tall]], float)
            (sheet.unsure if is_number else sheet.other).append(corners)
        y += px * rng.uniform(1.15, 1.7)


def _print_word(rng: Rng, sheet: Sheet, x: float, y: float, tall: float, room: float) -> None:
    """Print a word into a table's cell, as much of it as has room."""
    ink = _typeset(_words(rng, 1), max(6, int(tall)), str(rng.choice(FONTS)))[:, : max(2, int(room))]
    sheet.paste((ink * rng.uniform(0.5, 1.0)).astype(np.uint8), int(x), int(y))
    right, bottom = x + ink.shape[1], y + ink.shape[0]
    sheet.take((x, y, right, bottom))
    sheet.other.append(np.array([[x, y], [right, y], [right, bottom], [x, bottom]]))


def _draw_something(rng: Rng, sheet: Sheet) -> None:
    """A line, a frame, a ring, a wandering stroke, a filled shape, lines under some numbers or rings around them."""
    height, width = sheet.ink.shape
    places = (rng.uniform(0, 1, (4, 2)) * (width, height)).astype(int)
    (x, y), (x2, y2) = places[0].tolist(), places[1].tolist()
    tone, pen, kind = int(rng.uniform(80, 255)), int(log_uniform(rng, 1, 6)), int(rng.integers(7))
    if kind == 0:
        cv2.line(sheet.ink, (x, y), (x2, int(y + rng.normal(0, 6))), tone, pen, cv2.LINE_AA)
    elif kind == 1:
        cv2.rectangle(sheet.ink, (x, y), (x2, y2), tone, pen)
    elif kind == 2:
        axes = int(log_uniform(rng, 4, width / 4)), int(log_uniform(rng, 4, height / 4))
        cv2.ellipse(sheet.ink, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, tone, pen, cv2.LINE_AA)
        reach = max(axes)
        if reach < 0.25 * height:  # it may be a 0
            sheet.unsure.append(np.array([[x, y]]) + reach * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]))
    elif kind == 3:
        curve = smooth_curve(places * 0.3 + places[0] * 0.7, steps=8, overshoot=1)
        cv2.polylines(sheet.ink, [(curve * 16).astype(np.int32)], False, tone, pen, cv2.LINE_AA, 4)
    elif kind == 4:
        axes = int(log_uniform(rng, 3, width / 12)), int(log_uniform(rng, 3, height / 12))
        if sheet.is_free((x - axes[0], y - axes[1], x + axes[0], y + axes[1])):
            cv2.ellipse(sheet.ink, (x, y), axes, 0, 0, 360, tone, -1, cv2.LINE_AA)
    elif kind == 5:
        for row in sheet.rows[:: int(rng.integers(1, 6))]:
            low, high = row.min(axis=(0, 1)), row.max(axis=(0, 1))
            middle, size = (low + high) / 2, (high - low) + rng.uniform(0.3, 0.9) * (high - low)[1]
            centre = (int(middle[0]), int(middle[1]))
            half = (int(size[0] / 2), int(size[1] / 2))
            if rng.random() < 0.5:
                cv2.ellipse(sheet.ink, centre, half, 0, 0, 360, tone, pen, cv2.LINE_AA)
            else:
                corners = ((centre[0] - half[0], centre[1] - half[1]), (centre[0] + half[0], centre[1] + half[1]))
                cv2.rectangle(sheet.ink, *corners, tone, pen)
    else:
        for row in sheet.rows[: int(rng.integers(1, 5))]:
            under = row[1, [0, -1]] + (0, rng.uniform(0.1, 0.5) * math.fabs(row[1, 0, 1] - row[0, 0, 1]))
            first, last = ((int(px), int(py)) for px, py in under)
            cv2.line(sheet.ink, first, last, tone, pen, cv2.LINE_AA)
