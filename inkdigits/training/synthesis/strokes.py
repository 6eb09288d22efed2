"""Digits drawn stroke by stroke: forms which MNIST hardly has."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from inkdigits.arrays import Rng

SIDE = 112  # four times 28: strokes are some ten pixels wide, so pens can be changed smoothly


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
    """Return a digit drawn in one of its `DRAWN_STYLES` or along one of its `HANDS`: float32 (112, 112), 0 to 1."""
    if label in DRAWN_STYLES and (label not in HANDS or rng.random() < 0.6):
        return DRAWN_STYLES[label](rng)
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
DRAWN_STYLES: dict[int, Callable[[Rng], np.ndarray]] = {
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
