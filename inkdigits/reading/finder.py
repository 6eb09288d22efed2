"""Finds rows of handwritten digits on a page: a small network draws maps, few rules make rectangles of them.

The network answers best for digits 30 to 90 pixels tall. So it looks at copies of the picture, each half as large as
the one before. Of each copy only rows of about that height are kept, of the largest one also lower rows and of the
smallest one also higher rows.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inkdigits.arrays import GrayImage, Scores
from inkdigits.errors import ModelError
from inkdigits.reading.found_rows import FoundRow, merged, rows_of
from inkdigits.reading.geometry import resized, rotation, sample_picture, translation
from inkdigits.reading.line_reader import Crop
from inkdigits.reading.model import OnnxModel, check_threads, model_path

# The longest sides of copies in pixels. On 640 of them, writing on a ruled page of A4 is about 15 px tall; on 2560, a
# digit is 9 px tall where a page holds 200 rows of 200.
SIDES_PX = (2560, 1280, 640, 320, 160, 80)
USUAL_PX = 640  # the first copy; larger ones follow only where its digits are too small
SMALL_PX = 17.0  # median height of rows on a copy below which a larger copy is looked at (57.6 % of rows for 52.5 %)
# Heights of rows in pixels that a copy answers for. Neighbouring copies overlap, so that none falls between.
HEIGHTS_PX = (30.0, 90.0)
# Larger copies go through the network in tiles: a picture of 50 megapixels is searched within 250 MB.
TILE_PX, MARGIN_PX = 1280, 128
# A crop has this much room around the row, in half heights: ascenders and feet above and below, the ends of strokes.
ABOVE, AROUND = 1.5, 1.0
CROP_PX = 96  # crops are at most this tall: more than the networks look at
LONGEST_CROP = 6000  # pixels


class Finder:
    """Finds rows of digits on pictures with the finder's network. Thread-safe.

    Args:
        model: an open model, a run directory or an ONNX file.
        threads: how many the network may use, at least 1; all cores where None. An open model keeps its own.

    Raises:
        ModelError: there is no such model, or it is no finder.
        ValueError: fewer threads than one.
    """

    def __init__(self, model: OnnxModel | str | Path, threads: int | None = None) -> None:
        check_threads(threads)
        self.model = model if isinstance(model, OnnxModel) else OnnxModel(model_path(model), threads)
        if self.model.card.get("kind") != "finder":
            raise ModelError(f"{self.model.path}: not a page finder (its card says {self.model.card.get('kind')!r})")
        self.model.require("finder", ("classes", "stride", "half_px", "threshold", "rows"))

    @property
    def card(self) -> dict[str, Any]:
        """The network's card: recipe, seed, data, versions, figures."""
        return self.model.card

    def find(self, image: GrayImage, threshold: float | None = None) -> list[FoundRow]:
        """Return the rows of digits on a picture uint8 (H, W), in no order.

        Args:
            image: any size, either polarity.
            threshold: 0 to 1, the least score; the card's where None.
        """
        least = self.card["threshold"] if threshold is None else threshold
        work = resized(image, min(1.0, SIDES_PX[0] / max(image.shape)))  # coarser copies are made of this one
        largest = max(USUAL_PX, *work.shape)
        sides = sorted({min(side, largest) for side in SIDES_PX}, reverse=True)
        first = usual = sides.index(USUAL_PX)
        found = self._on_copy(work, sides[first], least)
        while first and _are_small(found, where_none=first == usual):
            first -= 1
            found = self._on_copy(work, sides[first], least)
        rows: list[FoundRow] = []
        for number, side in enumerate(sides[first:]):
            found = found if number == 0 else self._on_copy(work, side, least)
            low = HEIGHTS_PX[0] if number else 0.0
            high = HEIGHTS_PX[1] if side != sides[-1] else np.inf
            here = [row for row in found if low <= 2 * row.half_height < high]
            rows = merged(rows, [row.scaled(*_scale(work, side)) for row in here])
        return [row.scaled(image.shape[1] / work.shape[1], image.shape[0] / work.shape[0]) for row in rows]

    def _on_copy(self, image: GrayImage, side: int, least: float) -> list[FoundRow]:
        """Return the rows on a copy whose longest side is about `side`, in the copy's pixels."""
        maps = self.maps(copy_of(image, side))
        return rows_of(maps, self.card["stride"], self.card["half_px"], least)

    def maps(self, image: GrayImage) -> Scores:
        """Return the network's maps of a picture (H, W), float32 (H / 4, W / 4, 5), sides rounded up; in tiles."""
        stride, (height, width) = self.card["stride"], image.shape
        maps = np.empty((-(-height // stride), -(-width // stride), len(self.card["classes"])), np.float32)
        for y, bottom in _tiles(height):
            for x, right in _tiles(width):
                top, left = max(0, y - MARGIN_PX), max(0, x - MARGIN_PX)
                tile = image[top : bottom + MARGIN_PX, left : right + MARGIN_PX]
                scores = self.model.scores(_padded(tile)[None])[0]
                room = maps[y // stride : -(-bottom // stride), x // stride : -(-right // stride)]
                inner = scores[(y - top) // stride :, (x - left) // stride :]
                room[:] = inner[: room.shape[0], : room.shape[1]]
        return maps


def copy_of(image: GrayImage, side: int) -> GrayImage:
    """Return a picture uint8 (H, W) with `side` pixels along its longest side, as the network looks at it."""
    return resized(image, side / max(image.shape), cv2.INTER_CUBIC)


def _are_small(rows: list[FoundRow], where_none: bool) -> bool:
    """Say whether the rows of a copy are so low that a larger copy shows more of them."""
    return bool(np.median([2 * row.half_height for row in rows]) < SMALL_PX) if rows else where_none


def _tiles(length: int) -> list[tuple[int, int]]:
    """Return where tiles begin and end, without their margins: one tile where a side is no longer than one."""
    step = length if length <= TILE_PX else TILE_PX - 2 * MARGIN_PX
    return [(start, min(start + step, length)) for start in range(0, length, step)]


def _scale(image: GrayImage, side: int) -> tuple[float, float]:
    """Return how many times as wide and high the picture is as its copy whose longest side is about `side`."""
    share = side / max(image.shape)
    return image.shape[1] / max(1, round(image.shape[1] * share)), image.shape[0] / max(
        1, round(image.shape[0] * share)
    )


def _padded(tile: GrayImage) -> GrayImage:
    """Return a tile with its last row and column repeated until its sides are multiples of 64."""
    down, right = -tile.shape[0] % 64, -tile.shape[1] % 64
    return np.asarray(cv2.copyMakeBorder(tile, 0, down, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def cut_row(image: GrayImage, row: FoundRow, turned: bool = False) -> Crop:
    """Return the crop of a row, level, with room around it, and the transform from its pixels to the picture's.

    Args:
        image: uint8 (H, W), the picture that the row was found on.
        row: its centre lies in the picture.
        turned: read the row upside down.

    Returns:
        uint8 (h, w) with h up to 96 and w up to 6000 (larger rows are reduced), and float64 (3, 3).
    """
    half_width, half_height = row.half_width + AROUND * row.half_height, ABOVE * row.half_height
    step = max(1.0, 2 * half_height / CROP_PX, 2 * half_width / LONGEST_CROP)
    size = max(4, round(2 * half_width / step)), max(4, round(2 * half_height / step))
    turn = rotation(row.angle + np.pi * turned)
    to_picture = translation(row.x, row.y) @ turn @ np.diag([step, step, 1.0]) @ translation(-size[0] / 2, -size[1] / 2)
    return np.asarray(sample_picture(image, to_picture, size), np.uint8), to_picture
