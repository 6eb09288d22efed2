"""Line images -> numbers, by the line network."""

import itertools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from inkdigits.arrays import Box, GrayImage, Scores, Transform
from inkdigits.errors import ModelError
from inkdigits.reading import decoding
from inkdigits.reading.geometry import box_around, corners_of, map_points
from inkdigits.reading.model import SHIPPED, OnnxModel, check_threads, model_path
from inkdigits.reading.normalise.digit import frame_ink
from inkdigits.reading.normalise.line import LineImage, ink_box, place_views
from inkdigits.reading.normalise.paper import remove_paper
from inkdigits.reading.results import Item, LeftOut, Mark, NumberReading

# In its own heights: what is longer is no row of digits, and only its beginning is read.
LONGEST_ROW = 200
LINE_CHUNK = 64

# A crop uint8 (h, w) of one row, and the transform (3, 3) that takes its pixels to the picture's.
Crop: TypeAlias = tuple[GrayImage, Transform]


class LineReader:
    """Reads pictures of one row of digits each with the line network.

    Thread-safe. The shipped network is opened when it is first needed: single digits do not need it.

    Args:
        model: an open model, a run directory or an ONNX file; the shipped line network where None.
        threads: how many the network may use, at least 1; all cores where None. An open model keeps its own.

    Raises:
        ModelError: there is no such model, or it is no line network that this version can use.
        ValueError: fewer threads than one.
    """

    def __init__(self, model: OnnxModel | str | Path | None = None, threads: int | None = None) -> None:
        check_threads(threads)
        self._threads = threads
        self._opening = threading.Lock()
        self._model: OnnxModel | None = None
        if model is not None:
            self._model = _checked(model if isinstance(model, OnnxModel) else OnnxModel(model_path(model), threads))

    @property
    def model(self) -> OnnxModel:
        """The line network."""
        with self._opening:
            if self._model is None:
                self._model = _checked(OnnxModel(SHIPPED / "line.onnx", self._threads))
            return self._model

    @property
    def card(self) -> dict[str, Any]:
        """The network's card: recipe, seed, data, versions, calibration, figures."""
        return self.model.card

    def read(self, images: Sequence[GrayImage]) -> list[NumberReading]:
        """Return the answers for pictures uint8 (H, W) that one row of digits fills, of any paper and polarity."""
        return self.read_crops([(image, np.eye(3)) for image in images])

    def read_crops(self, crops: Sequence[Crop]) -> list[NumberReading]:
        """Return the answers for crops of one row each, with boxes in the pictures that they were cut from.

        Every view of every row goes through the network in few calls.
        """
        card = self.card
        # A row of a pixel's height, stretched to the network's, would be a line image of a million columns.
        crops = [(crop[:, : LONGEST_ROW * len(crop)], to_picture) for crop, to_picture in crops]
        answers = []
        for crop, (lines, scores) in zip(crops, self._views([image for image, _ in crops]), strict=True):
            found = decoding.decode(scores, self._alphabet, card["temperature"])
            answers.append(_number(found, crop, lines[0], card["stride"], card["threshold"]))
        return answers

    def read_as(self, crops: Sequence[Crop], values: Sequence[str]) -> list[NumberReading | None]:
        """Return the answers for crops if they have certain values; None where the network cannot see these at all.

        Args:
            crops: as for `read_crops`.
            values: of each, see `decoding.value_of`.
        """
        card = self.card
        crops = [(crop[:, : LONGEST_ROW * len(crop)], to_picture) for crop, to_picture in crops]
        answers: list[NumberReading | None] = []
        views = self._views([image for image, _ in crops])
        for crop, (lines, scores), value in zip(crops, views, values, strict=True):
            found = decoding.decode_as(scores, self._alphabet, value, card["temperature"])
            answers.append(_number(found, crop, lines[0], card["stride"], card["threshold"]) if found else None)
        return answers

    def read_allowed(
        self, images: Sequence[GrayImage], allowed: Sequence[decoding.Allowed]
    ) -> list[tuple[tuple[str, float], ...]]:
        """Return the allowed values that pictures of one row each may say, as `decoding.decode_allowed` does.

        Args:
            images: uint8 (H, W), as for `read`.
            allowed: which texts are, one for each picture.
        """
        images = [image[:, : LONGEST_ROW * len(image)] for image in images]
        return [
            decoding.decode_allowed(
                [decoding.softmax(view) for view in scores], self._alphabet, each, self.card["temperature"]
            )
            for (_, scores), each in zip(self._views(images), allowed, strict=True)
        ]

    @property
    def _alphabet(self) -> str:
        return "".join(self.card["classes"])

    def _views(self, images: Sequence[GrayImage]) -> list[tuple[list[LineImage], list[Scores]]]:
        """Return each picture's line images, one a view, with each member's scores (columns, classes) of each."""
        height, views = self.card["height"], self.card.get("views", [{}])
        rows = [place_views(image, height, views) for image in images]
        scores = iter(self._scores([line.image for row in rows for line in row]))
        return [(row, [view for views in itertools.islice(scores, len(row)) for view in views]) for row in rows]

    def _scores(self, images: Sequence[GrayImage]) -> list[Scores]:
        """Return scores (members, columns, classes) of images (height, width), images of one width in one batch.

        No line image is padded to another's width, so its scores do not depend on what else is read.
        """
        scores: list[Scores] = [np.zeros((0, 0, 0), np.float32)] * len(images)
        widths: dict[int, list[int]] = {}
        for i, line in enumerate(images):
            widths.setdefault(line.shape[1], []).append(i)
        for members in widths.values():
            for start in range(0, len(members), LINE_CHUNK):
                batch = members[start : start + LINE_CHUNK]
                answers = by_member(self.model.scores(np.stack([images[i] for i in batch])))
                for i, answer in zip(batch, answers, strict=True):
                    scores[i] = answer
        return scores


def by_member(scores: Scores) -> Scores:
    """Return a line network's scores as (N, members, columns, classes), those of one alone with an axis more."""
    return scores if scores.ndim == 4 else scores[:, None]


def _checked(model: OnnxModel) -> OnnxModel:
    if model.card.get("kind") != "line":
        raise ModelError(f"{model.path}: not a line network (its card says {model.card.get('kind', 'nothing')!r})")
    model.require("line", ("classes", "height", "stride", "temperature", "threshold"))
    return model


def _number(row: decoding.Decoded, crop: Crop, line: LineImage, stride: float, threshold: float) -> NumberReading:
    """Return a decoded row with the place of each character in the picture, and the digits' ink in MNIST's form."""
    image, to_picture = crop
    ink = remove_paper(image)

    def in_picture(box: Box) -> Box:
        return box_around(map_points(to_picture, corners_of(box)), slack_px=1e-6)

    def box_of(span: decoding.Span, is_whole: bool = False) -> Box:
        return ink_box(ink, line, stride * span[0], stride * span[1], is_whole)

    items = []
    for i, digit in enumerate(row.digits):
        x, y, width, height = box_of(row.spans[i])
        items.append(
            Item(
                int(digit),
                row.confidences[i],
                min(row.confidences[i], row.probability) >= threshold,
                in_picture((x, y, width, height)),
                row.alternatives[i],
                frame_ink(ink[y : y + height, x : x + width]),
            )
        )
    accepted = bool(items) and all(item.accepted for item in items)
    marks = tuple(Mark(char, in_picture(box_of(span, is_whole=True))) for char, span in row.marks)
    left_out = [LeftOut(in_picture(box_of(span)), "text") for span in row.others]
    left_out += [LeftOut(in_picture(box), "mark") for box in line.beyond]
    return NumberReading(row.text, row.digits, row.probability, accepted, tuple(items), marks, tuple(left_out))
