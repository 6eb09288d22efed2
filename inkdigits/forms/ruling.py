"""The ruling of a page: its long straight lines, how to make them straight, and how two pages' lines match.

Pages of one dense table have few features that are alike: handwriting is everywhere, and crossings of lines all look
the same. What they share is at which distances their lines follow each other. A page is first flattened: its lines'
slopes give a turn and a smooth bend, after which each line runs along one row or column of pixels. Then the lines'
positions are matched, down and across each for itself, like two barcodes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from inkdigits.arrays import Floats, GrayImage, Indices, Transform
from inkdigits.forms.boxes import skew_deg
from inkdigits.forms.ink import ink_of
from inkdigits.reading.geometry import map_points, resized

WORK_PX = 1600  # longest side of the pictures that are compared: print of 8 points is still legible
LINE_PX = 32  # of a page 1,600 px long: straighter strokes are lines; digits of such tables are up to 24 px high
GAP_PX = 40  # in a line of a template: such gaps are closed
SHADOW = 244
SAMPLE_PX = 8  # along a line: its place is noted so often
LEAST_PIECE_PX = 48  # of a line: says something of its slope
MOST_THICK_PX = 8  # thicker is a black edge or a blot
LEAST_LINES = 4  # down and across: fewer are no table
LEAST_AGREE = 0.6  # of a page's lines must be in a scan
SCALES = np.geomspace(0.6, 1.65, 250)  # of a scan against its page, both 1,600 px long
SOFT_PX = 2.5  # lines match that lie about so near to each other
LINE_APART_PX = 8  # a double line counts as one
NEAR_PX = 2
QUARTERS = 4
LEAST_DIFFERENT = 0.5  # of a line: with less of one, two places of a page cannot be told from each other
BEND = ((1, 0), (2, 0), (3, 0), (4, 0), (1, 1), (2, 1), (3, 1), (1, 2), (2, 2))  # powers along and across the lines


@dataclass(frozen=True)
class Ruling:
    """Lines of a page.

    Attributes:
        across, down: uint8 (H, W), 0 or 255: the pixels of lines that run from left to right, and from top to bottom.
    """

    across: GrayImage
    down: GrayImage

    @property
    def both(self) -> GrayImage:
        """Both together."""
        return np.asarray(self.across | self.down, np.uint8)


@dataclass(frozen=True)
class Flattening:
    """How a page is turned and bent so that its lines run along rows and columns of pixels.

    Attributes:
        turn: (3, 3), takes the page's pixels to those of the turned page.
        size: height and width of the turned page.
        ruling: of the turned page.
        bends: of lines across and down, the coefficients of `BEND`.
    """

    turn: Transform
    size: tuple[int, int]
    ruling: Ruling
    bends: tuple[Floats, Floats]

    def flat(self, points: Floats) -> Floats:
        """Return where points (n, 2) of the turned page lie on the flat one."""
        return points - self._bend(points)

    def on_page(self, points: Floats) -> Floats:
        """Return where points (n, 2) of the flat page lie on the page."""
        turned = points.copy()
        for _ in range(8):  # slopes are small, so it converges by ten times a step
            turned = points + self._bend(turned)
        return map_points(np.linalg.inv(self.turn), turned)

    def _bend(self, points: Floats) -> Floats:
        x, y = _unit(points, self.size).T
        return np.stack([_powers(y, x) @ self.bends[1], _powers(x, y) @ self.bends[0]], axis=-1)

    def profiles(self) -> tuple[Floats, Floats]:
        """Return how many pixels of lines each row, and each column, of the flat page has: float64 (H,) and (W,)."""
        found = []
        for mask, axis in ((self.ruling.across, 1), (self.ruling.down, 0)):
            ys, xs = np.nonzero(mask)
            places = self.flat(np.stack([xs, ys], axis=-1).astype(float))[:, axis]
            length = self.size[1 - axis]
            found.append(np.bincount(places.round().astype(int).clip(0, length - 1), minlength=length).astype(float))
        return found[0], found[1]


def straight_table(page: GrayImage) -> GrayImage | None:
    """Return a filled table's page uint8 (H, W) flattened, only its lines dark; None where it is no table.

    What is written in it is left as a shadow, for people to see: too light to count as ink or print.
    """
    share = min(1.0, WORK_PX / max(page.shape))
    flattening = flattening_of(resized(page, share))
    if any(len(lines_of(profile)) < LEAST_LINES for profile in flattening.profiles()):
        return None
    height, width = flattening.size
    x, y = (np.arange(SAMPLE_PX / 2, side + SAMPLE_PX, SAMPLE_PX) for side in (width, height))
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    places = (flattening.on_page(grid.reshape(-1, 2) - 0.5) + 0.5).reshape(grid.shape) / share - 0.5
    size = round(width / share), round(height / share)
    whole = round(len(x) * SAMPLE_PX / share), round(len(y) * SAMPLE_PX / share)
    to_x, to_y = (
        cv2.resize(each.astype(np.float32), whole)[: size[1], : size[0]] for each in np.moveaxis(places, 2, 0)
    )
    flat = cv2.remap(page, to_x, to_y, cv2.INTER_LINEAR, borderValue=255)
    small = cv2.resize(flat, (width, height), interpolation=cv2.INTER_AREA)
    lines = np.zeros((height, width), np.uint8)
    ruling = ruling_of(ink_of(np.asarray(small, np.uint8)))
    lines |= _long(ruling.across)
    lines |= np.ascontiguousarray(_long(np.ascontiguousarray(ruling.down.T)).T)
    # The sheet's edges are straight, too; lines of the table cross each other.
    _, labels, stats, _ = cv2.connectedComponentsWithStats(lines)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_WIDTH] * stats[1:, cv2.CC_STAT_HEIGHT]))
    lines = np.where(labels == largest, lines, np.uint8(0))
    is_line = cv2.resize(lines, size, interpolation=cv2.INTER_LINEAR) > 127
    paper = 255 - (255 - SHADOW) * (ink_of(np.asarray(flat, np.uint8)) > 0)
    return np.asarray(np.where(is_line, 0, paper), np.uint8)


def _long(lines: GrayImage) -> GrayImage:
    """Return those of a flat page's lines across that are at least half as long as the longest, gaps closed."""
    whole = cv2.morphologyEx(lines, cv2.MORPH_CLOSE, np.ones((1, GAP_PX), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(whole)
    longest = int(stats[1:, cv2.CC_STAT_WIDTH].max(initial=LINE_PX))
    return np.asarray(cv2.morphologyEx(whole, cv2.MORPH_OPEN, np.ones((1, longest // 2), np.uint8)), np.uint8)


def ruling_of(ink: GrayImage, length: int = LINE_PX) -> Ruling:
    """Return the lines of a page's ink uint8 (H, W), 0 or 255: strokes that are straight for `length` pixels."""
    masks = []
    for thicker, line in (((2, 1), (1, length)), ((1, 2), (length, 1))):
        thick = cv2.dilate(ink, np.ones(thicker, np.uint8))  # a line that leans a little steps from row to row
        mask = cv2.morphologyEx(thick, cv2.MORPH_OPEN, np.ones(line, np.uint8))
        blots = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((MOST_THICK_PX + 4, MOST_THICK_PX + 4), np.uint8))
        masks.append(np.asarray(cv2.subtract(mask, cv2.dilate(blots, np.ones((3, 3), np.uint8))), np.uint8))
    return Ruling(*masks)


def flattening_of(page: GrayImage, quarter_turns: int = 0) -> Flattening:
    """Return how to flatten a page uint8 (H, W) of about 1,600 px, seen after so many quarter turns to the left."""
    height, width = page.shape
    turn = _turn(page.shape, skew_deg(page) + 90 * quarter_turns)
    corners = map_points(turn, np.array([[0, 0], [width, 0], [width, height], [0, height]], float))
    turn = np.array([[1, 0, -corners[:, 0].min()], [0, 1, -corners[:, 1].min()], [0, 0, 1]]) @ turn
    size = np.ceil(np.ptp(corners, axis=0)).astype(int)
    turned = cv2.warpPerspective(page, turn, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR, borderValue=255)
    ruling = ruling_of(ink_of(np.asarray(turned, np.uint8)))
    shape = (int(size[1]), int(size[0]))
    return Flattening(turn, shape, ruling, (_bend_of(ruling.across), _bend_of(np.ascontiguousarray(ruling.down.T))))


def _turn(shape: tuple[int, ...], angle_deg: float) -> Transform:
    return np.vstack([cv2.getRotationMatrix2D((shape[1] / 2, shape[0] / 2), angle_deg, 1.0), [0, 0, 1]])


def _unit(points: Floats, size: tuple[int, int]) -> Floats:
    """Return points with the page from -1 to 1; what lies outside counts as on its edge, where no line was seen."""
    return (2 * points / (size[1], size[0]) - 1).clip(-1, 1)


def _powers(along: Floats, across: Floats) -> Floats:
    return np.stack([along**a * across**b for a, b in BEND], axis=-1)


def _bend_of(lines: GrayImage) -> Floats:
    """Return the coefficients of `BEND` that make lines across uint8 (H, W) level.

    Each piece of a line lies at a height of its own, which is left free: only how it rises and falls says something.
    """
    _n, labels, stats, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
    ys, xs = np.nonzero(lines)
    piece = labels[ys, xs]
    keys, index = np.unique(piece.astype(np.int64) * 100_000 + xs // SAMPLE_PX, return_inverse=True)
    n_pixels = np.bincount(index)
    y = np.bincount(index, ys) / np.maximum(n_pixels, 1)
    x = np.bincount(index, xs) / np.maximum(n_pixels, 1)
    spread = np.bincount(index, ys.astype(float) ** 2) / np.maximum(n_pixels, 1) - y**2
    piece = keys // 100_000
    keep = (stats[piece, cv2.CC_STAT_WIDTH] >= LEAST_PIECE_PX) & (spread < MOST_THICK_PX)
    x, y, piece = x[keep], y[keep], piece[keep]
    if len(x) < 2 * len(BEND):
        return np.zeros(len(BEND))
    u, v = _unit(np.stack([x, y], axis=-1), lines.shape).T
    _, piece = np.unique(piece, return_inverse=True)
    powers = _powers(u, v)
    weights, bend = np.ones(len(x)), np.zeros(len(BEND))
    for _ in range(6):
        a = np.stack([_around(column, piece, weights) for column in powers.T], axis=-1)
        b = _around(y, piece, weights)
        root = np.sqrt(weights)[:, None]
        # A little of nothing: where few lines are, the page counts as flat.
        rows = np.vstack([root * a, 0.003 * np.sqrt(len(x)) * np.eye(len(BEND))])
        bend = np.linalg.lstsq(rows, np.concatenate([root[:, 0] * b, np.zeros(len(BEND))]), rcond=None)[0]
        off = np.abs(b - a @ bend)
        weights = 1 / (1 + (off / max(1.0, 2 * float(np.median(off)))) ** 2)
    return bend


def _around(values: Floats, piece: Indices, weights: Floats) -> Floats:
    """Return values (n,) less the weighted mean of those of the same piece."""
    total = np.maximum(np.bincount(piece, weights), 1e-9)
    return values - (np.bincount(piece, weights * values) / total)[piece]


class RuledPage:
    """A page of a template by its ruling.

    Args:
        page: uint8 (H, W), the reference picture, about 1,600 px long.
    """

    def __init__(self, page: GrayImage) -> None:
        self._size = page.shape[0], page.shape[1]
        self._flattening = flattening_of(page)
        self._profiles = self._flattening.profiles()
        self.ruling = ruling_of(ink_of(page))
        self.is_table = all(len(lines_of(profile)) >= LEAST_LINES for profile in self._profiles)

    def lies_in(self, scan: GrayImage, points: Floats) -> Iterator[tuple[Floats, int]]:
        """Yield where points (n, 2) of the page seem to lie in a scan uint8 (H, W), and how many crossings say so.

        Once for each way up in which the lines match; none of them is known to be true.
        """
        flattened = self._flattening.flat(map_points(self._flattening.turn, points))
        for quarter_turns in (0, 2, 1, 3):
            theirs = flattening_of(scan, quarter_turns)
            placed = [
                _placed(ours, their, flattened[:, axis])
                for ours, their, axis in zip(self._profiles, theirs.profiles(), (1, 0), strict=True)
            ]
            if placed[0] is not None and placed[1] is not None:
                (y, n_rows), (x, n_columns) = placed[0], placed[1]
                yield theirs.on_page(np.stack([x, y], axis=-1)), n_rows * n_columns

    def evidence(self, flat: GrayImage) -> "Evidence":
        """Return what a scan uint8 (H, W) that was laid on the page says for its lying so, and for its lying elsewhere.

        It may lie there some lines too high or too low, too far left or right, or upside down: where the page's lines
        then are others than now is compared with the scan.
        """
        theirs = ruling_of(ink_of(flat))
        weakest, margin = 1.0, 1.0
        for axis, ours, their in ((0, self.ruling.across, theirs.across), (1, self.ruling.down, theirs.down)):
            wanted, seen = _slim(ours, axis), _slim(their, axis)
            near = np.asarray(cv2.dilate(seen, np.ones((2 * NEAR_PX + 1, 1), np.uint8)), np.uint8)
            weakest = min(weakest, _weakest(wanted, near))
            for other in (_half_turned(wanted), *(_moved(wanted, offset) for offset in _offsets(wanted))):
                margin = min(margin, _margin(wanted, other, near))
        return Evidence(weakest, margin)


@dataclass(frozen=True)
class Evidence:
    """What the ruling of a scan says for its lying as it was laid on a page.

    Attributes:
        weakest: 0 to 1, the share of a quarter of a line that it has there, of the one of which it has least.
        margin: -1 to 1: of the pixels in which the page's lines differ from the same lines some rows or columns off, or
            upside down, the share that speaks for it less the share that speaks against it.
    """

    weakest: float
    margin: float


def _slim(lines: GrayImage, axis: int) -> GrayImage:
    """Return lines as they run across, shortened along themselves: uint8 (H, W / 8), or of lines down (W, H / 8)."""
    lines = lines if axis == 0 else np.ascontiguousarray(lines.T)
    width = lines.shape[1] // SAMPLE_PX * SAMPLE_PX
    return np.asarray(lines[:, :width].reshape(len(lines), -1, SAMPLE_PX).max(axis=2), np.uint8)


def _weakest(wanted: GrayImage, near: GrayImage) -> float:
    shares = [1.0]
    for place in lines_of(wanted.sum(axis=1, dtype=float)).astype(int):
        here = slice(max(0, place - LINE_APART_PX // 2), place + LINE_APART_PX // 2 + 1)
        line, seen = wanted[here].any(axis=0), (wanted & near)[here].any(axis=0)
        for part, seen_part in zip(np.array_split(line, QUARTERS), np.array_split(seen, QUARTERS), strict=True):
            if part.mean() > 0.5:
                shares.append(float(seen_part.sum() / part.sum()))
    return min(shares)


def _moved(lines: GrayImage, offset: int) -> GrayImage:
    moved = np.zeros_like(lines)
    moved[max(0, offset) : len(lines) + min(0, offset)] = lines[max(0, -offset) : len(lines) - max(0, offset)]
    return moved


def _half_turned(lines: GrayImage) -> GrayImage:
    """Return lines upside down, moved so that they lie on what they were as well as they can."""
    turned = np.ascontiguousarray(lines[::-1, ::-1])
    for axis in (0, 1):
        offset = _best_offset(lines.sum(axis=1 - axis, dtype=float), turned.sum(axis=1 - axis, dtype=float))
        turned = _moved(turned, offset) if axis == 0 else np.ascontiguousarray(_moved(turned.T, offset).T)
    return turned


def _best_offset(profile: Floats, other: Floats) -> int:
    """Return by how much the second must be moved to be as like the first as it can."""
    n = 2 * len(profile)
    at = int(np.fft.irfft(np.fft.rfft(profile, n) * np.conj(np.fft.rfft(other, n)), n).argmax())
    return at - n if at > n // 2 else at


def _offsets(lines: GrayImage) -> list[int]:
    """Return by how many pixels lines must be moved for one of them to lie on another one."""
    places = lines_of(lines.sum(axis=1, dtype=float))
    between = (places[:, None] - places[None, :]).round().astype(int).ravel()
    apart = between[np.abs(between) > 2 * NEAR_PX + 1]
    return sorted({int(each) for each in apart // NEAR_PX * NEAR_PX} - {0})


def _margin(wanted: GrayImage, other: GrayImage, near: GrayImage) -> float:
    wide = np.ones((4 * NEAR_PX + 1, 3), np.uint8)
    here = (wanted > 0) & (cv2.dilate(other, wide) == 0)
    there = (other > 0) & (cv2.dilate(wanted, wide) == 0)
    n = max(np.count_nonzero(here), np.count_nonzero(there))
    if np.count_nonzero(here.any(axis=0)) < LEAST_DIFFERENT * np.count_nonzero(wanted.any(axis=0)):
        return -1.0
    return (np.count_nonzero(here & (near > 0)) - np.count_nonzero(there & (near > 0))) / n


def lines_of(profile: Floats) -> Floats:
    """Return where lines are in a profile (n,): float64, in order."""
    soft = cv2.GaussianBlur(profile[None].astype(float), (0, 0), 1.5)[0]
    top = cv2.dilate(soft[None], np.ones((1, 2 * LINE_APART_PX + 1), np.uint8))[0]
    least = 0.3 * np.percentile(soft[soft == top], 90) if len(soft) else 0.0
    peaks = np.flatnonzero((soft == top) & (soft > max(least, 5.0)))
    return np.asarray(peaks, float)


def _placed(ours: Floats, theirs: Floats, places: Floats) -> tuple[Floats, int] | None:
    """Return where places (n,) on a flat page lie on another one by the lines of both, and how many lines agree.

    None where too few do.
    """
    scale, start = _match(ours, theirs)
    lines, others = lines_of(ours), lines_of(theirs)
    if not len(others):
        return None
    curve = np.polynomial.Polynomial([start, scale])
    for degree, reach in ((1, 10.0), (1, 6.0), (2, 5.0)):
        expected = curve(lines)
        nearest = others[np.abs(expected[:, None] - others[None, :]).argmin(axis=1)]
        agree = np.abs(nearest - expected) < reach
        if agree.sum() < max(LEAST_LINES, LEAST_AGREE * len(lines)):
            return None
        curve = np.polynomial.Polynomial.fit(lines[agree], nearest[agree], degree)
    return curve(places), int(agree.sum())


def _match(ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Return at which scale and from where on a profile (n,) of lines lies best on another one (m,)."""
    first, second = _soft(ours), _soft(theirs)
    n = 2 ** int(np.ceil(np.log2(SCALES[-1] * len(first) + len(second))))
    wanted = np.fft.rfft(second, n)
    best = (-1.0, 1.0, 0.0)
    for scale in SCALES:
        length = round(scale * len(first))
        stretched = np.interp(np.arange(length) / scale, np.arange(len(first)), first)
        alike = np.fft.irfft(wanted * np.conj(np.fft.rfft(stretched, n)), n) / (np.linalg.norm(stretched) + 1e-9)
        at = int(alike.argmax())
        best = max(best, (float(alike[at]), float(scale), float(at if at < len(second) else at - n)))
    return best[1], best[2]


def _soft(profile: Floats) -> Floats:
    """Return a profile in which lines are as wide as they may lie off, and long ones count little more than short."""
    return np.asarray(cv2.GaussianBlur(np.sqrt(profile)[None].astype(float), (0, 0), SOFT_PX)[0], float)
