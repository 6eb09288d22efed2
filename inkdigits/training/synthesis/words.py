"""Ink that is no digit, as it stands beside numbers: words, letters, operators, scribbles, what is crossed out."""

from functools import cache
from typing import Any

import cv2
import numpy as np

from inkdigits.arrays import Rng
from inkdigits.training.synthesis.camera import cropped, elastic
from inkdigits.training.synthesis.strokes import smooth_curve
from inkdigits.training.synthesis.styles import PEN_PX

SMALL_LETTERS = "abcdefghijklmnopqrstuvwxyz"
LETTERS = SMALL_LETTERS + SMALL_LETTERS.upper() + "éèüöäßçñ"
TALL = "bdfghjklpqty"
# Alone, somebody might have meant one of these as a digit.
LOOK_ALIKES = "oOlIsSzZbgqBiDQjJ"
# Signs beside numbers; those that look like a 1, a separator or a minus are left out.
SIGNS = "+=x*()%&$#?:<>^~÷×§€£@√[]{}/"
FONTS = (
    *("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Italic", "DejaVuSansMono"),
    *("STIXGeneral", "STIXGeneralItalic"),
)
STROKE_FONTS = tuple(range(8))  # OpenCV's, the last two of them handwriting


def other_ink(rng: Rng, stroke_px: float) -> np.ndarray:
    """Return the ink of a word, a sign or a scribble, uint8 (h, w), 255 = ink, for digits PEN_PX tall."""
    kind = rng.random()
    if kind < 0.15:
        return _scribble(rng, stroke_px)
    if kind < 0.24:
        return _drawn_sign(rng, stroke_px)
    if kind < 0.28:
        return _leaders(rng, stroke_px)
    return written_by_hand(rng, str(rng.choice(list(SIGNS))) if kind < 0.4 else _word(rng), stroke_px)


def written_by_hand(rng: Rng, text: str, stroke_px: float) -> np.ndarray:
    """Return the ink of a text in an unsteady hand, uint8 (h, w), 255 = ink, for digits PEN_PX tall."""
    written = _in_strokes(text, int(rng.choice(STROKE_FONTS)), bool(rng.random() < 0.4), stroke_px)
    piece = written if rng.random() < 0.6 and text.isascii() else _in_print(text, str(rng.choice(FONTS)))
    piece = _by_hand(rng, piece)
    is_tall = any(c.isupper() or c in TALL or c in SIGNS for c in text)
    scale = PEN_PX * rng.uniform(0.45, 1.3) * (1.0 if is_tall else 0.7) / max(piece.shape[0], 4)
    size = max(2, int(piece.shape[1] * scale * rng.uniform(0.75, 1.2))), max(2, int(piece.shape[0] * scale))
    return np.asarray(cv2.resize(piece, size, interpolation=cv2.INTER_AREA), np.uint8)


def cross_out(rng: Rng, ink: np.ndarray, stroke_px: float) -> np.ndarray:
    """Return written ink with strokes through it: two or more lines, or a scribble all over."""
    height, width = ink.shape
    crossed, pen = ink.copy(), max(2, round(stroke_px * rng.uniform(0.8, 1.2)))
    if rng.random() < 0.5:
        for _ in range(int(rng.integers(2, 5))):
            left, right = (int(rng.uniform(0.1, 0.9) * height) for _ in range(2))
            cv2.line(crossed, (0, left), (width - 1, right), 255, pen, cv2.LINE_AA)
    else:
        x = np.linspace(0, width - 1, max(6, int(rng.uniform(3, 7) * width / max(height, 1))))
        y = np.where(np.arange(len(x)) % 2, rng.uniform(0.0, 0.35, len(x)), rng.uniform(0.65, 1.0, len(x))) * height
        _pull(crossed, np.stack([x, y], axis=1), pen)
    return crossed


def _word(rng: Rng) -> str:
    length = int(rng.choice([1, 2, 3, 4, 5, 6, 8, 10], p=[0.2, 0.15, 0.15, 0.14, 0.12, 0.1, 0.08, 0.06]))
    letters = LETTERS if rng.random() < 0.3 else SMALL_LETTERS
    word = "".join(letters[i] for i in rng.integers(0, len(letters), length))
    if rng.random() < 0.3:
        word = word.capitalize()
    if rng.random() < 0.1:
        word += str(rng.choice(list(".:,)")))
    return "A" if word in LOOK_ALIKES else word


def _in_strokes(text: str, font: int, is_italic: bool, stroke_px: float) -> np.ndarray:
    style, pen = font | (cv2.FONT_ITALIC if is_italic else 0), max(1, round(0.8 * stroke_px))
    (width, height), below = cv2.getTextSize(text, style, 1.6, pen)
    canvas = np.zeros((height + below + 40, width + 40), np.uint8)
    cv2.putText(canvas, text, (20, height + 20), style, 1.6, 255, pen, cv2.LINE_AA)
    return cropped(canvas)


@cache
def _font(name: str) -> Any:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", 48)


def _in_print(text: str, font: str) -> np.ndarray:
    from PIL import Image, ImageDraw

    picture = Image.new("L", (60 + 44 * len(text), 100), 0)
    ImageDraw.Draw(picture).text((20, 20), text, fill=255, font=_font(font))
    return cropped(np.asarray(picture, np.uint8))


def _by_hand(rng: Rng, piece: np.ndarray) -> np.ndarray:
    """Return a word slanted and bent."""
    slant = rng.normal(0.05, 0.2)
    height, width = piece.shape
    matrix = np.array([[1, -slant, 2 + max(0.0, slant) * height], [0, 1, 2]])
    slanted = cv2.warpAffine(piece, matrix, (int(width + abs(slant) * height + 6), height + 4))
    return cropped(elastic(rng, np.pad(slanted, 6)))


def _scribble(rng: Rng, stroke_px: float) -> np.ndarray:
    """A signature, or letters nobody can read: one smooth line from left to right."""
    n = int(rng.integers(1, 7))
    x = 8 + np.cumsum(rng.uniform(0.0, 0.22, 4 * n)) * PEN_PX
    high = rng.uniform(-0.9, 0.3, 4 * n) * np.where(rng.random(4 * n) < 0.4, 1.0, 0.5)
    canvas = np.zeros((2 * PEN_PX, int(x[-1]) + 30), np.uint8)
    _pull(canvas, np.stack([x, PEN_PX * (1.2 + high)], axis=1), max(1, round(stroke_px)))
    return cropped(canvas)


def _drawn_sign(rng: Rng, stroke_px: float) -> np.ndarray:
    """A cross, a plus, an equals sign, a tick, an arrow, a circle with something in it, as a pen makes them."""
    side, pen = int(PEN_PX * rng.uniform(0.4, 1.1)), max(2, round(stroke_px * rng.uniform(0.8, 1.2)))
    across = int(side * rng.uniform(0.8, 1.3))
    canvas = np.zeros((side + 4 * pen, across + 4 * pen), np.uint8)

    def line(x0: float, y0: float, x1: float, y1: float) -> None:
        places = np.array([[x0, y0], [x1, y1]]) + rng.normal(0, 0.05, (2, 2))
        places = places * (across, side) + 2 * pen
        start, end = ((int(x), int(y)) for x, y in places)
        cv2.line(canvas, start, end, 255, pen, cv2.LINE_AA)

    kind = int(rng.integers(6))
    if kind == 0:
        line(0, 0, 1, 1)
        line(1, 0, 0, 1)
    elif kind == 1:
        line(0, 0.5, 1, 0.5)
        line(0.5, 0, 0.5, 1)
    elif kind == 2:
        line(0, 0.3, 1, 0.3)
        line(0, 0.7, 1, 0.7)
    elif kind == 3:
        line(0, 0.6, 0.35, 1)
        line(0.35, 1, 1, 0)
    elif kind == 4:
        line(0, 0.5, 1, 0.5)
        line(0.65, 0.15, 1, 0.5)
        line(0.65, 0.85, 1, 0.5)
    else:
        middle = (canvas.shape[1] // 2, canvas.shape[0] // 2)
        cv2.ellipse(canvas, middle, (across // 2, side // 2), 0, 0, 360, 255, pen, cv2.LINE_AA)
        line(0.2, 0.5, 0.8, 0.5)
        line(0.3, 0.25, 0.7, 0.75)
    return cropped(canvas)


def _leaders(rng: Rng, stroke_px: float) -> np.ndarray:
    """Dots in a row, as they lead from a name to its number."""
    n, step = int(rng.integers(4, 14)), int(PEN_PX * rng.uniform(0.15, 0.5))
    pen = max(2, round(stroke_px * rng.uniform(0.6, 1.0)))
    canvas = np.zeros((pen + 8, n * step + 8), np.uint8)
    for i in range(n):
        cv2.circle(canvas, (4 + i * step, 4 + pen // 2), max(1, pen // 2), 255, -1, cv2.LINE_AA)
    return canvas


def _pull(canvas: np.ndarray, points: np.ndarray, pen: int) -> None:
    """Draw a smooth line through points (N, 2), in place."""
    curve = smooth_curve(points, steps=6, overshoot=1)
    cv2.polylines(canvas, [(curve * 16).astype(np.int32)], False, 255, pen, cv2.LINE_AA, 4)
