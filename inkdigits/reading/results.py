"""What a reader answers: digits, numbers, pages, each with its confidence."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inkdigits.arrays import Box, Confidences, DigitImage, Labels, Mask, Probabilities


class _ComparedByValue:
    """Equality field by field; arrays are equal where shape and values are (a plain dataclass would raise)."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]  # arrays can change


@dataclass(frozen=True, eq=False)
class Classified(_ComparedByValue):
    """Answers for N framed images.

    Attributes:
        labels: int64 (N,), the most probable class, whether accepted or not.
        probabilities: float32 (N, classes), calibrated; where the network knows "not a digit" they sum to less than 1.
        confidence: float32 (N,), the largest probability of each row.
        accepted: bool (N,), confidence >= the card's threshold. All True where the card has none: it is fitted on
            images held out of training, and the card of a model trained without (no `--validation`) says so.
    """

    labels: Labels
    probabilities: Probabilities
    confidence: Confidences
    accepted: Mask

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Reading(_ComparedByValue):
    """The answer for a picture of one digit.

    Attributes:
        digit: the most probable digit, 0 to 9, whether accepted or not.
        confidence: its calibrated probability, 0 to 1.
        accepted: whether the confidence reaches the threshold of the model's card; False where the picture is unclear
            or not a digit. Always True where the card has no threshold.
        probabilities: float32 (10,); what they lack to 1 is the probability of "not a digit".
        framed: uint8 (28, 28), what the network saw.
    """

    digit: int
    confidence: float
    accepted: bool
    probabilities: Probabilities
    framed: DigitImage

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as numbers, strings and lists that JSON knows; without the picture."""
        return {
            "digit": self.digit,
            "confidence": self.confidence,
            "accepted": self.accepted,
            "probabilities": self.probabilities.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Item(_ComparedByValue):
    """One digit of a number.

    Attributes:
        digit: 0 to 9.
        confidence: its calibrated probability, 0 to 1.
        accepted: whether the confidence reaches the threshold of the network that read it.
        box: x, y, width, height in the picture's pixels, as the picture stands (after its EXIF turn).
        alternatives: other digits it may be, with their probabilities, the likeliest first.
        framed: uint8 (28, 28), its ink in MNIST's form.
    """

    digit: int
    confidence: float
    accepted: bool
    box: Box
    alternatives: tuple[tuple[int, float], ...]
    framed: DigitImage

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
        accepted: whether there are digits and every one of them is accepted; `items` say which is not.
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

    def with_boxes(self, move: Callable[[Box], Box]) -> "NumberReading":
        """Return the same answer with every digit's box moved, such as from a crop to the picture it is part of."""
        return replace(self, items=tuple(replace(item, box=move(item.box)) for item in self.items))


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
