"""MNIST digits -> rows and cells as a camera or scanner would see them, with their truth.

Every picture is composed: MNIST's training images (or strokes drawn from `GLYPHS`, for shapes that MNIST's American
writers lack: the European 1, the crossed 7, the curled 9, the looped 2, the open 4) on a line of one hand, then paper,
ruled and table lines, neighbours' ink, light, blur, noise and JPEG. The truth is what was written. What framing takes
away or adds is learned too, because the strips come from the reader's own `framing.frame_row`.
"""

import itertools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from inkdigits.reading.normalise.line import normalise_line

Rng = np.random.Generator
Texts = list[str]
Strips = tuple[list[np.ndarray], Texts]
ALPHABET = "0123456789.-"
SEPARATOR = "."
# Digits are composed this tall, then reduced to what the camera sees.
PEN_PX = 40


@dataclass(frozen=True)
class Style:
    """How rows look: what a recipe says about the synthesis. Shares and probabilities are 0 to 1.

    Attributes:
        numbers: rows are numbers as people write them into tables; else any digits, 1 to `longest`.
        longest: digits in a row at most, where `numbers` is off.
        drawn: how often a digit is drawn from strokes rather than taken from MNIST, before `DRAWN_WEIGHT`.
        messy: 0 is plain MNIST digits side by side; above, slants, overlaps, light, blur and noise come in, and this is
            the weight of ruled lines, specks and neighbours' ink.
        table: how often there are table lines at the edges of the picture.
        light_ink: how often ink is lighter than paper.
        margin: >= 0, how much paper is left around the ink, as a share of a logbook cell's.
    """

    numbers: bool = True
    longest: int = 6
    drawn: float = 0.45
    messy: float = 1.0
    table: float = 0.7
    light_ink: float = 0.05
    margin: float = 1.0


STYLES = {
    # CTC does not take off on hard rows from nothing: it starts here.
    "clean": Style(drawn=0.1, messy=0.0, table=0.0, light_ink=0.0),
    # A cell cut from a photographed logbook.
    "cell": Style(),
    # A row of a photograph or a scanned page, cropped to its ink.
    "row": Style(numbers=False, longest=12, drawn=0.14, messy=0.8, table=0.15, light_ink=0.3, margin=0.35),
}


class Digits:
    """MNIST's images by class, cropped to their ink, with each one's stroke width.

    Args:
        images: uint8 (N, 28, 28), 0 = paper.
        labels: int64 (N,), 0 to 9.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = images
        self.by_class = [np.flatnonzero(labels == digit) for digit in range(10)]
        ink = np.asarray(images > 96)
        rows, columns = np.asarray(ink.any(axis=2)), np.asarray(ink.any(axis=1))
        self.boxes = np.stack(
            [columns.argmax(1), rows.argmax(1), 28 - columns[:, ::-1].argmax(1), 28 - rows[:, ::-1].argmax(1)], axis=1
        )
        # Twice the area over the outline's length: a long thin bar's width.
        edges = (ink[:, 1:] != ink[:, :-1]).sum((1, 2)) + (ink[:, :, 1:] != ink[:, :, :-1]).sum((1, 2))
        self.strokes_px = 2.4 * ink.sum((1, 2)) / np.maximum(edges, 1)

    def draw(self, rng: Rng, digit: int) -> int:
        """Return the number of a random image of `digit`."""
        choices = self.by_class[digit]
        return int(choices[rng.integers(len(choices))])


@dataclass(frozen=True)
class _Hand:
    """One writer, one pen: sizes are shares of the digit height PEN_PX unless in pixels."""

    slant: float
    aspect: float
    stroke_px: float
    gap: float
    wobble: float
    drawn: float
    drawn_kinds: tuple[int, ...]


# Strokes of digits, several ways each: "x y x y ...; x y ..." in hundredths of the digit's box, x to the right, y
# down. A point given twice is a corner; the rest is drawn as one smooth curve.
_STROKES = {
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


def _points(way: str) -> list[np.ndarray]:
    return [np.array(stroke.split(), float).reshape(-1, 2) / 100 for stroke in way.split(";")]


GLYPHS = {digit: [_points(way) for way in ways] for digit, ways in _STROKES.items()}
# How often a drawing replaces MNIST's digit, against the style's `drawn`: what MNIST lacks most, most.
DRAWN_WEIGHT = {1: 2.6, 2: 1.9, 4: 1.7, 7: 1.6, 9: 1.4, 0: 0.5, 3: 0.4, 5: 0.6, 6: 0.4, 8: 0.4}


def compose(rng: Rng, digits: Digits, style: Style) -> tuple[np.ndarray, str]:
    """Return one picture, uint8 (H, W), dark ink on paper (or inverted), and its text."""
    text = _number(rng) if style.numbers and rng.random() < 0.9 else _digit_string(rng, style)
    ink = _write(rng, digits, text, style)
    picture = _photograph(rng, digits, ink, style) if style.messy > 0 else _scan(ink)
    return picture, text


def strips(rng: Rng, digits: Digits, style: Style, count: int, height: int) -> Strips:
    """Return `count` framed strips, uint8 (height, W) each, and their texts."""
    images, texts = [], []
    for _ in range(count):
        picture, text = compose(rng, digits, style)
        zoom = float(np.clip(rng.normal(1.0, 0.08), 0.8, 1.25)) if style.messy else 1.0
        images.append(normalise_line(picture, height, zoom))
        texts.append(text)
    return images, texts


# The digits of a process which composes for others; sent once, for they are large.
_digits: list[Digits] = []


def start_process(images: np.ndarray, labels: np.ndarray) -> None:
    """Make ready a process of a pool for `strips_in_process`: MNIST's images uint8 (N, 28, 28) and labels."""
    cv2.setNumThreads(1)
    _digits[:] = [Digits(images, labels)]


def strips_in_process(seed: tuple[int, ...], style: str, count: int, height: int) -> Strips:
    """Return `strips` with the digits that the process was started with; the same seed makes the same strips."""
    return strips(np.random.default_rng(seed), _digits[0], STYLES[style], count, height)


def _number(rng: Rng) -> str:
    kind = rng.random()
    length = int(rng.choice([1, 2, 3, 4, 5], p=[0.09, 0.42, 0.35, 0.08, 0.06]))
    body = "".join(str(d) for d in rng.integers(0, 10, length))
    if length > 1 and rng.random() < 0.35:
        body = "1" + body[1:]
    if length > 2 and rng.random() < 0.25:
        body = body[:-2] + "00"
    if kind < 0.22 and length >= 2:
        cut = int(rng.choice([1, 2], p=[0.75, 0.25]))
        cut = min(cut, length - 1)
        body = body[:-cut] + SEPARATOR + body[-cut:]
    elif kind < 0.34:
        thousand = f"{rng.integers(1, 10)}{rng.integers(0, 10)}"[: 1 + (rng.random() < 0.3)]
        end = "00" if rng.random() < 0.7 else f"{rng.integers(0, 100):02d}"
        body = f"{thousand}{SEPARATOR}{rng.integers(0, 10)}{end}"
    return "-" + body if rng.random() < 0.04 else body


def _digit_string(rng: Rng, style: Style) -> str:
    length = int(rng.integers(1, style.longest + 1))
    body = "".join(str(d) for d in rng.integers(0, 10, length))
    if length > 2 and rng.random() < 0.12:
        cut = int(rng.integers(1, length))
        body = body[:cut] + (SEPARATOR if rng.random() < 0.8 else "-") + body[cut:]
    return body


def _hand(rng: Rng, style: Style) -> _Hand:
    if style.messy == 0:
        return _Hand(0.0, 1.0, 5.0, 0.18, 0.02, style.drawn, (0,) * 10)
    drawn = style.drawn * float(rng.choice([0.0, 0.6, 1.6, 3.0], p=[0.2, 0.35, 0.3, 0.15]))
    if style.numbers:
        stroke = float(np.clip(rng.lognormal(math.log(4.3), 0.3), 2.2, 9.0))
        gap = float(rng.normal(0.16, 0.13))
    else:
        stroke = float(np.clip(rng.lognormal(math.log(4.8), 0.4), 2.0, 11.0))
        gap = float(rng.choice([rng.normal(0.15, 0.1), rng.uniform(0.1, 0.9)]))
    return _Hand(
        slant=float(rng.normal(0.08, 0.16)),
        aspect=float(np.exp(rng.normal(0.0, 0.17))),
        stroke_px=stroke,
        gap=gap,
        wobble=float(rng.uniform(0.02, 0.09)),
        drawn=drawn,
        drawn_kinds=tuple(int(k) for k in rng.integers(0, 1000, 10)),
    )


def _write(rng: Rng, digits: Digits, text: str, style: Style) -> np.ndarray:
    """Return the ink of `text`, uint8 (h, w), 255 = ink, digits about PEN_PX tall."""
    hand = _hand(rng, style)
    chain = _zero_chain(rng, text) if style.messy else 0
    small = rng.uniform(0.45, 0.85)
    pieces = [_piece(rng, digits, char, hand, small if chain and i >= chain else 1.0) for i, char in enumerate(text)]
    if chain:
        rise = int(rng.uniform(0.0, 0.35) * PEN_PX)
        pieces = [(p, top - rise if i >= chain else top) for i, (p, top) in enumerate(pieces)]
    width = sum(p.shape[1] for p, _ in pieces) + int(PEN_PX * (1.5 + max(0.6, hand.gap + 0.4) * len(text)))
    canvas = np.zeros((3 * PEN_PX, width), np.uint8)
    x, base, slope = PEN_PX // 2, 2 * PEN_PX, rng.normal(0, 0.04) if style.messy else 0.0
    wave = 0.0
    before = ""
    ends: list[tuple[int, int, int]] = []
    for i, ((piece, top), char) in enumerate(zip(pieces, text, strict=True)):
        wave = 0.7 * wave + rng.normal(0, hand.wobble) * PEN_PX
        gap = hand.gap + rng.normal(0, 0.07) if style.messy else hand.gap
        if char in ".-" or before in (".", "-"):
            gap = max(gap * 0.7, 0.02) if rng.random() < 0.8 else max(gap, 0.0) + 0.3 * rng.random()
        if chain and i >= chain:
            gap = rng.uniform(-0.12, 0.08)
        if before:
            x += int(gap * PEN_PX)
        x = max(x, 2)
        y = int(np.clip(base + wave * 0.6 + top + slope * (x - width / 2), 0, canvas.shape[0] - piece.shape[0] - 1))
        room = canvas[y : y + piece.shape[0], x : x + piece.shape[1]]
        np.maximum(room, piece[: room.shape[0], : room.shape[1]], out=room)
        ends.append((x, y, x + piece.shape[1]))
        x += piece.shape[1]
        before = char
    if chain and rng.random() < 0.7:
        for left, right in itertools.pairwise(ends[chain:]):
            y = left[1] + int(rng.uniform(0.0, 0.3) * small * PEN_PX)
            cv2.line(
                canvas,
                (left[0] + 6, y),
                (right[0] + 10, right[1] + 2),
                255,
                max(1, int(hand.stroke_px * 0.7)),
                cv2.LINE_AA,
            )
    if style.messy and rng.random() < 0.15 and len(ends) > 1:
        _link(rng, canvas, ends, text, hand)
    return canvas[:, : x + PEN_PX // 2]


def _zero_chain(rng: Rng, text: str) -> int:
    """Return where a chain of small, linked zeros begins, as thousands are often ended; 0 for none."""
    zeros = len(text) - len(text.rstrip("0"))
    return len(text) - zeros if zeros >= 2 and zeros < len(text) and rng.random() < 0.4 else 0


def _link(rng: Rng, canvas: np.ndarray, ends: list[tuple[int, int, int]], text: str, hand: _Hand) -> None:
    """Pull the pen from one digit into the next without lifting it."""
    i = int(rng.integers(len(ends) - 1))
    if text[i] in ".-" or text[i + 1] in ".-":
        return
    x0, x1 = ends[i][2] - int(0.2 * PEN_PX), ends[i + 1][0] + int(0.25 * PEN_PX)
    top = min(ends[i][1], ends[i + 1][1])
    y0 = top + int(PEN_PX * rng.uniform(0.0, 1.0))
    y1 = top + int(PEN_PX * rng.uniform(0.0, 0.7))
    cv2.line(canvas, (x0, y0), (x1, y1), 255, max(1, int(hand.stroke_px * 0.7)), cv2.LINE_AA)


def _piece(rng: Rng, digits: Digits, char: str, hand: _Hand, share: float = 1.0) -> tuple[np.ndarray, int]:
    """Return a character's ink, cropped, and where its top lies from the base line (negative: above)."""
    if char in ".-":
        return _mark(rng, char, hand)
    digit = int(char)
    size = share * float(np.clip(1.0 + rng.normal(0, 0.1), 0.65, 1.35))
    if digit == 0 and rng.random() < 0.2:
        size *= rng.uniform(0.55, 0.9)
    if rng.random() < hand.drawn * DRAWN_WEIGHT[digit]:
        piece, ground = _drawn(rng, digit, size, hand)
    else:
        piece = _from_mnist(rng, digits, digit, size, hand)
        ground = piece.shape[0]
    if digit in (7, 9, 4, 2) and rng.random() < 0.08:
        ground -= int(0.25 * PEN_PX)  # a tail below the line
    return piece, -ground


def _from_mnist(rng: Rng, digits: Digits, digit: int, size: float, hand: _Hand) -> np.ndarray:
    number = digits.draw(rng, digit)
    x0, y0, x1, y1 = (float(v) for v in digits.boxes[number])
    tall = size * PEN_PX
    scale_y = tall / max(y1 - y0, 8.0)
    scale_x = scale_y * hand.aspect * float(np.exp(rng.normal(0, 0.08)))
    slant = hand.slant + rng.normal(0, 0.07)
    turn = rng.normal(0, 0.05)
    pad = 4.0
    height = int(tall + 2 * pad)
    width = int((x1 - x0) * scale_x + (abs(slant) + abs(turn)) * tall + 2 * pad)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    a, b = scale_x, -slant * scale_y
    c, d = turn * scale_x, scale_y
    matrix = np.array([[a, b, width / 2 - a * cx - b * cy], [c, d, height / 2 - c * cx - d * cy]])
    piece = cv2.warpAffine(digits.images[number], matrix, (width, height), flags=cv2.INTER_LINEAR)
    stroke = digits.strokes_px[number] * (scale_x + scale_y) / 2
    piece = _to_stroke(piece, float(stroke), hand.stroke_px)
    if digit == 7 and rng.random() < 0.15:
        y = int(height * rng.uniform(0.42, 0.58))
        cv2.line(
            piece,
            (int(width * 0.15), y),
            (int(width * 0.85), y - int(rng.integers(0, 4))),
            255,
            max(1, int(hand.stroke_px * 0.8)),
            cv2.LINE_AA,
        )
    return _cropped(piece)


def _to_stroke(piece: np.ndarray, stroke_px: float, wanted_px: float) -> np.ndarray:
    change = round(wanted_px - stroke_px)
    if change >= 1:
        return cv2.dilate(piece, _disc(change + 1))
    if change <= -1:
        # Never thin a stroke to nothing: at least 1.5 px stay.
        thin = min(-change, int(stroke_px - 1.5))
        return cv2.erode(piece, _disc(thin + 1)) if thin >= 1 else piece
    return piece


_DISCS = {size: cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)) for size in range(1, 24)}


def _disc(size: int) -> np.ndarray:
    return _DISCS[min(size, 23)]


def _cropped(piece: np.ndarray) -> np.ndarray:
    x, y, w, h = cv2.boundingRect((piece > 80).astype(np.uint8))
    return piece[y : y + h, x : x + w] if w and h else piece


def _drawn(rng: Rng, digit: int, size: float, hand: _Hand) -> tuple[np.ndarray, int]:
    ways = GLYPHS[digit]
    way = hand.drawn_kinds[digit] if rng.random() < 0.75 else int(rng.integers(1000))
    strokes = ways[way % len(ways)]
    tall = size * PEN_PX
    wide = tall * hand.aspect * float(np.clip(rng.normal(0.62, 0.1), 0.35, 0.95))
    if digit == 1:
        wide *= rng.uniform(0.4, 1.5)
    slant = hand.slant + rng.normal(0, 0.06)
    pad = 10 + int(hand.stroke_px)
    canvas = np.zeros((int(tall * 1.3) + 2 * pad, int(wide + abs(slant) * tall) + 2 * pad), np.uint8)
    shift = pad + max(0.0, -slant) * tall
    for stroke in strokes:
        points = stroke + rng.normal(0, 0.05, (len(stroke), 2))
        points = _smooth(points)
        x = points[:, 0] * wide + slant * tall * (1 - points[:, 1]) + shift
        y = points[:, 1] * tall + pad
        poly = np.stack([x, y], axis=1) * 16
        cv2.polylines(canvas, [poly.astype(np.int32)], False, 255, max(1, round(hand.stroke_px)), cv2.LINE_AA, 4)
    if rng.random() < 0.5:
        canvas = np.asarray(cv2.blur(canvas, (3, 3)))
    piece = _cropped(canvas)
    return piece, int(min(piece.shape[0], tall + hand.stroke_px))


def _smooth(points: np.ndarray, steps: int = 6) -> np.ndarray:
    """Catmull-Rom through the points; a point given twice is a corner."""
    if len(points) < 3:
        return points
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return np.concatenate([curve.reshape(-1, 2), points[-1:]])


def _mark(rng: Rng, char: str, hand: _Hand) -> tuple[np.ndarray, int]:
    pen = max(2, round(hand.stroke_px * rng.uniform(0.8, 1.4)))
    if char == "-":
        length = int(PEN_PX * rng.uniform(0.25, 0.7))
        piece = np.zeros((pen + 8, length + 2 * pen), np.uint8)
        cv2.line(
            piece,
            (pen, pen // 2 + 4 + int(rng.integers(-2, 3))),
            (length + pen - 1, pen // 2 + 4),
            255,
            pen,
            cv2.LINE_AA,
        )
        return piece, -int(PEN_PX * rng.uniform(0.35, 0.65))
    if rng.random() < 0.4:  # a dot
        piece = np.zeros((pen + 6, pen + 6 + int(rng.integers(0, 5))), np.uint8)
        cv2.line(
            piece, (pen // 2 + 2, pen // 2 + 2), (piece.shape[1] - pen // 2 - 3, pen // 2 + 3), 255, pen, cv2.LINE_AA
        )
        rise = 0.0 if rng.random() < 0.75 else rng.uniform(0.1, 0.5)
        return piece, -int(pen + 3 + rise * PEN_PX)
    length = int(PEN_PX * rng.uniform(0.12, 0.62))
    back = int(length * rng.uniform(-0.15, 0.7))
    piece = np.zeros((length + 2 * pen, abs(back) + 3 * pen), np.uint8)
    start = (pen + max(back, 0), pen)
    cv2.line(piece, start, (start[0] - back, pen + length - 1), 255, max(1, pen - 1), cv2.LINE_AA)
    return piece, -int(PEN_PX * rng.uniform(-0.08, 0.3))


def _scan(ink: np.ndarray) -> np.ndarray:
    return 255 - cv2.resize(ink, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def _photograph(rng: Rng, digits: Digits, ink: np.ndarray, style: Style) -> np.ndarray:
    """The written row -> what a camera makes of its cell: place, lines, neighbours, light, blur, noise, JPEG."""
    if rng.random() < 0.35:
        ink = _elastic(rng, ink)
    row = _cropped(ink)
    # The camera's pixels per digit: logbook cells have 12 to 28.
    digit_px = rng.uniform(12, 27) if style.numbers else rng.uniform(14, 44)
    scale = digit_px / max(PEN_PX, 0.75 * row.shape[0])
    row = cv2.resize(
        row, (max(3, int(row.shape[1] * scale)), max(3, int(row.shape[0] * scale))), interpolation=cv2.INTER_AREA
    )
    picture = _on_paper(rng, digits, row, digit_px, style)
    return 255 - picture if rng.random() < style.light_ink else picture


def _on_paper(rng: Rng, digits: Digits, row: np.ndarray, digit_px: float, style: Style) -> np.ndarray:
    spare = rng.uniform(0.0, 1.2, 4) ** 1.5 * digit_px * style.margin + rng.uniform(0.02, 0.2) * digit_px
    if style.numbers and rng.random() < 0.3:
        spare[1] += rng.uniform(0.3, 2.0) * digit_px
    if style.numbers and rng.random() < 0.06:
        spare[int(rng.integers(4))] = -0.1 * digit_px  # cut by the edge
    left, right, top, bottom = (int(v) for v in spare)
    height, width = max(row.shape[0] + top + bottom, 12), max(row.shape[1] + left + right, 12)
    layer = np.zeros((height, width), np.uint8)
    y0, x0 = max(top, 0), max(left, 0)
    part = row[max(-top, 0) :, max(-left, 0) :][: height - y0, : width - x0]
    layer[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    ink = layer.astype(np.float32) * rng.uniform(0.75, 1.0)
    if rng.random() < 0.35:
        ink *= _unevenness(rng, ink.shape, 0.35)
    others = np.zeros((height, width), np.uint8)
    _neighbours(rng, digits, others, digit_px, style)
    _table_lines(rng, others, style)
    ink = np.maximum(ink, others)
    return _develop(rng, ink)


def _develop(rng: Rng, ink: np.ndarray) -> np.ndarray:
    """float32 ink 0..255 -> grey picture: paper, contrast, light, blur, noise, JPEG."""
    contrast = float(np.exp(rng.uniform(math.log(0.15), math.log(0.9))))
    paper = rng.uniform(90, 250)
    light = _unevenness(rng, ink.shape, 0.18) if rng.random() < 0.6 else 1.0
    grey = paper * light * (1.0 - contrast / 255.0 * ink)
    if rng.random() < 0.5:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), float(rng.uniform(0.35, 0.9))))
    noise = rng.uniform(0.0, 0.05) * contrast * paper if rng.random() < 0.6 else 0.3
    grey = grey + noise * rng.standard_normal(ink.shape, np.float32)
    picture = np.clip(grey, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = int(rng.integers(40, 95))
        stored = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        picture = np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), np.uint8)
    if rng.random() < 0.2:
        picture = _soften(rng, picture)
    return picture


def _soften(rng: Rng, picture: np.ndarray) -> np.ndarray:
    """Reduce and enlarge, as pictures that were stored too small."""
    share = rng.uniform(0.6, 0.95)
    small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_CUBIC)


def _unevenness(rng: Rng, shape: tuple[int, ...], depth: float) -> np.ndarray:
    coarse = (1.0 - depth * rng.random((3, 4))).astype(np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def _elastic(rng: Rng, ink: np.ndarray) -> np.ndarray:
    height, width = ink.shape
    cells = (max(2, height // 20), max(2, width // 20))
    depth = rng.uniform(0.5, 2.2)
    dx, dy = (
        cv2.resize(rng.normal(0, depth, cells).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        for _ in range(2)
    )
    xs, ys = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    return cv2.remap(ink, dx + xs, dy + ys, cv2.INTER_LINEAR)


def _table_lines(rng: Rng, layer: np.ndarray, style: Style) -> None:
    height, width = layer.shape
    if rng.random() < style.table:
        tone = int(255 * rng.uniform(0.25, 1.0))
        near = 0.12 * height
        for side in range(4):
            if rng.random() < 0.3:
                continue
            place, tilt = rng.exponential(near * 0.45), rng.normal(0, 0.02)
            _edge_line(layer, side, place, tilt, int(tone * rng.uniform(0.6, 1.0)), 1 + (rng.random() < 0.25))
    if rng.random() < 0.22 * style.messy:  # ruled paper
        y, step = rng.uniform(0, height), rng.uniform(0.2, 1.0) * height
        tone = int(255 * rng.uniform(0.15, 0.6))
        while y < height:
            cv2.line(layer, (0, int(y)), (width, int(y + rng.normal(0, 0.6))), tone, 1)
            y += step


def _edge_line(layer: np.ndarray, side: int, place: float, tilt: float, tone: int, pen: int) -> None:
    height, width = layer.shape
    if side < 2:
        y = place if side == 0 else height - 1 - place
        cv2.line(layer, (0, int(y - tilt * width / 2)), (width, int(y + tilt * width / 2)), tone, pen, cv2.LINE_AA)
    else:
        x = place if side == 2 else width - 1 - place
        cv2.line(layer, (int(x - tilt * height / 2), 0), (int(x + tilt * height / 2), height), tone, pen, cv2.LINE_AA)


def _neighbours(rng: Rng, digits: Digits, layer: np.ndarray, digit_px: float, style: Style) -> None:
    """Bits of other rows' ink at the upper and lower edge, and specks."""
    height, width = layer.shape
    if rng.random() < 0.22 * style.messy:
        for _ in range(int(rng.integers(1, 3))):
            number = int(rng.integers(len(digits.images)))
            side = int(digit_px * 1.4)
            piece = cv2.resize(digits.images[number], (side, side), interpolation=cv2.INTER_AREA)
            bit = int(min(rng.uniform(0.1, 0.45) * digit_px + 0.14 * side, 0.28 * height + 1))
            x = int(rng.integers(-side // 2, max(1, width - side // 2)))
            sy, ty = (side - bit, 0) if rng.random() < 0.5 else (0, height - bit)
            part = piece[sy : sy + bit, max(0, -x) : width - x]
            room = layer[ty : ty + bit, max(x, 0) : max(x, 0) + part.shape[1]]
            np.maximum(room, part, out=room)
    if rng.random() < 0.12 * style.messy and style.numbers:
        _smudge(rng, digits, layer)
    if rng.random() < 0.15 * style.messy:
        for _ in range(int(rng.integers(1, 4))):
            cv2.circle(
                layer,
                (int(rng.integers(width)), int(rng.integers(height))),
                int(rng.random() < 0.2),
                int(rng.integers(80, 255)),
                -1,
            )


def _smudge(rng: Rng, digits: Digits, layer: np.ndarray) -> None:
    """Blurred remains of print or of an erasure at the left or right end."""
    height, width = layer.shape
    wide, tall = int(rng.uniform(0.1, 0.3) * width) + 2, int(rng.uniform(0.25, 0.8) * height) + 2
    y = int(rng.integers(0, height - tall + 1))
    x = 0 if rng.random() < 0.25 else width - wide
    tone = rng.uniform(60, 220)
    if rng.random() < 0.5:
        grain = (rng.random((max(2, tall // 3), max(2, wide // 3))) ** 2 * tone).astype(np.uint8)
    else:  # small print, too blurred to be read
        size = int(max(4, min(tall, 0.4 * height)))
        chosen = digits.images[rng.integers(0, len(digits.images), max(1, round(1.6 * wide / size)))]
        print_ = cv2.blur(cv2.resize(np.hstack(list(chosen[:, 3:-3, 6:-6])), (wide, size)), (3, 3))
        grain = np.asarray(cv2.convertScaleAbs(print_, alpha=tone / 255), np.uint8)
        tall, y = size, int(rng.integers(0, height - size + 1))
    patch = cv2.resize(grain, (wide, tall), interpolation=cv2.INTER_CUBIC)
    free = layer.shape[1] // 3
    room = layer[y : y + tall, x : x + min(wide, free)]
    np.maximum(room, patch[:, : room.shape[1]], out=room)
