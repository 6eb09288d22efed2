"""Pictures as framing lets them through: digits of other hands, pens and scanners, and what is no digit at all.

One digit in, one changed digit out, NumPy and OpenCV alone, some 150 microseconds each; `compose` makes whole chunks.
Strokes are changed at four times MNIST's resolution, then brought back to its form as framing does it.
"""

from collections.abc import Callable, Sequence
from functools import cache

import cv2
import numpy as np

from inkdigits.reading.normalise.digit import frame_ink

NONE = 10  # the label of "no digit"
SIDE = 112  # four times 28: strokes are some ten pixels wide, so pens can be changed smoothly
GRID = (np.mgrid[0:SIDE, 0:SIDE][::-1].reshape(2, -1) - (SIDE - 1) / 2).astype(np.float32)
Rng = np.random.Generator


def compose(
    images: np.ndarray, labels: np.ndarray, n: int, seed: int | Sequence[int], none_share: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Return n changed pictures and their labels.

    Args:
        images: uint8 (N, 28, 28), MNIST's form.
        labels: int64 (N,), 0 to 9.
        n: how many to make.
        seed: the same seed makes the same pictures.
        none_share: 0 to 1, the share of pictures which show no digit.

    Returns:
        uint8 (n, 28, 28) and int64 (n,), where 10 means "no digit".
    """
    rng = np.random.default_rng(seed)
    # OpenCV's threads cost more than they bring on pictures of this size.
    cv2.setNumThreads(1)
    made = np.zeros((n, 28, 28), np.uint8)
    truth = np.zeros(n, np.int64)
    chosen = rng.integers(0, len(images), n)
    for i, index in enumerate(chosen):
        if rng.random() < none_share:
            made[i], truth[i] = no_digit(rng, images, labels), NONE
        else:
            made[i], truth[i] = another_hand(rng, images[index], int(labels[index])), labels[index]
    return made, truth


# Digits


def another_hand(rng: Rng, image: np.ndarray, label: int) -> np.ndarray:
    """Return the digit as another writer, pen and scanner might have given it: uint8 (28, 28), framed."""
    if rng.random() < 0.2:
        return nudge(rng, image)
    if rng.random() < 0.012:
        strokes = segments(rng, label)
    elif rng.random() < HANDS_SHARE.get(label, 0.0):
        strokes = drawn(rng, label)
    else:
        strokes = enlarge(image)
        if label == 7 and rng.random() < 0.2:
            strokes = crossed(rng, strokes)
    strokes = warp(rng, strokes)
    strokes = repen(rng, strokes)
    if rng.random() < 0.05:
        strokes = holed(rng, strokes)
    if rng.random() < 0.22:
        return gridded(rng, strokes)
    framed = frame(rng, strokes)
    if rng.random() < 0.12:
        framed = littered(rng, framed)
    return scanned(rng, framed)


def nudge(rng: Rng, image: np.ndarray) -> np.ndarray:
    """Return MNIST's picture nearly as it is: moved, turned and scaled a little, to stay good at home."""
    angle, zoom = rng.normal(0, 5), np.exp(rng.normal(0, 0.05))
    matrix = cv2.getRotationMatrix2D((13.5, 13.5), angle, zoom)
    matrix[:, 2] = matrix[:, 2] + rng.normal(0, 0.7, 2)
    matrix[0, 1] += rng.normal(0, 0.06)
    return np.asarray(cv2.warpAffine(image, matrix, (28, 28), flags=cv2.INTER_LINEAR))


def enlarge(image: np.ndarray) -> np.ndarray:
    """Return the strokes at four times the size, float32 (112, 112), 0 to 1, with crisp edges."""
    large = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    return crisp(cv2.GaussianBlur(large, (0, 0), 1.6))


def crisp(soft: np.ndarray, level: float = 0.45, width: float = 0.3) -> np.ndarray:
    """Return a soft picture with its edges steepened around a grey level."""
    return np.clip((soft - level) / width + 0.5, 0, 1).astype(np.float32)


def warp(rng: Rng, strokes: np.ndarray) -> np.ndarray:
    """Return the strokes slanted, turned, stretched and bent (elastic fields after Simard et al. 2003, section 2)."""
    angle, shear = rng.normal(0, 0.13), rng.normal(0, 0.2)
    aspect = np.exp(rng.normal(0, 0.16))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag([aspect, 1 / aspect])
    span = np.abs(matrix).sum(axis=1).max()
    matrix = np.linalg.inv(matrix * (0.95 / max(1.0, span * 0.8)))
    source = (matrix.astype(np.float32) @ GRID).reshape(2, SIDE, SIDE) + (SIDE - 1) / 2
    if rng.random() < 0.6:
        strength = rng.gamma(2.0, 1.15)
        coarse = rng.normal(0, strength, (2, 6, 6)).astype(np.float32)
        source = source + np.stack([cv2.resize(field, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for field in coarse])
    return np.asarray(cv2.remap(strokes, source[0], source[1], cv2.INTER_LINEAR))


def repen(rng: Rng, strokes: np.ndarray) -> np.ndarray:
    """Return the strokes drawn with a thinner or thicker pen."""
    if rng.random() < 0.3:
        return strokes
    by = round(rng.normal(0, 4.0))
    if by == 0:
        return strokes
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (abs(by) + 1, abs(by) + 1))
    changed = cv2.dilate(strokes, kernel) if by > 0 else cv2.erode(strokes, kernel)
    # A thin pen must not lose the digit: what erosion would break is left as it was.
    return strokes if changed.sum() < 0.4 * strokes.sum() else np.asarray(changed)


def holed(rng: Rng, strokes: np.ndarray) -> np.ndarray:
    """Return the strokes with gaps, as a dry pen or a hard threshold leaves them."""
    grain = rng.normal(0, 1, (28, 28)).astype(np.float32)
    rough = cv2.resize(cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.6, 1.6)), (SIDE, SIDE))
    return np.asarray(strokes * (rough < np.quantile(rough, rng.uniform(0.86, 0.98))))


# Forms that people outside MNIST's offices write: control points (x, y) of smooth strokes in a unit box, y downwards.
HANDS: dict[int, tuple[tuple[tuple[tuple[float, float], ...], ...], ...]] = {
    1: (
        (((0.1, 0.38), (0.4, 0.2), (0.6, 0.0)), ((0.6, 0.0), (0.58, 0.5), (0.55, 1.0))),  # a long upstroke
        (((0.2, 0.3), (0.5, 0.0)), ((0.5, 0.0), (0.5, 1.0)), ((0.15, 1.0), (0.5, 0.98), (0.85, 1.0))),  # with a foot
        (((0.0, 0.9), (0.3, 0.6), (0.6, 0.0)), ((0.6, 0.0), (0.62, 0.6), (0.9, 1.0))),  # like a lambda
        (((0.3, 0.12), (0.5, 0.0)), ((0.5, 0.0), (0.5, 1.0)), ((0.3, 1.0), (0.7, 1.0))),  # printed, with serifs
    ),
    2: ((((0.1, 0.2), (0.5, 0.0), (0.85, 0.25), (0.5, 0.65), (0.05, 0.95), (0.2, 0.75), (0.5, 0.95), (1.0, 0.9)),),),
    4: (
        # In one go: down, across, and back through the bar.
        (((0.6, 0.0), (0.35, 0.35), (0.05, 0.65), (0.5, 0.62), (0.95, 0.6), (0.85, 0.45), (0.65, 0.75), (0.55, 1.0)),),
        (((0.45, 0.0), (0.25, 0.3), (0.05, 0.62), (0.5, 0.6), (1.0, 0.58)), ((0.7, 0.35), (0.62, 0.7), (0.55, 1.0))),
        (((0.1, 0.0), (0.05, 0.3), (0.1, 0.55), (0.5, 0.55), (0.85, 0.5)), ((0.85, 0.0), (0.8, 0.5), (0.78, 1.0))),
    ),
    6: ((((0.9, 0.0), (0.3, 0.05), (0.1, 0.5), (0.1, 0.95), (0.9, 0.95), (0.9, 0.5), (0.15, 0.5)),),),
    7: (
        (((0.0, 0.1), (0.5, 0.02), (0.95, 0.0), (0.65, 0.5), (0.4, 1.0)), ((0.2, 0.52), (0.6, 0.5), (1.0, 0.45))),
        (((0.0, 0.25), (0.1, 0.0), (0.5, 0.08), (1.0, 0.0), (0.6, 0.5), (0.45, 1.0)), ((0.1, 0.5), (0.95, 0.5))),
    ),
    9: (
        # The tail turns back to the left and, in haste, runs along the line.
        (((0.85, 0.15), (0.4, 0.0), (0.1, 0.25), (0.45, 0.5), (0.85, 0.2), (0.85, 0.7), (0.5, 1.0), (0.05, 0.85)),),
        (
            (
                (0.8, 0.1),
                (0.3, 0.02),
                (0.2, 0.4),
                (0.75, 0.35),
                (0.8, 0.1),
                (0.75, 0.7),
                (0.3, 1.0),
                (0.1, 0.9),
                (0.9, 0.95),
            ),
        ),
        (((0.8, 0.1), (0.3, 0.0), (0.1, 0.3), (0.5, 0.45), (0.8, 0.1), (0.8, 0.5), (0.75, 1.0)),),
    ),
}
# How often a digit of these is drawn in such a form.
HANDS_SHARE = {0: 0.03, 1: 0.3, 2: 0.08, 4: 0.25, 6: 0.05, 7: 0.18, 9: 0.22}


def drawn(rng: Rng, label: int) -> np.ndarray:
    """Return a digit drawn in one of its `STYLES` or along one of its `HANDS`: float32 (112, 112), 0 to 1."""
    if label in STYLES and (label not in HANDS or rng.random() < 0.6):
        return STYLES[label](rng)
    forms = HANDS[label]
    size = np.array([rng.uniform(40, 66), rng.uniform(62, 82)])
    corner = (SIDE - size) / 2
    thick = int(rng.integers(6, 15))
    strokes = np.zeros((SIDE, SIDE), np.float32)
    for control in forms[rng.integers(0, len(forms))]:
        points = np.array(control) + rng.normal(0, 0.035, (len(control), 2))
        draw_smooth(strokes, corner + points * size, thick, sharp=bool(rng.random() < 0.2))
    return strokes


def draw_smooth(canvas: np.ndarray, points: np.ndarray, thick: int, sharp: bool = False) -> None:
    """Draw a smooth line through points (N, 2), in place (Catmull and Rom 1974); `sharp`: straight ones."""
    if not sharp and len(points) > 2:
        padded = np.concatenate([points[:1], points, points[-1:]])
        t = np.linspace(0, 1, 9)[:, None]
        pieces = []
        for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
            pieces.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a))))
        points = np.concatenate(pieces)
    cv2.polylines(canvas, [np.rint(points * 8).astype(np.int32)], False, 1.0, thick, cv2.LINE_AA, 3)


def tall_one(rng: Rng) -> np.ndarray:
    """Return a 1 with a long upstroke, up to the whole height, sometimes with a foot."""
    strokes = np.zeros((SIDE, SIDE), np.float32)
    thick = int(rng.integers(5, 13))
    top = np.array([rng.uniform(52, 72), rng.uniform(12, 22)])
    foot = top + np.array([rng.normal(0, 7), rng.uniform(66, 82)])
    reach = rng.uniform(10, 48)
    hook = top + np.array([-reach, min(reach * rng.uniform(0.7, 2.0), foot[1] - top[1])])
    draw_curve(strokes, [hook, (top + hook) / 2 + rng.normal(0, 4, 2), top], thick)
    draw_curve(strokes, [top, (top + foot) / 2 + rng.normal(0, 3, 2), foot], thick)
    if rng.random() < 0.25:
        half = rng.uniform(10, 24)
        draw_curve(strokes, [foot - [half, 0], foot, foot + np.array([half, rng.normal(0, 3)])], thick)
    return strokes


def open_four(rng: Rng) -> np.ndarray:
    """Return a 4 whose stem starts at its bar or little above it, like a stroke of lightning."""
    strokes = np.zeros((SIDE, SIDE), np.float32)
    thick = int(rng.integers(5, 13))
    bar = rng.uniform(50, 76)
    top = np.array([rng.uniform(34, 66), rng.uniform(10, 20)])
    corner = np.array([rng.uniform(16, 34), bar + rng.normal(0, 3)])
    end = np.array([rng.uniform(68, 98), bar + rng.normal(-2, 4)])
    if rng.random() < 0.5:  # a round corner
        turn = corner + np.array([rng.uniform(2, 10), -rng.uniform(8, 20)])
        middle = corner + np.array([rng.uniform(14, 24), rng.uniform(-2, 3)])
        draw_curve(strokes, [top, (top + turn) / 2 + rng.normal(0, 3, 2), turn], thick)
        draw_curve(strokes, [turn, corner, middle], thick)
        draw_curve(strokes, [middle, (middle + end) / 2 + rng.normal(0, 2, 2), end], thick)
    else:
        draw_curve(strokes, [top, (top + corner) / 2 + rng.normal(0, 4, 2), corner], thick)
        draw_curve(strokes, [corner, (corner + end) / 2 + rng.normal(0, 3, 2), end], thick)
    above = max(0.0, rng.uniform(-8, 34))
    start = np.array([end[0] - rng.uniform(0, 22) + above * 0.15, bar - above])
    foot = np.array([start[0] - rng.uniform(-2, 24), rng.uniform(90, 104)])
    draw_curve(strokes, [start, (start + foot) / 2 + rng.normal(0, 3, 2), foot], thick)
    return strokes


def crossed_seven(rng: Rng) -> np.ndarray:
    """Return a 7 with a serif at its left, often with a bar through its stem."""
    strokes = np.zeros((SIDE, SIDE), np.float32)
    thick = int(rng.integers(5, 13))
    left = np.array([rng.uniform(18, 40), rng.uniform(14, 28)])
    right = np.array([rng.uniform(72, 96), rng.uniform(10, 24)])
    foot = np.array([rng.uniform(24, 66), rng.uniform(92, 104)])
    if rng.random() < 0.6:
        draw_curve(strokes, [left + np.array([rng.normal(0, 3), rng.uniform(6, 26)]), left, left], thick)
    draw_curve(strokes, [left, (left + right) / 2 + rng.normal(0, 5, 2), right], thick)
    bend = (right + foot) / 2 + rng.normal(0, 6, 2)
    draw_curve(strokes, [right, bend, foot], thick)
    if rng.random() < 0.75:
        middle, half = (right + 2 * bend + foot) / 4 + np.array([0, rng.normal(0, 5)]), rng.uniform(10, 36)
        ends = (
            middle + np.array([-half, rng.normal(2, 4)]),
            middle + np.array([half * rng.uniform(0.5, 1), rng.normal(-2, 4)]),
        )
        draw_curve(strokes, [ends[0], middle, ends[1]], thick)
    return strokes


def curled_nine(rng: Rng) -> np.ndarray:
    """Return a 9 whose tail curls back to the left below a small loop, as in a handwritten g."""
    strokes = np.zeros((SIDE, SIDE), np.float32)
    thick = int(rng.integers(5, 12))
    across, down = rng.uniform(14, 30), rng.uniform(13, 24)
    x, y = rng.uniform(48, 62), 14 + down
    gap = rng.uniform(0, 70) if rng.random() < 0.4 else 0.0
    axes = (int(across), int(down))
    cv2.ellipse(strokes, (int(x), int(y)), axes, rng.normal(0, 12), gap - 40, 320, 1.0, thick, cv2.LINE_AA)
    start = np.array([x + across * rng.uniform(0.6, 1.0), y + rng.uniform(-10, 8)])
    turn = np.array([start[0] + rng.uniform(-4, 14), rng.uniform(70, 88)])
    base = np.array([rng.uniform(40, 66), rng.uniform(94, 104)])
    end = np.array([rng.uniform(14, 44), base[1] - rng.uniform(-2, 22)])
    draw_curve(strokes, [start, start + np.array([rng.uniform(0, 8), 20]), turn], thick)
    draw_curve(strokes, [turn, np.array([turn[0], base[1]]), base], thick)
    draw_curve(strokes, [base, np.array([(base[0] + end[0]) / 2, base[1] + rng.uniform(0, 4)]), end], thick)
    return strokes


def slashed_zero(rng: Rng) -> np.ndarray:
    """Return a 0 with a stroke through it from lower left to upper right."""
    strokes = np.zeros((SIDE, SIDE), np.float32)
    thick = int(rng.integers(5, 11))
    across, down = rng.uniform(22, 36), rng.uniform(34, 44)
    cv2.ellipse(strokes, (56, 56), (int(across), int(down)), 0, 0, 360, 1.0, thick, cv2.LINE_AA)
    end = np.array([across, -down]) * rng.uniform(0.6, 1.15, 2)
    draw_curve(strokes, [56 - end, 56 + rng.normal(0, 3, 2), 56 + end], thick)
    return strokes


# The styles that need more freedom than points which tremble.
STYLES: dict[int, Callable[[Rng], np.ndarray]] = {
    0: slashed_zero,
    1: tall_one,
    4: open_four,
    7: crossed_seven,
    9: curled_nine,
}
# Corners of a calculator's digit: 0 1 above, 2 3 in the middle, 4 5 below.
SEGMENTS = {
    0: ((0, 1), (1, 5), (5, 4), (4, 0)),
    1: ((1, 5),),
    2: ((0, 1), (1, 3), (3, 2), (2, 4), (4, 5)),
    3: ((0, 1), (1, 5), (3, 2), (4, 5)),
    4: ((0, 2), (2, 3), (1, 5)),
    5: ((1, 0), (0, 2), (2, 3), (3, 5), (5, 4)),
    6: ((1, 0), (0, 4), (4, 5), (5, 3), (3, 2)),
    7: ((0, 1), (1, 5)),
    8: ((0, 1), (1, 5), (5, 4), (4, 0), (2, 3)),
    9: ((3, 2), (2, 0), (0, 1), (1, 5), (5, 4)),
}


def segments(rng: Rng, label: int) -> np.ndarray:
    """Return a digit of straight strokes at right angles, as on a calculator."""
    strokes = np.zeros((SIDE, SIDE), np.float32)
    left, right = rng.uniform(22, 38), rng.uniform(74, 92)
    places = [[x, y] for y in (14, rng.uniform(48, 62), 98) for x in (left, right)]
    corners = np.array(places) + rng.normal(0, 2.5, (6, 2))
    thick = int(rng.integers(5, 13))
    for first, last in SEGMENTS[label]:
        middle = (corners[first] + corners[last]) / 2 + rng.normal(0, 2, 2)
        draw_curve(strokes, [corners[first], middle, corners[last]], thick)
    return strokes


def crossed(rng: Rng, strokes: np.ndarray) -> np.ndarray:
    """Return a 7 with a bar through its stem."""
    rows = np.flatnonzero(strokes.max(axis=1) > 0.5)
    if len(rows) < 20:
        return strokes
    y = int(rows[0] + (rows[-1] - rows[0]) * rng.uniform(0.45, 0.62))
    columns = np.flatnonzero(strokes[y] > 0.5)
    if not len(columns):
        return strokes
    middle, half = columns.mean(), rng.uniform(9, 20)
    bar = strokes.copy()
    ends = [np.array([middle - half, y + rng.normal(0, 3)]), np.array([middle + half, y + rng.normal(-2, 3)])]
    draw_curve(bar, [ends[0], (ends[0] + ends[1]) / 2, ends[1]], max(4, len(columns) // 2 + 3))
    return bar


def draw_curve(canvas: np.ndarray, points: Sequence[np.ndarray], thick: int, level: float = 1.0) -> None:
    """Draw a quadratic Bezier curve through a canvas, in place."""
    t = np.linspace(0, 1, 20)[:, None]
    first, second, third = (np.asarray(p, float) for p in points)
    curve = (1 - t) ** 2 * first + 2 * t * (1 - t) * second + t**2 * third
    cv2.polylines(canvas, [np.rint(curve * 8).astype(np.int32)], False, level, thick, cv2.LINE_AA, 3)


def frame(rng: Rng, strokes: np.ndarray, loose: float = 0.5) -> np.ndarray:
    """Return strokes in MNIST's form (longest side 20 pixels, centre of mass in the middle), as framing does.

    Args:
        rng: what is random.
        strokes: float32 (H, W), 0 to 1.
        loose: standard deviation in pixels of the errors of size and place.

    Returns:
        uint8 (28, 28).
    """
    ys, xs = np.flatnonzero(strokes.max(axis=1) > 0.3), np.flatnonzero(strokes.max(axis=0) > 0.3)
    if not len(ys) or not len(xs):
        return np.zeros((28, 28), np.uint8)
    ink = strokes[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    scale = np.clip(20 + rng.normal(0, loose), 16, 24) / max(ink.shape)
    moments = cv2.moments(ink)
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    # Soften before shrinking, so that a coarse grid does not alias thin strokes.
    soft = cv2.GaussianBlur(ink, (0, 0), 0.4 / scale) if scale < 0.8 else ink
    shift = 13.5 - scale * centre + rng.normal(0, loose, 2)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    framed = cv2.warpAffine(soft, matrix, (28, 28), flags=cv2.INTER_LINEAR)
    return np.asarray(255 * np.clip(framed * (1.15 / max(framed.max(), 0.2)), 0, 1)).astype(np.uint8)


def gridded(rng: Rng, strokes: np.ndarray) -> np.ndarray:
    """Return strokes as a coarse scan gives them, often stretched to the whole of its box, brought back by framing."""
    ys, xs = np.flatnonzero(strokes.max(axis=1) > 0.3), np.flatnonzero(strokes.max(axis=0) > 0.3)
    if len(ys) < 4 or len(xs) < 4:
        return frame(rng, strokes)
    ink = strokes[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    side = int(rng.integers(13, 33))
    scale = side / max(ink.shape)
    height, width = (max(2, round(extent * scale)) for extent in ink.shape)
    if rng.random() < 0.6:  # a plain 1 would become a block
        height, width = min(side, 3 * height), min(side, 3 * width)
    coarse = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.8:
        coarse = (coarse > rng.uniform(0.2, 0.48) * coarse.max()).astype(np.float32)
    return frame_ink((coarse * 255).astype(np.uint8))


def littered(rng: Rng, framed: np.ndarray) -> np.ndarray:
    """Return the picture with what lies around a digit: specks, remnants of a box or rule, a neighbour's end."""
    canvas = np.zeros((28, 28), np.float32)
    kind = rng.integers(0, 3)
    if kind == 0:
        for _ in range(rng.integers(1, 4)):
            cv2.circle(
                canvas, tuple(int(v) for v in rng.integers(1, 27, 2)), int(rng.integers(0, 2)), 1.0, -1, cv2.LINE_AA
            )
    elif kind == 1:
        place = float(rng.choice([rng.uniform(0, 3.5), rng.uniform(24, 27)]))
        start, end = np.array([place, rng.uniform(-4, 14)]), np.array([place + rng.normal(0, 1), rng.uniform(14, 32)])
        if rng.random() < 0.5:
            start, end = start[::-1], end[::-1]
        draw_curve(canvas, [start, (start + end) / 2, end], 1)
    else:
        side = float(rng.choice([0.0, 27.0]))
        points = [np.array([side + rng.normal(0, 2), rng.uniform(4, 24)]) for _ in range(3)]
        draw_curve(canvas, points, int(rng.integers(1, 3)))
    strength = rng.uniform(60, 255)
    return np.asarray(np.maximum(framed, (canvas * strength).astype(np.uint8)))


def scanned(rng: Rng, framed: np.ndarray) -> np.ndarray:
    """Return the picture as a coarse, faint, blurred, hard-thresholded or noisy scan gives it."""
    picture: np.ndarray = framed.astype(np.float32)
    if rng.random() < 0.3:
        side = int(rng.integers(13, 24))
        picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.6:
            picture = np.where(picture > rng.uniform(0.25, 0.55) * picture.max(), 255, 0).astype(np.float32)
        enlarge_by = cv2.INTER_NEAREST if rng.random() < 0.2 else cv2.INTER_LINEAR
        picture = cv2.resize(picture, (28, 28), interpolation=enlarge_by)
    elif rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.1))
    elif rng.random() < 0.2:
        picture = np.where(picture > rng.uniform(0.25, 0.65) * picture.max(), 255, 0).astype(np.float32)
    if rng.random() < 0.3:
        picture = 255 * (picture / 255) ** np.exp(rng.normal(0, 0.4))
    if rng.random() < 0.15:
        picture = picture * rng.uniform(0.5, 1.0)
    if rng.random() < 0.15:
        picture = picture + rng.normal(0, rng.uniform(3, 20), (28, 28)) * (picture > 8)
    return np.asarray(np.clip(picture, 0, 255).astype(np.uint8))


# What is no digit


def no_digit(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a picture that shows no digit: uint8 (28, 28), framed as digits are."""
    maker = MAKERS[rng.choice(len(MAKERS), p=WEIGHTS)]
    made = maker(rng, images, labels)
    if made.shape == (28, 28):
        return made
    return scanned(rng, frame(rng, repen(rng, made)))


def letter(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a letter or sign of a font, warped like handwriting."""
    glyphs = font_glyphs()
    return warp(rng, glyphs[rng.integers(0, len(glyphs))])


# Letters and signs that somebody might also have meant as a digit are no examples of "no digit".
LETTERS = "ABCDEFGHJKLMNPQRTUVWXYacdefhjkmnprtuvwxyαβγδεζηθκλμξπρστφχψωΓΔΛΞΠΣΦΨΩвгджийклмнпртфхцшщыэюя"
SIGNS = "+-=*#%&@?!<>~^$£€§¶×÷≠≤≥√∫∑∞()[]{}"


@cache
def font_glyphs() -> np.ndarray:
    """Return letters and signs rendered from fonts: float32 (N, 112, 112), 0 to 1.

    The fonts are the ones that matplotlib ships (DejaVu, STIX) and OpenCV's own stroke fonts.
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    folder = f"{matplotlib.get_data_path()}/fonts/ttf"
    names = (
        "DejaVuSans",
        "DejaVuSans-Oblique",
        "DejaVuSerif",
        "DejaVuSansMono",
        "STIXGeneral",
        "STIXGeneralItalic",
        "cmmi10",
    )
    glyphs = []
    for name in names:
        font = ImageFont.truetype(f"{folder}/{name}.ttf", 84)
        for character in (LETTERS if name != "cmmi10" else LETTERS[:46]) + SIGNS:
            picture = Image.new("L", (SIDE, SIDE), 0)
            ImageDraw.Draw(picture).text((SIDE / 2, SIDE / 2), character, fill=255, font=font, anchor="mm")
            glyphs.append(np.asarray(picture, np.float32) / 255)
    glyphs += [stroke_glyph(font, c) for font in (0, 2, 3, 4, 6, 7) for c in (LETTERS[:46] + "+-=*#%&@?!<>()[]{}")]
    return np.stack([g for g in glyphs if g.max() > 0.5])


def stroke_glyph(font: int, character: str) -> np.ndarray:
    """Return a character of one of OpenCV's stroke fonts: float32 (112, 112), 0 to 1."""
    picture = np.zeros((SIDE, SIDE), np.uint8)
    (width, height), _ = cv2.getTextSize(character, font, 3, 8)
    cv2.putText(picture, character, ((SIDE - width) // 2, (SIDE + height) // 2), font, 3, 255, 8, cv2.LINE_AA)
    return picture.astype(np.float32) / 255


def character(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return an invented character of two to six strokes."""
    canvas = np.zeros((SIDE, SIDE), np.float32)
    thick = int(rng.integers(4, 12))
    for _ in range(rng.integers(2, 7)):
        kind = rng.integers(0, 3)
        start = rng.uniform(14, 98, 2)
        if kind == 0:
            end = rng.uniform(14, 98, 2)
            draw_curve(canvas, [start, (start + end) / 2, end], thick)
        elif kind == 1:
            draw_curve(canvas, [start, rng.uniform(0, 112, 2), rng.uniform(14, 98, 2)], thick)
        else:
            axes = tuple(int(v) for v in rng.integers(5, 34, 2))
            turn, arc = float(rng.uniform(0, 360)), float(rng.choice([360.0, 180.0, 270.0]))
            cv2.ellipse(canvas, (int(start[0]), int(start[1])), axes, turn, 0, arc, 1.0, thick, cv2.LINE_AA)
    return canvas


def scribble(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a long pen line that wanders and crosses itself."""
    canvas = np.zeros((SIDE, SIDE), np.float32)
    points = rng.uniform(10, 102, (int(rng.integers(6, 16)), 2))
    thick = int(rng.integers(3, 9))
    for first, second, third in zip(points[:-2:1], points[1:-1:1], points[2::1], strict=True):
        draw_curve(canvas, [(first + second) / 2, second, (second + third) / 2], thick)
    return canvas


def pair(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return two or three digits side by side or on top of each other."""
    pieces = []
    for _ in range(2 if rng.random() < 0.75 else 3):
        piece = enlarge(images[rng.integers(0, len(images))])
        columns = np.flatnonzero(piece.max(axis=0) > 0.3)
        pieces.append(piece[:, columns[0] : columns[-1] + 1] if len(columns) else piece)
        pieces.append(np.zeros((SIDE, int(rng.integers(0, 14))), np.float32))
    row = np.concatenate(pieces[:-1], axis=1)
    return row.T[::-1].copy() if rng.random() < 0.1 else row


def fragment(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return part of a digit that is no digit itself: a half of an 8, 3, 5, 2, 6, 9 or 4, a quarter of anything."""
    candidates = rng.integers(0, len(images), 16)
    index = next((i for i in candidates if labels[i] in (2, 3, 4, 5, 8)), candidates[0])
    strokes = warp(rng, enlarge(images[index]))
    ys, xs = np.flatnonzero(strokes.max(axis=1) > 0.3), np.flatnonzero(strokes.max(axis=0) > 0.3)
    if len(ys) < 8 or len(xs) < 8:
        return strokes
    strokes = strokes[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    height, width = strokes.shape
    if min(height, width) < 0.5 * max(height, width):  # half of a slim digit may be a 1
        return pair(rng, images, labels)
    part = rng.uniform(0.3, 0.5)
    cuts = [strokes[: int(height * part)], strokes[:, : int(width * part)], strokes[:, int(width * (1 - part)) :]]
    return cuts[rng.integers(0, 3)].copy()


def mirrored(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a digit of clear handedness as a mirror shows it, or lying on its side."""
    candidates = rng.integers(0, len(images), 24)
    index = next((i for i in candidates if labels[i] in (3, 4, 7, 9)), None)
    strokes = enlarge(images[candidates[0] if index is None else index])
    if index is None:
        return pair(rng, images, labels)
    turned = strokes[:, ::-1] if rng.random() < 0.6 else (strokes.T if rng.random() < 0.5 else strokes.T[::-1])
    return warp(rng, np.ascontiguousarray(turned))


def shape(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a plain figure: a dot, a lying line, a cross, a box, an arrow, a tick, parallel lines."""
    canvas = np.zeros((SIDE, SIDE), np.float32)
    thick = int(rng.integers(3, 13))
    kind = rng.integers(0, 7)
    middle = rng.uniform(40, 72, 2)
    if kind == 0:
        cv2.ellipse(canvas, (56, 56), tuple(int(v) for v in rng.integers(18, 45, 2)), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    elif kind == 1:
        rise = rng.uniform(-14, 14)
        draw_curve(canvas, [np.array([10, 56 - rise]), middle * [1, 0.1] + [0, 50], np.array([102, 56 + rise])], thick)
    elif kind == 2:
        draw_curve(canvas, [np.array([14.0, middle[1]]), middle, np.array([98.0, middle[1]])], thick)
        draw_curve(canvas, [np.array([middle[0], 14.0]), middle, np.array([middle[0], 98.0])], thick)
    elif kind == 3:
        low, high = rng.integers(10, 30, 2), rng.integers(80, 104, 2)
        cv2.rectangle(
            canvas, tuple(int(v) for v in low), tuple(int(v) for v in high), 1.0, thick if rng.random() < 0.7 else -1
        )
    elif kind == 4:
        points = rng.uniform(10, 102, (3, 2)).astype(np.int32)
        cv2.polylines(canvas, [points], bool(rng.random() < 0.5), 1.0, thick, cv2.LINE_AA)
        cv2.line(canvas, tuple(int(v) for v in points[0]), (56, 56), 1.0, thick, cv2.LINE_AA)
    elif kind == 5:
        for y in np.linspace(20, 92, int(rng.integers(2, 5))):
            cv2.line(canvas, (12, int(y)), (100, int(y + rng.normal(0, 3))), 1.0, thick, cv2.LINE_AA)
    else:
        for _ in range(rng.integers(3, 9)):
            cv2.circle(
                canvas, tuple(int(v) for v in rng.integers(12, 100, 2)), int(rng.integers(2, 14)), 1.0, -1, cv2.LINE_AA
            )
    return canvas


def texture(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a filled or woven picture, not framed: noise, cloth, shaded bodies, an inverted digit, nothing at all."""
    kind = rng.integers(0, 5)
    if kind == 0:
        return (255 - scanned(rng, images[rng.integers(0, len(images))])).astype(np.uint8)
    if kind == 1:
        noise = rng.normal(rng.uniform(0, 160), rng.uniform(5, 90), (28, 28)).astype(np.float32)
        blurred = cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.2, 3))
        return np.clip(blurred, 0, 255).astype(np.uint8)
    if kind == 2:
        return np.full((28, 28), 0 if rng.random() < 0.5 else rng.integers(0, 256), np.uint8)
    y, x = np.mgrid[0:28, 0:28].astype(np.float32)
    weave = 1 + rng.uniform(0, 0.6) * np.sin(x * rng.uniform(0, 3) + y * rng.uniform(0, 3))
    points = cv2.convexHull((14 + rng.normal(0, 7, (int(rng.integers(4, 12)), 2))).clip(0, 27).astype(np.int32))
    body = np.zeros((28, 28), np.float32)
    cv2.fillPoly(body, [points], 1.0)
    for _ in range(rng.integers(0, 3)):
        cv2.line(
            body, tuple(int(v) for v in rng.integers(0, 28, 2)), tuple(int(v) for v in rng.integers(0, 28, 2)), 0.4, 2
        )
    return np.asarray(np.clip(body * weave * rng.uniform(60, 255), 0, 255)).astype(np.uint8)


def body(rng: Rng, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return a shaded body with an outline like clothes, shoes, bags or leaves, framed as if it were a digit."""
    height, width = int(rng.integers(40, 100)), int(rng.integers(44, 100))
    knots = rng.uniform(0.4, 1.0, int(rng.integers(2, 6))) * width / 2
    outline = np.interp(np.linspace(0, len(knots) - 1, height), np.arange(len(knots)), knots)
    lean = rng.normal(0, 12) * np.linspace(-1, 1, height) ** int(rng.integers(1, 3))
    across = np.arange(SIDE)[None, :] - SIDE / 2 - lean[:, None] * (rng.random() < 0.4)
    canvas = np.zeros((SIDE, SIDE), np.float32)
    top = (SIDE - height) // 2
    canvas[top : top + height] = np.abs(across) < outline[:, None]
    wave = GRID[0] * rng.uniform(0, 0.5) + GRID[1] * rng.uniform(0, 0.5) + rng.uniform(0, 6)
    canvas *= (0.75 + rng.uniform(0, 0.3) * np.sin(wave)).astype(np.float32).reshape(SIDE, SIDE)
    for _ in range(rng.integers(0, 4)):  # slits, straps and gaps
        points = [rng.uniform(20, 92, 2) for _ in range(3)]
        if rng.random() < 0.4:
            points = [np.array([56.0, rng.uniform(20, 60)]), np.array([56.0, 70.0]), np.array([56.0, 110.0])]
        draw_curve(canvas, points, int(rng.integers(2, 16)), rng.uniform(0, 0.5))
    if rng.random() < 0.3:
        canvas = canvas.T
    return frame_ink((np.clip(canvas * rng.uniform(0.6, 1), 0, 1) * 255).astype(np.uint8))


Maker = Callable[[Rng, np.ndarray, np.ndarray], np.ndarray]
MAKERS: tuple[Maker, ...] = (letter, character, scribble, pair, fragment, mirrored, shape, texture, body)
WEIGHTS = (0.28, 0.2, 0.08, 0.11, 0.05, 0.04, 0.08, 0.07, 0.09)
