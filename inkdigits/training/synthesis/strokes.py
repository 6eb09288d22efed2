"""Digits and signs drawn stroke by stroke: forms that are rare in MNIST.

A form is written as "x y x y ...; x y ...": control points in hundredths of the digit's box, x to the right, y down,
strokes parted by ";". Each stroke is one smooth curve through its points; a point given twice is a corner.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from inkdigits.arrays import Floats, Rng

Form = list[Floats]  # strokes, each float64 (points, 2): x, y as shares of the digit's box

SIDE = 112  # four times 28: strokes are some ten pixels wide, so pens can be changed smoothly

# Single digits as people outside MNIST's offices write them.
_HANDS = {
    1: (
        "10 38 40 20 60 0; 60 0 58 50 55 100",  # a long upstroke
        "20 30 50 0; 50 0 50 100; 15 100 50 98 85 100",  # with a foot
        "0 90 30 60 60 0; 60 0 62 60 90 100",  # like a lambda
        "30 12 50 0; 50 0 50 100; 30 100 70 100",  # printed, with serifs
    ),
    2: ("10 20 50 0 85 25 50 65 5 95 20 75 50 95 100 90",),
    4: (
        # In one go: down, across, and back through the bar.
        "60 0 35 35 5 65 50 62 95 60 85 45 65 75 55 100",
        "45 0 25 30 5 62 50 60 100 58; 70 35 62 70 55 100",
        "10 0 5 30 10 55 50 55 85 50; 85 0 80 50 78 100",
    ),
    6: ("90 0 30 5 10 50 10 95 90 95 90 50 15 50",),
    7: (
        "0 10 50 2 95 0 65 50 40 100; 20 52 60 50 100 45",
        "0 25 10 0 50 8 100 0 60 50 45 100; 10 50 95 50",
    ),
    9: (
        # The tail turns back to the left and, in haste, runs along the line.
        "85 15 40 0 10 25 45 50 85 20 85 70 50 100 5 85",
        "80 10 30 2 20 40 75 35 80 10 75 70 30 100 10 90 90 95",
        "80 10 30 0 10 30 50 45 80 10 80 50 75 100",
    ),
}
# How often a digit of these is drawn in such a form.
HANDS_SHARE = {0: 0.03, 1: 0.3, 2: 0.08, 4: 0.25, 6: 0.05, 7: 0.18, 9: 0.22}

# Digits within a line of writing.
_GLYPHS = {
    0: (
        "50 0 10 25 5 70 45 100 85 70 85 25 50 0 30 10",
        "50 5 10 30 10 75 45 100 90 60 75 10 40 0 60 15 105 5",
    ),
    1: (
        "0 50 62 0 62 100",
        "0 95 70 0 72 100",
        "0 100 35 50 80 0 70 50 70 100",
        "0 85 80 0 80 0 60 100",
        "0 75 60 0 60 0 55 100; 15 100 100 97",
        "0 70 55 0 50 100",
        "15 40 60 0 58 100; 20 100 95 98",
        "10 25 55 0 55 100; 15 100 90 100",
        "50 0 50 100",
        "55 0 50 50 50 100",
    ),
    2: (
        "5 25 30 0 75 10 75 40 35 80 10 97 15 75 40 85 70 100 100 85",
        "10 20 45 0 80 20 60 55 20 95 5 85 30 75 65 100 90 115",
        "15 35 20 10 50 0 75 20 65 50 10 100 10 100 50 97 95 100",
        "20 30 10 15 40 0 80 20 50 70 10 95 5 75 35 72 60 95 75 125 100 115",
        "50 30 25 40 8 20 40 0 80 15 60 55 10 97 10 97 50 92 95 100",
        "40 20 25 35 5 20 35 0 75 20 55 60 10 90 20 70 50 90 95 95",
        "35 30 10 20 40 0 75 20 60 60 25 95 0 85 20 70 60 85 90 110 80 140 65 130",
        "0 10 50 0 80 10 45 50 5 95 5 95 90 95",
        "45 35 20 30 20 5 55 0 75 25 60 60 20 95 5 75 30 70 55 95 75 115 100 100",
        "20 20 45 0 70 20 55 60 15 90 10 70 35 75 60 90 100 75",
    ),
    3: (
        "5 12 45 0 75 20 40 45 40 45 80 70 45 100 0 88",
        "5 3 80 0 80 0 35 40 35 40 80 65 50 100 0 92",
        "10 12 45 0 75 20 45 46 22 52 28 38 50 45 80 72 45 100 5 90",
        "15 15 40 0 70 15 50 40 25 48 35 40 65 50 75 80 40 105 0 100 -10 85",
    ),
    4: (
        "10 0 5 50 15 62 85 58; 75 10 72 100",
        "30 0 0 60 0 60 90 60; 65 30 60 100",
        "15 5 10 40 30 55 65 45 75 5 75 5 70 100",
        "45 0 5 65 5 65 90 65; 50 40 48 100",
        "70 10 30 5 10 35 30 55 65 40 75 5 70 100",
        "60 0 10 60 10 60 85 55; 60 0 55 100",
        "20 10 15 65 15 65 70 70 100 60; 65 25 60 100",
        "20 0 5 70 5 70 65 72; 75 45 72 110",
        "25 0 5 55 25 65 95 55; 60 35 45 105",
    ),
    5: (
        "25 5 15 45 50 40 85 65 60 97 5 90; 25 5 90 0",
        "90 0 30 3 30 3 20 45 60 45 80 75 40 100 0 90",
        "90 5 35 0 20 30 60 50 75 80 40 100 0 90",
        "15 10 15 50 15 50 55 40 80 70 50 100 0 85; 20 8 95 5",
    ),
    6: (
        "75 0 25 35 10 75 45 100 80 75 50 50 15 70",
        "50 0 10 50 15 90 50 100 80 75 55 55 25 70 20 85",
    ),
    7: (
        "0 5 85 0 85 0 35 100; 20 50 85 47",
        "0 20 5 2 5 2 85 0 85 0 40 100; 20 52 80 48",
        "0 25 3 2 3 2 85 2 85 2 45 100",
        "0 5 40 10 85 0 60 45 40 100",
    ),
    8: (
        "75 15 45 0 15 20 45 47 80 75 45 100 10 75 50 45 80 15 60 2",
        "80 10 30 5 25 35 75 65 50 100 15 80 40 50 85 5",
    ),
    9: (
        "80 15 45 0 15 20 40 45 80 30 85 10 85 60 60 95 10 95",
        "55 25 35 35 15 20 45 0 85 20 85 65 50 100 10 85",
        "75 10 30 5 15 35 50 45 75 10 75 10 70 100",
        "70 30 40 45 10 25 35 0 80 10 80 50 70 85 35 100 0 80 15 65",
        "75 15 40 0 10 25 35 50 75 30 80 55 50 100 5 90",
    ),
}
# More of them: a 1 with a flat or long upstroke, open 8 and 4, 9 and 2 of one stroke, slanted 5.
_MORE_GLYPHS = {
    0: (
        "60 0 15 20 10 80 60 100 85 60 75 10 45 5 20 30",
        "40 10 10 60 40 100 85 70 80 20 50 0 50 20",
        "80 10 30 0 5 50 30 100 80 90 90 40 60 0",
    ),
    1: (
        "0 30 75 0 75 0 60 100",
        "0 22 70 0 70 0 72 100",
        "0 60 55 0 50 60 70 100 100 92",
        "15 10 50 0 40 100",
        "0 70 40 35 65 0 45 60 40 100",
    ),
    2: (
        "15 20 50 0 75 25 35 70 0 92 0 92 50 82 100 98",
        "20 25 45 0 60 15 40 55 0 95 0 95 45 80 100 90",
        "25 45 10 20 50 0 80 15 60 60 5 100 30 80 60 100 110 100",
        "20 20 60 5 80 30 60 70 20 95 5 75 30 60 70 75 85 100 105 90",
    ),
    3: (
        "10 5 80 0 45 35 85 60 70 95 30 100 0 85",
        "5 15 50 0 70 20 30 45 75 55 80 85 40 105 -5 95",
    ),
    4: (
        "10 0 5 45 60 45; 90 0 60 100",
        "0 5 10 55 55 50 90 5 90 5 60 100",
        "40 5 5 45 55 50 70 5 70 5 65 100",
        "35 0 5 60 10 65 100 60; 75 35 50 100",
        "55 0 0 70 100 62; 65 40 65 100",
    ),
    5: (
        "30 0 10 45 60 45 50 90 0 100; 35 0 110 -10",
        "100 0 30 5 20 45 70 55 55 95 0 100",
        "20 0 15 45 15 45 80 50 70 100 0 95; 20 5 80 -5",
    ),
    6: (
        "85 5 40 10 5 60 30 100 75 85 70 60 20 65",
        "40 0 10 50 15 95 70 95 65 60 15 65",
    ),
    7: (
        "0 15 30 0 100 5 50 50 40 100; 15 55 90 45",
        "5 20 5 0 5 0 50 8 95 0 95 0 40 45 35 100",
        "10 0 0 20 10 5 90 5 90 5 50 100; 25 50 85 55",
        "0 5 90 5 90 5 60 100",
    ),
    8: (
        "85 12 50 0 20 20 50 48 80 75 45 100 15 80 35 55",
        "75 10 40 0 15 20 60 50 80 80 40 100 15 85 30 60 70 35 90 10",
        "50 45 20 20 50 0 75 20 50 45 15 75 50 100 85 75 50 45",
        "60 0 20 20 70 60 40 100 10 75 60 40 75 5 60 0",
    ),
    9: (
        "70 10 20 5 10 35 50 45 80 10; 85 5 60 60 40 100",
        "80 5 20 5 15 40 75 35 85 5 75 60 20 105",
        "75 30 30 45 15 15 60 0 85 25 80 70 30 100",
        "60 5 10 15 25 50 75 30; 80 0 70 100",
    ),
}
# How often a drawing replaces MNIST's digit, against the style's `drawn`: what MNIST lacks most, most.
DRAWN_WEIGHT = {1: 2.6, 2: 1.9, 4: 1.7, 7: 1.6, 9: 1.4, 0: 0.5, 3: 0.8, 5: 0.6, 6: 0.4, 8: 0.4}


def _read(forms: dict[int, tuple[str, ...]]) -> dict[int, list[Form]]:
    return {
        digit: [[np.array(stroke.split(), float).reshape(-1, 2) / 100 for stroke in way.split(";")] for way in ways]
        for digit, ways in forms.items()
    }


HANDS, GLYPHS = _read(_HANDS), _read(_GLYPHS)
MANY_GLYPHS = {digit: GLYPHS[digit] + more for digit, more in _read(_MORE_GLYPHS).items()}


def smooth_curve(points: Floats, steps: int, overshoot: float) -> Floats:
    """Return float64 (n, 2), a curve through points float64 (N, 2), those included (Catmull and Rom 1974).

    Args:
        points: a point given twice is a corner. Fewer than three are returned as they are.
        steps: places on the curve from each point to the next.
        overshoot: how the curve leaves its ends: 0 as if it began from rest, 1 as if it had come along the straight
            line through the first two points.
    """
    if len(points) < 3:
        return points
    before = (1 + overshoot) * points[:1] - overshoot * points[1:2]
    after = (1 + overshoot) * points[-1:] - overshoot * points[-2:-1]
    padded = np.concatenate([before, points, after])
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.concatenate([curve.reshape(-1, 2), points[-1:]])


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
        points = control + rng.normal(0, 0.035, (len(control), 2))
        draw_smooth(strokes, corner + points * size, thick, sharp=bool(rng.random() < 0.2))
    return strokes


def draw_smooth(canvas: Floats, points: Floats, thick: int, sharp: bool = False) -> None:
    """Draw a smooth line through points (N, 2) in pixels, in place; `sharp`: straight ones."""
    curve = points if sharp else smooth_curve(points, steps=8, overshoot=0)
    cv2.polylines(canvas, [np.rint(curve * 8).astype(np.int32)], False, 1.0, thick, cv2.LINE_AA, 3)


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
