"""Separates ink from paper and removes the paper.

A picture of one digit, a line and a page each remove paper in their own way, and look for ruled lines in their own way:
here strokes may fill most of a tight crop; in a line (`line`) they are a known share of its height; on a page
(`layout.ink`) they are far finer than everything else, and light differs from corner to corner.
"""

import cv2
import numpy as np

from inkdigits.arrays import AnyImage, Floats, GrayImage, Ink
from inkdigits.reading.geometry import resized

# A picture of one digit is not looked at in more detail than this (longest side).
WORK_SIDE_PX = 480
INK = 96  # ink stronger than this counts where a digit's place is asked for
# Paper and polarity are smooth: they are found on a copy of about this size (shortest side).
PAPER_SIDE_PX = 72
# Ink paler than this (of 255) counts as paper.
FAINTEST = 7.0


def remove_paper(image: GrayImage) -> Ink:
    """Return the ink of a picture alone: paper, shadows and uneven light taken away, contrast stretched.

    Args:
        image: uint8 (H, W), dark ink on light paper or light on dark; which, is found.

    Returns:
        uint8 (H, W), 0 = paper, 255 = ink. Without any ink it is 0 throughout.

    Raises:
        ValueError: another dtype or number of dimensions, or no pixels.
    """
    check(image)
    dark_ink = 255 - image if has_light_ink(image) else image
    density = _density(dark_ink)
    floor, full = _ink_range(density)
    if full <= floor:
        return np.zeros(image.shape, np.uint8)
    return np.asarray(cv2.convertScaleAbs(np.maximum(density - floor, 0), alpha=255 / (full - floor)), np.uint8)


def has_light_ink(image: GrayImage) -> bool:
    """Return whether the ink of a digit is lighter than the paper: whether the rarer grey levels are the lighter ones.

    Args:
        image: uint8 (H, W).
    """
    small = _reduced(image, PAPER_SIDE_PX).astype(np.float32)
    detail = small - _slow_light(small)
    mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(detail))
    if spread < 1e-3:
        return False
    detail = (detail - mean) / spread
    # In a tight crop of bold strokes ink is not rarer than paper; but corners are paper rather than ink.
    side = max(1, round(min(small.shape) / 8))
    ends = (slice(None, side), slice(-side, None))
    corners = [min(1.0, max(-1.0, cv2.mean(detail[rows, columns])[0])) for rows in ends for columns in ends]
    skewness = cv2.mean(detail * detail * detail)[0]
    return bool(skewness > 0.6 * sum(corners) / 4)


def _slow_light(small: Floats) -> Floats:
    """Return float32 (h, w), the picture's slow changes of light, which are no ink."""
    height, width = small.shape
    # A Gaussian half as wide as the picture looks the same from a copy a quarter the size, in a fifth of the time.
    coarse = 4 if min(height, width) >= 16 else 1
    size = max(1, round(width / coarse)), max(1, round(height / coarse))
    copy = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(copy, (0, 0), max(2.0, min(small.shape) / 2) / coarse, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def strokes_are_light(image: GrayImage, window_px: int) -> bool:
    """Return whether the ink of a line or page is lighter than the paper: strokes are the rarer side of the local mean.

    A tight crop of one digit has too little paper for that: see `has_light_ink`.

    Args:
        image: uint8 (H, W).
        window_px: odd; the local mean is taken over a square of this side, wider than any stroke.
    """
    grey = image.astype(np.float32)
    off = grey - cv2.blur(grey, (window_px, window_px))
    return bool((off**3).sum() > 0)


def check(image: AnyImage) -> None:
    """Raise ValueError unless the image is uint8 (H, W) with pixels."""
    if image.dtype != np.uint8 or image.ndim != 2 or image.size == 0:
        raise ValueError(f"image must be uint8 (H, W), got {image.dtype} {image.shape}")


def percentiles(values: AnyImage, *percents: float) -> list[float]:
    """Return what `np.percentile` does, to the last bit, in a tenth of its time for a small picture.

    Args:
        values: numbers of any shape, at least one.
        percents: 0 to 100.
    """
    ordered = np.sort(values, axis=None)
    found = []
    for percent in percents:
        place = (len(ordered) - 1) * (percent / 100)
        below = int(place)
        low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
        rest = place - below
        found.append(high - (high - low) * (1 - rest) if rest >= 0.5 else low + (high - low) * rest)
    return found


def _reduced(image: GrayImage, shortest: int) -> GrayImage:
    scale = shortest / min(image.shape)
    return resized(image, scale) if scale < 1 else image


def _density(image: GrayImage) -> Floats:
    """Return float32 (H, W), how much of the paper's light ink takes, 0 to 255; below 0 is brighter paper."""
    paper = np.maximum(_paper(image), 40.0)
    density: Floats = (paper - image) * (255.0 / paper)
    return density.astype(np.float32)


def _paper(image: GrayImage) -> Floats | np.float32:
    """Return the grey level of the bare paper under dark ink: one number, or float32 (H, W) where light is uneven."""
    small = _reduced(image, PAPER_SIDE_PX)
    bright, brighter = percentiles(small, 60, 97)
    if brighter - bright < 6:
        return np.float32(brighter)
    # Closing with a window wider than any stroke leaves paper and its shadows (Serra 1982); the width of
    # strokes follows from the picture's shorter side, for a picture shows one digit or one row.
    reach = max(5, int(min(small.shape) * 0.45)) | 1
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    closed = cv2.morphologyEx(cv2.medianBlur(small, 3) if min(small.shape) > 24 else small, cv2.MORPH_CLOSE, window)
    smooth = cv2.GaussianBlur(closed, (0, 0), reach / 4, borderType=cv2.BORDER_REPLICATE)
    height, width = image.shape
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)).astype(np.float32)


def _ink_range(density: Floats) -> tuple[float, float]:
    """Return the density up to which all is paper, and the density of full ink; equal where there is no ink."""
    step = max(1, int(np.sqrt(density.size / 40_000)))
    values = density[::step, ::step].ravel()
    # Ink may fill more than half of a tight crop, so the paper's grain is read off the palest quarter.
    low, quarter = percentiles(values, 4, 25)
    grain = quarter - low
    floor = quarter + 3.3 * grain
    above = values[values > floor + 2]
    if len(above) < 4:
        above = density[density > floor + 2]
    if not len(above):
        return floor, floor
    halfway = _otsu(above, floor)
    (full,) = percentiles(above[above >= halfway], 75)
    return (floor, full) if full - floor > max(FAINTEST, 2 * grain) else (floor, floor)


def _otsu(values: Floats, low: float) -> float:
    """Return the level that splits values into two classes furthest apart (Otsu 1979)."""
    high = float(values.max())
    coded = ((values - low) * (255 / max(high - low, 1e-3))).astype(np.uint8)
    level, _ = cv2.threshold(coded.reshape(1, -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return low + level * (high - low) / 255
