"""MNIST's digits become lines, with their text."""

import itertools
import math
from dataclasses import replace

import cv2
import numpy as np

from inkdigits.arrays import Rng
from inkdigits.reading.decoding import OTHER, SPACE
from inkdigits.training.synthesis.camera import cropped, photograph, scan
from inkdigits.training.synthesis.strokes import DRAWN_WEIGHT, GLYPHS, MANY_GLYPHS, smooth_curve
from inkdigits.training.synthesis.styles import (
    APART,
    PEN_PX,
    Digits,
    Hand,
    Style,
    digit_string,
    random_hand,
    random_number,
)
from inkdigits.training.synthesis.words import cross_out, other_ink


def compose_line(rng: Rng, digits: Digits, style: Style) -> tuple[np.ndarray, str]:
    """Return one picture, uint8 (H, W), dark ink on paper (or inverted), and its text."""
    if rng.random() < style.mixed:
        ink, text = _write_mixed(rng, digits, style)
    else:
        text = _random_text(rng, style)
        ink = _write(rng, digits, text, style, random_hand(rng, style))
    picture = photograph(rng, digits, ink, style) if style.messy > 0 else scan(ink)
    return picture, text


def _random_text(rng: Rng, style: Style) -> str:
    return random_number(rng) if style.numbers and rng.random() < 0.9 else digit_string(rng, style)


def _write_mixed(rng: Rng, digits: Digits, style: Style) -> tuple[np.ndarray, str]:
    """Return the ink of a row that holds several numbers, other writing, or both, and its text."""
    hand = random_hand(rng, style)
    # A number ends where the gap is clearly wider than those within it.
    hand = replace(hand, gap=min(hand.gap, 0.35))
    pieces = _mixed_pieces(rng, digits, style, hand)
    height = 3 * PEN_PX
    canvas = np.zeros((height, sum(ink.shape[1] + 5 * PEN_PX for ink, _ in pieces) + PEN_PX), np.uint8)
    x, text = PEN_PX // 2, ""
    widest, has_rules = float(np.exp(rng.uniform(math.log(0.9), math.log(5.0)))), rng.random() < 0.2
    for ink, part in pieces:
        if text and OTHER not in (part, text[-1]):
            narrowest = max(hand.gap, 0.1) + APART
            gap = narrowest if widest <= narrowest else rng.uniform(narrowest, widest)
            if has_rules:
                gap = rng.uniform(0.4, 1.5)
                middle = x + int(PEN_PX * gap * rng.uniform(0.3, 0.7))
                cv2.line(canvas, (middle, 0), (middle, height), 255, max(1, round(0.5 * hand.stroke_px)), cv2.LINE_AA)
            text += SPACE
        elif text:
            gap = rng.uniform(0.05, 0.5) if rng.random() < 0.5 else rng.uniform(0.5, widest)
        else:
            gap = 0.0
        x += int(PEN_PX * gap)
        ink = ink[:height]
        y = int(np.clip(2 * PEN_PX - ink.shape[0] + rng.normal(0, 3), 0, height - ink.shape[0]))
        place = canvas[y : y + ink.shape[0], x : x + ink.shape[1]]
        np.maximum(place, ink, out=place)
        x += ink.shape[1]
        text += "" if part == OTHER and text.endswith(OTHER) else part
    return canvas[:, : x + PEN_PX // 2], text


def _mixed_pieces(rng: Rng, digits: Digits, style: Style, hand: Hand) -> list[tuple[np.ndarray, str]]:
    """Return numbers and other writing from left to right: the ink of each, cropped, and its text."""
    n = int(rng.choice([1, 2, 3, 4, 5, 6, 8], p=[0.12, 0.33, 0.25, 0.15, 0.07, 0.05, 0.03]))
    share = float(rng.choice([0.0, 0.25, 0.5, 1.0], p=[0.35, 0.3, 0.3, 0.05]))
    pieces: list[tuple[np.ndarray, str]] = []
    for _ in range(n):
        if rng.random() < share or n == 1:
            pieces.append((other_ink(rng, hand.stroke_px), OTHER))
            continue
        text = random_number(rng) if rng.random() < 0.4 else digit_string(rng, style, is_short=True)
        ink = cropped(_write(rng, digits, text, style, hand))
        pieces.append((cross_out(rng, ink, hand.stroke_px), OTHER) if rng.random() < 0.06 else (ink, text))
    return pieces


def _write(rng: Rng, digits: Digits, text: str, style: Style, hand: Hand) -> np.ndarray:
    """Return the ink of `text`, uint8 (h, w), 255 = ink, digits about PEN_PX tall."""
    chain = _zero_chain(rng, text) if style.messy else 0
    small = rng.uniform(0.45, 0.85)
    pieces = [
        write_character(rng, digits, char, hand, small if chain and i >= chain else 1.0) for i, char in enumerate(text)
    ]
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
            beside, farthest = (0.75, 0.6) if hand.varied else (0.8, 0.3)
            gap = max(gap * 0.7, 0.02) if rng.random() < beside else max(gap, 0.0) + farthest * rng.random()
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
    if rng.random() < style.comb:
        _draw_comb(rng, canvas, ends)
    return canvas[:, : x + PEN_PX // 2]


def _draw_comb(rng: Rng, canvas: np.ndarray, ends: list[tuple[int, int, int]]) -> None:
    """Draw printed boxes, or the teeth of a comb, around the characters."""
    top, foot = int(rng.uniform(0.4, 0.95) * PEN_PX), int(rng.uniform(2.05, 2.5) * PEN_PX)
    teeth_from = top if rng.random() < 0.6 else int(rng.uniform(top, foot))
    pen, tone = int(rng.integers(1, 4)), int(rng.uniform(90, 255))
    middles = [(a[2] + b[0]) // 2 for a, b in itertools.pairwise(ends)]
    edges = [ends[0][0] - int(0.15 * PEN_PX), *middles, ends[-1][2] + int(0.15 * PEN_PX)]
    layer = np.zeros_like(canvas)
    for x in edges:
        cv2.line(layer, (x, teeth_from), (x, foot), tone, pen)
    for y in (foot, top)[: 2 if teeth_from == top else 1]:
        cv2.line(layer, (edges[0], y), (edges[-1], y), tone, pen)
    np.maximum(canvas, layer, out=canvas)


def _zero_chain(rng: Rng, text: str) -> int:
    """Return where a chain of small, linked zeros begins, as thousands are often ended; 0 for none."""
    zeros = len(text) - len(text.rstrip("0"))
    return len(text) - zeros if zeros >= 2 and zeros < len(text) and rng.random() < 0.4 else 0


def _link(rng: Rng, canvas: np.ndarray, ends: list[tuple[int, int, int]], text: str, hand: Hand) -> None:
    """Pull the pen from one digit into the next without lifting it."""
    i = int(rng.integers(len(ends) - 1))
    if text[i] in ".-" or text[i + 1] in ".-":
        return
    x0, x1 = ends[i][2] - int(0.2 * PEN_PX), ends[i + 1][0] + int(0.25 * PEN_PX)
    top = min(ends[i][1], ends[i + 1][1])
    y0 = top + int(PEN_PX * rng.uniform(0.0, 1.0))
    y1 = top + int(PEN_PX * rng.uniform(0.0, 0.7))
    cv2.line(canvas, (x0, y0), (x1, y1), 255, max(1, int(hand.stroke_px * 0.7)), cv2.LINE_AA)


def write_character(rng: Rng, digits: Digits, char: str, hand: Hand, share: float = 1.0) -> tuple[np.ndarray, int]:
    """Return a character's ink, cropped, and where its top lies from the base line (negative: above).

    Args:
        rng: fixes all.
        digits: what is written with.
        char: a digit, "." or "-".
        hand: the writer and the pen.
        share: of the usual height PEN_PX, > 0; signs have their own.

    Returns:
        uint8 (h, w), 255 = ink, and a whole number of pixels.
    """
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
    if hand.bend > 0:
        piece = bent(rng, piece, hand.bend * min(abs(rng.normal()), 1.5))
    if digit in (7, 9, 4, 2) and rng.random() < 0.08:
        ground -= int(0.25 * PEN_PX)  # a tail below the line
    return piece, -ground


def _from_mnist(rng: Rng, digits: Digits, digit: int, size: float, hand: Hand) -> np.ndarray:
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
    return cropped(piece)


def bent(rng: Rng, piece: np.ndarray, share: float) -> np.ndarray:
    """Return a character whose parts are moved against each other by some share of its height, its strokes whole."""
    height, width = piece.shape
    moves = rng.normal(0, share * height, (2, 3, 3)).astype(np.float32)
    dx, dy = (cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in moves)
    room = round(2 * share * height) + 1
    wide = cv2.copyMakeBorder(piece, room, room, room, room, cv2.BORDER_CONSTANT)
    size = (wide.shape[1], wide.shape[0])
    to_x = cv2.copyMakeBorder(dx, room, room, room, room, cv2.BORDER_REPLICATE) + np.arange(size[0], dtype=np.float32)
    to_y = cv2.copyMakeBorder(dy, room, room, room, room, cv2.BORDER_REPLICATE)
    to_y += np.arange(size[1], dtype=np.float32)[:, None]
    return cropped(cv2.remap(wide, to_x, to_y, cv2.INTER_LINEAR))


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


def _drawn(rng: Rng, digit: int, size: float, hand: Hand) -> tuple[np.ndarray, int]:
    ways = (MANY_GLYPHS if hand.varied else GLYPHS)[digit]
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
    jitter = 0.05 * math.exp(rng.normal(0, 0.4)) if hand.bend > 0 else 0.05
    for stroke in strokes:
        points = smooth_curve(stroke + rng.normal(0, jitter, (len(stroke), 2)), steps=6, overshoot=1)
        x = points[:, 0] * wide + slant * tall * (1 - points[:, 1]) + shift
        y = points[:, 1] * tall + pad
        poly = np.stack([x, y], axis=1) * 16
        cv2.polylines(canvas, [poly.astype(np.int32)], False, 255, max(1, round(hand.stroke_px)), cv2.LINE_AA, 4)
    if rng.random() < 0.5:
        canvas = np.asarray(cv2.blur(canvas, (3, 3)))
    piece = cropped(canvas)
    return piece, int(min(piece.shape[0], tall + hand.stroke_px))


def _mark(rng: Rng, char: str, hand: Hand) -> tuple[np.ndarray, int]:
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
    if hand.varied:
        return _bowed_comma(rng, pen)
    length = int(PEN_PX * rng.uniform(0.12, 0.62))
    back = int(length * rng.uniform(-0.15, 0.7))
    piece = np.zeros((length + 2 * pen, abs(back) + 3 * pen), np.uint8)
    start = (pen + max(back, 0), pen)
    cv2.line(piece, start, (start[0] - back, pen + length - 1), 255, max(1, pen - 1), cv2.LINE_AA)
    return piece, -int(PEN_PX * rng.uniform(-0.08, 0.3))


def _bowed_comma(rng: Rng, pen: int) -> tuple[np.ndarray, int]:
    """Return a comma as long as two thirds of a digit, and where its top lies from the base line."""
    length = PEN_PX * rng.uniform(0.12, 0.65)
    back, bulge = length * rng.uniform(-0.15, 0.7), length * rng.normal(0, 0.12)
    foot = np.array([-back, length])
    points = smooth_curve(np.array([(0.0, 0.0), foot / 2 + (bulge, 0.0), foot]), steps=4, overshoot=1)
    points += np.array([pen + max(back, 0.0) + abs(bulge), pen])
    piece = np.zeros((int(length) + 2 * pen, int(abs(back) + 2 * abs(bulge)) + 3 * pen), np.uint8)
    cv2.polylines(piece, [(points * 16).astype(np.int32)], False, 255, max(1, pen - 1), cv2.LINE_AA, 4)
    # A comma begins on the base line or, the longer the more, above it.
    return piece, -int(rng.uniform(-0.08 * PEN_PX, max(0.3 * PEN_PX, 0.75 * length)))
