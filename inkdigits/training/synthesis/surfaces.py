"""What lies under and around a sheet: desks of every texture and brightness, and the noise that they are made of."""

import math
from collections.abc import Callable

import cv2
import numpy as np

from inkdigits.arrays import Floats, Rng

Shape = tuple[int, int]  # height, width in pixels


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """Return a number between two positive ones, uniform on a logarithmic scale."""
    return float(np.exp(rng.uniform(math.log(low), math.log(max(high, low)))))


# Fresh noise for every picture would take a tenth of its time: windows of this sheet look as random.
_NOISE = np.random.default_rng(2026).standard_normal((1024, 1024), np.float32)


def white_noise(rng: Rng, shape: Shape) -> Floats:
    """Return float32 (H, W), mean 0, standard deviation 1, independent pixels; sides up to 1024."""
    top, left = (int(rng.integers(0, 1025 - side)) for side in shape)
    window: Floats = _NOISE[top : top + shape[0], left : left + shape[1]]
    return window[:: -1 if rng.random() < 0.5 else 1]


def smooth_noise(rng: Rng, shape: Shape, grain_px: tuple[float, float]) -> Floats:
    """Return float32 (H, W), mean 0, standard deviation about 1 or less, blobs of that height and width in pixels."""
    cells = tuple(max(2, int(side / grain) + 2) for side, grain in zip(shape, grain_px, strict=True))
    coarse = rng.standard_normal(cells, np.float32)
    return _resized(coarse, shape)


def _resized(layer: Floats, shape: Shape) -> Floats:
    return np.asarray(cv2.resize(layer, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)


def desk(rng: Rng, shape: Shape, kind: str) -> Floats:
    """Return a desk as a camera sees it, float32 (H, W), about 0 to 255, with things that lie about on some.

    Args:
        rng: fixes all.
        shape: of the picture, sides up to 1024.
        kind: a name in `DESKS`.
    """
    texture, depth = DESKS[kind]
    contrast = min(log_uniform(rng, 3, 45), depth)
    surface = rng.uniform(10, 240) + contrast * texture(rng, shape)
    surface = surface + rng.uniform(0, 25) * smooth_noise(rng, shape, (shape[0] / 2, shape[1] / 2))
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.4 else 0):
        _lay_something(rng, surface)
    return surface


def _lay_something(rng: Rng, surface: Floats) -> None:
    """A pen, a cup, a phone, another sheet: a rectangle or an ellipse of another brightness, in place."""
    height, width = surface.shape
    place = rng.uniform(-0.1, 1.1, 2) * (width, height)
    size = log_uniform(rng, 8, width), log_uniform(rng, 8, height / 2)
    mask = np.zeros(surface.shape, np.uint8)
    turned = ((float(place[0]), float(place[1])), size, float(rng.uniform(0, 180)))
    if rng.random() < 0.7:
        cv2.fillConvexPoly(mask, cv2.boxPoints(turned).astype(np.int32), 1)
    else:
        cv2.ellipse(mask, turned, 1, -1)
    there = mask > 0
    surface[there] = rng.uniform(5, 250) + rng.uniform(0, 9) * white_noise(rng, (height, width))[there]


# ------------------------------------------------------------------------------------------------- textures, 0 +- 1


def _plain(rng: Rng, shape: Shape) -> Floats:
    return 0.3 * white_noise(rng, shape)


def _clouded(rng: Rng, shape: Shape) -> Floats:
    return smooth_noise(rng, shape, (60, 60)) + 0.2 * white_noise(rng, shape)


def _wood(rng: Rng, shape: Shape) -> Floats:
    fibres = smooth_noise(rng, shape, (rng.uniform(1.5, 5), rng.uniform(40, 250)))
    return _maybe_turned(rng, shape, fibres) + 0.2 * white_noise(rng, shape)


def _planks(rng: Rng, shape: Shape) -> Floats:
    height, width = shape
    boards = _wood(rng, shape).copy()
    step = rng.uniform(0.1, 0.4) * height
    for y in np.arange(rng.uniform(0, step), height, step):
        boards[int(y) :] += rng.normal(0, 0.8)
        cv2.line(boards, (0, int(y)), (width, int(y)), -3.0, int(rng.integers(1, 4)))
    return _maybe_turned(rng, shape, boards)


def _leather(rng: Rng, shape: Shape) -> Floats:
    grain = rng.uniform(3, 14)
    return np.asarray(1 - 2 * np.exp(-5 * smooth_noise(rng, shape, (grain, grain)) ** 2), np.float32)


def _cloth(rng: Rng, shape: Shape) -> Floats:
    (py, px), (y, x) = rng.uniform(2.5, 12, 2), _axes(shape)
    return np.asarray(np.sin(y / py * 6.283) * np.sin(x / px * 6.283) + 0.4 * white_noise(rng, shape), np.float32)


def _granite(rng: Rng, shape: Shape) -> Floats:
    coarse = rng.uniform(2, 9)
    specks = 0.8 * smooth_noise(rng, shape, (1.3, 1.3)) + 0.6 * smooth_noise(rng, shape, (coarse, coarse))
    return np.sign(specks) * specks**2 if rng.random() < 0.5 else specks


def _tiles(rng: Rng, shape: Shape) -> Floats:
    step, (y, x) = rng.uniform(20, 140), _axes(shape)
    if rng.random() < 0.5:
        board = np.where((y // step + x // step) % 2, 1.0, -1.0)
    else:
        board = np.where((y % step < 2.5) | (x % step < 2.5), -2.0, 0.1)
    return np.asarray(board + 0.2 * white_noise(rng, shape), np.float32)


def _carpet(rng: Rng, shape: Shape) -> Floats:
    tufts = smooth_noise(rng, shape, (rng.uniform(1.5, 4), rng.uniform(1.5, 8)))
    return tufts + 0.7 * smooth_noise(rng, shape, (rng.uniform(15, 70),) * 2)


def _gravel(rng: Rng, shape: Shape) -> Floats:
    size = rng.uniform(5, 25)
    return np.asarray(np.tanh(3 * smooth_noise(rng, shape, (size, size))) + 0.3 * white_noise(rng, shape), np.float32)


def _lined(rng: Rng, shape: Shape) -> Floats:
    """Blinds, corduroy, a keyboard's rows: dark bars."""
    step, (y, x) = rng.uniform(6, 60), _axes(shape)
    bars = np.where((y + rng.normal(0, 0.3) * x) % step < rng.uniform(0.15, 0.6) * step, -1.0, 0.6)
    return _maybe_turned(rng, shape, np.asarray(bars + 0.15 * white_noise(rng, shape), np.float32))


def _marble(rng: Rng, shape: Shape) -> Floats:
    bent = smooth_noise(rng, shape, (rng.uniform(30, 90),) * 2) + 0.3 * smooth_noise(rng, shape, (12, 12))
    return np.asarray(0.6 - 2.5 * np.exp(-((6 * bent) ** 2)), np.float32)


def _woven(rng: Rng, shape: Shape) -> Floats:
    """A basket: strips over and under each other."""
    step, (y, x) = rng.uniform(8, 40), _axes(shape)
    over = (y // step + x // step) % 2 > 0
    along = np.where(over, np.sin(y / step * 3.142), np.sin(x / step * 3.142))
    return np.asarray(1.6 * np.abs(along) - 1 + 0.15 * white_noise(rng, shape), np.float32)


def _axes(shape: Shape) -> tuple[Floats, Floats]:
    return np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)[None]


def _maybe_turned(rng: Rng, shape: Shape, texture: Floats) -> Floats:
    if rng.random() < 0.5:
        return texture
    return _resized(np.ascontiguousarray(texture.T), shape)


# Name -> its texture, and the most contrast in grey levels that it has in photographs.
DESKS: dict[str, tuple[Callable[[Rng, Shape], Floats], float]] = {
    "plain": (_plain, 12),
    "clouded": (_clouded, 18),
    "wood": (_wood, 45),
    "planks": (_planks, 35),
    "leather": (_leather, 30),
    "cloth": (_cloth, 35),
    "granite": (_granite, 45),
    "tiles": (_tiles, 45),
    "carpet": (_carpet, 45),
    "gravel": (_gravel, 45),
    "lined": (_lined, 45),
    "marble": (_marble, 35),
    "woven": (_woven, 45),
}
