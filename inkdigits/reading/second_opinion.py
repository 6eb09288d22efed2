"""A second opinion on rows and numbers: PP-OCR's text recogniser, from the package `rapidocr` (extra `pages`).

It knows letters, and hands and papers that our synthesis does not make; our line network knows MNIST's hands, and where
each digit stands. Where the two agree, a number is mostly right; where they differ, the line network is asked for the
other's value, and the likelier answer stays.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2

from inkdigits.arrays import GrayImage
from inkdigits.errors import naming_missing_extra
from inkdigits.machine import cores
from inkdigits.reading.decoding import value_of
from inkdigits.reading.line_reader import Crop, LineReader
from inkdigits.reading.results import NumberReading

# An answer that the recogniser gives too counts (1 / (1 - score)) ** WEIGHT times as much. Of 1,500 studied cells 92.2,
# 92.7, 92.5 and 92.5 % have the right digits with 0.5, 0.75, 1 and 1.25 (88.3 by the line network alone), of 355
# climate values 91.3, 91.8, 91.8 and 91.5 (87.9), and of 1,500 composed lines 77.1, 77.3, 77.2 and 76.7 (75.3).
WEIGHT = 0.75
# The odds of answers are taken to the power 1 / TEMPERATURE: errors of both networks go together more than by chance.
# Mean surprise of the values of 1,500 studied cells 0.307 without, 0.270, 0.263 and 0.260 with 1.4, 1.6 and 1.8, of 355
# climate values 0.316, 0.297, 0.297 and 0.301.
TEMPERATURE = 1.6
# Answers are accepted from here on: of the studied cells 78 % then, 4.5 % of these with a wrong value; from 0.9 on 70
# and 3.2 %.
ACCEPT_FROM = 0.8
SLENDER = 40  # crops so many times as long as high, or as high as long, have no opinion: RapidOCR reads none longer
LEAST_DOUBT = 1e-3  # of the recogniser, and of all answers but two


@dataclass(frozen=True)
class Opinion:
    """What the recogniser reads in a crop.

    Attributes:
        text: of any characters, "" for none.
        score: 0 to 1, its mean confidence in them.
    """

    text: str
    score: float

    @property
    def value(self) -> str:
        """Its digits, points and minus signs; "" if there are no digits."""
        return value_of(self.text) if any(char in "0123456789" for char in self.text) else ""

    @property
    def weight(self) -> float:
        """How many times as much an answer counts that has this value."""
        return float((1 / max(1 - self.score, LEAST_DOUBT)) ** WEIGHT)

    @property
    def share_of_letters(self) -> float:
        """How many of its characters are neither digits nor separators or signs, 0 to 1."""
        chars = [char for char in self.text if not char.isspace()]
        return sum(char not in "0123456789.,-" for char in chars) / max(1, len(chars))


class TextRecogniser:
    """Reads crops of one row of text each. Thread-safe. Needs the extra `pages`; opened when it is first needed.

    Args:
        threads: how many the network may use, at least 1; all cores where None.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = cores() if threads is None else threads
        self._lock = threading.Lock()  # RapidOCR keeps what it works with in itself
        self._engine: Any = None

    def read(self, crops: Sequence[GrayImage]) -> list[Opinion]:
        """Return what crops uint8 (h, w) say.

        Raises:
            MissingExtraError: RapidOCR is not installed.
        """
        with self._lock:
            return [self._one(crop) for crop in crops]

    def _one(self, crop: GrayImage) -> Opinion:
        if max(crop.shape) > SLENDER * min(crop.shape):
            return Opinion("", 0.0)
        if self._engine is None:
            with naming_missing_extra():
                from rapidocr import RapidOCR
            params = {
                "Global.use_det": False,
                "Global.use_cls": False,
                "Global.log_level": "critical",
                "EngineConfig.onnxruntime.intra_op_num_threads": self._threads,
            }
            self._engine = RapidOCR(params=params)
        found: Any = self._engine(cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR))
        return Opinion(found.txts[0], float(found.scores[0])) if found.txts else Opinion("", 0.0)


def with_opinions(
    lines: LineReader, recogniser: TextRecogniser, crops: Sequence[Crop], readings: Sequence[NumberReading]
) -> list[tuple[NumberReading, Opinion]]:
    """Return for crops of one row each the likelier answer of two, and the second opinion.

    Args:
        lines: the line network.
        recogniser: the second opinion.
        crops: as for `LineReader.read_crops`.
        readings: the line network's answers for them.
    """
    opinions = recogniser.read([crop for crop, _ in crops])
    pairs = list(zip(readings, opinions, strict=True))
    differ = [i for i, (reading, opinion) in enumerate(pairs) if opinion.value not in ("", value_of(reading.text))]
    others = lines.read_as([crops[i] for i in differ], [opinions[i].value for i in differ])
    as_said = dict(zip(differ, others, strict=True))
    return [(_likelier(*pair, as_said.get(i)), pair[1]) for i, pair in enumerate(pairs)]


def _likelier(own: NumberReading, opinion: Opinion, as_said: NumberReading | None) -> NumberReading:
    """Return the likelier of the line network's answer and its answer with the opinion's value, if that is another."""
    agrees = bool(own.digits) and value_of(own.text) == opinion.value
    said = as_said.confidence if as_said else 0.0
    rest = max(1 - own.confidence - said, LEAST_DOUBT)
    masses = own.confidence * (opinion.weight if agrees else 1.0), said * opinion.weight, rest
    if as_said is not None and masses[1] > masses[0]:
        return _with_confidence(as_said, _cooled(masses[1], sum(masses) - masses[1]))
    return _with_confidence(own, _cooled(masses[0], sum(masses) - masses[0]))


def _cooled(mass: float, others: float) -> float:
    """Return the probability, 0 to 1, of an answer of some mass beside all others."""
    mass, others = mass ** (1 / TEMPERATURE), others ** (1 / TEMPERATURE)
    return mass / (mass + others)


def _with_confidence(reading: NumberReading, confidence: float) -> NumberReading:
    """Return a reading with another confidence; the doubt about each digit grows or shrinks with that about all."""
    ratio = (1 - confidence) / max(1 - reading.confidence, LEAST_DOUBT**2)
    sure = [min(1.0, max(confidence, 1 - (1 - item.confidence) * ratio)) for item in reading.items]
    items = tuple(
        replace(item, confidence=each, accepted=confidence >= ACCEPT_FROM)
        for item, each in zip(reading.items, sure, strict=True)
    )
    accepted = bool(items) and confidence >= ACCEPT_FROM
    return replace(reading, confidence=confidence, accepted=accepted, items=items)
