"""Lays a scan or a photograph on its template, and rejects where that is not sure.

Features of the printed form (SIFT) give one homography (MAGSAC). What is left of it, by paper that is not flat or a
scanner that pulls unevenly, is measured tile by tile: by how many pixels the print of the scan lies beside that of the
template. At the end it is counted how much of the template's print the scan has in its place: around every field most
of it must be there, or the page is rejected.

Where features do not suffice, as on a page that is one dense table, its ruling says where it lies (`ruling`): then
every line of the template must be there, and it must not lie nearly as well some rows or columns off.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import cv2
import numpy as np

from inkdigits.arrays import Box, Floats, GrayImage, Indices, NDArray, Transform
from inkdigits.errors import InkdigitsError
from inkdigits.forms.ink import ink_of
from inkdigits.forms.ruling import WORK_PX, RuledPage, ruling_of
from inkdigits.reading.geometry import between_centres, map_points, resized

N_FEATURES = 4000
RATIO = 0.8  # Lowe's: the best match is so much closer than the second best
LEAST_INLIERS = 15
BESIDE_PX = 3.0  # of a homography: inliers lie closer
# Features are looked for in a copy half as large, a fifth of the work. Of 40 copies of the demo form at least 116 agree
# there, and the homography lies as well; where fewer do, or the page is then rejected, all of it is searched.
LOOK_PX, LEAST_AT_FIRST_LOOK = WORK_PX // 2, 60
# A page's sides may be seen this much longer or shorter against each other, and opposite ones.
MOST_ASPECT, MOST_PERSPECTIVE = 1.25, 1.6
STEP_PX = 80  # from one tile to the next
# Of each round: how large a tile is, how far its print is looked for, over how many tiles moves are averaged, and by
# how much the pictures are reduced for it: only the last round must be exact. Of five plans tried on eleven copies of
# the demo form the one that left least: 0.9 to 1.7 px, 2.5 beside a sharp fold.
ROUNDS = ((160, 14, 1.2, 2), (112, 8, 0.5, 2), (80, 6, 0.4, 1))
LEAST_PRINT = 60  # pixels of print from which a tile says something
NEAR_PX = 2  # print counts as found in its place within so many pixels
LEAST_FOUND, LEAST_FOUND_AT_FIELD = 0.75, 0.55
# From one tile to the next: of 126 copies, scans and photographs of bent and folded sheets, at most 5.6, mostly below
# 1; where a part was printed elsewhere, as in another version of the form, at least 9.2 (20 pages, 4 were accepted).
# Above the lower bound all print around every field must be found: of copies 0.99 of it is; of one whose fold lies over
# a field, accepted with that 30 px off, it was 0.58. Real scans jump less and may have 0.62 there.
SUSPICIOUS_JUMP_PX, MOST_JUMP_PX = 4.0, 7.0
LEAST_FOUND_AT_JUMP = 0.9
# Of pages laid by their lines (`ruling.Evidence`). Three climate tables have 0.33 or more of the weakest line and a
# margin of 0.72 or more; a row off, cropped or upside down it is 0.0, or the margin below 0.1.
LEAST_OF_LINE, LEAST_MARGIN = 0.2, 0.4
BARE = 0.05  # share of a page's print that may be something else where it counts as lines alone
ROOM_PX = 40  # around a field, in which its print is counted
PLACE_PX = 8  # a page is straight enough between places so far apart

# SIFT's points (n, 2) and descriptors (n, 128).
Features: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]


class AlignmentError(InkdigitsError):
    """A page that does not lie on the template for sure; the message says why."""


class NothingSeenError(AlignmentError):
    """Too few features of the template are in a scan to say where it lies."""


class Scan:
    """A scan as every page of a template looks at it: what they share is computed once.

    Args:
        image: uint8 (H, W).

    Attributes:
        share: 0 to 1, by which it is reduced.
        small: uint8, the reduced scan.
    """

    def __init__(self, image: GrayImage) -> None:
        self.share = min(1.0, WORK_PX / max(image.shape))
        self.small: GrayImage = resized(image, self.share)
        self._features: dict[int, Features] = {}

    def features(self, longest_px: int) -> Features:
        """Return SIFT's points in the reduced scan, and descriptors, found in a copy of at most this size."""
        if longest_px not in self._features:
            self._features[longest_px] = _features(self.small, None, longest_px)
        return self._features[longest_px]

    @property
    def ink_share(self) -> float:
        """Which share of it is ink: 0 to 1."""
        return float((ink_of(_at_most(self.small, LOOK_PX)) > 0).mean())


@dataclass(frozen=True)
class Alignment:
    """Where a template's pixels lie in a scan.

    Attributes:
        to_scan: (3, 3), takes the template's pixels to the scan's, but for `moves`.
        moves: float32 (h, w, 2), by how many of the template's pixels a place is off, on a grid over the page.
        n_inliers: features, or crossings of lines, that agree on it.
        scale: the scan's pixels a pixel of the template.
        found: 0 to 1, share of the template's print that the scan has in its place.
        found_at_fields: the same around each field, 1 where nothing is printed.
    """

    to_scan: Transform
    moves: Floats
    n_inliers: int
    scale: float
    found: float
    found_at_fields: tuple[float, ...]

    def place(self, points: Floats, size: tuple[int, int]) -> Floats:
        """Return where points (n, 2) of the template lie in the scan; `size` is the template's height and width."""
        height, width = size
        moves = cv2.resize(self.moves.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        x, y = points.round().astype(int).T
        return map_points(self.to_scan, points + moves[y.clip(0, height - 1), x.clip(0, width - 1)])

    def flat(self, scan: GrayImage, size: tuple[int, int], border: int = cv2.BORDER_REPLICATE) -> GrayImage:
        """Return a scan uint8 (H, W) as it lies on the template, uint8 of `size`: height and width of the template.

        `border` is OpenCV's: what counts as outside of the scan, white where it is `cv2.BORDER_CONSTANT`.
        """
        if self.scale > 1.6:  # or thin strokes would fall between the pixels that are looked at
            blur = 0.3 * self.scale
            scan = np.asarray(cv2.GaussianBlur(scan, (0, 0), blur), np.uint8)
        no_second: Any = None  # OpenCV's types do not know that a map may have both coordinates
        flat = cv2.remap(scan, self._places(size), no_second, cv2.INTER_LINEAR, borderMode=border, borderValue=255)
        return np.asarray(flat, np.uint8)

    def _places(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """Return float32 (height, width, 2), where each pixel of the template lies in the scan.

        It is computed every few pixels and interpolated: 0.004 px off on average, at most 0.15, in a tenth of the time.
        """
        height, width = size
        rows, columns = -(-height // PLACE_PX), -(-width // PLACE_PX)
        moves = cv2.resize(self.moves.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
        moves = cv2.copyMakeBorder(moves, 1, 1, 1, 1, cv2.BORDER_REPLICATE)  # what is beyond the edge is cut off below
        x, y = ((np.arange(n + 2) - 0.5) * PLACE_PX - 0.5 for n in (columns, rows))
        points = np.stack(np.meshgrid(x, y), axis=-1) + moves
        places = map_points(self.to_scan, points.reshape(-1, 2)).astype(np.float32).reshape(points.shape)
        whole = cv2.resize(places, ((columns + 2) * PLACE_PX, (rows + 2) * PLACE_PX), interpolation=cv2.INTER_LINEAR)
        return np.asarray(whole[PLACE_PX : PLACE_PX + height, PLACE_PX : PLACE_PX + width], np.float32)


@dataclass(frozen=True)
class _Start:
    """Where a template about lies in a reduced scan: as in `Alignment`; `moves` where lines were followed."""

    to_small: Transform
    n_inliers: int
    moves: Floats | None = None


class Aligner:
    """Lays scans on one page of a template. Thread-safe.

    Args:
        reference: uint8 (H, W), the blank page.
        boxes: of its fields, in its pixels; what is written there says nothing of where the page lies.
    """

    def __init__(self, reference: GrayImage, boxes: Sequence[Box]) -> None:
        self._share = min(1.0, WORK_PX / max(reference.shape))
        self.size = (reference.shape[0], reference.shape[1])
        self._work = resized(reference, self._share)
        self._boxes = [tuple(round(self._share * side) for side in box) for box in boxes]
        self._print = ink_of(self._work)
        blank = np.full(self._work.shape, 255, np.uint8)
        for x, y, width, height in self._boxes:
            blank[y + 3 : y + height - 3, x + 3 : x + width - 3] = 0
        self._blank = blank
        self._print[blank == 0] = 0
        self._features = {px: _features(self._work, blank, px) for px in (LOOK_PX, WORK_PX)}

    def anchors(self) -> Floats:
        """Return float64 (4, 2), the print nearest to each corner of the page as x, y, clockwise from the top left."""
        ys, xs = np.nonzero(self._print)
        height, width = self._print.shape
        corners = ((0, 0), (width, 0), (width, height), (0, height))
        nearest = [int(np.argmin(abs(xs - x) + abs(ys - y))) for x, y in corners]
        return np.asarray(np.array([(xs[i], ys[i]) for i in nearest], float) / self._share)

    def align(
        self, scan: GrayImage | Scan, anchors: Floats | None = None, check: bool = True, at_a_glance: bool = False
    ) -> Alignment:
        """Return where the template lies in a scan.

        Args:
            scan: the page, uint8 (H, W) where no other template looks at it.
            anchors: (4, 2), where somebody says that `anchors()` lie in it; found by features where None.
            check: whether its print must be where it should be.
            at_a_glance: whether a page of which too few features are seen in a small copy is given up at once.

        Raises:
            NothingSeenError: so few are, and it was given up.
            AlignmentError: it is not there, or not for sure.
        """
        scan = scan if isinstance(scan, Scan) else Scan(scan)
        if anchors is not None:
            start = _Start(self._by_anchors(anchors * scan.share), len(anchors))
            return self._refined(scan, start, check, is_exact=True)
        problem = AlignmentError("its lines are not the form's")
        for look_px, least in () if self._is_bare else ((LOOK_PX, LEAST_AT_FIRST_LOOK), (WORK_PX, LEAST_INLIERS)):
            try:
                return self._refined(scan, self._by_features(scan, look_px, least), check, look_px == WORK_PX)
            except NothingSeenError as error:
                if at_a_glance and look_px == LOOK_PX:
                    raise
                problem = AlignmentError(str(error))
            except AlignmentError as error:
                problem = error
        for start in self._by_ruling(scan.small):
            try:
                return self._refined(scan, start, check)
            except AlignmentError as error:
                problem = error if self._is_bare else problem
        raise problem

    def _refined(self, scan: Scan, start: _Start, check: bool, is_exact: bool = False) -> Alignment:
        """Return where the template lies in a scan, from where it is about.

        `is_exact`: every round at full size, as the last look at a page that would be rejected.

        Raises:
            AlignmentError: it is not there, or not for sure.
        """
        small, share = scan.small, scan.share
        to_small, is_ruled = start.to_small, start.moves is not None or self._is_bare
        first = np.zeros((*_grid(self._work.shape), 2)) if start.moves is None else start.moves
        printed = self._ruled.ruling.both if is_ruled else self._print
        moves = first
        for tile_px, reach, spread, reduction in ROUNDS:
            ink = ink_of(self._laid(small, to_small, moves))
            lines = ruling_of(ink).both if is_ruled else ink
            # Not where lines alone count: of three climate tables 1 of 126 accepted values was wrong then, else none
            # of 115.
            by = 1 if is_ruled or is_exact else reduction
            moves = moves + _smooth(*self._moves(printed, lines, tile_px, reach, by), spread)
        jumps = [float(np.abs(np.diff(moves - first, axis=axis)).max(initial=0)) for axis in (0, 1)]
        laid = self._laid(small, to_small, moves)
        found, at_fields = self._found(ink_of(laid))
        is_torn = (
            not is_ruled and at_fields and max(jumps) > SUSPICIOUS_JUMP_PX and min(at_fields) < LEAST_FOUND_AT_JUMP
        )
        if is_ruled and (check or start.moves is not None):
            evidence = self._ruled.evidence(self._laid(small, to_small, moves, cv2.BORDER_CONSTANT))
            if evidence.weakest < LEAST_OF_LINE:
                raise AlignmentError("one of its lines is not where the form has it")
            if evidence.margin < LEAST_MARGIN:
                raise AlignmentError("its lines might as well lie a row or a column off, or upside down")
        if check and (max(jumps) > MOST_JUMP_PX or is_torn):
            raise AlignmentError("a part of it is not where the form has it: a fold, or another version of the form?")
        if check and found < LEAST_FOUND:
            raise AlignmentError(f"only {found:.0%} of the form's print is where it should be")
        if check and at_fields and min(at_fields) < LEAST_FOUND_AT_FIELD:
            raise AlignmentError(f"beside a field only {min(at_fields):.0%} of the form's print is where it should be")
        to_reduced = between_centres(np.diag([self._share, self._share, 1.0]))
        to_scan = between_centres(np.diag([1 / share, 1 / share, 1.0])) @ to_small @ to_reduced
        alignment = Alignment(to_small, moves, start.n_inliers, 1.0, found, at_fields)
        corners = [corner for x, y, w, h in self._boxes for corner in ((x, y), (x + w, y), (x + w, y + h), (x, y + h))]
        places = alignment.place(np.array(corners, float).reshape(-1, 2), self._work.shape[:2])
        if ((places < -BESIDE_PX) | (places > (small.shape[1] + BESIDE_PX, small.shape[0] + BESIDE_PX))).any():
            raise AlignmentError("a part of the form with fields lies outside of the picture")
        scale = float(np.sqrt(abs(np.linalg.det(to_scan[:2, :2] / to_scan[2, 2]))))
        return Alignment(to_scan, moves / self._share, start.n_inliers, scale, found, at_fields)

    def _laid(
        self, small: GrayImage, to_small: Transform, moves: Floats, border: int = cv2.BORDER_REPLICATE
    ) -> GrayImage:
        laid = Alignment(to_small, moves, 0, 1.0, 0.0, ())
        return laid.flat(small, (self._work.shape[0], self._work.shape[1]), border)

    @cached_property
    def _ruled(self) -> RuledPage:
        return RuledPage(self._work)

    @cached_property
    def _is_bare(self) -> bool:
        """Whether nothing but the lines of a table is printed: features, crossings all alike, then say nothing."""
        if not self._ruled.is_table:
            return False
        lines = cv2.dilate(self._ruled.ruling.both, np.ones((7, 7), np.uint8))
        beside = np.count_nonzero((self._print > 0) & (lines == 0))
        return bool(beside < BARE * np.count_nonzero(self._print))

    def _by_ruling(self, small: GrayImage) -> Iterator[_Start]:
        """Yield where the template seems to lie in a reduced scan by its lines, if it is a table."""
        if not self._ruled.is_table:
            return
        rows, columns = _grid(self._work.shape)
        x, y = np.meshgrid(_centres(self._work.shape[1], columns), _centres(self._work.shape[0], rows))
        ours = np.stack([x.ravel(), y.ravel()], axis=-1).astype(float)
        for theirs, n_crossings in self._ruled.lies_in(small, ours):
            transform = np.asarray(cv2.findHomography(ours, theirs, 0)[0], np.float64)
            if _is_page(transform, self._work.shape):
                moves = map_points(np.linalg.inv(transform), theirs) - ours
                yield _Start(transform, n_crossings, moves.reshape(rows, columns, 2))

    def _by_features(self, scan: Scan, look_px: int, least: int) -> _Start:
        """Return where the template lies in a reduced scan by the features of copies `look_px` large.

        Raises:
            NothingSeenError: fewer than `least` agree.
            AlignmentError: the page would lie askew as no page does.
        """
        points, descriptors = self._features[look_px]
        theirs, their_descriptors = scan.features(look_px)
        if len(points) < least or len(theirs) < least:
            raise NothingSeenError("nothing of the form is to be seen in it")
        ours, others = _matches(descriptors, their_descriptors)
        if len(ours) < least:
            raise NothingSeenError("nothing of the form is to be seen in it")
        transform, inside = cv2.findHomography(
            points[ours],
            theirs[others],
            cv2.USAC_MAGSAC,
            BESIDE_PX,
            maxIters=10_000,
            confidence=0.9999,
        )
        n_inliers = 0 if transform is None else int(inside.sum())
        if transform is None or n_inliers < least:
            raise NothingSeenError(f"only {n_inliers} places of the form are to be seen in it")
        found: Transform = np.asarray(transform, np.float64)
        if not _is_page(found, self._work.shape):
            raise AlignmentError("the form would lie in it as no sheet can")
        return _Start(found, n_inliers)

    def _by_anchors(self, anchors: Floats) -> Transform:
        """Return what takes the reduced template's pixels to a reduced scan's where its anchors are known there.

        Raises:
            AlignmentError: no sheet lies so.
        """
        ours = np.asarray(self.anchors() * self._share, np.float32)
        found = np.asarray(cv2.getPerspectiveTransform(ours, np.asarray(anchors, np.float32)), np.float64)
        if not _is_page(found, self._work.shape):
            raise AlignmentError("no sheet lies so; click the four places in their order")
        return found

    def _moves(
        self, print_: GrayImage, ink: GrayImage, tile_px: int, reach: int, reduction: int
    ) -> tuple[Floats, Floats]:
        """Return float64 (h, w, 2), by how many pixels the scan's print lies off the template's in each tile.

        And float64 (h, w), how much that says. Both pictures are compared in copies `reduction` times smaller.
        """
        rows, columns = _grid(self._work.shape)
        moves, weights = np.zeros((rows, columns, 2)), np.zeros((rows, columns))
        half = tile_px // 2
        printed = _framed(print_, half)
        ours, theirs = (_softly_reduced(each, reduction) for each in (printed, _framed(ink, half + reach)))
        side, room = tile_px // reduction, reach // reduction
        for i, y in enumerate(_centres(self._work.shape[0], rows)):
            for j, x in enumerate(_centres(self._work.shape[1], columns)):
                if np.count_nonzero(printed[y : y + tile_px, x : x + tile_px]) < LEAST_PRINT:
                    continue
                top, left = y // reduction, x // reduction
                tile = ours[top : top + side, left : left + side]
                around = theirs[top : top + side + 2 * room, left : left + side + 2 * room]
                moves[i, j], weights[i, j] = _shift(tile, around, room)
        return reduction * moves, weights

    def _found(self, ink: GrayImage) -> tuple[float, tuple[float, ...]]:
        """Return the share of the print that is in its place, on the whole page and around each field."""
        near = cv2.dilate(ink, np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), np.uint8)) > 0
        wanted = self._print > 0
        hit = cv2.integral((wanted & near).astype(np.uint8))
        all_ = cv2.integral(wanted.astype(np.uint8))

        def share(x0: int, y0: int, x1: int, y1: int) -> float:
            n, n_hit = (int(s[y1, x1] - s[y0, x1] - s[y1, x0] + s[y0, x0]) for s in (all_, hit))
            return n_hit / n if n >= LEAST_PRINT else 1.0

        height, width = wanted.shape
        at_fields = tuple(
            share(max(0, x - ROOM_PX), max(0, y - ROOM_PX), min(width, x + w + ROOM_PX), min(height, y + h + ROOM_PX))
            for x, y, w, h in self._boxes
        )
        return share(0, 0, width, height), at_fields


def _at_most(image: GrayImage, longest_px: int) -> GrayImage:
    return resized(image, longest_px / max(image.shape)) if max(image.shape) > longest_px else image


def _features(image: GrayImage, mask: GrayImage | None, longest_px: int) -> Features:
    """Return SIFT's points in an image uint8 (H, W), and their descriptors, found in a copy of at most this size.

    `mask` uint8 (H, W) is 0 where nothing is looked for.
    """
    copy = _at_most(image, longest_px)
    if mask is not None:
        mask = np.asarray(cv2.resize(mask, copy.shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)
    points, descriptors = cv2.SIFT.create(N_FEATURES).detectAndCompute(copy, mask)
    if not points:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    scale = np.array([image.shape[1] / copy.shape[1], image.shape[0] / copy.shape[0]])
    places = (np.array([point.pt for point in points]) + 0.5) * scale - 0.5
    return np.asarray(places, np.float32), np.asarray(descriptors, np.float32)


def _matches(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> tuple[Indices, Indices]:
    """Return which descriptors (n, 128) and (m, 128), m at least 2, are alike beyond doubt by Lowe's ratio.

    Distances come from one product of matrices, exactly: SIFT's descriptors are whole numbers up to 255.
    """
    apart = np.einsum("ij,ij->i", theirs, theirs) - 2 * (ours @ theirs.T)
    rows, nearest, own = np.arange(len(ours)), apart.argmin(axis=1), np.einsum("ij,ij->i", ours, ours)
    first = apart[rows, nearest] + own
    apart[rows, nearest] = np.inf
    sure = np.flatnonzero(first < RATIO**2 * (apart.min(axis=1) + own))
    return sure, nearest[sure]


def _is_page(transform: Transform, shape: tuple[int, ...]) -> bool:
    """Say whether a page under a homography still looks like one: convex, not mirrored, its sides nearly as long."""
    height, width = shape[:2]
    corners = map_points(
        np.asarray(transform, float), np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
    )
    sides = np.roll(corners, -1, axis=0) - corners
    turns = sides[:, 0] * np.roll(sides[:, 1], -1) - sides[:, 1] * np.roll(sides[:, 0], -1)
    if not (np.isfinite(corners).all() and (turns > 0).all()):
        return False
    long = np.hypot(*sides.T) / (width, height, width, height)
    opposite = max(long[0] / long[2], long[2] / long[0], long[1] / long[3], long[3] / long[1])
    aspect = (long[0] + long[2]) / (long[1] + long[3])
    return bool(opposite < MOST_PERSPECTIVE and 1 / MOST_ASPECT < aspect < MOST_ASPECT)


def _grid(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many tiles there are down and across a page."""
    return max(1, round(shape[0] / STEP_PX)), max(1, round(shape[1] / STEP_PX))


def _centres(length: int, n: int) -> list[int]:
    """Return where n tiles have their middles, spread as `cv2.resize` has a grid's points."""
    return [int((i + 0.5) * length / n) for i in range(n)]


def _framed(mask: GrayImage, width: int) -> GrayImage:
    return np.asarray(cv2.copyMakeBorder(mask, width, width, width, width, cv2.BORDER_CONSTANT), np.uint8)


def _softly_reduced(mask: GrayImage, reduction: int) -> GrayImage:
    return np.asarray(resized(cv2.GaussianBlur(mask, (0, 0), 1.0), 1 / reduction), np.uint8)


def _shift(tile: GrayImage, around: GrayImage, reach: int) -> tuple[Floats, float]:
    """Return by how much (x, y) a tile's print lies off, to parts of a pixel, and how much that says."""
    scores = cv2.matchTemplate(around, tile, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    at_edge = x in (0, 2 * reach) or y in (0, 2 * reach)
    if best < 0.2 or at_edge:
        return np.zeros(2), 0.0

    def middle(below: float, here: float, above: float) -> float:
        bend = below - 2 * here + above
        return 0.5 * (below - above) / bend if bend < -1e-6 else 0.0

    sub_x = middle(*(float(scores[y, x + step]) for step in (-1, 0, 1)))
    sub_y = middle(*(float(scores[y + step, x]) for step in (-1, 0, 1)))
    # A tile with one long line says where it lies across the line alone: its scores fall off slowly along it.
    fall = [
        float(scores[y, x] - max(scores[y, x - 1], scores[y, x + 1])),
        float(scores[y, x] - max(scores[y - 1, x], scores[y + 1, x])),
    ]
    if min(fall) < 0.01:
        return np.array([(x - reach + sub_x) * (fall[0] >= 0.01), (y - reach + sub_y) * (fall[1] >= 0.01)]), 0.1 * best
    return np.array([x - reach + sub_x, y - reach + sub_y]), float(best)


def _smooth(moves: Floats, weights: Floats, spread: float) -> Floats:
    """Return moves (h, w, 2) averaged over neighbours, so many tiles wide, by their weights; outliers have none."""
    for _ in range(2):
        total = cv2.GaussianBlur(weights, (0, 0), spread) + 1e-6
        mean = np.stack([cv2.GaussianBlur(moves[..., k] * weights, (0, 0), spread) for k in (0, 1)], axis=-1)
        mean = mean / total[..., None]
        weights = weights * (np.abs(moves - mean).max(axis=-1) < 4.0)
    # Where no tile near by says anything, nothing is moved.
    return np.asarray(mean * (total / (total + 0.02))[..., None])
