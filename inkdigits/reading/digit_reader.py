"""Pictures of one digit each -> readings, by the digit network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.arrays import Box, DigitImage, DigitImages, GrayImage, Probabilities
from inkdigits.errors import ModelError
from inkdigits.reading.adapted import open_model
from inkdigits.reading.calibration import probabilities_of
from inkdigits.reading.model import CHUNK, OnnxModel
from inkdigits.reading.normalise.digit import SIDE, digit_forms
from inkdigits.reading.results import Classified, Item, NumberReading, Reading


class DigitReader:
    """Reads pictures of one digit each with the digit network.

    Args:
        model: an open model, a run directory or an ONNX file; the shipped digit network where None.
        threads: how many the network may use, at least 1; all cores where None. An open model keeps its own.

    Raises:
        ModelError: there is no such model, or it is no digit network that this version can use.
        ValueError: fewer threads than one.
    """

    def __init__(self, model: OnnxModel | str | Path | None = None, threads: int | None = None) -> None:
        self.model = model if isinstance(model, OnnxModel) else open_model(model, threads)
        if tuple(self.model.session.get_inputs()[0].shape[1:]) != (SIDE, SIDE):
            raise ModelError(f"{self.model.path}: not a digit network (its input is not N x {SIDE} x {SIDE})")
        self.model.require("digit", ("classes", "output"))

    @property
    def card(self) -> dict[str, Any]:
        """The network's card: recipe, seed, data, versions, calibration, figures."""
        return self.model.card

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes, in the order of the probabilities' columns."""
        classes: list[str] = self.card["classes"]
        return classes

    def classify(self, images: DigitImages) -> Classified:
        """Return the answers for images that are framed already.

        Args:
            images: uint8 (N, 28, 28), 0 = paper, 255 = ink, in MNIST's form.

        Raises:
            ValueError: another dtype or shape.
        """
        images = np.asarray(images)
        if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
            raise ValueError(f"images must be uint8 (N, {SIDE}, {SIDE}), got {images.dtype} {images.shape}")
        # In chunks to the end: calibration works in float64, which of a million digits at once would take 0.4 GB.
        parts = [self._probabilities(images[i : i + CHUNK]) for i in range(0, max(1, len(images)), CHUNK)]
        probabilities = parts[0] if len(parts) == 1 else np.concatenate(parts)
        confidence = probabilities.max(axis=1)
        accepted = confidence >= self.card.get("threshold", 0.0)
        return Classified(probabilities.argmax(axis=1).astype(np.int64), probabilities, confidence, accepted)

    def _probabilities(self, images: DigitImages) -> Probabilities:
        return probabilities_of(self.model.scores(images), self.card["output"], self.card.get("temperature", 1.0))

    def read(self, images: Sequence[GrayImage]) -> list[Reading]:
        """Return the answers for pictures uint8 (H, W) of one digit each, of any size, paper and polarity."""
        return self._read_forms([digit_forms(image)[0] for image in images])

    def read_placed(self, images: Sequence[GrayImage]) -> list[NumberReading]:
        """Return the answers for pictures of one digit each as rows of one digit, with the box of its ink.

        A picture without any ink is an empty row.
        """
        placed = [digit_forms(image) for image in images]
        readings = self._read_forms([forms for forms, _ in placed])
        return [_as_number(reading, box) for reading, (_, box) in zip(readings, placed, strict=True)]

    def _read_forms(self, pictures: Sequence[Sequence[DigitImage]]) -> list[Reading]:
        """Return an answer for each picture's forms, all of them read in one batch.

        Each form has as much say as it looks like a digit: ruled lines with a digit on them are none, a digit without
        one of its strokes is less of one. Where forms that both look like digits disagree, confidence falls.
        """
        if not pictures:
            return []
        probabilities = self.classify(np.stack([form for forms in pictures for form in forms])).probabilities
        ends = np.cumsum([len(forms) for forms in pictures])
        threshold = self.card.get("threshold", 0.0)
        readings = []
        for forms, of_forms in zip(pictures, np.split(probabilities, ends[:-1]), strict=True):
            mean = of_forms[0] if len(forms) == 1 else _weighted_mean(of_forms)
            digit = int(mean.argmax())
            confidence = float(mean[digit])
            framed = forms[int(of_forms[:, digit].argmax())]
            readings.append(Reading(digit, confidence, confidence >= threshold, mean, framed))
        return readings


def _weighted_mean(of_forms: Probabilities) -> Probabilities:
    """Return float32 (10,), the mean of rows (N, 10), each weighted by its sum: the probability that it is a digit."""
    digitness = of_forms.sum(axis=1)
    return np.asarray(digitness @ of_forms / max(float(digitness.sum()), 1e-9), np.float32)


def _as_number(reading: Reading, box: Box | None) -> NumberReading:
    if box is None:
        return NumberReading("", "", 0.0, False, ())
    others = likeliest_others(reading.probabilities)
    item = Item(reading.digit, reading.confidence, reading.accepted, box, others, reading.framed)
    text = str(reading.digit)
    return NumberReading(text, text, reading.confidence, reading.accepted, (item,))


def likeliest_others(probabilities: Probabilities) -> tuple[tuple[int, float], ...]:
    """Return the second to fourth likeliest digits with their probabilities, of one row float32 (10,)."""
    return tuple((int(digit), float(probabilities[digit])) for digit in np.argsort(-probabilities)[1:4])
