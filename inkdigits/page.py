"""Any picture -> the sheet of paper in it -> its rows of ink in reading order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

# Layout is found on a copy of about this size (longest side); crops come from the picture itself.
WORK_SIDE_PX = 1600
# Tiny pictures (a 60 x 34 cell) are enlarged, so that a pen is some pixels wide everywhere.
MIN_WORK_SIDE_PX = 480
# In a row's crop, digits are at most this tall: more than the nets look at.
DIGIT_HEIGHT_PX = 72
# More components than these are noise; the tallest are looked at.
# The sheet's outline is looked for at this size (longest side).
SHEET_SIDE_PX = 320
MAX_PIECES = 4000
MAX_ROWS = 400
MAX_RULES = 200
MAX_CROP_WIDTH_PX = 6000
# All crops of a picture together hold about this many pixels at most; beyond, they are made coarser.
MAX_CROPS_PX = 16_000_000


@dataclass(frozen=True)
class Row:
    """A row of ink, upright and level.

    Attributes:
        image: uint8 (h, w), the row's crop out of the picture, polarity as in the picture.
        ink: uint8 (h, w), 0 = paper, 255 = ink: the same crop with paper, ruled lines and other rows' ink taken away.
        owner: uint16 (h, w), which box a pixel's ink belongs to: 1 + its index; 0 = none, N + 1 = a small mark.
        boxes: int64 (N, 4), x, y, width, height in the crop of what may be digits, from left to right.
        marks: int64 (M, 4), the boxes of marks in the row that are too small for digits: a minus, a comma, low letters.
        transform: float64 (3, 3), takes homogeneous crop pixels to the picture's pixels.
    """

    image: np.ndarray
    ink: np.ndarray
    owner: np.ndarray
    boxes: np.ndarray
    marks: np.ndarray
    transform: np.ndarray

    def piece(self, index: int) -> np.ndarray:
        """Return uint8 (height, width): the ink in box `index`, without what its neighbours reach into it."""
        x, y, width, height = self.boxes[index]
        window = np.s_[y : y + height, x : x + width]
        own: np.ndarray = np.where(self.owner[window] == index + 1, self.ink[window], 0).astype(np.uint8)
        return own

    def to_picture(self, box: Sequence[float]) -> tuple[int, int, int, int]:
        """Return the box in the picture, x, y, width, height, around the ink in a box of the crop."""
        x, y, width, height = (round(value) for value in box)
        left, top = max(0, x), max(0, y)
        ink = self.ink[top : y + height, left : x + width] > 96
        rows = np.flatnonzero(ink.any(axis=1))
        if len(rows):
            first, last = ink.argmax(axis=1)[rows] + left, x + width - ink[:, ::-1].argmax(axis=1)[rows]
            outline = [(first, rows + top), (first, rows + top + 1), (last, rows + top), (last, rows + top + 1)]
            points = np.concatenate([np.stack(side, axis=1) for side in outline])
        else:
            points = np.array([[x, y], [x + width, y], [x, y + height], [x + width, y + height]])
        mapped = np.c_[points, np.ones(len(points))] @ self.transform.T
        mapped = mapped[:, :2] / mapped[:, 2:]
        low, high = np.floor(mapped.min(axis=0) + 0.01), np.ceil(mapped.max(axis=0) - 0.01)
        return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


@dataclass(frozen=True)
class _Work:
    """The reduced, upright copy on which layout is found.

    Attributes:
        light_ink: whether ink is lighter than paper; `paper` and `density` are as if it were darker.
        paper: uint8 (h, w), brightness of the bare paper.
        bright: brightness of the bare paper where it is well lit.
        density: uint8 (h, w), the share of the paper's light that is missing; 255 is black.
        floor: uint8 (h, w), the density which the paper's own grain stays under, higher where there is less light.
        pen: the usual density of strokes.
        to_picture: float64 (3, 3), takes the copy's pixels to the picture's.
    """

    light_ink: bool
    paper: np.ndarray
    bright: float
    density: np.ndarray
    floor: np.ndarray
    pen: float
    to_picture: np.ndarray


@dataclass(frozen=True)
class _Pieces:
    """Connected pieces of ink.

    Attributes:
        labels: int32 (h, w), where piece i is i + 1.
        boxes: int (N, 4), x, y, width, height.
        area: int (N,), pixels.
        pen: float64 (N,), the density of the pen that drew each.
    """

    labels: np.ndarray
    boxes: np.ndarray
    area: np.ndarray
    pen: np.ndarray


@dataclass(frozen=True)
class _Rule:
    """A straight line: its length, its ends (2, 2) as x, y, whether it runs far, and its pixels' flat indices."""

    length: int
    ends: np.ndarray
    far: bool
    pixels: np.ndarray


@dataclass(frozen=True)
class _Unit:
    """What may be one digit: pieces of ink (their numbers) that lie within one box x, y, width, height."""

    members: tuple[int, ...]
    box: tuple[int, int, int, int]

    @property
    def centre(self) -> tuple[float, float]:
        x, y, width, height = self.box
        return x + width / 2, y + height / 2


@dataclass(frozen=True)
class _Line:
    """Units in a row, from left to right, small marks between them, and how much the row falls per pixel."""

    units: tuple[_Unit, ...]
    marks: tuple[int, ...]
    slope: float


def find_rows(image: np.ndarray, quarter_turns: int = 0) -> list[Row]:
    """Return the rows of ink in a picture, from top to bottom.

    Args:
        image: uint8 (H, W), grey, either polarity.
        quarter_turns: how often the picture is turned counter-clockwise by 90 degrees first.

    Returns:
        Rows in reading order; none where there is no ink. Pieces that are plainly no digits (edges of the paper, ruled
        lines, stains, specks) are left out; letters and operators are not, for the nets to refuse.
    """
    work = _work_copy(image, quarter_turns)
    pieces = _pieces(work)
    if not len(pieces.boxes):
        return []
    height = _usual_height(pieces.boxes, pieces.area, work.density.shape)
    main, small = _sorted_by_size(pieces, height, work.density.shape)
    units = _units(pieces.boxes, main, small, height)
    slope = _page_slope(units, height)
    taken = [number for unit in units for number in unit.members]
    small = np.setdiff1d(small, taken)
    rows = [_with_small(row, pieces.boxes, small, slope, height) for row in _chains(units, slope)]
    coarser = _coarser(work, rows)
    return [_cut(image, work, pieces, row, coarser) for row in rows]


# --- the working copy ------------------------------------------------------------------------------------------------


def _work_copy(image: np.ndarray, quarter_turns: int) -> _Work:
    """Return the sheet in the picture, turned, brought to a size at which a pen is some pixels wide, paper removed."""
    to_picture, (width, height) = _sheet(image)
    longest = max(height, width)
    scale = min(1.0, WORK_SIDE_PX / longest) if longest >= MIN_WORK_SIDE_PX else min(4.0, MIN_WORK_SIDE_PX / longest)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrink = np.diag([width / size[0], height / size[1], 1.0])
    to_picture = to_picture @ shrink
    reduced = _sample(image, to_picture, size)
    light_ink = _is_light_ink(reduced)
    dark = np.ascontiguousarray(np.rot90(255 - reduced if light_ink else reduced, quarter_turns))
    paper = _paper(dark)
    bright = float(np.percentile(paper[::4, ::4], 90))
    density = _density(dark, paper, bright)
    grain = min(_grain(density), 100.0) * bright / np.maximum(paper, 0.35 * bright + 1)
    floor = np.clip(grain, 16, 230).astype(np.uint8)
    to_picture = to_picture @ _turn_back(quarter_turns, size)
    return _Work(light_ink, paper, bright, density, floor, _pen_level(density, floor), to_picture)


def _sheet(image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Find a light sheet with four straight sides that lies on something darker.

    Returns:
        float64 (3, 3), takes the flattened sheet's pixels to the picture's, and its width and height; the whole
        picture and the identity where no such sheet is seen.
    """
    height, width = image.shape
    whole = np.eye(3), (width, height)
    scale = SHEET_SIDE_PX / max(height, width)
    if scale >= 1 or min(height, width) * scale < 40:
        return whole
    small = _reduced(image, scale)
    small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    corners = _light_quadrilateral(small)
    if corners is None:
        return whole
    middle = corners.mean(axis=0)
    # A little inwards, so that the sheet's edge stays outside.
    corners = (middle + 0.985 * (corners - middle)) / scale
    a, b, c, d = corners
    target = round((np.linalg.norm(b - a) + np.linalg.norm(c - d)) / 2), 0
    target = target[0], round((np.linalg.norm(d - a) + np.linalg.norm(c - b)) / 2)
    upright = np.array([[0, 0], [target[0], 0], target, [0, target[1]]], np.float32)
    return cv2.getPerspectiveTransform(upright, corners.astype(np.float32)), (int(target[0]), int(target[1]))


def _light_quadrilateral(small: np.ndarray) -> np.ndarray | None:
    """Return float64 (4, 2), the corners, clockwise from the top left, of a light sheet in a small picture, if any.

    From dark to light thresholds, so that a shadow on the sheet belongs to it rather than to the table.
    """
    smooth = cv2.GaussianBlur(small, (0, 0), 1)
    low, high = np.percentile(smooth, (5, 90))
    for threshold in np.linspace(low, high, 10)[1:-1]:
        # Opening cuts off what lies on the table and touches the sheet.
        light = cv2.morphologyEx((smooth > threshold).astype(np.uint8), cv2.MORPH_OPEN, np.ones((11, 11), np.uint8))
        contours, _ = cv2.findContours(light, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        contour = max(contours, key=cv2.contourArea, default=None)
        if contour is not None and 0.25 * small.size < cv2.contourArea(contour) < 0.95 * small.size:
            corners = _corners(contour, small)
            if corners is not None:
                return corners
    return None


def _corners(contour: np.ndarray, small: np.ndarray) -> np.ndarray | None:
    """Return a contour's four corners if it is the outline of a sheet that is lighter than what lies around it."""
    inside = cv2.drawContours(np.zeros_like(small), [contour], -1, 1, -1).astype(bool)
    if np.median(small[inside]) < 1.35 * np.percentile(small[~inside], 75) + 10:
        return None
    hull = cv2.convexHull(contour)
    corners = cv2.approxPolyDP(hull, 0.03 * cv2.arcLength(hull, True), True)[:, 0].astype(float)
    if len(corners) != 4 or cv2.contourArea(contour) < 0.95 * cv2.contourArea(corners.astype(np.float32)):
        return None
    corners = np.roll(corners, -int(np.argmin(corners.sum(axis=1))), axis=0)
    along, down = corners[1] - corners[0], corners[3] - corners[0]
    if along[0] * down[1] < along[1] * down[0]:
        corners = corners[[0, 3, 2, 1]]
    middles = (corners + np.roll(corners, -1, axis=0)) / 2
    limits = np.array(small.shape[::-1]) - 1
    free = ((middles > 0.03 * limits) & (middles < 0.97 * limits)).all(axis=1)
    return corners if free.sum() >= 3 else None


def _turn_back(quarter_turns: int, size: tuple[int, int]) -> np.ndarray:
    """Return the 3 x 3 matrix from a turned picture's pixels to those of the picture of that width and height."""
    width, height = size
    turns = {
        0: np.eye(3),
        1: np.array([[0, -1, width], [1, 0, 0], [0, 0, 1]]),
        2: np.array([[-1, 0, width], [0, -1, height], [0, 0, 1]]),
        3: np.array([[0, 1, 0], [-1, 0, height], [0, 0, 1]]),
    }
    return turns[quarter_turns % 4].astype(float)


def _reduced(image: np.ndarray, scale: float) -> np.ndarray:
    """Return the image at about that scale, at least one pixel wide and high."""
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _density(dark: np.ndarray, paper: np.ndarray, bright: float) -> np.ndarray:
    """Return how much of the paper's light is missing, uint8, 0 = none and 255 = all.

    Where it is far darker than the `bright` paper of the picture there is no paper, and its texture counts for less.
    """
    light = np.maximum(paper.astype(np.float32), max(24.0, 0.35 * bright))
    density: np.ndarray = np.clip(255 * (paper.astype(np.float32) - dark) / light, 0, 255).astype(np.uint8)
    return density


def _paper(dark: np.ndarray) -> np.ndarray:
    """Return the paper's brightness behind dark ink: closing wider than any stroke, on a small copy."""
    height, width = dark.shape
    small = _reduced(dark, 200 / max(height, width))
    small = cv2.medianBlur(small, 3)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 21))
    small = cv2.morphologyEx(small, cv2.MORPH_CLOSE, kernel, borderType=cv2.BORDER_REPLICATE)
    return cv2.resize(cv2.blur(small, (3, 3)), (width, height), interpolation=cv2.INTER_LINEAR)


def _is_light_ink(image: np.ndarray) -> bool:
    """Say whether ink is lighter than its surroundings: strokes are few, so they are the longer tail of the greys."""
    small = _reduced(image, min(1.0, 400 / max(image.shape))).astype(np.float32)
    span = max(3, int(max(small.shape) / 14)) | 1
    local = small - cv2.blur(small, (span, span))
    return float((local**3).sum()) > 0


# --- ink and what is no ink ------------------------------------------------------------------------------------------


def _pieces(work: _Work) -> _Pieces:
    """Return the connected pieces of ink, ruled lines taken away, the largest ones if there are very many."""
    binary = _binary(work)
    cleaned = _without_rules(binary, (work.density > np.maximum(work.floor, 0.1 * work.pen)).astype(np.uint8))
    labels, boxes, area = _components(cleaned if cleaned.any() else binary)
    on_step = np.bincount(labels[_steps(work.paper)], minlength=len(area) + 1)[1:]
    ink = np.where(on_step < 0.5 * area, area, 0)
    kept = np.sort(np.argsort(-ink, kind="stable")[: min(MAX_PIECES, np.count_nonzero(ink))])
    number = np.zeros(len(boxes) + 1, np.int32)
    number[kept + 1] = np.arange(1, len(kept) + 1)
    labels = number[labels]
    peaks = _largest(work.density, labels, len(kept) + 1)[1:]
    return _Pieces(labels, boxes[kept], area[kept], np.where(peaks >= 0.5 * work.pen, work.pen, peaks))


def _steps(paper: np.ndarray) -> np.ndarray:
    """Return bool (h, w): where the paper's brightness jumps, at the edges of sheets and of hard shadows."""
    small = _reduced(paper, 0.25)
    kernel = np.ones((5, 5), np.uint8)
    high, low = cv2.dilate(small, kernel), cv2.erode(small, kernel)
    jump = (low < 0.75 * high).astype(np.uint8)
    steps: np.ndarray = cv2.resize(jump, paper.shape[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
    return steps


def _components(binary: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    return labels, stats[1:, :4], stats[1:, cv2.CC_STAT_AREA]


def _binary(work: _Work) -> np.ndarray:
    """Return ink as uint8 0 / 1: each piece's pixels that are about a third as dark as the pen that drew it.

    That is the picture's usual pen for pieces at least half as dark as it; paler ones, such as pencil on a printed
    form, are measured against their own darkest spot. What is paler than a quarter of the pen shines through from the
    back or is dirt.
    """
    density, pen = work.density, work.pen
    labels, _, _ = _components((density > np.maximum(work.floor, 0.12 * pen)).astype(np.uint8))
    peaks = _largest(density, labels, int(labels.max(initial=0)) + 1)
    least = np.where(peaks >= 0.5 * pen, 0.3 * pen, np.where(peaks >= 0.25 * pen, 0.4 * peaks, np.inf))
    binary: np.ndarray = (density > np.maximum(least.astype(np.float32)[labels], work.floor)).astype(np.uint8)
    return binary


def _grain(density: np.ndarray) -> float:
    """Return a density that the paper's own grain stays under: its median and six robust standard deviations."""
    sample = density[::3, ::3]
    middle, upper = np.percentile(sample, (50, 70))
    # What is lighter than the paper's mean counts as 0, so the spread shows above the median alone.
    spread = max(1.4826 * float(np.median(np.abs(sample - middle))), float(upper - middle) / 0.524)
    return float(middle) + 6 * spread


def _pen_level(density: np.ndarray, floor: np.ndarray) -> float:
    """Return the pen's usual density: the median of its pieces' darkest pixels, long and dark ones counting most."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((density > floor).astype(np.uint8), connectivity=8)
    if count < 2:
        return 255.0
    level = _largest(density, labels, count)[1:]
    reach = np.maximum(stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT]).astype(float)
    return _weighted_median(level, reach * level**3)


def _largest(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Return float64 (count,), the largest value on each label; 0 for label 0."""
    largest = np.zeros(count)
    inside = np.flatnonzero(labels)
    np.maximum.at(largest, labels.ravel()[inside].astype(np.intp), values.ravel()[inside].astype(float))
    return largest


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _without_rules(binary: np.ndarray, faint: np.ndarray) -> np.ndarray:
    """Return the ink without straight lines longer than digits: ruled and squared paper, tables, edges of the paper.

    Args:
        binary: uint8 (h, w), 1 on ink.
        faint: uint8 (h, w), 1 on whatever is darker than paper, as rules are often printed pale.
    """
    flat = np.arange(binary.size, dtype=np.int64).reshape(binary.shape)
    across, down = _rules(binary, faint, flat), _rules(*(np.ascontiguousarray(a.T) for a in (binary, faint, flat)))
    down = [replace(rule, ends=rule.ends[:, ::-1]) for rule in down]
    slack = 4 + 0.008 * max(binary.shape)
    framed = [_is_side(rule, down, slack) for rule in across] + [_is_side(rule, across, slack) for rule in down]
    rules = [rule for rule, side in zip(across + down, framed, strict=True) if side or rule.far]
    if not rules:
        return binary
    rest = _without(binary, [rule.pixels for rule in rules])
    _, boxes, area = _components(rest)
    height = _usual_height(boxes, area, rest.shape) if len(boxes) else 0.0
    return _without(binary, [rule.pixels for rule in rules if _is_longer_than_digits(rule, height, len(rules))])


def _is_side(rule: _Rule, others: list[_Rule], slack: float) -> bool:
    """Say whether both ends of a line meet lines across it, as the sides of boxes and tables do."""
    return all(any(_meets(end, other.ends, slack) for other in others) for end in rule.ends)


def _meets(point: np.ndarray, ends: np.ndarray, slack: float) -> bool:
    low, high = ends.min(axis=0) - slack, ends.max(axis=0) + slack
    return bool((point >= low).all() and (point <= high).all())


def _is_longer_than_digits(rule: _Rule, height: float, count: int) -> bool:
    """Say whether a straight line is no stroke of a digit, given the height of what remains without such lines."""
    if rule.far:
        # A lone line is somebody's 1, or the long stroke of a 7.
        return rule.length >= 1.6 * height and (count > 1 or height >= 0.15 * rule.length)
    return rule.length >= 1.15 * height >= 0.05 * rule.length


def _without(binary: np.ndarray, pixels: list[np.ndarray]) -> np.ndarray:
    cleaned = binary.copy()
    for some in pixels:
        cleaned.ravel()[some] = 0
    return cleaned


def _rules(binary: np.ndarray, faint: np.ndarray, flat: np.ndarray) -> list[_Rule]:
    """Return near-horizontal straight lines, with their pixels as values of `flat`, less what crosses them."""
    width = binary.shape[1]
    longest = max(binary.shape)
    runs = cv2.morphologyEx(faint, cv2.MORPH_OPEN, np.ones((1, max(9, longest // 64)), np.uint8))
    joined = cv2.morphologyEx(runs, cv2.MORPH_CLOSE, np.ones((3, max(9, longest // 40)), np.uint8))
    labels, boxes, _ = _components(joined)
    margin = max(2, width // 50)
    to_border = (boxes[:, 0] <= margin) | (boxes[:, 0] + boxes[:, 2] >= width - margin)
    # Lines that end inside the picture are rules if there are several of them.
    several = np.count_nonzero(boxes[:, 2] >= 0.4 * longest) >= 3
    far = boxes[:, 2] >= np.where(to_border, 0.3, 0.4 if several else 0.6) * longest
    rules = []
    for number in np.argsort(-boxes[:, 2], kind="stable")[:MAX_RULES]:
        x, y, w, h = boxes[number]
        if w < 0.025 * longest:
            break
        window = np.s_[y : y + h, x : x + w]
        rule = runs[window] & (labels[window] == number + 1)
        pixels = _rule_pixels(binary, flat, rule, x, y)
        if len(pixels):
            ends = np.array([[x, y + h / 2], [x + w, y + h / 2]])
            rules.append(_Rule(int(w), ends, bool(far[number]) and w >= 25 * len(pixels) / w, pixels))
    return rules


def _rule_pixels(binary: np.ndarray, flat: np.ndarray, rule: np.ndarray, x: int, y: int) -> np.ndarray:
    """Return the pixels of the line in `rule` (a mask whose corner lies at x, y), none if it is no fine line."""
    columns = np.flatnonzero(rule.any(axis=0))
    thickness = rule.sum(axis=0, dtype=float)[columns]
    usual = float(np.median(thickness))
    # Gaps would make it a row of dashes, such as ones above ones; thickness, a bar; slope, a long 1.
    if len(columns) < 0.85 * rule.shape[1] or rule.shape[1] < 12 * usual:
        return flat[:0, 0]
    middle = (rule * np.arange(len(rule))[:, None]).sum(axis=0)[columns] / thickness
    curve = np.polynomial.Polynomial.fit(columns, middle, 2, w=np.where(thickness <= 1.5 * usual, 1.0, 0.05))
    rise = abs(float(curve(columns[-1]) - curve(columns[0])))
    if np.median(np.abs(curve(columns) - middle)) > 1 + usual / 2 or rise > 0.18 * rule.shape[1]:
        return flat[:0, 0]
    span = np.arange(columns[0], columns[-1] + 1)
    reach = round(usual / 2) + 2
    offsets = np.arange(-reach - 2, reach + 3)[:, None]
    rows = np.clip(np.rint(curve(span)).astype(int) + y + offsets, 0, len(binary) - 1)
    window = binary[rows, span + x]
    # A stroke that crosses the line goes on above or below it.
    crossed = window[:2].all(axis=0) | window[-2:].all(axis=0)
    pixels: np.ndarray = flat[rows[2:-2, ~crossed], (span + x)[~crossed]].ravel()
    return pixels


# --- from pieces to rows ---------------------------------------------------------------------------------------------


def _touches_border(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    x, y, w, h = boxes.T
    touches: np.ndarray = (x <= 1) | (y <= 1) | (x + w >= shape[1] - 1) | (y + h >= shape[0] - 1)
    return touches


def _usual_height(boxes: np.ndarray, area: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return the usual height of digits: the median over pieces, the large ones that lie inside counting most."""
    w, h = boxes[:, 2].astype(float), boxes[:, 3].astype(float)
    weights = np.minimum(w, 3 * h) * np.minimum(h, 3 * w) + h
    odd = _touches_border(boxes, shape) | _is_filled(boxes, area)
    return _weighted_median(h, np.where(odd, 0.02, 1.0) * weights)


def _is_filled(boxes: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Say which pieces fill their box about as a disc does, and are not slim as a 1 is."""
    w, h = boxes[:, 2], boxes[:, 3]
    filled: np.ndarray = (area > 0.73 * w * h) & (np.minimum(w, h) > 0.6 * np.maximum(w, h))
    return filled


def _sorted_by_size(pieces: _Pieces, height: float, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the pieces that may be digits, and of those that may be marks beside or parts of them."""
    w, h = pieces.boxes[:, 2], pieces.boxes[:, 3]
    outside = _touches_border(pieces.boxes, shape)
    thin = np.minimum(w, h) < 0.3 * height
    edge = outside & ((np.maximum(w, h) > 1.6 * height) | thin)
    main = (h >= 0.42 * height) & (h <= 2.4 * height) & (w <= 8 * height) & ~edge
    main &= ~_is_blob(pieces, main)
    small = (h < 0.42 * height) & (w <= 1.5 * height) & (np.maximum(w, h) >= 0.08 * height) & ~outside
    return np.flatnonzero(main), np.flatnonzero(small)


def _is_blob(pieces: _Pieces, main: np.ndarray) -> np.ndarray:
    """Say which pieces are stains: filled all through, or many times thicker than the pen."""
    if not main.any():
        return main
    depth = cv2.distanceTransform((pieces.labels > 0).astype(np.uint8), cv2.DIST_L2, 3)
    deepest = _largest(depth, pieces.labels, len(pieces.boxes) + 1)[1:]
    slim = pieces.boxes[:, 2:].min(axis=1)
    filled = _is_filled(pieces.boxes, pieces.area) & (deepest > 0.38 * slim)
    thick = (deepest > 2.4 * float(np.median(deepest[main])) + 1) & (deepest > 0.3 * slim)
    blobs: np.ndarray = filled | thick
    return blobs


def _units(boxes: np.ndarray, main: np.ndarray, small: np.ndarray, height: float) -> list[_Unit]:
    """Join pieces that lie above each other within a digit's height: broken strokes, the bar of a 5."""
    members: list[list[int]] = []
    hulls = np.zeros((len(main), 4), np.int64)
    for number in main[np.argsort(boxes[main, 0], kind="stable")]:
        homes = np.flatnonzero(_are_parts(boxes[number], hulls[: len(members)], height))
        home = int(homes[-1]) if len(homes) else len(members)
        if home == len(members):
            members.append([])
            hulls[home] = boxes[number]
        members[home].append(int(number))
        hulls[home] = _hull([boxes[number], hulls[home]])
    for number in small:
        for home in np.flatnonzero(_are_parts(boxes[number], hulls[: len(members)], height))[-1:]:
            members[home].append(int(number))
            hulls[home] = _hull([boxes[number], hulls[home]])
    return [_Unit(tuple(some), _hull([hull])) for some, hull in zip(members, hulls, strict=False)]


def _are_parts(box: np.ndarray, others: np.ndarray, height: float) -> np.ndarray:
    """Say which boxes (N, 4) stand above or below a box so close that both are parts of one digit."""
    x, y, w, h = others.T
    overlap = np.minimum(box[0] + box[2], x + w) - np.maximum(box[0], x)
    span = np.maximum(box[1] + box[3], y + h) - np.minimum(box[1], y)
    near = span - box[3] - h < 0.3 * height
    parts: np.ndarray = (overlap >= 0.5 * np.minimum(box[2], w)) & near & (span <= 1.35 * np.maximum(height, h))
    return parts


def _hull(boxes: Sequence[Sequence[float] | np.ndarray] | np.ndarray) -> tuple[int, int, int, int]:
    """Return the smallest box of whole pixels around boxes."""
    x, y, w, h = np.array(boxes, float).T
    left, top = int(np.floor(x.min())), int(np.floor(y.min()))
    return left, top, int(np.ceil((x + w).max())) - left, int(np.ceil((y + h).max())) - top


def _page_slope(units: list[_Unit], height: float) -> float:
    """Return how much rows fall per pixel: the median over each unit and its nearest neighbour to the right."""
    centres = np.array([unit.centre for unit in units])
    boxes = np.array([unit.box for unit in units])
    slopes = []
    for (x, y), (_, _, w, h) in zip(centres, boxes, strict=True):
        dx, dy = centres[:, 0] - x, centres[:, 1] - y
        reach = np.minimum(h, boxes[:, 3])
        near = (dx > 0.3 * h) & (dx < w + 2.5 * height) & (np.abs(dy) < 0.6 * reach)
        if near.any():
            other = np.flatnonzero(near)[np.argmin(dx[near])]
            slopes.append(dy[other] / dx[other])
    return float(np.median(slopes)) if len(slopes) >= 3 else 0.0


def _chains(units: list[_Unit], slope: float) -> list[list[_Unit]]:
    """Return the rows, from top to bottom: each unit goes on with the row whose last units point at it best."""
    rows: list[list[_Unit]] = []
    # Of each row's last three units: how high they lie once the page's slope is taken out, and their height.
    levels, heights = np.zeros((MAX_ROWS, 3)), np.zeros((MAX_ROWS, 3))
    for unit in sorted(units, key=lambda unit: unit.centre[0] + slope * unit.centre[1]):
        level, height = unit.centre[1] - slope * unit.centre[0], unit.box[3]
        last, tall = levels[: len(rows)], heights[: len(rows)].max(axis=1, initial=0)
        misses = np.abs(level - np.median(last, axis=1)) / np.maximum(np.minimum(height, tall), 0.7 * height)
        best = int(np.argmin(misses)) if rows else -1
        if best >= 0 and misses[best] < 0.6:
            rows[best].append(unit)
            levels[best], heights[best] = (*levels[best, 1:], level), (*heights[best, 1:], height)
        elif len(rows) < MAX_ROWS:
            levels[len(rows)], heights[len(rows)] = level, height
            rows.append([unit])
    return sorted(rows, key=lambda row: float(np.mean([u.centre[1] - slope * u.centre[0] for u in row])))


def _with_small(row: list[_Unit], boxes: np.ndarray, small: np.ndarray, slope: float, height: float) -> _Line:
    """Return the row with the small marks (minus, comma, dots) that lie on its band and near its units."""
    centres = np.array([unit.centre for unit in row])
    row_slope = _row_slope(centres, slope, height)
    places = boxes[small, :2] + boxes[small, 2:] / 2
    nearest = np.abs(centres[None, :, 0] - places[:, None, 0]).argmin(axis=1)
    dx, dy = (places - centres[nearest]).T
    width, tall = np.array([unit.box[2:] for unit in row])[nearest].T
    beside = (np.abs(dx) < width / 2 + 1.2 * height) & (np.abs(dy - row_slope * dx) < 0.65 * tall)
    return _Line(tuple(row), tuple(int(number) for number in small[beside]), row_slope)


def _row_slope(centres: np.ndarray, slope: float, height: float) -> float:
    """Return how much a row falls per pixel (Theil and Sen: the median over pairs), or the page's usual slope."""
    if len(centres) < 4:
        return slope
    i, j = np.triu_indices(len(centres[:60]), 1)
    dx, dy = (centres[j] - centres[i]).T
    wide = dx > height
    return float(np.clip(np.median(dy[wide] / dx[wide]), -0.6, 0.6)) if wide.any() else slope


# --- crops -----------------------------------------------------------------------------------------------------------


def _step(work: _Work, row: _Line) -> float:
    """Return how many of the working copy's pixels one pixel of the row's crop is wide."""
    usual = float(np.median([unit.box[3] for unit in row.units]))
    finest = 1 / float(np.sqrt(abs(np.linalg.det(work.to_picture[:2, :2]))))
    return max(finest, usual / DIGIT_HEIGHT_PX, _hull([unit.box for unit in row.units])[2] / MAX_CROP_WIDTH_PX)


def _coarser(work: _Work, rows: list[_Line]) -> float:
    """Return by how much crops have to be coarser than they might, so that all of them stay within bounds."""
    hulls = [_hull([unit.box for unit in row.units]) for row in rows]
    areas = [w * h / _step(work, row) ** 2 for (_, _, w, h), row in zip(hulls, rows, strict=True)]
    return max(1.0, float(np.sqrt(sum(areas) / MAX_CROPS_PX)))


def _cut(image: np.ndarray, work: _Work, pieces: _Pieces, row: _Line, coarser: float) -> Row:
    """Return the row's crop, upright and level, with its ink and the way back to the picture."""
    members = [number for unit in row.units for number in unit.members] + list(row.marks)
    turn = _rotation(float(np.arctan(row.slope)))
    level = np.linalg.inv(turn)
    x, y, w, h = _hull([_mapped_box(level, pieces.boxes[number]) for number in members])
    margin = 0.15 * float(np.median([unit.box[3] for unit in row.units])) + 2
    step = coarser * _step(work, row)
    size = int(np.ceil((w + 2 * margin) / step)), int(np.ceil((h + 2 * margin) / step))
    to_work = turn @ np.array([[step, 0, x - margin], [0, step, y - margin], [0, 0, 1]])
    to_picture = work.to_picture @ to_work
    crop = _sample(image, to_picture, size)
    owner = _owner(pieces, row, to_work, size)
    pens = [work.pen] + [pieces.pen[list(unit.members)].max() for unit in row.units] + [work.pen]
    pen = np.array(pens, np.float32)[owner]
    ink = np.where(owner > 0, _crop_ink(crop, work, pen, to_work), 0).astype(np.uint8)
    from_work = np.linalg.inv(to_work)
    boxes = [_ink_box(ink, owner, i + 1, _mapped_box(from_work, unit.box)) for i, unit in enumerate(row.units)]
    marks = np.array([_mapped_box(from_work, pieces.boxes[mark]) for mark in row.marks]).reshape(-1, 4)
    return Row(crop, ink, owner, np.array(boxes, np.int64), np.rint(marks).astype(np.int64), to_picture)


def _owner(pieces: _Pieces, row: _Line, to_work: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return uint16 (h, w) for a crop: on and just around each unit's ink its number from 1, on marks the next one."""
    number = np.zeros(len(pieces.boxes) + 1, np.uint16)
    for index, unit in enumerate(row.units):
        number[np.array(unit.members) + 1] = index + 1
    number[np.array(row.marks, int) + 1] = len(row.units) + 1
    x, y, w, h = _hull(pieces.boxes[np.flatnonzero(number[1:])])
    left, top = max(0, x - 2), max(0, y - 2)
    own = number[pieces.labels[top : y + h + 2, left : x + w + 2]]
    own = np.where(own > 0, own, cv2.dilate(own, np.ones((5, 5), np.uint8)))
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    centres = np.linalg.inv(half) @ shift @ to_work @ half
    return cv2.warpAffine(own, centres[:2], size, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)


def _ink_box(ink: np.ndarray, owner: np.ndarray, number: int, about: tuple[float, ...]) -> tuple[int, int, int, int]:
    """Return the box x, y, width, height of the ink which that number owns, somewhere in the box `about`."""
    left, top = max(0, int(about[0]) - 1), max(0, int(about[1]) - 1)
    window = np.s_[top : int(about[1] + about[3]) + 2, left : int(about[0] + about[2]) + 2]
    ys, xs = np.nonzero((owner[window] == number) & (ink[window] > 64))
    if not len(xs):
        return left, top, max(1, round(about[2])), max(1, round(about[3]))
    x, y = int(xs.min()), int(ys.min())
    return left + x, top + y, int(xs.max()) - x + 1, int(ys.max()) - y + 1


def _rotation(angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])


def _mapped_box(transform: np.ndarray, box: np.ndarray | tuple[float, ...]) -> tuple[float, float, float, float]:
    """Return the upright box x, y, width, height around a box seen through an affine transform."""
    x, y, w, h = (float(value) for value in box)
    corners = np.array([[x, y, 1], [x + w, y, 1], [x, y + h, 1], [x + w, y + h, 1]])
    points = (corners @ transform.T)[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _crop_ink(crop: np.ndarray, work: _Work, pen: np.ndarray, to_work: np.ndarray) -> np.ndarray:
    """Return float32: the crop's ink, 0 = paper and 255 = as dark as `pen` there, at the crop's own resolution."""
    dark = 255 - crop if work.light_ink else crop
    paper = _sample(work.paper, to_work, (crop.shape[1], crop.shape[0]))
    density = _density(dark, paper, work.bright).astype(np.float32)
    low = 0.5 * _sample(work.floor, to_work, (crop.shape[1], crop.shape[0])).astype(np.float32)
    ink: np.ndarray = 255 * np.clip((density - low) / np.maximum(0.9 * pen - low, 1), 0, 1)
    return ink


def _sample(source: np.ndarray, transform: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the crop of that width and height whose pixels `transform` takes to the source's, edge to edge."""
    corners = np.array([[0, 0, 1], [size[0], 0, 1], [0, size[1], 1], [*size, 1]], float) @ transform.T
    points = corners[:, :2] / corners[:, 2:]
    left, top = np.maximum(0, points.min(axis=0).astype(int) - 2)
    right, bottom = np.maximum(points.max(axis=0).astype(int) + 3, (left + 1, top + 1))
    window = source[top:bottom, left:right]
    shrink = max(1.0, float(np.sqrt(abs(np.linalg.det(transform[:2, :2])))))
    target = max(1, round(window.shape[1] / shrink)), max(1, round(window.shape[0] / shrink))
    small = cv2.resize(window, target, interpolation=cv2.INTER_AREA) if shrink > 1.2 else window
    ratio = np.diag([small.shape[1] / window.shape[1], small.shape[0] / window.shape[0], 1.0])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    centres = np.linalg.inv(half) @ ratio @ shift @ transform @ half
    if small.shape[::-1] == size and np.allclose(centres / centres[2, 2], np.eye(3), atol=1e-3):
        return small
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(small, centres, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
