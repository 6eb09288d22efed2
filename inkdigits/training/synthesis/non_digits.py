"""Pictures that are not digits: letters, signs, shapes, textures."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from inkdigits.arrays import Rng
from inkdigits.reading.normalise.digit import frame_ink
from inkdigits.training.synthesis.degrade import GRID, enlarge, frame, repen, scanned, warp
from inkdigits.training.synthesis.strokes import SIDE, draw_curve

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


# Letters and signs that somebody might also have meant as a digit are no examples of "not a digit".
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
