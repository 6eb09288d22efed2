"""What a reader answers: digits, numbers, pages, each with its confidence."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inkdigits.arrays import Box, Confidences, DigitImage, Labels, Mask, Probabilities
from inkdigits.reading.geometry import hull_of

# In the text of a row: ink that is not read, such as an operator or a letter, close between two digits.
SIGN = "_"


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
        accepted: whether the confidence reaches the threshold of the network that read it, and where the line network
            did, that of the whole number as well: a digit beside an uncertain comma is not accepted.
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
class Mark:
    """A separator or sign of a number.

    Attributes:
        text: "." for a point or comma, "-" for a minus or hyphen.
        box: x, y, width, height in the picture's pixels.
    """

    text: str
    box: Box

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` and the HTTP API answer for a mark."""
        return {"text": self.text, "box": list(self.box)}


@dataclass(frozen=True)
class Number:
    """One of the numbers of a row.

    Attributes:
        text: digits with their separators and signs, such as "-12.5".
        box: x, y, width, height in the picture's pixels.
    """

    text: str
    box: Box

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` and the HTTP API answer for a number of a row."""
        return {"text": self.text, "box": list(self.box)}


@dataclass(frozen=True)
class LeftOut:
    """Ink of a digit's size that is part of no digit in the answer.

    Attributes:
        box: x, y, width, height in the picture's pixels.
        reason: "text" (it looks like no digit: a letter, a sign, a word), "mark" (too thick, too large or too small for
            a digit of its page: a stain, a drawing, a long minus, crumbs of a digit) or "edge" (the picture's edge cuts
            it off).
    """

    box: Box
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` and the HTTP API answer for ink that was left out."""
        return {"box": list(self.box), "reason": self.reason}


@dataclass(frozen=True)
class NumberReading:
    """The answer for a row of ink: one number, or several on one line.

    Attributes:
        text: digits with their separators and signs, such as "-12.5"; a space where another number begins. In rows of
            pages, `SIGN` where a sign or letter that is not read stands close between two digits: 8 + 3 is "8_3".
        digits: the digits alone.
        confidence: the calibrated probability that all of `text` is right and no digit was left out, 0 to 1.
        accepted: whether there are digits and every one of them is accepted; `items` say which is not.
        items: the digits from left to right.
        marks: the separators and signs from left to right, where the line network read them.
        left_out: ink in this row that is part of no digit.
    """

    text: str
    digits: str
    confidence: float
    accepted: bool
    items: tuple[Item, ...]
    marks: tuple[Mark, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` and the HTTP API answer for a line."""
        return {
            "text": self.text,
            "digits": self.digits,
            "confidence": self.confidence,
            "accepted": self.accepted,
            "items": [item.to_dict() for item in self.items],
            "marks": [mark.to_dict() for mark in self.marks],
            "numbers": [number.to_dict() for number in self.numbers],
        }

    def with_acceptance(self, accepted: bool) -> "NumberReading":
        """Return the same answer, all of its digits accepted or all of them rejected."""
        return replace(self, accepted=accepted, items=tuple(replace(item, accepted=accepted) for item in self.items))

    @property
    def numbers(self) -> tuple[Number, ...]:
        """The numbers of the row, from left to right: what spaces and `SIGN` part in `text`."""
        digits, marks = iter([item.box for item in self.items]), iter([mark.box for mark in self.marks])
        found = []
        for word in self.text.replace(SIGN, " ").split():
            boxes = [box for char in word if (box := next(digits if char.isdecimal() else marks, None))]
            if boxes:
                found.append(Number(word, hull_of(boxes)))
        return tuple(found)

    def with_boxes(self, move: Callable[[Box], Box]) -> "NumberReading":
        """Return the same answer with every box moved, such as from a crop to the picture it is part of."""
        return replace(
            self,
            items=tuple(replace(item, box=move(item.box)) for item in self.items),
            marks=tuple(replace(mark, box=move(mark.box)) for mark in self.marks),
            left_out=tuple(replace(ink, box=move(ink.box)) for ink in self.left_out),
        )


@dataclass(frozen=True)
class PageReading:
    """The answer for a whole picture: its rows in reading order.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        lines: one reading a row, from top to bottom.
        left_out: all ink of a digit's size that is part of no digit, in rows and outside of them.
    """

    width: int
    height: int
    lines: tuple[NumberReading, ...]
    left_out: tuple[LeftOut, ...] = ()

    @property
    def text(self) -> str:
        """All rows, one a line."""
        return "\n".join(line.text for line in self.lines)

    def with_boxes(self, move: Callable[[Box], Box]) -> "PageReading":
        """Return the same answer with every box moved, such as from a reduced copy to the picture itself."""
        lines = tuple(line.with_boxes(move) for line in self.lines)
        return replace(self, lines=lines, left_out=tuple(replace(ink, box=move(ink.box)) for ink in self.left_out))

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` and the HTTP API answer for a picture, but for its name."""
        return {
            "width": self.width,
            "height": self.height,
            "lines": [line.to_dict() for line in self.lines],
            "left_out": [ink.to_dict() for ink in self.left_out],
        }
