"""The reduced, upright copy of a picture on which layout is found, and its ink."""

import cv2
import numpy as np

from inkdigits.arrays import GrayImage, Ink
from inkdigits.reading.geometry import resized, sample_picture, turn_back
from inkdigits.reading.layout.regions import connected_components, largest_in
from inkdigits.reading.layout.sheet import find_sheet
from inkdigits.reading.layout.structures import WorkCopy
from inkdigits.reading.normalise.paper import strokes_are_light

# Layout is found on a copy of about this size (longest side); crops come from the picture itself.
WORK_SIDE_PX = 1600
# Tiny pictures (a 60 x 34 cell) are enlarged, so that a pen is some pixels wide everywhere.
MIN_WORK_SIDE_PX = 480


def work_copy(image: GrayImage, quarter_turns: int) -> WorkCopy:
    """Return the sheet in the picture, turned, brought to a size at which a pen is some pixels wide, paper removed."""
    to_picture, (width, height) = find_sheet(image)
    longest = max(height, width)
    scale = min(1.0, WORK_SIDE_PX / longest) if longest >= MIN_WORK_SIDE_PX else min(4.0, MIN_WORK_SIDE_PX / longest)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrink = np.diag([width / size[0], height / size[1], 1.0])
    to_picture = to_picture @ shrink
    reduced = sample_picture(image, to_picture, size)
    light_ink = _is_light_ink(reduced)
    dark = np.ascontiguousarray(np.rot90(255 - reduced if light_ink else reduced, quarter_turns))
    paper = page_paper(dark)
    bright = float(np.percentile(paper[::4, ::4], 90))
    density = page_density(dark, paper)
    grain = min(_grain(density), 100.0) * bright / np.maximum(paper, 0.35 * bright + 1)
    floor = np.clip(grain, 16, 230).astype(np.uint8)
    to_picture = to_picture @ turn_back(quarter_turns, size)
    return WorkCopy(light_ink, paper, density, floor, _pen_level(density, floor), to_picture)


def page_density(dark: GrayImage, paper: GrayImage) -> Ink:
    """Return how much of the paper's light is missing, uint8, 0 = none and 255 = all."""
    light = np.maximum(paper.astype(np.float32), 24.0)
    density: Ink = np.clip(255 * (paper.astype(np.float32) - dark) / light, 0, 255).astype(np.uint8)
    return density


def page_paper(dark: GrayImage) -> GrayImage:
    """Return the paper's brightness behind dark ink: closing wider than any stroke, on a small copy."""
    height, width = dark.shape
    small = resized(dark, 200 / max(height, width), enlarge=cv2.INTER_AREA)
    small = cv2.medianBlur(small, 3)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21))
    small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(cv2.blur(small, (3, 3)), (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _is_light_ink(image: GrayImage) -> bool:
    """Say whether ink is lighter than its surroundings, on a small copy: a page's strokes are fine."""
    small = resized(image, min(1.0, 400 / max(image.shape)))
    return strokes_are_light(small, max(3, int(max(small.shape) / 14)) | 1)


def binarise(work: WorkCopy) -> Ink:
    """Return ink as uint8 0 / 1: each piece's pixels that are about a third as dark as the pen that drew it.

    That is the picture's usual pen for pieces at least half as dark as it; paler ones, such as pencil on a printed
    form, are measured against their own darkest spot. What is paler than a quarter of the pen shines through from the
    back or is dirt.
    """
    density, pen = work.density, work.pen
    labels, _, _ = connected_components((density > np.maximum(work.floor, 0.12 * pen)).astype(np.uint8))
    peaks = largest_in(density, labels, int(labels.max(initial=0)) + 1)
    least = np.where(peaks >= 0.5 * pen, 0.3 * pen, np.where(peaks >= 0.25 * pen, 0.4 * peaks, np.inf))
    binary: Ink = (density > np.maximum(least.astype(np.float32)[labels], work.floor)).astype(np.uint8)
    return binary


def _grain(density: Ink) -> float:
    """Return a density that the paper's own grain stays under: its median and six robust standard deviations."""
    sample = density[::3, ::3]
    middle, upper = np.percentile(sample, (50, 70))
    # What is lighter than the paper's mean counts as 0, so the spread shows above the median alone.
    spread = max(1.4826 * float(np.median(np.abs(sample - middle))), float(upper - middle) / 0.524)
    return float(middle) + 6 * spread


def _pen_level(density: Ink, floor: GrayImage) -> float:
    """Return the pen's usual density: that of the darkest ink, but for a twentieth of it."""
    ink = density[density > floor]
    return float(np.percentile(ink, 95)) if len(ink) else 255.0
