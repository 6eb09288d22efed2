"""What a reader answers: digits, numbers, pages, each with its confidence."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Classified:
    """Answers for N framed images.

    Attributes:
        labels: int64 (N,), the most probable class, whether accepted or not.
        probabilities: float32 (N, classes), calibrated; where the net knows "no digit" they sum to less than 1.
        confidence: float32 (N,), the largest probability of each row.
        accepted: bool (N,), confidence >= the card's threshold. All True where the card has none: it is fitted on
            images held out of training, and the card of a model trained without (no `--validation`) says so.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    confidence: np.ndarray
    accepted: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Reading:
    """The answer for a picture of one digit.

    Attributes:
        digit: the most probable digit, 0 to 9, whether accepted or not.
        confidence: its calibrated probability, 0 to 1.
        accepted: False where the picture is doubtful or no digit; always True where the card has no threshold.
        probabilities: float32 (10,); what they lack to 1 is the probability of "no digit".
        framed: uint8 (28, 28), what the net saw.
    """

    digit: int
    confidence: float
    accepted: bool
    probabilities: np.ndarray
    framed: np.ndarray


@dataclass(frozen=True)
class Item:
    """One digit of a number.

    Attributes:
        digit: 0 to 9.
        confidence: its calibrated probability, 0 to 1.
        accepted: False where it is doubtful.
        box: x, y, width, height in the picture's pixels, as the picture stands (after its EXIF turn).
        alternatives: other digits it may be, with their probabilities, the likeliest first.
        framed: uint8 (28, 28), its ink in MNIST's form.
    """

    digit: int
    confidence: float
    accepted: bool
    box: tuple[int, int, int, int]
    alternatives: tuple[tuple[int, float], ...]
    framed: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` and the HTTP API answer for a digit."""
        return {
            "digit": self.digit,
            "confidence": self.confidence,
            "accepted": self.accepted,
            "box": list(self.box),
            "alternatives": [[digit, probability] for digit, probability in self.alternatives],
        }


@dataclass(frozen=True)
class NumberReading:
    """The answer for a row of ink: one number, or several on one line.

    Attributes:
        text: digits with the separators and the sign between them, such as "-12.5".
        digits: the digits alone.
        confidence: the calibrated probability that all the digits are right, 0 to 1.
        accepted: False where the row as a whole is doubtful; `items` say which digit.
        items: the digits from left to right.
    """

    text: str
    digits: str
    confidence: float
    accepted: bool
    items: tuple[Item, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` and the HTTP API answer for a line."""
        return {
            "text": self.text,
            "digits": self.digits,
            "confidence": self.confidence,
            "accepted": self.accepted,
            "items": [item.to_dict() for item in self.items],
        }


@dataclass(frozen=True)
class PageReading:
    """The answer for a whole picture: its rows in reading order.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        lines: one reading a row, from top to bottom.
    """

    width: int
    height: int
    lines: tuple[NumberReading, ...]

    @property
    def text(self) -> str:
        """All rows, one a line."""
        return "\n".join(line.text for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` and the HTTP API answer for a picture, but for its name."""
        return {"width": self.width, "height": self.height, "lines": [line.to_dict() for line in self.lines]}
