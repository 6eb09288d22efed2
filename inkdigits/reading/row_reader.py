"""A page -> its lines of numbers, by the finder's rows: each is cut out level, read, and says how likely it is right.

What the finder takes for a row may be a word or texture, and both networks give those digits too. Whether a row is a
number that was read right, a logistic model says from what all three networks think of it (`features`); its weights are
fitted on composed pages (`training.finder_model`) and are part of the finder's card.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from inkdigits.arrays import Box, Floats, GrayImage
from inkdigits.reading.digit_reader import DigitReader
from inkdigits.reading.finder import Finder, cut_row
from inkdigits.reading.found_rows import FoundRow
from inkdigits.reading.geometry import box_around
from inkdigits.reading.line_reader import LineReader
from inkdigits.reading.model import SHIPPED
from inkdigits.reading.results import LeftOut, NumberReading, PageReading

# Rows from this score on are read, below the card's threshold too: whether they are rows the readers help to decide.
LEAST_SCORE = 0.4
# The way up of a page is found from so many of its surest rows; it is turned if that is likelier by so many nats.
VOTES, TURN_EVIDENCE = 24, 1.0
# To the vote of a row: no reading is less likely than this, and one without digits is this likely.
LEAST_LIKELY, NO_DIGITS = 0.02, 0.3
# Of the rows' half height: what lies closer across the page is on one line.
SAME_LINE = 0.6


@dataclass(frozen=True)
class ReadRow:
    """A row that the finder found, its reading, and what the digit network thinks of the line network's digits.

    Attributes:
        row: where it lies.
        reading: by the line network.
        agreement: 0 to 1, the lowest probability that the digit network gives one of those digits.
    """

    row: FoundRow
    reading: NumberReading
    agreement: float

    def features(self) -> Floats:
        """Return float64 (6,), what the model of the confidence knows of the row."""
        score = min(max(self.row.score, 1e-3), 1 - 1e-3)
        return np.array(
            [
                math.log(max(self.reading.confidence, 1e-4)),
                math.log(score / (1 - score)),
                math.log(max(self.agreement, 1e-3)),
                min(self.row.half_width / self.row.half_height, 8.0),
                self.row.other,
                float(len(self.reading.digits) == 1),
            ]
        )


class RowReader:
    """Reads pages by the rows that the finder finds. Thread-safe. The finder is opened when it is first needed.

    Args:
        digits: has an opinion on every digit that the line network reads.
        lines: reads the rows.
        finder: finds them; the shipped one where None.
        threads: how many the shipped finder may use; all cores where None.
    """

    def __init__(
        self, digits: DigitReader, lines: LineReader, finder: Finder | None = None, threads: int | None = None
    ) -> None:
        self._digits, self._lines, self._finder, self._threads = digits, lines, finder, threads
        self._opening = threading.Lock()

    @property
    def finder(self) -> Finder:
        """The page finder."""
        with self._opening:
            if self._finder is None:
                self._finder = Finder(SHIPPED / "finder.onnx", self._threads)
            return self._finder

    def read(self, image: GrayImage) -> PageReading:
        """Return the answer for a picture uint8 (H, W): rows that are probably numbers, all others left out."""
        rows, angle = self.read_rows(image)
        card = self.finder.card["rows"]
        chances = confidences([each.features() for each in rows], card)
        kept: list[tuple[FoundRow, NumberReading]] = []
        left_out: list[LeftOut] = []
        for each, chance in zip(rows, chances.tolist(), strict=True):
            if each.reading.digits and chance >= card["least"]:
                kept.append((each.row, _judged(each.reading, chance, card["accepted"])))
                left_out += each.reading.left_out
            else:
                left_out.append(LeftOut(_box_in(image, each.row), "text"))
        lines = [_joined([kept[i][1] for i in line]) for line in in_lines([row for row, _ in kept], angle)]
        return PageReading(image.shape[1], image.shape[0], tuple(lines), tuple(left_out))

    def read_rows(self, image: GrayImage) -> tuple[list[ReadRow], float]:
        """Return every row that the finder finds, read, and the direction in radians in which the page's rows read."""
        height, width = image.shape
        rows = [row for row in self.finder.find(image, LEAST_SCORE) if 0 <= row.x < width and 0 <= row.y < height]
        if not rows:
            return [], 0.0
        weights = [min(8.0, row.half_width / row.half_height) for row in rows]
        axis = float(np.angle(np.sum(np.array(weights) * np.exp(2j * np.array([row.angle for row in rows]))))) / 2
        turned = [math.cos(row.angle - axis) < 0 for row in rows]
        surest = sorted(range(len(rows)), key=lambda i: -rows[i].score * weights[i])
        voters, others = surest[:VOTES], surest[VOTES:]

        def read(numbers: Sequence[int], over: bool) -> list[NumberReading]:
            crops = [cut_row(image, rows[i], turned[i] != over) for i in numbers]
            return self._lines.read_crops(crops) if crops else []

        upright, upside_down = read(voters, over=False), read(voters, over=True)
        over = _evidence(upside_down) > _evidence(upright) + TURN_EVIDENCE
        read_first = upside_down if over else upright
        readings = dict(zip([*voters, *others], [*read_first, *read(others, over)], strict=True))
        ordered = [readings[i] for i in range(len(rows))]
        opinions = self._agreements(ordered)
        return [ReadRow(*each) for each in zip(rows, ordered, opinions, strict=True)], axis + math.pi * over

    def _agreements(self, readings: Sequence[NumberReading]) -> list[float]:
        """Return for each reading the lowest probability that the digit network gives one of its digits; 0 for none."""
        items = [item for reading in readings for item in reading.items]
        if not items:
            return [0.0] * len(readings)
        found = self._digits.classify(np.stack([item.framed for item in items])).probabilities
        own = iter(found[np.arange(len(items)), [item.digit for item in items]].tolist())
        return [min((next(own) for _ in reading.items), default=0.0) for reading in readings]


def confidences(features: Sequence[Floats] | Floats, card: dict[str, list[float]]) -> Floats:
    """Return float64 (N,), 0 to 1: how likely rows were read right.

    Args:
        features: float64 (N, 6), see `ReadRow.features`.
        card: "weights", 7 numbers, the last of which is the constant.
    """
    weights = np.array(card["weights"])
    scores = np.asarray(features, float).reshape(-1, len(weights) - 1) @ weights[:-1] + weights[-1]
    chances: Floats = 1 / (1 + np.exp(-np.clip(scores, -30, 30)))
    return chances


def in_lines(rows: Sequence[FoundRow], angle: float) -> list[list[int]]:
    """Return the rows' numbers in reading order, those on one line together, for a page that reads along `angle`."""
    along = [row.x * math.cos(angle) + row.y * math.sin(angle) for row in rows]
    across = [row.y * math.cos(angle) - row.x * math.sin(angle) for row in rows]
    lines: list[list[int]] = []
    for i in sorted(range(len(rows)), key=lambda i: across[i]):
        line = lines[-1] if lines else []
        height = float(np.median([rows[j].half_height for j in line])) if line else 0.0
        if line and across[i] - float(np.mean([across[j] for j in line])) < SAME_LINE * height:
            line.append(i)
        else:
            lines.append([i])
    return [sorted(line, key=lambda i: along[i]) for line in lines]


def _evidence(readings: Sequence[NumberReading]) -> float:
    """Return how likely rows are in nats."""
    return sum(math.log(max(each.confidence if each.digits else NO_DIGITS, LEAST_LIKELY)) for each in readings)


def _judged(reading: NumberReading, chance: float, accepted: float) -> NumberReading:
    """Return a reading with another confidence, accepted from `accepted` on."""
    items = tuple(replace(item, accepted=item.accepted and chance >= accepted) for item in reading.items)
    return replace(reading, confidence=chance, accepted=all(item.accepted for item in items), items=items)


def _joined(line: Sequence[NumberReading]) -> NumberReading:
    """Return the rows of one line as one answer, a space between them."""
    return NumberReading(
        " ".join(row.text for row in line),
        "".join(row.digits for row in line),
        math.prod(row.confidence for row in line),
        all(row.accepted for row in line),
        tuple(item for row in line for item in row.items),
        tuple(mark for row in line for mark in row.marks),
        tuple(ink for row in line for ink in row.left_out),
    )


def _box_in(image: GrayImage, row: FoundRow) -> Box:
    """Return the box around a row, as far as it lies in the picture."""
    limits = image.shape[1], image.shape[0]
    return box_around(np.clip(row.corners(), 0, limits))
