"""Digits that are written beside a field, above or below its box for want of room: which field they belong to."""

from collections.abc import Sequence

import cv2
import numpy as np

from inkdigits.arrays import Floats, GrayImage, NDArray
from inkdigits.forms.boxes import empty_boxes
from inkdigits.forms.ink import ink_of
from inkdigits.forms.template import FormField

REDUCTION = 2  # by so much pictures are reduced for it: strokes stay strokes
PRINT_PX = 3  # print of the template may lie so far from where it should
REACH = 1.0  # heights of a digit: so near a field is a digit that may be meant for it
# Of a digit: how tall and wide, in heights of the digits read, and how much of its box is ink. Neighbours' strokes and
# remainders of print are smaller or thinner, words are wider.
TALL, WIDE, LEAST_INK = (0.5, 2.0), (0.25, 1.5), 0.15
DARK = 0.6  # of the paper's lightness: pale patterns of another print are lighter


class Beside:
    """Finds digits beside the fields of one page of a template, where nothing is read.

    Args:
        reference: uint8 (H, W), the blank page.
        fields: of the page.
        cleaned: uint8 (H, W), not 0 where `ink` for `fields_of` comes without the template's print.
    """

    def __init__(self, reference: GrayImage, fields: Sequence[FormField], cleaned: GrayImage) -> None:
        self._names = [field.name for field in fields]
        self._boxes = np.array([field.box for field in fields], float).reshape(-1, 4)
        inside, looked = np.zeros_like(reference), np.zeros_like(reference)
        for field in fields:
            x, y, width, height = field.box
            inside[y : y + height, x : x + width] = 255
            looked[max(0, y - height) : y + 2 * height, max(0, x - height) : x + width + height] = 255
        printed = _grown(ink_of(reference), PRINT_PX)
        printed[_grown(cleaned, PRINT_PX) > 0] = 0  # or strokes that leave a field would end at its edge
        looked[printed > 0] = 0
        for x, y, width, height in empty_boxes(reference):  # what stands in a box that is no field was meant for it
            looked[y : y + height, x : x + width] &= inside[y : y + height, x : x + width]
        self._is_free = (_reduced(looked) > 0) & (_reduced(inside) == 0)

    def fields_of(self, page: GrayImage, ink: GrayImage, digit_px: float) -> set[str]:
        """Return the names of the fields beside which a digit stands that lies in none.

        What touches a field, print, or something further away is not one.

        Args:
            page: uint8 (H, W), as it lies on the template.
            ink: uint8 (H, W), 0 or 255, its ink.
            digit_px: height of the digits on it.
        """
        _, labels, stats, _ = cv2.connectedComponentsWithStats(_reduced(ink))
        digit = digit_px / REDUCTION
        wide, tall, area = stats[:, 2], stats[:, 3], stats[:, 4]
        is_digit = (tall > TALL[0] * digit) & (tall < TALL[1] * digit) & (wide > WIDE[0] * digit)
        is_digit &= (wide < WIDE[1] * digit) & (area > LEAST_INK * wide * tall)
        is_digit[0] = False
        found = set()
        for number in np.flatnonzero(is_digit):
            x, y, width, height = stats[number, :4]
            place = slice(y, y + height), slice(x, x + width)
            strokes = labels[place] == number
            gaps = self._gaps(REDUCTION * stats[number, :4].astype(float))
            is_free = gaps.min() <= REACH * digit_px and self._is_free[place][strokes].all()
            if is_free and _is_dark(page[_enlarged(place)], strokes):
                found.add(self._names[int(gaps.argmin())])
        return found

    def _gaps(self, box: Floats) -> Floats:
        """Return how far a box float (4,) is from each field's, float64 (fields,)."""
        first, last = self._boxes[:, :2], self._boxes[:, :2] + self._boxes[:, 2:]
        between = np.maximum(0, np.maximum(first - (box[:2] + box[2:]), box[:2] - last))
        return np.asarray(np.hypot(*between.T))


def _enlarged(place: tuple[slice, slice]) -> tuple[slice, slice]:
    """Return where a place of a reduced picture lies in the picture."""
    down, across = (slice(REDUCTION * side.start, REDUCTION * side.stop) for side in place)
    return down, across


def _is_dark(part: GrayImage, strokes: NDArray[np.bool_]) -> bool:
    """Say whether the strokes, of which every other pixel is given, are much darker than the paper around them."""
    paper = np.percentile(part, 90)
    reduced = part[::REDUCTION, ::REDUCTION]
    strokes = strokes[: reduced.shape[0], : reduced.shape[1]]
    return bool(np.percentile(reduced[strokes], 25) < DARK * paper)


def _grown(mask: GrayImage, px: int) -> GrayImage:
    return np.asarray(cv2.dilate(mask, np.ones((2 * px + 1, 2 * px + 1), np.uint8)), np.uint8)


def _reduced(mask: GrayImage) -> GrayImage:
    """Return a mask uint8 (H, W) reduced, 0 or 255: 255 where any of its pixels is."""
    size = -(-mask.shape[1] // REDUCTION), -(-mask.shape[0] // REDUCTION)
    return np.asarray(255 * (cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 64), np.uint8)
