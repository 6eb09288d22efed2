"""What is printed on paper before anybody writes on it: lines, squares, dots, margins, the holes of a notebook."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from inkdigits.arrays import Ink, Rng
from inkdigits.training.synthesis.surfaces import log_uniform


@dataclass(frozen=True)
class Ruling:
    """How printed lines lie.

    Attributes:
        pitch_px: from one line to the next, > 0.
        first_px: where the first base line is.
        pen_px: how thick lines are.
    """

    pitch_px: float
    first_px: float
    pen_px: int


def printed_paper(rng: Rng, shape: tuple[int, int], kind: str, rows: tuple[float, float] | None) -> Ink:
    """Return what is printed on a sheet: uint8 (H, W), 0 = paper, 255 = as dark as its ink.

    Args:
        rng: fixes all.
        shape: of the sheet, height and width.
        kind: a name in `PAPERS`.
        rows: the pitch and the first base line, in pixels, of what is written on the sheet; None where it has none.
    """
    layer = np.zeros(shape, np.uint8)
    if rows is not None and rng.random() < 0.6:
        part = float(rng.choice([1.0, 1.0, 0.5]))
        pitch, first = rows[0] * part, rows[1] % (rows[0] * part)
    else:
        pitch = log_uniform(rng, 7, 0.25 * shape[0])
        first = rng.uniform(0, pitch)
    PAPERS[kind](rng, layer, Ruling(max(pitch, 6.0), first, 1 + int(rng.random() < min(0.6, pitch / 90))))
    if rng.random() < 0.25:  # the press ran out of ink here and there
        coarse = (255 * rng.uniform(0.3, 1.0, (5, 5))).astype(np.uint8)
        fading = cv2.resize(coarse, (shape[1], shape[0]))
        return np.asarray(cv2.multiply(layer, fading, scale=1 / 255), np.uint8)
    return layer


def _tone(rng: Rng, low: float = 0.1, high: float = 0.7) -> int:
    return int(255 * rng.uniform(low, high))


def _across(layer: Ink, ruling: Ruling, tone: int, lean: float = 0.0) -> None:
    height, width = layer.shape
    for y in np.arange(ruling.first_px, height, ruling.pitch_px):
        cv2.line(layer, (0, round(y)), (width, round(y + lean * width)), tone, ruling.pen_px)


def _upright(layer: Ink, places: np.ndarray, tone: int, pen: int = 1) -> None:
    for x in places:
        cv2.line(layer, (round(x), 0), (round(x), len(layer)), tone, pen)


def _blank(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    pass


def _ruled(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    _across(layer, ruling, _tone(rng), rng.normal(0, 0.002))
    if rng.random() < 0.5:
        x = layer.shape[1] * float(rng.choice([rng.uniform(0.03, 0.25), rng.uniform(0.8, 0.97)]))
        _upright(layer, np.array([x, x + 3][: 1 + int(rng.random() < 0.2)]), _tone(rng, 0.2, 0.9))


def _squared(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    tone = _tone(rng)
    _across(layer, ruling, tone)
    _upright(layer, np.arange(rng.uniform(0, ruling.pitch_px), layer.shape[1], ruling.pitch_px), tone, ruling.pen_px)


def _dotted(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    radius = int(ruling.pitch_px > 30)
    for y in np.arange(ruling.first_px, layer.shape[0], ruling.pitch_px):
        for x in np.arange(ruling.pitch_px / 2, layer.shape[1], ruling.pitch_px):
            layer[round(y) - radius : round(y) + 2, round(x) - radius : round(x) + 2] = 160


def _dashed(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    """Dotted or broken base lines, as forms have them."""
    _across(layer, ruling, _tone(rng, 0.3, 0.9))
    step = int(rng.integers(3, 9))
    gap = np.arange(layer.shape[1]) % step < rng.integers(1, step)
    layer[:, gap] = 0


def _notebook(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    (_ruled if rng.random() < 0.5 else _squared)(rng, layer, ruling)
    height, width = layer.shape
    step, radius = height / rng.integers(6, 30), max(1, int(rng.uniform(0.004, 0.015) * max(height, width)))
    x = int(rng.uniform(1.5, 4) * radius)
    x = x if rng.random() < 0.7 else width - x
    for y in np.arange(step / 2, height, step):
        cv2.circle(layer, (x, int(y)), radius, 255, -1)
        if rng.random() < 0.97 and step < 4 * radius + 12:  # a ring of the spiral
            cv2.ellipse(layer, (x, int(y)), (2 * radius, radius), 0, 150, 390, 200, max(1, radius // 2))


def _ledger(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    """Columns of an account book, some of them double."""
    _across(layer, ruling, _tone(rng, 0.1, 0.5))
    places = np.sort(rng.uniform(0.02, 0.98, int(rng.integers(2, 9)))) * layer.shape[1]
    _upright(layer, places, _tone(rng, 0.3, 1.0))
    _upright(layer, places[::2] + 3, _tone(rng, 0.3, 1.0))


def _boxes(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    """A form: frames and grey fields."""
    height, width = layer.shape
    for _ in range(int(rng.integers(1, 9))):
        x, y = int(rng.uniform(0, 0.8) * width), int(rng.uniform(0, 0.9) * height)
        w, h = int(rng.uniform(0.1, 0.7) * width), int(rng.uniform(0.5, 3) * ruling.pitch_px) + 3
        if rng.random() < 0.3:
            cv2.rectangle(layer, (x, y), (x + w, y + h), _tone(rng, 0.05, 0.25), -1)
        cv2.rectangle(layer, (x, y), (x + w, y + h), _tone(rng, 0.3, 1.0), ruling.pen_px)


def _graph(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    """Millimetre paper: fine squares, every fifth line stronger."""
    fine, tone = max(3.0, ruling.pitch_px / 5), _tone(rng, 0.1, 0.35)
    for strong in (False, True):
        lines = Ruling(fine * (5 if strong else 1), ruling.first_px % fine, 1)
        _across(layer, lines, min(255, tone * (1 + strong)))
        _upright(layer, np.arange(0, layer.shape[1], lines.pitch_px), min(255, tone * (1 + strong)))


def _hatched(rng: Rng, layer: Ink, ruling: Ruling) -> None:
    """The inside of an envelope: slanting lines all over."""
    height, width = layer.shape
    step, tone, slope = max(5.0, 0.4 * ruling.pitch_px), _tone(rng, 0.1, 0.4), rng.uniform(0.4, 1.5)
    for x in np.arange(-height * slope, width, step):
        cv2.line(layer, (int(x), 0), (int(x + height * slope), height), tone, 1)


PAPERS: dict[str, Callable[[Rng, Ink, Ruling], None]] = {
    "blank": _blank,
    "ruled": _ruled,
    "squared": _squared,
    "dotted": _dotted,
    "dashed": _dashed,
    "notebook": _notebook,
    "ledger": _ledger,
    "boxes": _boxes,
    "graph": _graph,
    "hatched": _hatched,
}
