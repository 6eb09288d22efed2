"""`Reader` composes the digit, line and page readers. The only path from a picture to an answer."""

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.errors import ModelError
from inkdigits.files.images import ImageSource, read_image
from inkdigits.reading import decoding
from inkdigits.reading.calibration import probabilities_of
from inkdigits.reading.digit_reader import as_number
from inkdigits.reading.layout.page import find_lines
from inkdigits.reading.layout.structures import TextLine
from inkdigits.reading.line_reader import LINE_CHUNK, LONGEST_ROW, box_to_picture
from inkdigits.reading.model import CHUNK, SHIPPED, OnnxModel, model_path
from inkdigits.reading.normalise.digit import frame_digit, frame_ink, place_digit
from inkdigits.reading.normalise.line import LineImage, ink_box, place_line
from inkdigits.reading.normalise.paper import remove_paper
from inkdigits.reading.page_reader import (
    LEAST_LINKED,
    MOST_LINKED,
    SURELY_ONE,
    TURN_EVIDENCE,
    TURN_LEAST,
    TURN_SAMPLE,
    framed_units,
    is_linked,
    linked_crop,
    page_line,
)
from inkdigits.reading.results import Classified, Item, NumberReading, PageReading, Reading

# Pictures of one number that are taller than this may show more than a cell of a form (logbooks: about 34 px).
LARGEST_CELL_PX = 100


class Reader:
    """Reads digits: with the nets that ship, or with a model of one's own.

    Thread-safe. Opening takes some 50 ms, so keep one for many pictures. Wherever a picture is asked for, it may be
    anything that `images.read_image` takes: a path, bytes, a PIL image or an array.

    Args:
        model: a run directory or an ONNX file which inkdigits exported, used in place of the shipped net of its kind;
            None for both nets that ship.
        threads: how many a net may use; all cores where None. Answers do not depend on it.

    Raises:
        ModelError: the model is missing or breaks the contract (uint8 (N, 28, 28) in, scores (N, classes) out, a card).
    """

    def __init__(self, model: str | Path | None = None, threads: int | None = None) -> None:
        self._threads = threads
        own = None if model is None else OnnxModel(model_path(model), threads)
        if own is not None and own.card.get("kind") == "line":
            self._own_line_net: OnnxModel | None = own
            own = None
        else:
            self._own_line_net = None
        self._digit_net = own or OnnxModel(SHIPPED / "digit.onnx", threads)
        self._opening = threading.Lock()
        if tuple(self._digit_net.session.get_inputs()[0].shape[1:]) != (28, 28):
            raise ModelError(f"{self._digit_net.path}: not a digit net (its input is not N x 28 x 28)")

    @property
    def card(self) -> dict[str, Any]:
        """The digit net's card: recipe, seed, data, versions, calibration, figures."""
        return self._digit_net.card

    @cached_property
    def _line_net(self) -> OnnxModel:
        """The line net, opened when the first row is read: single digits do not need it."""
        with self._opening:
            return self._own_line_net or OnnxModel(SHIPPED / "line.onnx", self._threads)

    @property
    def line_card(self) -> dict[str, Any]:
        """The line net's card."""
        return self._line_net.card

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes, in the order of the probabilities' columns."""
        classes: list[str] = self.card["classes"]
        return classes

    def classify(self, images: np.ndarray) -> Classified:
        """Return the answers for images that are framed already.

        Args:
            images: uint8 (N, 28, 28), 0 = paper, 255 = ink, in MNIST's form.

        Raises:
            ValueError: another dtype or shape.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
            raise ValueError(f"images must be uint8 (N, 28, 28), got {images.dtype} {images.shape}")
        # In chunks to the end: calibration works in float64, which of a million digits at once would take 0.4 GB.
        parts = [self._probabilities(images[i : i + CHUNK]) for i in range(0, max(1, len(images)), CHUNK)]
        probabilities = parts[0] if len(parts) == 1 else np.concatenate(parts)
        confidence = probabilities.max(axis=1)
        accepted = confidence >= self.card.get("threshold", 0.0)
        return Classified(probabilities.argmax(axis=1).astype(np.int64), probabilities, confidence, accepted)

    def _probabilities(self, images: np.ndarray) -> np.ndarray:
        scores = self._digit_net.scores(images)
        return probabilities_of(scores, self.card["output"], self.card.get("temperature", 1.0))

    def frame(self, image: ImageSource) -> np.ndarray:
        """Return what the digit net sees of a picture of one digit: uint8 (28, 28)."""
        return frame_digit(read_image(image))

    def read_digit(self, image: ImageSource) -> Reading:
        """Return the answer for a picture that shows one digit.

        Raises:
            ImageError: the picture cannot be read.
        """
        return self.read_digits([image])[0]

    def read_digits(self, images: Sequence[ImageSource]) -> list[Reading]:
        """Return the answers for many pictures of one digit each, through one call of the net.

        Raises:
            ImageError: a picture cannot be read.
        """
        return self._readings([self.frame(image) for image in images])

    def _readings(self, framed: Sequence[np.ndarray]) -> list[Reading]:
        images = np.stack(framed) if framed else np.zeros((0, 28, 28), np.uint8)
        found = self.classify(images)
        return [
            Reading(
                int(found.labels[i]), float(found.confidence[i]), bool(found.accepted[i]), found.probabilities[i], image
            )
            for i, image in enumerate(images)
        ]

    def read_number(self, image: ImageSource) -> NumberReading:
        """Return the answer for a picture that shows one number, such as a cell of a form.

        Raises:
            ImageError: the picture cannot be read.
        """
        return self._read_numbers([read_image(image)])[0]

    def read_page(self, image: ImageSource) -> PageReading:
        """Return the answer for a picture with any number of rows.

        Raises:
            ImageError: the picture cannot be read.
        """
        return self.read(image, "page")

    def read(self, image: ImageSource, layout: str = "page") -> PageReading:
        """Return the answer for a picture, in the form of a page whatever its layout.

        Args:
            image: the picture.
            layout: "digit" (the whole picture is one digit), "number" (one number) or "page" (any number of rows).

        Raises:
            ImageError: the picture cannot be read.
            ValueError: no such layout.
        """
        return self.read_many([image], layout)[0]

    def read_many(self, images: Sequence[ImageSource], layout: str = "page") -> list[PageReading]:
        """Return for each picture what `read` answers, through as few calls of the nets as there can be.

        Raises:
            ImageError: a picture cannot be read.
            ValueError: no such layout.
        """
        greys = [read_image(image) for image in images]
        if layout == "digit":
            placed = [place_digit(grey) for grey in greys]
            readings = self._readings([framed for framed, _ in placed])
            lines = [[as_number(reading, box)] for reading, (_, box) in zip(readings, placed, strict=True)]
        elif layout == "number":
            lines = [[line] for line in self._read_numbers(greys)]
        elif layout == "page":
            lines = [rows or self._lone_digit(grey) for rows, grey in zip(self._read_pages(greys), greys, strict=True)]
        else:
            raise ValueError(f"layout must be digit, number or page, got {layout!r}")
        return [
            PageReading(grey.shape[1], grey.shape[0], tuple(line for line in found if line.digits))
            for grey, found in zip(greys, lines, strict=True)
        ]

    def _read_numbers(self, greys: Sequence[np.ndarray]) -> list[NumberReading]:
        """Return each picture's one number: as the line net reads it, or where that is doubtful as its row is found.

        A cell fills its picture; on a large one the number may be anywhere, and small beside it.
        """
        lines = self._read_rows([(grey, np.eye(3)) for grey in greys])
        for i, grey in enumerate(greys):
            if lines[i].confidence < 0.5 and len(grey) > LARGEST_CELL_PX:
                rows = [row for row in self._read_pages([grey])[0] if row.digits]
                if len(rows) == 1 and rows[0].confidence > max(0.6, lines[i].confidence):
                    lines[i] = rows[0]
        return lines

    def _lone_digit(self, grey: np.ndarray) -> list[NumberReading]:
        """Return the row of a picture that a digit fills, as MNIST's do, too tightly for a page; none if it is none."""
        framed, box = place_digit(grey)
        reading = self._readings([framed])[0]
        return [as_number(reading, box)] if reading.accepted and box else []

    def _read_pages(self, greys: Sequence[np.ndarray]) -> list[list[NumberReading]]:
        """Return each picture's rows: pieces of ink that are one digit by the digit net, linked digits by the line net.

        On the shared photographs the digit net alone reads more than the line net, which takes operators for digits.
        """
        sheets = [self._upright_rows(grey) for grey in greys]
        rows = [row for sheet, _ in sheets for row in sheet]
        framed = np.concatenate([images for _, images in sheets] or [framed_units([])])
        found = self.classify(framed)
        linked = self._linked(rows, found)
        starts = np.cumsum([0] + [len(row.boxes) for row in rows])
        lines = iter([page_line(r, n, found, framed, linked) for r, n in zip(rows, starts[:-1].tolist(), strict=True)])
        return [[next(lines) for _ in sheet] for sheet, _ in sheets]

    def _upright_rows(self, grey: np.ndarray) -> tuple[list[TextLine], np.ndarray]:
        """Return a picture's rows, the sheet turned upright if need be, and all their pieces uint8 (N, 28, 28)."""
        rows = find_lines(grey)
        framed = framed_units(rows)
        turns = self._quarter_turns(framed)
        if turns:
            rows = find_lines(grey, turns)
            framed = framed_units(rows)
        return rows, framed

    def _quarter_turns(self, framed: np.ndarray) -> int:
        """Return how often a page must be turned counter-clockwise for its ink to look like digits."""
        some = framed[:: -(-len(framed) // TURN_SAMPLE) or 1]
        if len(some) < TURN_LEAST or self.classify(some).confidence.mean() > 0.95:
            return 0
        views = [self.classify(np.ascontiguousarray(np.rot90(some, turns, (1, 2)))) for turns in range(4)]
        # Most things, laid on their side, have something of a 1: those say little.
        sure = np.array([np.where(view.labels == 1, 0.3, 1.0) * view.confidence for view in views])
        evidence = np.log(np.maximum(sure, 0.05)).sum(axis=1)
        best = int(evidence.argmax())
        return best if evidence[best] > evidence[0] + TURN_EVIDENCE and sure[best].mean() > 0.5 else 0

    def _linked(self, rows: Sequence[TextLine], found: Classified) -> dict[int, NumberReading]:
        """Return the pieces (their places in `found`) that the line net takes for several digits, as it reads them."""
        digitness = found.probabilities.sum(axis=1)
        pieces = [(row, index) for row in rows for index in range(len(row.boxes))]
        wide = np.array([row.boxes[index, 2] >= 0.65 * row.boxes[index, 3] for row, index in pieces], bool)
        doubtful = np.flatnonzero((digitness < SURELY_ONE) & wide)[:MOST_LINKED].tolist()
        readings = self._read_rows([linked_crop(*pieces[number]) for number in doubtful]) if doubtful else []
        return {
            number: reading
            for number, reading in zip(doubtful, readings, strict=True)
            if is_linked(reading, *pieces[number])
            and reading.confidence > digitness[number]
            and reading.confidence * self._digitness_of_cuts(reading) > LEAST_LINKED
        }

    def _digitness_of_cuts(self, reading: NumberReading) -> float:
        """Return how far the digits that the line net sees in a piece look like digits, cut apart, to the digit net."""
        cuts = self.classify(np.stack([item.framed for item in reading.items]))
        return float(cuts.probabilities.sum(axis=1).mean())

    def _read_rows(self, crops: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[NumberReading]:
        """Return the answers for crops uint8 (h, w) of one row each, with the transforms that take them to the picture.

        Every view of every row goes through the line net in few calls.
        """
        card = self.line_card
        height, views = card["height"], card.get("views", [{}])
        # A row of a pixel's height, stretched to the net's, would be a strip of a million columns.
        crops = [(crop[:, : LONGEST_ROW * len(crop)], to_picture) for crop, to_picture in crops]
        strips = [[place_line(crop, height, **view) for view in views] for crop, _ in crops]
        scores = self._line_scores([strip.image for row in strips for strip in row])
        alphabet, temperature = "".join(card["classes"]), card["temperature"]
        answers = []
        for i, (crop, to_picture) in enumerate(crops):
            found = decoding.decode(scores[i * len(views) : (i + 1) * len(views)], alphabet, temperature)
            answers.append(self._number(found, crop, strips[i][0], to_picture))
        return answers

    def _line_scores(self, strips: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the line net's scores (columns, classes) of strips (height, width), strips of one width in one batch.

        No strip is padded to another's width, so its scores do not depend on what else is read.
        """
        scores: list[np.ndarray] = [np.zeros((0, 0), np.float32)] * len(strips)
        widths: dict[int, list[int]] = {}
        for i, strip in enumerate(strips):
            widths.setdefault(strip.shape[1], []).append(i)
        for members in widths.values():
            for start in range(0, len(members), LINE_CHUNK):
                batch = members[start : start + LINE_CHUNK]
                for i, row in zip(batch, self._line_net.scores(np.stack([strips[i] for i in batch])), strict=True):
                    scores[i] = row
        return scores

    def _number(
        self, row: decoding.Decoded, crop: np.ndarray, strip: LineImage, to_picture: np.ndarray
    ) -> NumberReading:
        """Return a decoded row with the place of each digit in the picture, and its ink in MNIST's form."""
        stride, threshold = self.line_card["stride"], self.line_card["threshold"]
        ink = remove_paper(crop)
        items = []
        for i, digit in enumerate(row.digits):
            x, y, width, height = ink_box(ink, strip, stride * row.spans[i][0], stride * row.spans[i][1])
            items.append(
                Item(
                    int(digit),
                    row.confidences[i],
                    row.confidences[i] >= threshold,
                    box_to_picture((x, y, width, height), to_picture),
                    row.alternatives[i],
                    frame_ink(ink[y : y + height, x : x + width]),
                )
            )
        accepted = bool(items) and all(item.accepted for item in items)
        return NumberReading(row.text, row.digits, row.probability, accepted, tuple(items))
