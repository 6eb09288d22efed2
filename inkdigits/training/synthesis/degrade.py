"""What paper, pens and scanners do to a digit."""

import cv2
import numpy as np

from inkdigits.arrays import Rng
from inkdigits.reading.normalise.digit import frame_ink
from inkdigits.training.synthesis.strokes import SIDE, draw_curve

GRID = (np.mgrid[0:SIDE, 0:SIDE][::-1].reshape(2, -1) - (SIDE - 1) / 2).astype(np.float32)


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
