"""Lines for the line network, with their texts: composed one by one, or cut out of composed pages.

On a page a row has others above and below it, table lines and words beside it, bent paper and one light for all; and
the rectangle around it is never exact. Lines that are written and photographed alone show little of that.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from inkdigits.arrays import Floats, GrayImage, Rng
from inkdigits.reading.decoding import OTHER, SPACE
from inkdigits.reading.finder import AROUND, cut_row
from inkdigits.reading.found_rows import FoundRow
from inkdigits.reading.normalise.line import normalise_line
from inkdigits.training.synthesis.lines import compose_line
from inkdigits.training.synthesis.pages import PAGE_STYLES, Page, PageStyle, compose_page
from inkdigits.training.synthesis.styles import STYLES, Digits, Lines
from inkdigits.training.synthesis.surfaces import Shape, log_uniform

SHAPES: tuple[Shape, ...] = ((448, 448), (384, 512), (512, 384), (256, 384))  # of the pages, height and width in pixels
MOST_ROWS = 8  # cut out of one page: composing it takes 20 to 40 ms, but its rows are much alike
LEAST_PX = 11.0  # high; lower rows are left out as too small to read, which was not measured
FOUND = "found"  # the style of what is cut out here
# How the finder's rectangles are off the true ones (943 rows on 300 composed pages of held-out styles; half of the
# distance between the 16th and the 84th percentile), in half heights: its centre along and across the row, half its
# length, how far it is turned, at its ends; and the logarithm of its height. It is longer by `OFF_LONGER`.
OFF_ALONG, OFF_ACROSS, OFF_LENGTH, OFF_TURN, OFF_HEIGHT = 0.22, 0.09, 0.33, 0.16, 0.09
OFF_LONGER = 0.14
# On how many pages a crop from anywhere is cut, which mostly shows paper or a desk. On those 300 pages 236 of 779 found
# rows that are none show a word alone; what the others show was not counted. This share and the next are guesses.
NOTHING = 0.35
JOINED = 0.25  # how often a row's crop reaches over the next number on its line
SLIVER = 0.5  # of what a crop shows less than so many half heights, nothing is asked for
SAME_LINE = 0.7  # half heights: what lies closer to a row's axis stands on its line

Placed: TypeAlias = tuple[float, float, str]  # where something begins and ends along a row, in half heights; its text


def row_around(band: Floats) -> FoundRow:
    """Return the rectangle around a row's band float (2, n, 2), its upper and its lower edge."""
    middle, down = band.mean(axis=0), band[1] - band[0]
    angle = float(np.arctan2(*(middle[-1] - middle[0])[::-1]))
    along = middle @ (np.cos(angle), np.sin(angle))
    across = middle @ (-np.sin(angle), np.cos(angle))
    s, t = (along.min() + along.max()) / 2, (across.min() + across.max()) / 2
    x, y = s * np.cos(angle) - t * np.sin(angle), s * np.sin(angle) + t * np.cos(angle)
    half = float(np.median(np.abs(down @ (-np.sin(angle), np.cos(angle))))) / 2
    return FoundRow(float(x), float(y), float(np.ptp(along)) / 2, half, angle, 1.0, 0.0)


def compose_lines(
    rng: Rng, digits: Digits, style: str, pages: PageStyle = PAGE_STYLES["train"]
) -> Iterator[tuple[GrayImage, str]]:
    """Yield pictures of lines without end, uint8 (H, W) each, dark ink on paper or inverted, and their texts.

    Args:
        rng: fixes all.
        digits: what is written with.
        style: a name in `styles.STYLES`, or `FOUND`.
        pages: papers, desks and pens of the pages that found rows are cut out of.
    """
    while style == FOUND:
        page = compose_page(rng, digits, SHAPES[rng.integers(len(SHAPES))], pages)
        for row, text in rows_cut(rng, page):
            yield cut_row(page.image, row)[0], text
    while True:
        yield compose_line(rng, digits, STYLES[style])


def line_images(
    rng: Rng, digits: Digits, style: str, count: int, height: int, fits: Callable[[str, int], bool] | None = None
) -> Lines:
    """Return `count` framed line images, uint8 (height, W) each, and their texts.

    Args:
        rng: fixes all.
        digits: what is written with.
        style: see `compose_lines`.
        count: how many.
        height: of the line images in pixels.
        fits: whether a text can be learned from a line image of a width; a line that does not fit is composed again.
    """
    images: list[np.ndarray] = []
    texts: list[str] = []
    for picture, text in compose_lines(rng, digits, style):
        zoom = 1.0 if style == "clean" else float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.25))
        image = normalise_line(picture, height, zoom)
        if fits is None or fits(text, image.shape[1]):
            images.append(image)
            texts.append(text)
        if len(images) == count:
            break
    return images, texts


def rows_cut(rng: Rng, page: Page) -> Iterator[tuple[FoundRow, str]]:
    """Yield rectangles on a page, each about as a finder would draw it, and what a crop of each shows."""
    size = np.array([page.image.shape[1], page.image.shape[0]])
    numbers = [row_around(band) for band in page.rows]
    words = [_around_word(polygon) for polygon in page.other]
    chosen = [numbers[i] for i in rng.permutation(len(numbers))[:MOST_ROWS]]
    # One word comes for four numbers, and at least one a page: a finder takes some for rows.
    n_words = min(len(words), max(1, len(chosen) // 4))
    chosen += [words[i] for i in rng.permutation(len(words))[:n_words]]
    if rng.random() < NOTHING:
        chosen.append(_anywhere(rng, size))
    for row in chosen:
        centre = np.array([row.x, row.y])
        if 2 * row.half_height < LEAST_PX or not (np.all(centre >= 0) and np.all(centre < size)):
            continue
        off = _as_found(rng, _stretched(row, numbers) if rng.random() < JOINED else row)
        text = text_in(off, page)
        if text is not None and 0 <= off.x < size[0] and 0 <= off.y < size[1]:
            yield off, text or OTHER  # a text must not be empty: what is no number is other ink


def text_in(row: FoundRow, page: Page) -> str | None:
    """Return what a crop of a row shows; None where it cuts through a number, or holds what may be one or not."""
    reach = row.half_width / row.half_height + AROUND
    parts: list[Placed] = []
    for band, text in zip(page.rows, page.texts, strict=True):
        start, end, off = _place(row, band.mean(axis=0))
        if off > SAME_LINE or min(end, reach) - max(start, -reach) < SLIVER:
            continue
        if start < -reach - 0.1 or end > reach + 0.1:
            return None
        parts.append((start, end, text))
    for polygon in page.unsure:
        start, end, off = _place(row, polygon)
        if off < 1.0 and min(end, reach) > max(start, -reach):
            return None
    for polygon in page.other:
        start, end, off = _place(row, polygon)
        if off < 1.0 and min(end, reach) - max(start, -reach) >= min(SLIVER, 0.8 * (end - start)):
            parts.append((start, end, OTHER))
    text = ""
    for _, _, part in sorted(parts, key=lambda part: part[0] + part[1]):
        is_apart = bool(text) and OTHER not in (part, text[-1])
        text += SPACE * is_apart + ("" if part == OTHER and text.endswith(OTHER) else part)
    return text


def _place(row: FoundRow, points: Floats) -> tuple[float, float, float]:
    """Return where points (n, 2) begin and end along a row, and how far their middle is off its axis: half heights."""
    framed = row.in_frame(points)
    along = framed[:, 0] * row.half_width / row.half_height
    return float(along.min()), float(along.max()), float(abs(framed[:, 1].min() + framed[:, 1].max())) / 2


def _around_word(polygon: Floats) -> FoundRow:
    """Return the rectangle around a word's polygon (4, 2): left top, right top, right bottom, left bottom."""
    if len(polygon) != 4:
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        polygon = np.array([low, [high[0], low[1]], high, [low[0], high[1]]])
    return row_around(polygon[[[0, 1], [3, 2]]])


def _anywhere(rng: Rng, size: Floats) -> FoundRow:
    """Return a rectangle anywhere on a picture of a size (width, height)."""
    x, y = (float(v) for v in rng.uniform(0, size))
    half = log_uniform(rng, LEAST_PX / 2, 30.0)
    return FoundRow(x, y, half * log_uniform(rng, 0.5, 8.0), half, float(rng.normal(0, 0.2)), 1.0, 0.0)


def _stretched(row: FoundRow, others: list[FoundRow]) -> FoundRow:
    """Return a row that reaches over the next one on its line too, if there is one."""
    for other in others:
        start, end, off = _place(row, other.out_of_frame(np.array([[-other.half_width, 0], [other.half_width, 0]])))
        gap = start - row.half_width / row.half_height
        if off < SAME_LINE and 0 < gap < 12:
            half = (row.half_width + end * row.half_height) / 2
            x, y = row.out_of_frame(np.array([[half - row.half_width, 0.0]]))[0]
            return replace(row, x=float(x), y=float(y), half_width=half)
    return row


def _as_found(rng: Rng, row: FoundRow) -> FoundRow:
    """Return a row as a finder would draw it, a little off."""
    along, across = rng.normal(0, (OFF_ALONG, OFF_ACROSS)) * row.half_height
    x, y = row.out_of_frame(np.array([[along, across]]))[0]
    return replace(
        row,
        x=float(x),
        y=float(y),
        half_width=max(0.3 * row.half_height, row.half_width + rng.normal(OFF_LONGER, OFF_LENGTH) * row.half_height),
        half_height=row.half_height * float(np.exp(rng.normal(0, OFF_HEIGHT))),
        angle=row.angle + rng.normal(0, OFF_TURN) / max(1.5, row.half_width / row.half_height),
    )
