"""What a scanner or camera makes of a line on paper."""

import math

import cv2
import numpy as np

from inkdigits.arrays import Rng
from inkdigits.training.synthesis.styles import PEN_PX, Digits, Style


def cropped(piece: np.ndarray) -> np.ndarray:
    """Return the picture's box of ink."""
    x, y, w, h = cv2.boundingRect((piece > 80).astype(np.uint8))
    return piece[y : y + h, x : x + w] if w and h else piece


def scan(ink: np.ndarray) -> np.ndarray:
    """Return a line of ink as a scanner sees it, uint8 (h, w), dark on light."""
    return 255 - cv2.resize(ink, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def photograph(rng: Rng, digits: Digits, ink: np.ndarray, style: Style) -> np.ndarray:
    """The written row -> what a camera makes of its cell: place, lines, neighbours, light, blur, noise, JPEG."""
    if rng.random() < 0.35:
        ink = elastic(rng, ink)
    row = cropped(ink)
    is_binary = rng.random() < style.binary
    digit_px = _digit_px(rng, style, is_binary)
    scale = digit_px / max(PEN_PX, 0.75 * row.shape[0])
    row = cv2.resize(
        row, (max(3, int(row.shape[1] * scale)), max(3, int(row.shape[0] * scale))), interpolation=cv2.INTER_AREA
    )
    picture = _on_paper(rng, digits, row, digit_px, style)
    if is_binary:
        picture = _binarise(rng, picture)
    return 255 - picture if rng.random() < style.light_ink else picture


def _digit_px(rng: Rng, style: Style, is_binary: bool) -> float:
    """Return how tall digits are in the picture: 12 to 28 pixels in logbook cells, up to 100 elsewhere."""
    if style.numbers and not is_binary:
        return float(rng.uniform(12, 27))
    return float(np.exp(rng.uniform(math.log(24 if is_binary else 12), math.log(80 if is_binary else 100))))


def _on_paper(rng: Rng, digits: Digits, row: np.ndarray, digit_px: float, style: Style) -> np.ndarray:
    spare = rng.uniform(0.0, 1.2, 4) ** 1.5 * digit_px * style.margin + rng.uniform(0.02, 0.2) * digit_px
    if style.numbers and rng.random() < 0.3:
        spare[1] += rng.uniform(0.3, 2.0) * digit_px
    if rng.random() < 0.08:
        spare[int(rng.integers(4))] = -rng.uniform(0.05, 0.14) * digit_px  # cut by the edge
    left, right, top, bottom = (int(v) for v in spare)
    y0, x0 = max(top, 0), max(left, 0)
    # Of a flat row, such as a lone minus, the edge would leave nothing.
    height = max(row.shape[0] + top + bottom, y0 + 2, 12)
    width = max(row.shape[1] + left + right, x0 + 2, 12)
    layer = np.zeros((height, width), np.uint8)
    part = row[max(-top, 0) :, max(-left, 0) :][: height - y0, : width - x0]
    layer[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]] = part
    ink = layer.astype(np.float32) * rng.uniform(0.75, 1.0)
    if rng.random() < 0.35:
        ink *= _unevenness(rng, ink.shape, 0.35)
    others = np.zeros((height, width), np.uint8)
    _neighbours(rng, digits, others, digit_px, style)
    _table_lines(rng, others, style)
    if rng.random() < style.paper:
        _paper_lines(rng, others, digit_px)
    return _develop(rng, np.maximum(ink, others))


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


def _binarise(rng: Rng, picture: np.ndarray) -> np.ndarray:
    """Return a picture in black and white, by one threshold or by one for each neighbourhood."""
    if rng.random() < 0.6:
        firm, paper = np.percentile(picture, (5, 60))
        threshold = firm + rng.uniform(0.45, 0.75) * (paper - firm)
        return np.where(picture > threshold, 255, 0).astype(np.uint8)
    side, less = int(rng.uniform(1.0, 2.0) * len(picture)) // 2 * 2 + 3, float(rng.uniform(0.1, 0.35) * np.ptp(picture))
    return cv2.adaptiveThreshold(picture, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, side, less)


def _soften(rng: Rng, picture: np.ndarray) -> np.ndarray:
    """Reduce and enlarge, as pictures that were stored too small."""
    share = rng.uniform(0.6, 0.95)
    small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_CUBIC)


def _unevenness(rng: Rng, shape: tuple[int, ...], depth: float) -> np.ndarray:
    coarse = (1.0 - depth * rng.random((3, 4))).astype(np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)


def elastic(rng: Rng, ink: np.ndarray) -> np.ndarray:
    """Return ink bent a little, differently from place to place."""
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


def _paper_lines(rng: Rng, layer: np.ndarray, digit_px: float) -> None:
    """Squares, a dotted or broken base line, the rules of a column."""
    if rng.random() < 0.4:
        _squares(rng, layer, digit_px)
    if rng.random() < 0.4:
        _broken_line(rng, layer)
    if rng.random() < 0.4:
        height, width = layer.shape
        for _ in range(int(rng.integers(1, 3))):
            near = width * float(rng.choice([rng.uniform(0, 0.08), rng.uniform(0.92, 1), rng.uniform(0, 1)], p=PLACES))
            lean, pen = int(rng.normal(0, 0.02 * height)), int(rng.integers(1, 4))
            cv2.line(layer, (int(near), 0), (int(near) + lean, height), int(255 * rng.uniform(0.3, 1)), pen)


PLACES = (0.45, 0.45, 0.1)  # of a column's rule: left end, right end, anywhere


def _squares(rng: Rng, layer: np.ndarray, digit_px: float) -> None:
    height, width = layer.shape
    step, tone, pen = digit_px * rng.uniform(0.4, 1.8), int(255 * rng.uniform(0.1, 0.75)), 1 + int(digit_px > 50)
    lean = rng.normal(0, 0.03)
    for x in np.arange(rng.uniform(0, step), width, step):
        cv2.line(layer, (int(x - lean * height), 0), (int(x + lean * height), height), tone, pen, cv2.LINE_AA)
    for y in np.arange(rng.uniform(0, step), height, step):
        cv2.line(layer, (0, int(y)), (width, int(y + 0.2 * lean * width)), tone, pen, cv2.LINE_AA)


def _broken_line(rng: Rng, layer: np.ndarray) -> None:
    height, width = layer.shape
    y, step = int(height * rng.uniform(0.55, 0.98)), int(rng.integers(2, 8))
    tone, pen, length = int(255 * rng.uniform(0.4, 1)), int(rng.integers(1, 3)), int(rng.integers(0, step))
    for x in range(0, width, step):
        if rng.random() < 0.85:
            cv2.line(layer, (x, y), (x + length, y), tone, pen)


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
    if rng.random() < 0.28 * style.messy:
        for _ in range(int(rng.integers(1, 4))):
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
