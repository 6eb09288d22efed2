"""One digit -> the 28 x 28 form of MNIST. The only place that does so."""

import cv2
import numpy as np

from inkdigits.arrays import AnyImage, Box, DigitImage, GrayImage, Indices, Ink, Mask
from inkdigits.reading.geometry import box_of, resized
from inkdigits.reading.normalise.paper import INK, WORK_SIDE_PX, check, percentiles, remove_paper

SIDE = 28
BOX = 20  # the longest side of a digit in MNIST's form
# Of MNIST's strokes 98 in 100 are this wide, in pixels of its form; pens beyond are brought back to these.
PEN_PX = (1.45, 4.3)


def frame_digit(image: GrayImage) -> DigitImage:
    """Return a picture of one digit in MNIST's form; a picture in that form already comes back as it is.

    Args:
        image: uint8 (H, W), any polarity, size and paper.

    Returns:
        uint8 (28, 28), 0 = paper, 255 = ink. Without any ink it is 0 throughout.

    Raises:
        ValueError: another dtype or number of dimensions, or no pixels.
    """
    return digit_forms(image)[0][0]


def digit_forms(image: GrayImage) -> tuple[list[DigitImage], Box | None]:
    """Return the forms in which a picture of one digit may be meant, and where its ink is.

    What looks like a ruled line, a speck or a neighbour's stroke may be part of the digit: the bar of a 4, the base of
    a 2, half of a broken 0. The network, which knows digits, says which form is one.

    Args:
        image: uint8 (H, W), any polarity, size and paper.

    Returns:
        uint8 (28, 28) each: first without lines, specks and what reaches in from the edges, then with all of its ink
        where that differs. And x, y, width, height of all ink in the picture's pixels; None where there is none.

    Raises:
        ValueError: another dtype or number of dimensions, or no pixels.
    """
    check(image)
    if is_framed(image[None]):
        return [image.copy()], _ink_box(image, image.shape)
    scale = min(1.0, WORK_SIDE_PX / max(image.shape))
    ink = remove_paper(resized(image, scale) if scale < 1 else image)
    cleaned = _one_digit(ink)
    forms = [frame_ink(cleaned)]
    if cleaned is not ink and not np.array_equal(cleaned, ink):
        forms.append(frame_ink(ink))
    return forms, _ink_box(ink, image.shape)


def _ink_box(ink: Ink, shape: tuple[int, ...]) -> Box | None:
    """Return x, y, width, height of ink, in pixels of the picture (H, W) of which `ink` is a copy, perhaps reduced."""
    box = box_of(ink > INK)
    if box is None:
        return None
    x, y, width, height = box
    down, across = shape[0] / ink.shape[0], shape[1] / ink.shape[1]  # a side of one pixel is not reduced further
    left, top = round(x * across), round(y * down)
    right, bottom = round((x + width) * across), round((y + height) * down)
    return left, top, right - left, bottom - top


def frame_ink(ink: Ink) -> DigitImage:
    """Return the ink of one digit, already free of paper, in MNIST's form.

    Args:
        ink: uint8 (H, W), 0 = paper, 255 = ink.

    Returns:
        uint8 (28, 28).
    """
    cropped = _cropped(ink)
    if cropped is None:
        return np.zeros((SIDE, SIDE), np.uint8)
    cropped = _with_usual_pen(cropped)
    height, width = cropped.shape
    scale = BOX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(cropped, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return _centred(_stretched(np.asarray(small, np.uint8)))


def is_framed(images: AnyImage) -> bool:
    """Return whether images are in MNIST's form already: nine in ten of them, or the only one.

    Args:
        images: uint8 (N, H, W).
    """
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or len(images) == 0:
        return False
    rows, columns = images.max(axis=2) > 0, images.max(axis=1) > 0
    longest = np.maximum(_extent(rows), _extent(columns))
    weights = images.astype(np.float32)
    mass = np.maximum(weights.sum(axis=(1, 2)), 1)
    place = np.arange(SIDE, dtype=np.float32)
    y, x = weights.sum(axis=2) @ place / mass, weights.sum(axis=1) @ place / mass
    off_centre = np.maximum(np.abs(y - 14), np.abs(x - 14))
    framed = (longest >= BOX - 1) & (longest <= BOX) & (off_centre < 0.6) & (images.max(axis=(1, 2)) > 200)
    return bool(framed.mean() >= 0.9)


def _extent(used: Mask) -> Indices:
    """Return int64 (N,), how far apart the first and the last True of bool (N, length) lie, both included."""
    reach: Indices = used.shape[1] - used.argmax(axis=1) - used[:, ::-1].argmax(axis=1)
    return reach


# What belongs to the digit


def _one_digit(ink: Ink) -> Ink:
    """Return the ink without ruled lines, specks, and what reaches in from the edges."""
    if min(ink.shape) >= 24:
        ink = _without_rules(_without_rules(ink).T).T
    count, labels, stats, _ = cv2.connectedComponentsWithStats((ink > 80).astype(np.uint8), connectivity=8)
    if count <= 2:
        return ink
    keep = np.concatenate([[False], _belonging(stats[1:], _inner_area(labels, count)[1:], ink.shape)])
    # Anti-aliased edges lie outside the pieces: they stay with what they surround.
    near = cv2.dilate(keep[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(ink * near, np.uint8)


def _inner_area(labels: AnyImage, count: int) -> Indices:
    """Return int64 (count,), how many of each piece's pixels lie off the picture's margin, an eighth wide."""
    height, width = labels.shape
    margin = max(1, min(height, width) // 8)
    inner = labels[margin : height - margin, margin : width - margin]
    return np.bincount(inner.ravel(), minlength=count)


def _belonging(stats: AnyImage, inner_area: Indices, shape: tuple[int, ...]) -> Mask:
    """Return bool (N,), which of N connected pieces (OpenCV's statistics) are parts of the digit."""
    x, y, width, height, area = (stats[:, i].astype(np.float64) for i in range(5))
    at_edge = (x == 0) | (y == 0) | (x + width == shape[1]) | (y + height == shape[0])
    main = int(np.argmax((inner_area + 0.1 * area) * np.where(at_edge, 0.3, 1.0)))
    reach = max(width[main], height[main])
    apart = np.maximum(
        np.maximum(x[main] - (x + width), x - (x[main] + width[main])),
        np.maximum(y[main] - (y + height), y - (y[main] + height[main])),
    )
    large = area > 0.3 * area[main]
    speck = (area < 0.02 * area[main]) & (np.maximum(width, height) < 0.2 * reach)
    # Where the digit keeps off the edges, what touches them or lies along them is a table's line or a neighbour.
    marginal = inner_area < 0.3 * area
    intruder = ((at_edge & (area < 0.6 * area[main])) | marginal) & (not at_edge[main]) & (not marginal[main])
    keep: Mask = ~speck & ~intruder & ((apart < 0.35 * reach) | large)
    keep[main] = True
    return keep


def _without_rules(ink: Ink) -> Ink:
    """Return the ink without lying lines that run from edge to edge and leave a digit that touches no edge."""
    height, width = ink.shape
    mask = (ink > 80).astype(np.uint8)
    if mask.max() == 0 or (mask.sum(axis=1) > 0.5 * width).sum() == 0:
        return ink
    lines = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, max(3, width // 3)), np.uint8))
    rows = np.flatnonzero(lines.sum(axis=1) > 0.1 * width)
    if not len(rows) or len(rows) > 0.3 * height:
        return ink
    bands = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    cleared = ink.copy()
    for band in bands:
        top, end = max(0, int(band[0]) - 1), min(height, int(band[-1]) + 2)
        if lines[top:end].max(axis=0).mean() > 0.9 and end - top - 2 <= max(3, 0.12 * height):
            # Strokes that cross the line go on above and below it.
            above = ink[max(0, top - 2) : top].max(axis=0, initial=0) > 80
            below = ink[end : end + 2].max(axis=0, initial=0) > 80
            cleared[top:end, ~(above & below)] = 0
    rest = box_of(cleared > 64)
    return cleared if rest and _keeps_off_edges(rest, height, width) else ink


def _keeps_off_edges(box: Box, height: int, width: int) -> bool:
    """Return whether a box in a picture of that height and width touches none of its edges."""
    return box[0] > 0 and box[1] > 0 and box[0] + box[2] < width and box[1] + box[3] < height


def _cropped(ink: Ink) -> Ink | None:
    """Return the part of the picture in which there is ink; None where there is none."""
    box = box_of(ink > 64)
    if box is None:
        return None
    x, y, width, height = box
    return ink[y : y + height, x : x + width]


# MNIST's pen, grey levels and place


def pen_width(ink: Ink) -> float:
    """Return the mean width of the strokes in pixels: twice their area over the length of their outline.

    Args:
        ink: uint8 (H, W), 0 = paper, 255 = ink.
    """
    padded = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0).astype(np.float32)
    across, down = np.diff(padded, axis=1)[:-1], np.diff(padded, axis=0)[:, :-1]
    outline = float(cv2.magnitude(across, down).sum())
    return 2 * float(padded.sum()) / max(outline, 1.0)


def _with_usual_pen(ink: Ink) -> Ink:
    """Return the ink with strokes far thinner or thicker than MNIST's brought near to them."""
    longest = max(ink.shape)
    unit = longest / BOX  # pixels here for one pixel of MNIST's form
    pen = pen_width(ink) / unit
    if PEN_PX[0] <= pen <= PEN_PX[1]:
        return ink
    if longest < 4 * BOX:
        ink = resized(ink, 4 * BOX / longest)
        unit = max(ink.shape) / BOX
    # The outline of thin strokes is blurred, and the estimate with it; aim well inside the usual range.
    by = round(((1.9 if pen < PEN_PX[0] else 3.8) - pen) * unit)
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(by) + 1, abs(by) + 1))
    if by > 0:
        room = by // 2 + 1
        padded = cv2.copyMakeBorder(ink, room, room, room, room, cv2.BORDER_CONSTANT)
        return np.asarray(cv2.dilate(padded, window), np.uint8)
    thinner = np.asarray(cv2.erode(ink, window, borderType=cv2.BORDER_CONSTANT, borderValue=0), np.uint8)
    # A blot is no thick pen: where little would be left, it stays.
    survives = float(thinner.sum()) > 0.35 * float(ink.sum())
    box = _cropped(thinner) if survives else None
    return ink if box is None else box


def _stretched(small: Ink) -> Ink:
    """Return the grey levels with the strokes' cores at 255, as MNIST's are."""
    strokes = small[small > 48]
    core = percentiles(strokes, 85)[0] if len(strokes) else 255.0
    return np.asarray(cv2.convertScaleAbs(small, alpha=255 / max(core, 100.0)), np.uint8)


def _centred(small: Ink) -> DigitImage:
    """Return uint8 (28, 28) with the centre of mass in the middle, to a whole pixel as in MNIST."""
    moments = cv2.moments(small)
    mass = max(moments["m00"], 1e-6)
    top = round(SIDE / 2 - moments["m01"] / mass)
    left = round(SIDE / 2 - moments["m10"] / mass)
    height, width = small.shape
    top, left = min(max(top, 0), SIDE - height), min(max(left, 0), SIDE - width)
    framed = np.zeros((SIDE, SIDE), np.uint8)
    framed[top : top + height, left : left + width] = small
    return framed
