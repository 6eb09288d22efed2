"""One line of ink -> the image that the line network takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inkdigits.arrays import Box, Boxes, Floats, GrayImage, Ink, Mask, Transform
from inkdigits.reading.geometry import box_around, box_of, corners_of, map_points, resized
from inkdigits.reading.normalise.paper import INK, check, strokes_are_light

# A line's paper is found on a copy at most this tall; cells cut from logbooks are smaller anyway.
LINE_WORK_PX = 48
# Digits fill this share of the line image's height: room for commas below, and for a box that was taken too small.
LINE_INK_SHARE = 0.7
# Ink beyond the line image and at least this long, as a share of the digits' height, is told of: a small 0 far from the
# rest. In 20 of 1,369 studied cells there is some; 10 of these are misread, and 12 % of all.
LEAST_BEYOND = 0.2
# Widths of line images are multiples of this: images of one width share a batch, and no answer depends on the others.
LINE_WIDTH_STEP_PX = 16


@dataclass(frozen=True)
class LineImage:
    """A row as the line network sees it.

    Attributes:
        image: uint8 (height, W), 0 = paper, 255 = ink; W is a multiple of 16.
        transform: float64 (2, 3), takes the line image's pixels (x, y, 1) to the row's.
        beyond: boxes x, y, width, height, in the row's pixels, of ink within the row that the line image does not show.
    """

    image: GrayImage
    transform: Transform
    beyond: tuple[Box, ...] = ()


def normalise_line(image: GrayImage, height: int, zoom: float = 1.0, shear: float = 0.0) -> GrayImage:
    """Return the line network's line image of a row of ink: paper away, digits at one height, ink light.

    Args:
        image: uint8 (H, W), dark ink on light paper or light on dark; which, is found.
        height: of the line image in pixels, as the network's card says.
        zoom: > 0; 1 makes digits 0.7 of the height.
        shear: pixels to the left a pixel down: another view of a slanted hand.

    Returns:
        uint8 (height, W), W a multiple of 16.

    Raises:
        ValueError: another dtype or number of dimensions, or no pixels.
    """
    return place_views(image, height, [{"zoom": zoom, "shear": shear}])[0].image


def place_views(image: GrayImage, height: int, views: Sequence[Mapping[str, float]]) -> list[LineImage]:
    """Return what `normalise_line` does for each view, its zoom and shear, with the way back to the row's pixels."""
    check(image)
    scale = min(1.0, LINE_WORK_PX / image.shape[0])
    work = resized(image, scale) if scale < 1 else image
    ink = _line_ink(work)
    pieces = _pieces(ink)
    box = _line_box(pieces, ink.shape)
    lines = [_line_image(ink, box, height, view.get("zoom", 1.0), view.get("shear", 0.0)) for view in views]
    to_row = np.array([[image.shape[1] / work.shape[1]], [image.shape[0] / work.shape[0]]])
    beyond = tuple(
        box_around(corners_of(piece) * to_row.T, slack_px=1e-6) for piece in _beyond(pieces, box, ink.shape).tolist()
    )
    return [LineImage(line.image, line.transform * to_row, beyond) for line in lines]


def ink_box(ink: Ink, line: LineImage, first: float, last: float, is_whole: bool = False) -> Box:
    """Return the box x, y, width, height, in a row's pixels, of the ink between two columns of its line.

    Args:
        ink: uint8 (H, W), the row's ink without its paper.
        line: the row's line.
        first: left column in the line image's pixels.
        last: right column, > first.
        is_whole: leave out strokes that reach beyond the columns, as a digit's do beside a comma, if others remain.

    Returns:
        The box around the ink there; around the columns themselves where there is none.
    """
    height, width = line.image.shape[0], ink.shape[1]
    corners = map_points(line.transform, np.array([[first, 0], [last, 0], [first, height], [last, height]]))
    left, right = (int(np.clip(round(x), 0, width)) for x in (corners[[0, 2], 0].mean(), corners[[1, 3], 0].mean()))
    top, end = (int(np.clip(round(y), 0, len(ink))) for y in (corners[:, 1].min(), corners[:, 1].max()))
    right, end = max(right, left + 1), max(end, top + 1)
    strokes = (ink[top:end, left:right] > INK).astype(np.uint8)
    found = (_whole_box(strokes, first <= 0, last >= line.image.shape[1]) if is_whole else None) or box_of(strokes > 0)
    if found is None:
        return min(left, width - 1), min(top, len(ink) - 1), right - left, end - top
    return left + found[0], top + found[1], found[2], found[3]


def _whole_box(strokes: Ink, at_left: bool, at_right: bool) -> Box | None:
    """Return the box around the connected strokes that end within the picture; None where there are none.

    Args:
        strokes: uint8 (h, w), 0 or 1.
        at_left: whether nothing lies beyond the left edge: strokes may touch it.
        at_right: the same of the right edge.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(strokes, connectivity=8)
    x, y, wide, tall = stats[1:, :4].T
    whole = ((x > 0) | at_left) & ((x + wide < strokes.shape[1]) | at_right)
    if not whole.any():
        return None
    left, top = int(x[whole].min()), int(y[whole].min())
    return left, top, int((x + wide)[whole].max()) - left, int((y + tall)[whole].max()) - top


def _line_ink(work: GrayImage) -> Floats:
    """Return float32 (h, w), darkness against the paper around, 1 = the row's firm ink."""
    if strokes_are_light(work, max(3, len(work) // 2 * 2 + 1)):
        work = 255 - work
    side = max(3, int(0.4 * work.shape[0])) | 1
    closed = cv2.morphologyEx(work, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    ink = cv2.subtract(cv2.blur(closed, (side, side)), work)
    rim = len(ink) // 6  # where table lines lie
    counts = np.cumsum(np.bincount(ink[rim : len(ink) - rim].ravel(), minlength=256))
    paper, firm = (int(np.searchsorted(counts, share * counts[-1])) for share in (0.5, 0.975))
    return np.asarray(np.clip((ink.astype(np.float32) - paper) / max(firm - paper, 4), 0, 1))


def _pieces(ink: Floats) -> Boxes:
    """Return the connected pieces of ink, table lines taken away: int32 (N, 5), x, y, width, height and area."""
    mask = (ink > 0.45).astype(np.uint8)
    mask[_table_lines((ink > 0.25).astype(np.uint8)) > 0] = 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return np.asarray(stats[1:], np.int32)


def _line_box(pieces: Boxes, shape: tuple[int, ...]) -> Box:
    """Return x, y, width, height around what may be digits: no table lines, no neighbours' ink at the edges."""
    rows, columns = shape
    left, top, wide, tall, area = pieces.T
    right, low = left + wide, top + tall
    at_side = (left <= 0.15 * rows) | (right >= columns - 0.15 * rows)
    at_edge = _at_edge(pieces, shape)
    line = at_side & (tall > 0.8 * rows) & (wide < 0.14 * rows)
    line |= at_edge & (area < 0.15 * wide * tall) & ((tall > 0.6 * rows) | (wide > rows))
    tallest = int(tall[~line].max(initial=0))
    neighbour = ((top <= 1) | (low >= rows - 1)) & (tall < 0.4 * tallest)
    keep = ~line & ~neighbour & (tall >= 0.35 * tallest) & (area >= 6)
    if not keep.any():
        return 0, 0, columns, rows
    x, y = int(left[keep].min()), int(top[keep].min())
    return x, y, int(right[keep].max()) - x, int(low[keep].max()) - y


def _at_edge(pieces: Boxes, shape: tuple[int, ...]) -> Mask:
    """Say, bool (N,), which pieces reach the edges of a row (H, W): a neighbour's ink, table lines."""
    left, top, wide, tall, _ = pieces.T
    edge: Mask = (top <= 1) | (top + tall >= shape[0] - 1) | (left <= 1) | (left + wide >= shape[1] - 1)
    return edge


def _beyond(pieces: Boxes, box: Box, shape: tuple[int, ...]) -> Boxes:
    """Return the boxes (M, 4) of pieces within a row (H, W) whose middles no line image of `box` shows."""
    first, last, top, low = _window(box, shape)
    x, y = (pieces[:, :2] + pieces[:, 2:4] / 2).T
    hidden = (x < first) | (x > last) | (y < top) | (y > low)
    long = pieces[:, 2:4].max(axis=1, initial=0) >= LEAST_BEYOND * LINE_INK_SHARE * (low - top)
    found: Boxes = pieces[hidden & long & ~_at_edge(pieces, shape), :4]
    return found


def _window(box: Box, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Return which columns and rows of a row's ink (H, W) a line image shows: left, right, top, bottom."""
    x, y, width, tall = box
    middle = y + tall / 2
    tall = max(tall, shape[0] // 4, 1)
    half = tall / LINE_INK_SHARE / 2
    return max(0.0, x - 0.5 * tall), min(float(shape[1]), x + width + 0.5 * tall), middle - half, middle + half


def _table_lines(mask: Ink) -> Ink:
    """Return uint8 (h, w), 1 on straight lines across, and on upright ones near the row's ends."""
    rows = len(mask)
    across = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, max(9, int(0.8 * rows))), np.uint8))
    upright = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((max(9, int(0.6 * rows)), 1), np.uint8))
    zone = max(2, int(0.16 * rows))
    upright[:, zone:-zone] = 0
    grown = cv2.dilate(across, np.ones((3, 1), np.uint8)), cv2.dilate(upright, np.ones((1, 3), np.uint8))
    return np.asarray(cv2.max(*grown), np.uint8)


def _line_image(ink: Floats, box: Box, height: int, zoom: float, shear: float) -> LineImage:
    """Return the line image of `ink` in which the box fills its share of the height, with its way back to the ink."""
    first, last, top, low = _window(box, ink.shape)
    middle = (top + low) / 2
    scale = zoom * height / (low - top)
    used = max(8, round((last - first) * scale))
    forth = np.array(
        [[scale, -shear * scale, scale * (shear * middle - first)], [0, scale, height / 2 - scale * middle]]
    )
    image = np.zeros((height, -(-used // LINE_WIDTH_STEP_PX) * LINE_WIDTH_STEP_PX), np.uint8)
    warped = cv2.warpAffine(ink, forth, (used, height), flags=cv2.INTER_LINEAR)
    image[:, :used] = warped * 255 + 0.5
    return LineImage(image, np.asarray(cv2.invertAffineTransform(forth), np.float64))
