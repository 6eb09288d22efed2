"""Pictures of answers: the boxes drawn over the picture that was read, and what the network saw of each digit."""

import itertools
from collections.abc import Sequence

import cv2
import numpy as np

from inkdigits.arrays import Box, ColorImage, GrayImage
from inkdigits.files.images import LoadedImage
from inkdigits.reading.results import Item, LeftOut, NumberReading

# Blue and orange (BGR) differ for every kind of colour vision; boxes of rejected digits are dashed as well.
ACCEPTED = (178, 114, 0)
REJECTED = (0, 94, 213)
GREY = (110, 110, 110)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_overlay(
    image: GrayImage | LoadedImage, lines: Sequence[NumberReading], left_out: Sequence[LeftOut] = ()
) -> ColorImage:
    """Return the picture with a box and the answer drawn for every digit, and a grey dashed box around left-out ink.

    Args:
        image: uint8 (H, W), grey, or what `load_image` returned; a picture that was read reduced is drawn reduced.
        lines: what was read in it, with boxes in the pixels of the stored picture.
        left_out: ink that is part of no digit, with boxes in the same pixels.

    Returns:
        uint8 (H', W', 3), BGR as OpenCV writes it. Small pictures are enlarged so that the answers can be read.
    """
    boxes = [image.from_stored(ink.box) if isinstance(image, LoadedImage) else ink.box for ink in left_out]
    image, lines = _as_read(image, lines)
    zoom = max(1, round(400 / max(image.shape)))
    large = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_NEAREST)
    canvas = np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8)
    unit = max(canvas.shape[:2]) / 1000
    for x, y, width, height in boxes:
        ends = (zoom * x, zoom * y), (zoom * (x + width), zoom * (y + height))
        _draw_box(canvas, *ends, GREY, max(1, round(2 * unit)), dashed=True)
    for item in (item for line in lines for item in line.items):
        _draw_item(canvas, item, zoom, unit)
    return canvas


def _as_read(
    image: GrayImage | LoadedImage, lines: Sequence[NumberReading]
) -> tuple[GrayImage, Sequence[NumberReading]]:
    """Return the pixels of a picture, and the lines with their boxes in those pixels."""
    if not isinstance(image, LoadedImage):
        return image, lines
    return image.pixels, [line.with_boxes(image.from_stored) for line in lines]


def _draw_item(canvas: ColorImage, item: Item, zoom: int, unit: float) -> None:
    x, y, width, height = (zoom * side for side in item.box)
    colour = ACCEPTED if item.accepted else REJECTED
    thick = max(1, round(2 * unit))
    _draw_box(canvas, (x, y), (x + width, y + height), colour, thick, dashed=not item.accepted)
    scale = max(0.35, min(height / 60, 1.2 * max(unit, 0.5)))
    label = f"{item.digit}" if item.accepted else f"{item.digit}?"
    (text_width, text_height), _ = cv2.getTextSize(label, FONT, scale, thick)
    # Above the box, or inside its upper edge where the picture ends.
    baseline = y - 3 if y - 3 >= text_height else y + text_height + 3
    left = int(np.clip(x + (width - text_width) // 2, 0, max(0, canvas.shape[1] - text_width)))
    cv2.putText(canvas, label, (left, baseline), FONT, scale, (255, 255, 255), thick + 2, cv2.LINE_AA)
    cv2.putText(canvas, label, (left, baseline), FONT, scale, colour, thick, cv2.LINE_AA)


def _draw_box(
    canvas: ColorImage,
    low: tuple[int, int],
    high: tuple[int, int],
    colour: tuple[int, int, int],
    thick: int,
    dashed: bool,
) -> None:
    if not dashed:
        cv2.rectangle(canvas, low, high, colour, thick)
        return
    corners = [low, (high[0], low[1]), high, (low[0], high[1]), low]
    for start, end in itertools.pairwise(corners):
        pieces = max(3, int(np.hypot(end[0] - start[0], end[1] - start[1]) / (6 * thick)) | 1)
        points = np.linspace(start, end, pieces + 1).round().astype(int)
        for first, second in zip(points[::2], points[1::2], strict=False):
            cv2.line(canvas, tuple(first), tuple(second), colour, thick, cv2.LINE_AA)


def draw_explanation(image: GrayImage | LoadedImage, item: Item) -> ColorImage:
    """Return a panel that shows why a digit was read as it was.

    The panel holds the crop from the picture, the 28 x 28 pixels that the network saw, and a bar for the probability of
    each digit.

    Args:
        image: uint8 (H, W), the picture, or what `load_image` returned.
        item: one digit of what was read in it.

    Returns:
        uint8 (240, 720, 3), BGR.
    """
    panel = np.full((240, 720, 3), 255, np.uint8)
    pixels, box = (image.pixels, image.from_stored(item.box)) if isinstance(image, LoadedImage) else (image, item.box)
    _paste(panel, _crop(pixels, box), 20, "crop")
    _paste(panel, item.framed, 240, "what the network saw")
    _draw_bars(panel, item, left=470)
    return panel


def _crop(image: GrayImage, box: Box) -> GrayImage:
    x, y, width, height = box
    margin = max(2, round(0.15 * max(width, height)))
    return image[max(0, y - margin) : y + height + margin, max(0, x - margin) : x + width + margin]


def _paste(panel: ColorImage, picture: GrayImage, left: int, title: str, side: int = 190) -> None:
    zoom = side / max(1, *picture.shape)
    size = (max(1, round(picture.shape[1] * zoom)), max(1, round(picture.shape[0] * zoom)))
    large = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST if zoom > 1 else cv2.INTER_AREA)
    top = 36 + (side - large.shape[0]) // 2
    start = left + (side - large.shape[1]) // 2
    panel[top : top + large.shape[0], start : start + large.shape[1]] = large[..., None]
    cv2.rectangle(panel, (left - 1, 35), (left + side, 36 + side), (200, 200, 200), 1)
    cv2.putText(panel, title, (left, 26), FONT, 0.5, GREY, 1, cv2.LINE_AA)


def _draw_bars(panel: ColorImage, item: Item, left: int) -> None:
    colour = ACCEPTED if item.accepted else REJECTED
    answer = f"{item.digit}   {item.confidence:.1%}" + ("" if item.accepted else "   rejected")
    cv2.putText(panel, answer, (left, 26), FONT, 0.5, colour, 1, cv2.LINE_AA)
    probabilities = dict(item.alternatives) | {item.digit: item.confidence}
    for digit in range(10):
        y = 52 + 18 * digit
        probability = probabilities.get(digit, 0.0)
        cv2.putText(panel, str(digit), (left, y), FONT, 0.45, GREY, 1, cv2.LINE_AA)
        cv2.rectangle(panel, (left + 18, y - 10), (left + 218, y), (235, 235, 235), -1)
        if probability > 0:
            cv2.rectangle(panel, (left + 18, y - 10), (left + 18 + max(1, round(200 * probability)), y), colour, -1)
