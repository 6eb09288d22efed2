"""Paper away, ink light; one digit -> the 28 x 28 form MNIST uses. The only place that does so.

MNIST's form (LeCun et al. 1998, section III): the digit's longest side is 20 pixels, grey comes from anti-aliasing,
and the centre of mass lies in the middle of 28 x 28. Nets learn that form; what a picture brings beyond it (paper,
light, pens, resolution, polarity) is taken away here, so that no net has to know it.
"""

from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 28
BOX = 20  # the longest side of a digit in MNIST's form
# A picture of one digit is not looked at in more detail than this (longest side).
WORK_SIDE_PX = 480
INK = 96  # ink stronger than this counts where a digit's place is asked for
# Paper and polarity are smooth: they are found on a copy of about this size (shortest side).
PAPER_SIDE_PX = 72
# Of MNIST's strokes 98 in 100 are this wide, in pixels of its form; pens beyond are brought back to these.
PEN_PX = (1.45, 4.3)
# Ink paler than this (of 255) is not told from paper at all.
FAINTEST = 7.0


def remove_paper(image: np.ndarray) -> np.ndarray:
    """Return the ink of a picture alone: paper, shadows and uneven light taken away, contrast stretched.

    Args:
        image: uint8 (H, W), dark ink on light paper or light on dark; which, is found.

    Returns:
        uint8 (H, W), 0 = paper, 255 = ink. Without any ink it is 0 throughout.

    Raises:
        ValueError: another dtype or number of dimensions, or no pixels.
    """
    _check(image)
    dark_ink = 255 - image if has_light_ink(image) else image
    density = _density(dark_ink)
    floor, full = _ink_range(density)
    if full <= floor:
        return np.zeros(image.shape, np.uint8)
    return np.asarray(cv2.convertScaleAbs(np.maximum(density - floor, 0), alpha=255 / (full - floor)))


def has_light_ink(image: np.ndarray) -> bool:
    """Tell whether the ink is lighter than the paper: whether the rarer grey levels are the lighter ones.

    Args:
        image: uint8 (H, W).
    """
    small = _reduced(image, PAPER_SIDE_PX).astype(np.float32)
    # Slow changes of light are no ink.
    detail = small - cv2.GaussianBlur(small, (0, 0), max(2.0, min(small.shape) / 2), borderType=cv2.BORDER_REPLICATE)
    detail -= detail.mean()
    spread = float(np.sqrt((detail * detail).mean()))
    if spread < 1e-3:
        return False
    detail /= spread
    # In a tight crop of bold strokes ink is not rarer than paper; but corners are paper rather than ink.
    side = max(1, round(min(small.shape) / 8))
    ends = (slice(None, side), slice(-side, None))
    corners = np.mean([np.clip(detail[rows, columns].mean(), -1, 1) for rows in ends for columns in ends])
    return bool((detail * detail * detail).mean() > 0.6 * corners)


def frame_digit(image: np.ndarray) -> np.ndarray:
    """Return a picture of one digit in MNIST's form; a picture in that form already comes back as it is.

    Args:
        image: uint8 (H, W), any polarity, size and paper.

    Returns:
        uint8 (28, 28), 0 = paper, 255 = ink. Without any ink it is 0 throughout.

    Raises:
        ValueError: another dtype or number of dimensions, or no pixels.
    """
    return place_digit(image)[0]


def place_digit(image: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int, int] | None]:
    """Return what `frame_digit` does, and where the picture's ink is.

    Args:
        image: uint8 (H, W), any polarity, size and paper.

    Returns:
        uint8 (28, 28), and x, y, width, height of all ink in the picture's pixels; None where there is none.

    Raises:
        ValueError: another dtype or number of dimensions, or no pixels.
    """
    _check(image)
    if is_framed(image[None]):
        return image.copy(), _box_of(image, 1.0)
    scale = min(1.0, WORK_SIDE_PX / max(image.shape))
    ink = remove_paper(_resized(image, scale) if scale < 1 else image)
    return frame_ink(_one_digit(ink)), _box_of(ink, scale)


def _box_of(ink: np.ndarray, scale: float) -> tuple[int, int, int, int] | None:
    """Return x, y, width, height of ink, in pixels of the picture of which `ink` is a copy `scale` times as large."""
    mask = ink > INK
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    edges = (columns[0] / scale, rows[0] / scale, (columns[-1] + 1) / scale, (rows[-1] + 1) / scale)
    left, top, right, bottom = (round(float(edge)) for edge in edges)
    return left, top, right - left, bottom - top


def frame_ink(ink: np.ndarray) -> np.ndarray:
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
    return _centred(_stretched(small))


def is_framed(images: np.ndarray) -> bool:
    """Tell whether images are in MNIST's form already: nine in ten of them, or the only one.

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


def _extent(used: np.ndarray) -> np.ndarray:
    """Return int64 (N,), how far apart the first and the last True of bool (N, length) lie, both included."""
    reach: np.ndarray = used.shape[1] - used.argmax(axis=1) - used[:, ::-1].argmax(axis=1)
    return reach


def _check(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 2 or image.size == 0:
        raise ValueError(f"image must be uint8 (H, W), got {image.dtype} {image.shape}")


# Paper


def _resized(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = image.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))


def _reduced(image: np.ndarray, shortest: int) -> np.ndarray:
    scale = shortest / min(image.shape)
    return _resized(image, scale) if scale < 1 else image


def _density(image: np.ndarray) -> np.ndarray:
    """Return float32 (H, W), how much of the paper's light ink takes, 0 to 255; below 0 is brighter paper."""
    paper = np.maximum(_paper(image), 40.0)
    density: np.ndarray = (paper - image) * (255.0 / paper)
    return density.astype(np.float32)


def _paper(image: np.ndarray) -> np.ndarray | np.float32:
    """Return the grey level of the bare paper under dark ink: one number, or float32 (H, W) where light is uneven."""
    small = _reduced(image, PAPER_SIDE_PX)
    bright, brighter = _percentiles(small, 60, 97)
    if brighter - bright < 6:
        return np.float32(brighter)
    # Closing with a window wider than any stroke leaves paper and its shadows (Serra 1982); strokes are told by the
    # picture's shorter side, for a picture shows one digit or one row.
    reach = max(5, int(min(small.shape) * 0.45)) | 1
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    closed = cv2.morphologyEx(cv2.medianBlur(small, 3) if min(small.shape) > 24 else small, cv2.MORPH_CLOSE, window)
    smooth = cv2.GaussianBlur(closed, (0, 0), reach / 4, borderType=cv2.BORDER_REPLICATE)
    height, width = image.shape
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)).astype(np.float32)


def _percentiles(values: np.ndarray, *percents: float) -> list[float]:
    """Return what `np.percentile` does, in a tenth of its time for a small picture."""
    ordered = np.sort(values, axis=None)
    found = []
    for percent in percents:
        place = percent / 100 * (len(ordered) - 1)
        below = int(place)
        low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
        found.append(low + (high - low) * (place - below))
    return found


def _ink_range(density: np.ndarray) -> tuple[float, float]:
    """Return the density up to which all is paper, and the density of full ink; equal where there is no ink."""
    step = max(1, int(np.sqrt(density.size / 40_000)))
    values = density[::step, ::step].ravel()
    # Ink may fill more than half of a tight crop, so the paper's grain is read off the palest quarter.
    low, quarter = _percentiles(values, 4, 25)
    grain = quarter - low
    floor = quarter + 3.3 * grain
    above = values[values > floor + 2]
    if len(above) < 4:
        above = density[density > floor + 2]
    if not len(above):
        return floor, floor
    halfway = _otsu(above, floor)
    (full,) = _percentiles(above[above >= halfway], 75)
    return (floor, full) if full - floor > max(FAINTEST, 2 * grain) else (floor, floor)


def _otsu(values: np.ndarray, low: float) -> float:
    """Return the level that splits values into two classes furthest apart (Otsu 1979)."""
    high = float(values.max())
    coded = ((values - low) * (255 / max(high - low, 1e-3))).astype(np.uint8)
    level, _ = cv2.threshold(coded.reshape(1, -1), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return low + level * (high - low) / 255


# What belongs to the digit


def _one_digit(ink: np.ndarray) -> np.ndarray:
    """Return the ink without ruled lines, specks, and what reaches in from the edges."""
    if min(ink.shape) >= 24:
        ink = _without_rules(_without_rules(ink).T).T
    count, labels, stats, _ = cv2.connectedComponentsWithStats((ink > 80).astype(np.uint8), connectivity=8)
    if count <= 2:
        return ink
    keep = np.concatenate([[False], _belonging(stats[1:], _inner_area(labels, count)[1:], ink.shape)])
    # Anti-aliased edges lie outside the pieces: they stay with what they surround.
    near = cv2.dilate(keep[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(ink * near)


def _inner_area(labels: np.ndarray, count: int) -> np.ndarray:
    """Return int64 (count,), how many of each piece's pixels lie off the picture's margin, an eighth wide."""
    height, width = labels.shape
    margin = max(1, min(height, width) // 8)
    inner = labels[margin : height - margin, margin : width - margin]
    return np.bincount(inner.ravel(), minlength=count)


def _belonging(stats: np.ndarray, inner_area: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
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
    keep: np.ndarray = ~speck & ~intruder & ((apart < 0.35 * reach) | large)
    keep[main] = True
    return keep


def _without_rules(ink: np.ndarray) -> np.ndarray:
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
    rest = _cropped(cleared, edge=True)
    return ink if rest is None else cleared


def _cropped(ink: np.ndarray, edge: bool = False) -> np.ndarray | None:
    """Return the ink's box; None where there is no ink, or where it touches an edge and must not (`edge`)."""
    mask = ink > 64
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    if edge and (rows[0] == 0 or columns[0] == 0 or rows[-1] == ink.shape[0] - 1 or columns[-1] == ink.shape[1] - 1):
        return None
    return np.asarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


# MNIST's pen, grey levels and place


def pen_width(ink: np.ndarray) -> float:
    """Return the mean width of the strokes in pixels: twice their area over the length of their outline.

    Args:
        ink: uint8 (H, W), 0 = paper, 255 = ink.
    """
    padded = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0).astype(np.float32)
    across, down = np.diff(padded, axis=1)[:-1], np.diff(padded, axis=0)[:, :-1]
    outline = float(cv2.magnitude(across, down).sum())
    return 2 * float(padded.sum()) / max(outline, 1.0)


def _with_usual_pen(ink: np.ndarray) -> np.ndarray:
    """Return the ink with strokes far thinner or thicker than MNIST's brought near to them."""
    longest = max(ink.shape)
    unit = longest / BOX  # pixels here for one pixel of MNIST's form
    pen = pen_width(ink) / unit
    if PEN_PX[0] <= pen <= PEN_PX[1]:
        return ink
    if longest < 4 * BOX:
        ink = _resized(ink, 4 * BOX / longest)
        unit = max(ink.shape) / BOX
    # The outline of thin strokes is blurred, and the estimate with it; aim well inside the usual range.
    by = round(((1.9 if pen < PEN_PX[0] else 3.8) - pen) * unit)
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(by) + 1, abs(by) + 1))
    if by > 0:
        room = by // 2 + 1
        return np.asarray(cv2.dilate(cv2.copyMakeBorder(ink, room, room, room, room, cv2.BORDER_CONSTANT), window))
    thinner = cv2.erode(ink, window, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # A blot is no thick pen: where little would be left, it stays.
    survives = float(thinner.sum()) > 0.35 * float(ink.sum())
    box = _cropped(thinner) if survives else None
    return ink if box is None else box


def _stretched(small: np.ndarray) -> np.ndarray:
    """Return the grey levels with the strokes' cores at 255, as MNIST's are."""
    strokes = np.sort(small[small > 48])
    core = _percentile(strokes, 85) if len(strokes) else 255.0
    return np.asarray(cv2.convertScaleAbs(small, alpha=255 / max(core, 100.0)))


def _percentile(ordered: np.ndarray, percent: float) -> float:
    """Return what `np.percentile` does of sorted values, to the last bit, in a fifteenth of its time for a few."""
    place = (len(ordered) - 1) * (percent / 100)
    below = int(place)
    low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    rest = place - below
    return high - (high - low) * (1 - rest) if rest >= 0.5 else low + (high - low) * rest


def _centred(small: np.ndarray) -> np.ndarray:
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


# A row's strip for the line net

# A row's paper is judged on a copy at most this tall; cells cut from logbooks are smaller anyway.
ROW_WORK_PX = 48
# Digits fill this share of the strip's height: room for commas below, and for a box that was taken too small.
ROW_INK_SHARE = 0.7
# Strips' widths are multiples of this: rows of one width share a batch, and no answer hangs on what else is read.
ROW_WIDTH_STEP_PX = 16


@dataclass(frozen=True)
class Strip:
    """A row as the line net sees it.

    Attributes:
        image: uint8 (height, W), 0 = paper, 255 = ink; W is a multiple of 16.
        transform: float64 (2, 3), takes the strip's pixels (x, y, 1) to the row's.
    """

    image: np.ndarray
    transform: np.ndarray


def frame_row(image: np.ndarray, height: int, zoom: float = 1.0, shear: float = 0.0) -> np.ndarray:
    """Return the line net's strip of a row of ink: paper away, digits at one height, ink light.

    Args:
        image: uint8 (H, W), dark ink on light paper or light on dark; which, is found.
        height: of the strip in pixels, as the net's card says.
        zoom: > 0; 1 makes digits 0.7 of the height.
        shear: pixels to the left a pixel down: another view of a slanted hand.

    Returns:
        uint8 (height, W), W a multiple of 16.

    Raises:
        ValueError: another dtype or number of dimensions, or no pixels.
    """
    return place_row(image, height, zoom, shear).image


def place_row(image: np.ndarray, height: int, zoom: float = 1.0, shear: float = 0.0) -> Strip:
    """Return what `frame_row` does, with the way back to the row's pixels."""
    _check(image)
    scale = min(1.0, ROW_WORK_PX / image.shape[0])
    work = _resized(image, scale) if scale < 1 else image
    ink = _row_ink(work)
    strip = _strip(ink, _row_box(ink), height, zoom, shear)
    to_row = np.array([[image.shape[1] / work.shape[1]], [image.shape[0] / work.shape[0]]])
    return Strip(strip.image, strip.transform * to_row)


def ink_box(ink: np.ndarray, strip: Strip, first: float, last: float) -> tuple[int, int, int, int]:
    """Return the box x, y, width, height, in a row's pixels, of the ink between two columns of its strip.

    Args:
        ink: uint8 (H, W), the row's ink without its paper.
        strip: the row's strip.
        first: left column in the strip's pixels.
        last: right column, > first.

    Returns:
        The box around the ink there; around the columns themselves where there is none.
    """
    height, width = strip.image.shape[0], ink.shape[1]
    corners = np.array([[first, 0, 1], [last, 0, 1], [first, height, 1], [last, height, 1]]) @ strip.transform.T
    left, right = (int(np.clip(round(x), 0, width)) for x in (corners[[0, 2], 0].mean(), corners[[1, 3], 0].mean()))
    top, end = (int(np.clip(round(y), 0, len(ink))) for y in (corners[:, 1].min(), corners[:, 1].max()))
    right, end = max(right, left + 1), max(end, top + 1)
    rows, columns = np.nonzero(ink[top:end, left:right] > 96)
    if not len(rows):
        return min(left, width - 1), min(top, len(ink) - 1), right - left, end - top
    x, y = left + int(columns.min()), top + int(rows.min())
    return x, y, int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def _row_ink(work: np.ndarray) -> np.ndarray:
    """Return float32 (h, w), darkness against the paper around, 1 = the row's firm ink."""
    if _row_has_light_ink(work):
        work = 255 - work
    side = max(3, int(0.4 * work.shape[0])) | 1
    closed = cv2.morphologyEx(work, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    ink = cv2.subtract(cv2.blur(closed, (side, side)), work)
    rim = len(ink) // 6  # where table lines lie
    counts = np.cumsum(np.bincount(ink[rim : len(ink) - rim].ravel(), minlength=256))
    paper, firm = (int(np.searchsorted(counts, share * counts[-1])) for share in (0.5, 0.975))
    return np.asarray(np.clip((ink.astype(np.float32) - paper) / max(firm - paper, 4), 0, 1))


def _row_has_light_ink(work: np.ndarray) -> bool:
    """Ink is the rarer side of the local mean: the third moment tells which."""
    side = max(3, len(work) // 2 * 2 + 1)
    grey = work.astype(np.float32)
    off = grey - cv2.blur(grey, (side, side), borderType=cv2.BORDER_REFLECT_101)
    return bool((off**3).sum() > 0)


def _row_box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Return x, y, width, height around what may be digits: no table lines, no neighbours' ink at the edges."""
    rows, columns = ink.shape
    mask = (ink > 0.45).astype(np.uint8)
    mask[_table_lines((ink > 0.25).astype(np.uint8)) > 0] = 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    left, top, wide, tall, area = (stats[1:, i] for i in range(5))
    right, low = left + wide, top + tall
    at_side = (left <= 0.15 * rows) | (right >= columns - 0.15 * rows)
    at_edge = (top <= 1) | (low >= rows - 1) | (left <= 1) | (right >= columns - 1)
    line = at_side & (tall > 0.8 * rows) & (wide < 0.14 * rows)
    line |= at_edge & (area < 0.15 * wide * tall) & ((tall > 0.6 * rows) | (wide > rows))
    tallest = int(tall[~line].max(initial=0))
    neighbour = ((top <= 1) | (low >= rows - 1)) & (tall < 0.4 * tallest)
    keep = ~line & ~neighbour & (tall >= 0.35 * tallest) & (area >= 6)
    if not keep.any():
        return 0, 0, columns, rows
    x, y = int(left[keep].min()), int(top[keep].min())
    return x, y, int(right[keep].max()) - x, int(low[keep].max()) - y


def _table_lines(mask: np.ndarray) -> np.ndarray:
    """Return uint8 (h, w), 1 on straight lines across, and on upright ones near the row's ends."""
    rows = len(mask)
    across = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, max(9, int(0.8 * rows))), np.uint8))
    upright = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((max(9, int(0.6 * rows)), 1), np.uint8))
    zone = max(2, int(0.16 * rows))
    upright[:, zone:-zone] = 0
    grown = cv2.dilate(across, np.ones((3, 1), np.uint8)), cv2.dilate(upright, np.ones((1, 3), np.uint8))
    return np.asarray(cv2.max(*grown))


def _strip(ink: np.ndarray, box: tuple[int, int, int, int], height: int, zoom: float, shear: float) -> Strip:
    """Return the strip of `ink` in which the box takes its share of the height; its way back is to the ink's pixels."""
    x, y, width, tall = box
    middle = y + tall / 2
    tall = max(tall, len(ink) // 4, 1)
    scale = zoom * ROW_INK_SHARE * height / tall
    first, last = max(0.0, x - 0.5 * tall), min(float(ink.shape[1]), x + width + 0.5 * tall)
    used = max(8, round((last - first) * scale))
    forth = np.array(
        [[scale, -shear * scale, scale * (shear * middle - first)], [0, scale, height / 2 - scale * middle]]
    )
    image = np.zeros((height, -(-used // ROW_WIDTH_STEP_PX) * ROW_WIDTH_STEP_PX), np.uint8)
    warped = cv2.warpAffine(ink, forth, (used, height), flags=cv2.INTER_LINEAR)
    image[:, :used] = warped * 255 + 0.5
    return Strip(image, np.asarray(cv2.invertAffineTransform(forth)))
