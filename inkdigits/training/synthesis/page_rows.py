"""Rows written on a flat sheet: numbers, words and signs as ink, with the place of each."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from inkdigits.arrays import Floats, Ink, Rng
from inkdigits.reading.decoding import SPACE
from inkdigits.training.synthesis.lines import write_character
from inkdigits.training.synthesis.page_parts import Part
from inkdigits.training.synthesis.styles import APART, PEN_PX, STYLES, Digits, Hand, random_hand
from inkdigits.training.synthesis.surfaces import log_uniform, white_noise
from inkdigits.training.synthesis.words import cross_out, other_ink, written_by_hand

# Numbers that are further apart than this, in digit heights, are rows of their own. About there it is left open.
GAP = 1.6
OPEN_GAPS = (1.35, 1.9)
BASE, TALL = int(2.2 * PEN_PX), int(3.4 * PEN_PX)  # of the canvas that a row is written on: base line, height
KINDS = ("digit", "mark", "other", "unsure")


@dataclass(frozen=True)
class Piece:
    """A character or a word of a row: one of `KINDS`, its box of ink, and the character if it is of a number.

    `is_first` says that it begins a part of the row, such as a number.
    """

    kind: str
    left: float
    top: float
    right: float
    bottom: float
    text: str = ""
    is_first: bool = False


@dataclass
class Sheet:
    """What is written on flat paper, in its pixels.

    Attributes:
        ink: uint8 (h, w), 255 = ink.
        rows: float64 (2, n, 2) each: points along a row's upper and lower edge, x and y.
        texts: what each row says, its digits and marks, a space between two numbers.
        other: float64 (n, 2) each, polygons around other writing.
        unsure: the same, around what may be left open: printed digits, a lone O, a gap that may part two rows.
        taken: boxes float64 (n, 4), left, top, right, bottom, in which something is written.
        ruling: pitch and first base line of the rows, if they have any.
    """

    ink: Ink
    rows: list[Floats] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    other: list[Floats] = field(default_factory=list)
    unsure: list[Floats] = field(default_factory=list)
    taken: Floats = field(default_factory=lambda: np.zeros((0, 4)))
    ruling: tuple[float, float] | None = None

    def is_free(self, box: tuple[float, float, float, float]) -> bool:
        """Say whether nothing is written in a box: left, top, right, bottom."""
        left, top, right, bottom = self.taken.T
        return not bool(((left < box[2]) & (box[0] < right) & (top < box[3]) & (box[1] < bottom)).any())

    def take(self, box: tuple[float, float, float, float]) -> None:
        """Note that something is written in a box."""
        self.taken = np.concatenate([self.taken, np.array([box])])

    def paste(self, ink: Ink, x: int, y: int) -> None:
        """Write ink with its upper left corner at a place; what lies beyond the sheet's edge is lost."""
        height, width = self.ink.shape
        left, top, right, bottom = max(0, x), max(0, y), min(width, x + ink.shape[1]), min(height, y + ink.shape[0])
        if left < right and top < bottom:
            room = self.ink[top:bottom, left:right]
            np.maximum(room, ink[top - y : bottom - y, left - x : right - x], out=room)


@dataclass(frozen=True)
class Pen:
    """A writer with a pen.

    Attributes:
        hand: how the writer writes; its stroke is for digits PEN_PX tall.
        height_px: of the digits on the sheet.
        tone: 0 to 1, how dark the ink is.
        skips: 0 to 1, how much of the ink is missing, as ballpoints do.
        grain: 0 to 1, how rough it is, as pencils and chalk are.
    """

    hand: Hand
    height_px: float
    tone: float
    skips: float = 0.0
    grain: float = 0.0

    def of_height(self, height_px: float) -> "Pen":
        """Return the same pen writing another size."""
        return replace(self, height_px=height_px)


# Name -> thickness as a share of the digit's height (lowest, highest), darkest and palest tone, skips, grain.
PENS: dict[str, tuple[tuple[float, float], tuple[float, float], float, float]] = {
    "pencil": ((0.035, 0.09), (0.35, 0.8), 0.0, 0.6),
    "ballpoint": ((0.035, 0.1), (0.55, 1.0), 0.35, 0.1),
    "fineliner": ((0.05, 0.12), (0.8, 1.0), 0.0, 0.0),
    "fountain": ((0.07, 0.16), (0.7, 1.0), 0.05, 0.1),
    "marker": ((0.13, 0.26), (0.75, 1.0), 0.0, 0.05),
    "crayon": ((0.1, 0.22), (0.5, 1.0), 0.15, 0.9),
}


def random_pen(rng: Rng, height_px: float, kind: str) -> Pen:
    """Return a writer with a pen of a kind in `PENS`, whose digits are that tall, > 0."""
    (thin, thick), (pale, dark), skips, grain = PENS[kind]
    # Thinner than a pixel, ink is only paler.
    stroke = max(log_uniform(rng, thin, thick), 1.1 / height_px)
    hand = random_hand(rng, STYLES["row"])
    # MNIST's strokes cannot be made as thin as a hard pencil's; drawn ones can.
    drawn = 5.0 if stroke < 0.06 else max(hand.drawn, 0.06)
    gap = float(rng.choice([rng.normal(0.06, 0.08), rng.normal(0.25, 0.1), rng.uniform(0.3, 1.2)], p=[0.4, 0.4, 0.2]))
    hand = replace(hand, stroke_px=stroke * PEN_PX, gap=gap, drawn=drawn)
    return Pen(hand, height_px, rng.uniform(pale, dark), skips * rng.random(), grain * rng.random())


# ------------------------------------------------------------------------------------------------- from parts to ink


class Writer:
    """Writes rows on a sheet with one pen and a vocabulary of a few words."""

    def __init__(self, rng: Rng, digits: Digits, sheet: Sheet, pen: Pen) -> None:
        self.rng, self.digits, self.sheet, self.pen = rng, digits, sheet, pen
        self.is_boxed = False  # does each digit stand in a printed box?
        self._words: list[Ink] = []

    def write(
        self, parts: Sequence[Part], x: float, base: float, slope: float = 0.0, bend: float = 0.0, must_fit: bool = True
    ) -> float | None:
        """Write a row.

        Args:
            parts: from left to right; what has no room before the sheet's edge is left out.
            x: where it begins.
            base: its base line, at its middle.
            slope: how much it falls a pixel.
            bend: how far its ends hang below its middle, in digit heights.
            must_fit: write nothing where the row would run over other writing or the sheet's edge.

        Returns:
            Where the row ends; None if nothing was written.
        """
        scale = self.pen.height_px / PEN_PX
        room = (self.sheet.ink.shape[1] - x) / scale
        if room < 0.8 * PEN_PX:
            return None
        canvas, pieces = self._compose(parts, room)
        if not pieces:
            return None
        if self.is_boxed:
            _draw_boxes(self.rng, canvas, pieces)
        ink = self._inked(canvas, scale)
        width = ink.shape[1]
        flow = _Flow(width, slope, bend * self.pen.height_px)
        top, left = base - BASE * scale, x
        placed = [_moved(piece, scale, left, top) for piece in pieces]
        drop = flow.most
        box = (
            x - 0.25 * self.pen.height_px,
            min(p.top for p in placed) - drop - 0.05 * self.pen.height_px,
            x + width + 0.35 * self.pen.height_px,
            max(p.bottom for p in placed) + drop + 0.05 * self.pen.height_px,
        )
        is_outside = box[1] < -0.05 * self.pen.height_px or box[3] > len(self.sheet.ink) + 0.05 * self.pen.height_px
        if must_fit and (is_outside or not self.sheet.is_free(box)):
            return None
        self.sheet.take(box)
        self.sheet.paste(flow.bent(ink), int(left), int(top) - flow.pad)
        self._label(placed, flow, left)
        return float(x + width)

    def _compose(self, parts: Sequence[Part], room: float) -> tuple[Ink, list[Piece]]:
        """Return a row's ink with digits PEN_PX tall, uint8 (TALL, w), and its pieces."""
        hand = self.pen.hand
        canvas = np.zeros((TALL, int(room) + 4), np.uint8)
        pieces: list[Piece] = []
        x, wave = 3.0, 0.0
        for part in parts:
            x += part.gap * PEN_PX if pieces else 0.0
            for i, (kind, ink, top, char) in enumerate(self._inks(part)):
                wave = 0.7 * wave + self.rng.normal(0, hand.wobble) * PEN_PX
                if i:
                    x = max(3.0, x + (hand.gap + self.rng.normal(0, 0.07)) * PEN_PX)
                if x + ink.shape[1] >= room - 2:
                    return canvas[:, : int(x) + 3], pieces
                y = max(0, min(int(BASE + top + 0.6 * wave), TALL - ink.shape[0]))
                place = canvas[y : y + ink.shape[0], int(x) : int(x) + ink.shape[1]]
                np.maximum(place, ink, out=place)
                pieces.append(Piece(kind, int(x), y, int(x) + ink.shape[1], y + ink.shape[0], char, i == 0))
                x = float(int(x) + ink.shape[1])
        return canvas[:, : int(x) + 3], pieces

    def _inks(self, part: Part) -> list[tuple[str, Ink, int, str]]:
        """Return a part's characters or its word: kind, ink, top from the base line, character of a number."""
        if part.kind == "number":
            made = [(char, *write_character(self.rng, self.digits, char, self.pen.hand)) for char in part.text]
            inks = [("mark" if char in ".-" else "digit", ink[:TALL], top, char) for char, ink, top in made]
            if self.rng.random() < 0.02:  # crossed out: no number any more
                pen = self.pen.hand.stroke_px
                return [("other", cross_out(self.rng, ink, pen), top, "") for _, ink, top, _ in inks]
            return inks
        ink = written_by_hand(self.rng, part.text, self.pen.hand.stroke_px) if part.text else self._word()
        below = int(0.25 * len(ink)) if self.rng.random() < 0.3 else 0
        return [(part.kind, ink[:TALL], below - min(len(ink), TALL), "")]

    def _word(self) -> Ink:
        """Return a word; each page has few, which come again: making one takes as long as twenty digits."""
        if len(self._words) < 7 and (not self._words or self.rng.random() < 0.5):
            self._words.append(other_ink(self.rng, self.pen.hand.stroke_px))
        return self._words[int(self.rng.integers(len(self._words)))]

    def _inked(self, canvas: Ink, scale: float) -> Ink:
        """Return a row's ink at the sheet's size, as the pen gives it."""
        size = max(2, round(canvas.shape[1] * scale)), max(2, round(TALL * scale))
        if scale <= 1.2:
            ink = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        else:  # enlarged strokes would be a blur
            ink = cv2.resize(canvas, size, interpolation=cv2.INTER_CUBIC)
            ink = cv2.GaussianBlur(ink, (0, 0), 0.35 * scale)
            ink = cv2.LUT(ink, np.clip(127 + min(scale, 5.0) * (np.arange(256) - 127.0), 0, 255).astype(np.uint8))
        tone = np.full((1, 1), self.pen.tone, np.float32)
        if self.pen.grain > 0.05 or self.pen.skips > 0.03:
            tone = self.pen.tone * self._roughness((ink.shape[0], ink.shape[1]))
        return np.asarray(ink * tone, np.uint8)

    def _roughness(self, shape: tuple[int, int]) -> Floats:
        grain = white_noise(self.rng, (min(shape[0], 256), min(shape[1], 1024)))
        skips = cv2.GaussianBlur(grain, (0, 0), float(self.rng.uniform(1.0, 2.5))) * 4
        kept = 1 - self.pen.skips * np.clip(skips - 0.6, 0, 1)
        rough = np.clip(kept * (1 - 0.5 * self.pen.grain * np.clip(grain, -0.5, 1.5)), 0.1, 1.0).astype(np.float32)
        return np.asarray(cv2.resize(rough, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)

    def _label(self, pieces: list[Piece], flow: "_Flow", left: float) -> None:
        """Note where a row's numbers run and where its other writing stands."""
        sheet, height = self.sheet, self.pen.height_px
        runs = _runs(pieces, height)
        sheet.rows += [_band(run, flow, left, height) for run in runs]
        apart = APART + max(0.1, self.pen.hand.gap)
        sheet.texts += [_text_of(run, apart * height) for run in runs]
        for before, after in itertools.pairwise(runs):
            gap = after[0].left - before[-1].right
            has_sign = pieces.index(after[0]) > pieces.index(before[-1]) + 1
            if OPEN_GAPS[0] * height < gap < OPEN_GAPS[1] * height and not has_sign:
                between = Piece("", before[-1].right, before[-1].top, after[0].left, after[0].bottom)
                sheet.unsure.append(_polygon(between, flow, left))
        for piece in pieces:
            if piece.kind in ("other", "unsure"):
                (sheet.other if piece.kind == "other" else sheet.unsure).append(_polygon(piece, flow, left))


def _draw_boxes(rng: Rng, canvas: Ink, pieces: list[Piece]) -> None:
    """Draw boxes, or the teeth of a comb, around the digits of a row."""
    digits = [piece for piece in pieces if piece.kind in KINDS[:2]]
    if not digits:
        return
    inner = [round((a.right + b.left) / 2) for a, b in itertools.pairwise(digits)]
    edges = [round(digits[0].left) - 3, *inner, min(round(digits[-1].right) + 3, canvas.shape[1] - 1)]
    low, high = BASE + int(rng.integers(2, 8)), BASE - PEN_PX - int(rng.integers(2, 12))
    teeth = high if rng.random() < 0.6 else BASE - int(rng.integers(5, PEN_PX))
    tone, pen = int(rng.integers(90, 255)), int(rng.integers(1, 4))
    for x in edges:
        cv2.line(canvas, (x, teeth), (x, low), tone, pen)
    for y in (low, high)[: 2 if teeth == high else 1]:
        cv2.line(canvas, (edges[0], y), (edges[-1], y), tone, pen)


def _runs(pieces: list[Piece], height: float) -> list[list[Piece]]:
    """Return the rows in a line of writing: digits with nothing else and no wide gap between them."""
    runs: list[list[Piece]] = []
    is_open = False
    for piece in pieces:
        if piece.kind not in KINDS[:2]:
            is_open = False
        elif is_open and piece.left - runs[-1][-1].right < GAP * height:
            runs[-1].append(piece)
        else:
            runs.append([piece])
            is_open = True
    return [run for run in runs if any(piece.kind == "digit" for piece in run)]


def _text_of(run: list[Piece], apart: float) -> str:
    """Return what a row says, a space where a number begins so many pixels behind the one before."""
    text = run[0].text
    for before, piece in itertools.pairwise(run):
        text += SPACE * (piece.is_first and piece.left - before.right >= apart) + piece.text
    return text


def _band(run: list[Piece], flow: "_Flow", left: float, height: float) -> Floats:
    """Return points float64 (2, n, 2) along the upper and the lower edge of a row's digits."""
    digits = [piece for piece in run if piece.kind == "digit"]
    top, bottom = (statistics.median(getattr(piece, side) for piece in digits) for side in ("top", "bottom"))
    start, end = run[0].left, run[-1].right
    widen = max(0.08 * height, (0.5 * height - (end - start)) / 2)
    x = np.linspace(start - widen, end + widen, max(2, int((end - start) / (0.5 * height)) + 1))
    drop = flow.at(x - left)
    return np.stack([np.stack([x, top + drop], axis=1), np.stack([x, bottom + drop], axis=1)])


def _polygon(piece: Piece, flow: "_Flow", left: float) -> Floats:
    drop = float(flow.at(np.array([(piece.left + piece.right) / 2 - left]))[0])
    top, bottom = piece.top + drop, piece.bottom + drop
    return np.array([[piece.left, top], [piece.right, top], [piece.right, bottom], [piece.left, bottom]])


def _moved(piece: Piece, scale: float, x: float, y: float) -> Piece:
    edges = (x + piece.left * scale, y + piece.top * scale, x + piece.right * scale, y + piece.bottom * scale)
    return Piece(piece.kind, *edges, piece.text, piece.is_first)


class _Flow:
    """How a row leaves the straight line: it rises or falls, and its ends hang."""

    def __init__(self, width: int, slope: float, bend_px: float) -> None:
        self._width, self._slope, self._bend = width, slope, bend_px
        self.most = abs(slope) * width / 2 + abs(bend_px)
        self.pad = math.ceil(self.most) + 1 if self.most > 0.5 else 0

    def at(self, x: Floats) -> Floats:
        """Return how many pixels lower the row lies at places x, counted from its beginning."""
        drop: Floats = self._slope * (x - self._width / 2) + self._bend * (2 * x / self._width - 1) ** 2
        return drop

    def bent(self, ink: Ink) -> Ink:
        """Return the ink (h, w) bent: uint8 (h + 2 pad, w)."""
        if not self.pad:
            return ink
        padded = cv2.copyMakeBorder(ink, self.pad, self.pad, 0, 0, cv2.BORDER_CONSTANT, value=0)
        x = np.arange(self._width, dtype=np.float32)[None]
        y = np.arange(len(padded), dtype=np.float32)[:, None] - self.at(x).astype(np.float32)
        return np.asarray(cv2.remap(padded, np.broadcast_to(x, y.shape).copy(), y, cv2.INTER_LINEAR), np.uint8)
