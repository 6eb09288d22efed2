"""What stands on a page beside its writing: a table's lines, print, drawings."""

import math
from functools import cache
from typing import Any

import cv2
import numpy as np

from inkdigits.arrays import Ink, Rng
from inkdigits.training.synthesis.page_rows import Sheet
from inkdigits.training.synthesis.strokes import smooth_curve
from inkdigits.training.synthesis.surfaces import log_uniform
from inkdigits.training.synthesis.words import FONTS, SMALL_LETTERS


def draw_grid(rng: Rng, ink: Ink, x: float, y: float, widths: list[float], heights: list[float]) -> None:
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


@cache
def _face(font: str, px: int) -> Any:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{font}.ttf", px)


def _words(rng: Rng, n: int) -> str:
    words = []
    for _ in range(n):
        word = "".join(SMALL_LETTERS[i] for i in rng.integers(0, 26, int(rng.integers(1, 10))))
        words.append(word.upper() if rng.random() < 0.12 else word.capitalize() if rng.random() < 0.3 else word)
    return " ".join(words) + str(rng.choice(["", "", ".", ":", ","]))


def print_text(rng: Rng, sheet: Sheet, n_lines: int) -> None:
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


def print_word(rng: Rng, sheet: Sheet, x: float, y: float, tall: float, room: float) -> None:
    """Print a word into a table's cell, as much of it as has room."""
    ink = _typeset(_words(rng, 1), max(6, int(tall)), str(rng.choice(FONTS)))[:, : max(2, int(room))]
    sheet.paste((ink * rng.uniform(0.5, 1.0)).astype(np.uint8), int(x), int(y))
    right, bottom = x + ink.shape[1], y + ink.shape[0]
    sheet.take((x, y, right, bottom))
    sheet.other.append(np.array([[x, y], [right, y], [right, bottom], [x, bottom]]))


def draw_something(rng: Rng, sheet: Sheet) -> None:
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
