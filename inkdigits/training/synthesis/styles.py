"""Styles of lines: what is written, by which hand."""

import math
from dataclasses import dataclass, replace

import numpy as np

from inkdigits.arrays import Rng
from inkdigits.reading.decoding import OTHER, SPACE

Texts = list[str]
Lines = tuple[list[np.ndarray], Texts]
SEPARATOR = "."
# OTHER is words, operators, scribbles, what is crossed out: one for all of a run. SPACE is a gap or a rule.
ALPHABET = "0123456789" + SEPARATOR + "-" + SPACE + OTHER
# Digits are composed this tall, then reduced to what the camera sees.
PEN_PX = 40
# Beyond the gap inside its numbers, a writer leaves so much between two of them, in digit heights.
APART = 0.45
LONGEST_STRING = 30


@dataclass(frozen=True)
class Style:
    """How rows look: what a recipe says about the synthesis. Shares and probabilities are 0 to 1.

    Attributes:
        numbers: rows are numbers as people write them into tables; else any digits.
        longest: digits in a row, where `numbers` is off: seven of eight rows have at most so many, others up to 30.
        mixed: how often a row holds several numbers, words, operators or scribbles rather than one number.
        drawn: how often a digit is drawn from strokes rather than taken from MNIST, before `DRAWN_WEIGHT`.
        messy: 0 is plain MNIST digits side by side; above, slants, overlaps, light, blur and noise come in, and this is
            the weight of ruled lines, specks and neighbours' ink.
        table: how often there are table lines at the edges of the picture.
        paper: how often the paper is squared, has dotted base lines or a column's rules.
        comb: how often each digit stands in a printed box or between the teeth of a comb.
        binary: how often a scanner kept only black and white.
        light_ink: how often ink is lighter than paper.
        margin: >= 0, how much paper is left around the ink, as a share of a logbook cell's.
        varied: digits are drawn in more forms and their parts moved against each other, commas are longer and bowed,
            some numbers are written wide.
    """

    numbers: bool = True
    longest: int = 6
    mixed: float = 0.0
    drawn: float = 0.45
    messy: float = 1.0
    table: float = 0.7
    paper: float = 0.2
    comb: float = 0.04
    binary: float = 0.1
    light_ink: float = 0.05
    margin: float = 1.0
    varied: bool = False


VARIED = "-varied"  # behind the names of styles for writers who vary more
STYLES = {
    # CTC does not take off on hard rows from nothing: it starts here.
    "clean": Style(drawn=0.1, messy=0.0, table=0.0, paper=0.0, comb=0.0, binary=0.0, light_ink=0.0),
    # A cell cut from a photographed logbook.
    "cell": Style(binary=0.15),
    # A row of a photograph or a scanned page, cropped to its ink.
    "row": Style(numbers=False, longest=12, drawn=0.14, messy=0.8, table=0.15, paper=0.25, light_ink=0.3, margin=0.35),
    # A row of a notebook, a table or a form: several numbers, words and signs beside them, squared paper, boxes.
    "page": Style(
        numbers=False,
        longest=6,
        mixed=0.8,
        drawn=0.3,
        messy=0.9,
        table=0.35,
        paper=0.45,
        comb=0.12,
        light_ink=0.1,
        margin=0.5,
    ),
}


STYLES |= {name + VARIED: replace(STYLES[name], varied=True) for name in ("row", "page")}
STYLES["cell" + VARIED] = replace(STYLES["cell"], varied=True, binary=0.25, mixed=0.06)


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
class Hand:
    """One writer, one pen: sizes are shares of the digit height PEN_PX unless in pixels.

    `bend` is how far the parts of a digit are moved against each other, a standard deviation; 0 leaves it as it is.
    `varied` is as the style's.
    """

    slant: float
    aspect: float
    stroke_px: float
    gap: float
    wobble: float
    drawn: float
    drawn_kinds: tuple[int, ...]
    bend: float = 0.0
    varied: bool = False


def random_number(rng: Rng) -> str:
    """Return a number as people write it in that style, with its separators and sign."""
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


def digit_string(rng: Rng, style: Style, is_short: bool = False) -> str:
    """Return digits without meaning, as long as the style allows; a short one has `style.longest` at most."""
    few = is_short or rng.random() < 7 / 8
    length = int(rng.integers(1, style.longest + 1) if few else rng.integers(style.longest, LONGEST_STRING + 1))
    body = "".join(str(d) for d in rng.integers(0, 10, length))
    if length > 2 and rng.random() < 0.12:
        cut = int(rng.integers(1, length))
        body = body[:cut] + (SEPARATOR if rng.random() < 0.8 else "-") + body[cut:]
    return body


def random_hand(rng: Rng, style: Style) -> Hand:
    """Return a writer and a pen."""
    if style.messy == 0:
        return Hand(0.0, 1.0, 5.0, 0.18, 0.02, style.drawn, (0,) * 10)
    drawn = style.drawn * float(rng.choice([0.0, 0.6, 1.6, 3.0], p=[0.2, 0.35, 0.3, 0.15]))
    if style.numbers:
        stroke = float(np.clip(rng.lognormal(math.log(4.3), 0.3), 2.2, 9.0))
        is_wide = style.varied and rng.random() < 0.2
        gap = float(rng.uniform(0.2, 0.8) if is_wide else rng.normal(0.16, 0.13))
    else:
        stroke = float(np.clip(rng.lognormal(math.log(4.8), 0.4), 2.0, 11.0))
        gap = float(rng.choice([rng.normal(0.15, 0.1), rng.uniform(0.1, 0.9)]))
    return Hand(
        slant=float(rng.uniform(0.2, 0.5) if rng.random() < 0.1 else rng.normal(0.08, 0.16)),
        aspect=float(np.exp(rng.normal(0.0, 0.17))),
        stroke_px=stroke,
        gap=gap,
        wobble=float(rng.uniform(0.02, 0.09)),
        drawn=drawn,
        drawn_kinds=tuple(int(k) for k in rng.integers(0, 1000, 10)),
        bend=float(rng.choice([0.0, 0.015, 0.03, 0.045], p=[0.3, 0.25, 0.25, 0.2])) if style.varied else 0.0,
        varied=style.varied,
    )
