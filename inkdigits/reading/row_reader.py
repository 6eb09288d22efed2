"""A page -> its lines of numbers, by rows that finders find: each is cut out level, read, and weighed.

What a finder takes for a row may be a word or texture, and both networks give those digits too. Whether a row is a
number that was read right, a logistic model says from what all three networks think of it (`features`); its weights are
fitted on composed pages (`training.finder_model`) and are part of the finder's card.

Two finders see more than one: ours is trained on synthetic pages, PP-OCR's, if it is installed, on photographs of text
(`text_detector`). Where their rows lie over each other, that stays of which more digits are probably right. With it
comes a second opinion on what each row says (`second_opinion`).
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from inkdigits.arrays import Box, Floats, GrayImage
from inkdigits.reading.digit_reader import DigitReader
from inkdigits.reading.finder import Finder, cut_row
from inkdigits.reading.found_rows import FoundRow, lie_over
from inkdigits.reading.geometry import box_around
from inkdigits.reading.line_reader import LineReader
from inkdigits.reading.model import SHIPPED
from inkdigits.reading.results import LeftOut, NumberReading, PageReading
from inkdigits.reading.second_opinion import Opinion, TextRecogniser, with_opinions
from inkdigits.reading.text_detector import ROWS, TextDetector, is_installed

# Rows from this score on are read, below the card's threshold too: whether they are rows the readers help to decide.
LEAST_SCORE = 0.4
# Rows that are read right with this probability are kept. On the studied photographs 55 % of the answers by rows are
# right then, and 59 % of the numbers are there; from 0.2 on 40 and 62, from 0.55 on 66 and 52. From 0.42 on rows of
# clean sheets are missing.
LEAST_RIGHT = 0.35
# The same with a second opinion, which tells words from numbers: of the studied photographs' answers by rows 60 % are
# right from 0.35 on, 68 from 0.5, 72 from 0.6; 76, 74 and 72 % of the numbers are there.
LEAST_RIGHT_OF_TWO = 0.5
# The way up of a page is found from so many of its surest rows; it is turned if that is likelier by so many nats.
VOTES, TURN_EVIDENCE = 24, 1.0
# To the vote of a row: no reading is less likely than this, and one without digits is this likely.
LEAST_LIKELY, NO_DIGITS = 0.02, 0.3
# Of the rows' half height: what lies closer across the page is on one line.
SAME_LINE = 0.6


class RowFinder(Protocol):
    """What finds rows on a picture."""

    def find(self, image: GrayImage, threshold: float | None = None) -> list[FoundRow]:
        """Return the rows of a picture uint8 (H, W) from a score on."""


@dataclass(frozen=True)
class ReadRow:
    """A row that a finder found, its reading, and what the digit network thinks of the line network's digits.

    Attributes:
        row: where it lies.
        reading: by the line network, or with a second opinion.
        agreement: 0 to 1, the lowest probability that the digit network gives one of those digits.
        finder: the number of the finder that found it.
        opinion: the second one, if there is one.
    """

    row: FoundRow
    reading: NumberReading
    agreement: float
    finder: int = 0
    opinion: Opinion | None = None

    def features(self) -> Floats:
        """Return float64 (6,), what the model of the confidence knows of the row; (7,) with a second opinion."""
        score = min(max(self.row.score, 1e-3), 1 - 1e-3)
        known = [
            math.log(max(self.reading.confidence, 1e-4)),
            math.log(score / (1 - score)),
            math.log(max(self.agreement, 1e-3)),
            min(self.row.half_width / self.row.half_height, 8.0),
            self.row.other,
            float(len(self.reading.digits) == 1),
        ]
        return np.array(known if self.opinion is None else [*known, self.opinion.share_of_letters])


class RowReader:
    """Reads pages by the rows that finders find. Thread-safe. The finders are opened when they are first needed.

    Args:
        digits: has an opinion on every digit that the line network reads.
        lines: reads the rows.
        finders: find them; where None the shipped one and, if it is wanted, the text detector.
        threads: how many each of these may use; all cores where None.
        text_detector: whether to use it, and a second opinion; where it is installed if None.
        recogniser: the second opinion; where None one comes with the text detector.
    """

    def __init__(
        self,
        digits: DigitReader,
        lines: LineReader,
        finders: Sequence[RowFinder] | None = None,
        threads: int | None = None,
        text_detector: bool | None = None,
        recogniser: TextRecogniser | None = None,
    ) -> None:
        self._digits, self._lines, self._finders, self._threads = digits, lines, finders, threads
        self._recogniser = recogniser
        self._text_detector = is_installed() if text_detector is None else text_detector
        self._opening = threading.Lock()

    @property
    def finders(self) -> Sequence[RowFinder]:
        """What finds the rows."""
        with self._opening:
            if self._finders is None:
                self._finders = [Finder(SHIPPED / "finder.onnx", self._threads)]
                if self._text_detector:
                    self._finders = [*self._finders, TextDetector(self._threads)]
                    self._recogniser = self._recogniser or TextRecogniser(self._threads)
            return self._finders

    def read(self, image: GrayImage) -> PageReading:
        """Return the answer for a picture uint8 (H, W): rows that are probably numbers, all others left out."""
        rows, angle = self.read_rows(image)
        taken: list[_Weighed] = []
        for each in sorted(self._weighed(rows), key=lambda row: -row.weight):
            if not any(other.finder != each.finder and lie_over(other.row, each.row) for other in taken):
                taken.append(each)
        kept = [each for each in taken if each.weight > 0]
        left_out = [LeftOut(_box_in(image, each.row), "text") for each in taken if each.weight <= 0]
        left_out += [ink for each in kept for ink in each.reading.left_out]
        level = in_lines([each.row for each in kept], _direction(kept, angle))
        lines = [_joined([kept[i].reading for i in line]) for line in level]
        return PageReading(image.shape[1], image.shape[0], tuple(lines), tuple(left_out))

    def _weighed(self, rows: Sequence[ReadRow]) -> list["_Weighed"]:
        """Return rows with their confidence by the model of the finder that found them."""
        weighed: list[_Weighed] = []
        own = [finder.card["rows"] for finder in self.finders if isinstance(finder, Finder)]
        cards, least = (own, LEAST_RIGHT) if self._recogniser is None else (ROWS, LEAST_RIGHT_OF_TWO)
        for number, card in enumerate(cards):
            found = [row for row in rows if row.finder == number]
            chances = confidences([row.features() for row in found], card).tolist()
            for row, chance in zip(found, chances, strict=True):
                is_number = bool(row.reading.digits) and chance >= least
                weight = chance * len(row.reading.digits) if is_number else row.row.score - 1
                weighed.append(_Weighed(number, row.row, _judged(row.reading, chance, card["accepted"]), weight))
        return weighed

    def read_rows(self, image: GrayImage) -> tuple[list[ReadRow], float]:
        """Return every row that the finders find, read, and the direction in radians in which the page's rows read."""
        height, width = image.shape
        found = [(row, number) for number, finder in enumerate(self.finders) for row in finder.find(image, LEAST_SCORE)]
        found = [(row, number) for row, number in found if 0 <= row.x < width and 0 <= row.y < height]
        rows = [row for row, _ in found]
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
        opinions: list[Opinion | None] = [None] * len(rows)
        if self._recogniser is not None:
            crops = [cut_row(image, row, is_turned != over) for row, is_turned in zip(rows, turned, strict=True)]
            answers = with_opinions(self._lines, self._recogniser, crops, ordered)
            ordered, opinions = [reading for reading, _ in answers], [opinion for _, opinion in answers]
        numbers, agreements = [number for _, number in found], self._agreements(ordered)
        read_rows = zip(rows, ordered, agreements, numbers, opinions, strict=True)
        return [ReadRow(*each) for each in read_rows], axis + math.pi * over

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
        features: float64 (N, n), see `ReadRow.features`.
        card: "weights", n + 1 numbers, the last of which is the constant.
    """
    weights = np.array(card["weights"])
    scores = np.asarray(features, float).reshape(-1, len(weights) - 1) @ weights[:-1] + weights[-1]
    chances: Floats = 1 / (1 + np.exp(-np.clip(scores, -30, 30)))
    return chances


@dataclass(frozen=True)
class _Weighed:
    """A row of one of the finders.

    Attributes:
        finder: its number.
        row: where it lies.
        reading: with the confidence and acceptance of the row.
        weight: how many of its digits are probably right; the score less 1, which is at most 0, where it is no number.
    """

    finder: int
    row: FoundRow
    reading: NumberReading
    weight: float


def _direction(rows: Sequence[_Weighed], about: float) -> float:
    """Return the angle in radians along which a page's numbers read: `about`, made exact by those that are read surely.

    With rows that are no numbers among them 60.6 % of the studied photographs' rows are right, without 62.5 (with both
    finders; with ours alone, where three pages of tables decide, 53.7 and 50.0).
    """
    mean = sum(each.weight * np.exp(2j * (each.row.angle - about)) for each in rows)
    return about + float(np.angle(mean)) / 2 if rows else about


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
