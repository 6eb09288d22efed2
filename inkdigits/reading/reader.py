"""`Reader` composes the digit, line and page readers. The only path from a picture to an answer."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.arrays import Box, DigitImage, DigitImages, GrayImage
from inkdigits.errors import require
from inkdigits.files.images import ImageSource, LoadedImage, load_image, read_image
from inkdigits.reading.adapted import naming_undo, open_model, parts_of
from inkdigits.reading.decoding import Allowed
from inkdigits.reading.digit_reader import DigitReader
from inkdigits.reading.line_reader import LineReader
from inkdigits.reading.model import SHIPPED
from inkdigits.reading.normalise.digit import frame_digit
from inkdigits.reading.page_reader import PageReader
from inkdigits.reading.promise import load_promise
from inkdigits.reading.results import Classified, NumberReading, PageReading, Reading
from inkdigits.reading.row_reader import RowReader
from inkdigits.reading.second_opinion import WEIGHT, TextRecogniser, with_opinions

LAYOUTS = ("digit", "number", "page")
# Pictures of one number that are taller than this may show more than a cell of a form (logbooks: about 34 px).
LARGEST_CELL_PX = 100


class Reader:
    """Reads digits: with the networks that ship, or with a model of one's own.

    Thread-safe. Opening takes some 50 ms, so keep one for many pictures. Wherever a picture is asked for, it may be
    anything that `files.images.read_image` takes: a path, bytes, a file opened in binary mode, a PIL image or an array.
    Boxes are always in the pixels of the picture as it is stored, after its EXIF turn, even where a picture of more
    than 50 megapixels is read reduced.

    Args:
        model: a run directory or an ONNX file that inkdigits exported, used in place of the shipped network of its
            kind; or the folder of a hand that `inkdigits adapt` learned; None for both networks that ship.
        threads: how many a network may use, at least 1; all cores where None. Answers do not depend on it.
        text_detector: whether pages are also searched with PP-OCR's text detector, which the extra `pages` installs: it
            finds numbers on photographs that our page finder alone does not, and takes longer. Where installed if None.
            With it, every found row has a second opinion.
        threshold: 0 to 1: digits and numbers of this confidence and above are accepted, no others, whatever the
            networks' cards say. It changes nothing but `accepted`. On pages, whose rows are also rejected where the two
            ways of reading them disagree, rows below it are rejected, too.
        promise: a file that `inkdigits evaluate --cells FOLDER --risk SHARE --save FILE` wrote, in place of a
            threshold: numbers are accepted from its threshold on. It is about pictures and regions of one number each,
            and such a reader answers nothing else.
        second_opinion: whether pictures and regions of one number, too, are read by PP-OCR's text recogniser as well
            (extra `pages`), the likelier answer staying: more are right, and reading one takes several times as long.
        risk: with `promise`: another share of accepted numbers that may be wrong, as far as the same sample allows it.

    Attributes:
        threshold: from which confidence on answers are accepted; None where the networks' cards say so.
        promise: the promise that is kept, if any.
        digits: the digit reader, usable alone on grey arrays.
        lines: the line reader, usable alone on grey arrays of one row each.
        pages: the page reader, usable alone on grey arrays.

    Raises:
        ModelError: the model is missing or breaks the contract (uint8 (N, 28, 28) in, scores (N, classes) out, a card),
            or it was trained behind another version of the normalisation.
        PromiseError: the promise is missing, damaged, about other networks or another version of the normalisation
            (it is withdrawn then), or its sample does not allow the risk.
        ValueError: fewer threads than one, a threshold or risk out of range, a threshold beside a promise, a risk
            without one.
        MissingExtraError: a text detector is asked for, and the extra is not installed.

    Examples:
        >>> import cv2, numpy as np
        >>> picture = np.full((260, 320), 255, np.uint8)
        >>> _ = cv2.putText(picture, "273", (30, 90), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 0, 6)
        >>> _ = cv2.putText(picture, "845", (30, 210), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 0, 6)
        >>> reader = Reader()
        >>> [line.text for line in reader.read_page(picture).lines]
        ['273', '845']
    """

    def __init__(
        self,
        model: str | Path | None = None,
        threads: int | None = None,
        text_detector: bool | None = None,
        *,
        second_opinion: bool = False,
        threshold: float | None = None,
        promise: str | Path | None = None,
        risk: float | None = None,
    ) -> None:
        _check_acceptance(threshold, promise, risk)
        if text_detector or second_opinion:
            require("rapidocr")
        digit, line = parts_of(model)
        own = open_model(digit, threads)
        is_line = own.card.get("kind") == "line"
        self.digits = DigitReader(None if is_line else own, threads)
        with naming_undo(line):
            self.lines = LineReader(own if is_line else line, threads)
        self._recogniser = TextRecogniser(threads) if second_opinion else None
        self._second = f"rapidocr {version('rapidocr')}, weight {WEIGHT:g}" if second_opinion else ""
        rows = RowReader(
            self.digits, self.lines, threads=threads, text_detector=text_detector, recogniser=self._recogniser
        )
        self.pages = PageReader(self.digits, self.lines, rows)
        self.threshold, self.promise = threshold, None
        if promise is not None:
            self.promise = load_promise(promise, self.networks())
            self.threshold = self.promise.threshold if risk is None else self.promise.threshold_for(risk)

    def networks(self) -> dict[str, str]:
        """Return the SHA-256 of the file of each network: "digit", "line" and "finder".

        With a second opinion also "second_opinion": the version of the package that has its network, and how it counts.
        """
        finder = hashlib.sha256((SHIPPED / "finder.onnx").read_bytes()).hexdigest()
        own = {"digit": self.digits.model.sha256, "line": self.lines.model.sha256, "finder": finder}
        return own | {"second_opinion": self._second} if self._second else own

    @property
    def card(self) -> dict[str, Any]:
        """The digit network's card: recipe, seed, data, versions, calibration, figures."""
        return self.digits.card

    @property
    def line_card(self) -> dict[str, Any]:
        """The line network's card."""
        return self.lines.card

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the digit and the line network and the second opinion: of others come other answers."""
        own = self.digits.model.sha256 + self.lines.model.sha256
        return hashlib.sha256((own + self._second).encode()).hexdigest()

    @property
    def classes(self) -> Sequence[str]:
        """The names of the classes, in the order of the probabilities' columns."""
        return self.digits.classes

    def classify(self, images: DigitImages) -> Classified:
        """Return the answers for images that are framed already.

        Args:
            images: uint8 (N, 28, 28), 0 = paper, 255 = ink, in MNIST's form.

        Raises:
            ValueError: another dtype or shape, or the reader keeps a promise, which is about numbers.
        """
        threshold, found = self._threshold("digit"), self.digits.classify(images)
        return found if threshold is None else replace(found, accepted=found.confidence >= threshold)

    def frame(self, image: ImageSource) -> DigitImage:
        """Return what the digit network sees of a picture of one digit: uint8 (28, 28).

        Raises:
            ImageError: the picture cannot be read.

        Examples:
            >>> import numpy as np
            >>> picture = np.full((200, 150), 230, np.uint8)  # paper
            >>> picture[60:140, 100:108] = 40  # a stroke
            >>> framed = Reader().frame(picture)
            >>> framed.shape, int(framed[0, 0]), bool(framed[14, 14] > 128)
            ((28, 28), 0, True)
        """
        return frame_digit(read_image(image))

    def read_digit(self, image: ImageSource) -> Reading:
        """Return the answer for a picture that shows one digit.

        Raises:
            ImageError: the picture cannot be read.

        Examples:
            >>> import cv2, numpy as np
            >>> picture = np.full((120, 100), 255, np.uint8)
            >>> _ = cv2.putText(picture, "7", (20, 90), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 0, 6)
            >>> reading = Reader().read_digit(picture)
            >>> reading.digit, reading.accepted, reading.confidence > 0.9
            (7, True, True)
        """
        return self.read_digits([image])[0]

    def read_digits(self, images: Sequence[ImageSource]) -> list[Reading]:
        """Return the answers for many pictures of one digit each, through one call of the network.

        Raises:
            ImageError: a picture cannot be read.
            ValueError: the reader keeps a promise, which is about numbers.
        """
        threshold, found = self._threshold("digit"), self.digits.read([read_image(image) for image in images])
        if threshold is None:
            return found
        return [replace(reading, accepted=reading.confidence >= threshold) for reading in found]

    def read_number(self, image: ImageSource) -> NumberReading:
        """Return the answer for a picture that shows one number, such as a cell of a form.

        Raises:
            ImageError: the picture cannot be read.

        Examples:
            >>> import cv2, numpy as np
            >>> picture = np.full((120, 220), 255, np.uint8)
            >>> _ = cv2.putText(picture, "273", (20, 90), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 0, 6)
            >>> number = Reader().read_number(picture)
            >>> number.text, [item.digit for item in number.items]
            ('273', [2, 7, 3])
        """
        picture = load_image(image)
        return self._read_one_each([picture.pixels], "number")[0].with_boxes(picture.to_stored)

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
            ValueError: no such layout, or the reader keeps a promise, and the layout is not "number".
        """
        return self.read_many([image], layout)[0]

    def read_many(self, images: Sequence[ImageSource], layout: str = "page") -> list[PageReading]:
        """Return for each picture what `read` answers, through as few calls of the networks as possible.

        Args:
            images: the pictures.
            layout: what each of them holds, as for `read`.

        Raises:
            ImageError: a picture cannot be read.
            ValueError: as for `read`.
        """
        if layout not in LAYOUTS:
            raise ValueError(f"layout must be digit, number or page, got {layout!r}")
        pictures = [load_image(image) for image in images]
        greys = [picture.pixels for picture in pictures]
        if layout == "page":
            found = self._read_pages(greys)
        else:
            lines = self._read_one_each(greys, layout)
            found = [_page_of(line, grey) for line, grey in zip(lines, greys, strict=True)]
        return [_as_stored(picture, page) for picture, page in zip(pictures, found, strict=True)]

    def read_regions(self, image: ImageSource, boxes: Sequence[Box], layout: str = "number") -> list[NumberReading]:
        """Return the answers for given places of one picture, such as the fields of a form, read in one batch.

        The answers are those for the same places cut out and read by `read_many`, but that boxes of digits are in the
        whole picture.

        Args:
            image: the picture.
            boxes: x, y, width, height of each place in the picture's pixels, as it stands after its EXIF turn. What
                lies outside the picture is cut off.
            layout: "number" (each place shows one number) or "digit" (each shows one digit).

        Returns:
            One reading a box, in their order. A place in which nothing is written has `digits` "" and no items.

        Raises:
            ImageError: the picture cannot be read.
            ValueError: no such layout, or a box without area or wholly outside the picture; its index is named. Or the
                reader keeps a promise, and the layout is not "number".
        """
        if layout not in ("digit", "number"):
            raise ValueError(f"layout must be digit or number, got {layout!r}")
        picture = load_image(image)
        places, crops = _cut_out(picture, boxes)

        def moved(line: NumberReading, left: int, top: int) -> NumberReading:
            return line.with_boxes(lambda box: picture.to_stored((box[0] + left, box[1] + top, box[2], box[3])))

        lines = self._read_one_each(crops, layout)
        return [moved(line, x, y) for line, (x, y, _, _) in zip(lines, places, strict=True)]

    def read_allowed(
        self, image: ImageSource, boxes: Sequence[Box], allowed: Sequence[Allowed]
    ) -> list[tuple[tuple[str, float], ...]]:
        """Return for places of one picture, each of one number, the allowed values that may stand there.

        The line network's search keeps to what is allowed, so that an allowed value is found that `read_regions` would
        not think of.

        Args:
            image: the picture.
            boxes: as for `read_regions`.
            allowed: which texts are, one for each box.

        Returns:
            For each box values, the likeliest first, each with its calibrated probability among all texts, 0 to 1:
            what is allowed but does not look like what is written stays unlikely. None where none is found.

        Raises:
            ImageError, ValueError: as for `read_regions`.
        """
        return self.lines.read_allowed(_cut_out(load_image(image), boxes)[1], allowed)

    def _read_one_each(self, greys: Sequence[GrayImage], layout: str) -> list[NumberReading]:
        """Return the one digit or number of each picture."""
        threshold = self._threshold(layout)
        lines = self.digits.read_placed(greys) if layout == "digit" else self._read_numbers(greys)
        if threshold is None:
            return lines
        return [line.with_acceptance(bool(line.digits) and line.confidence >= threshold) for line in lines]

    def _read_pages(self, greys: Sequence[GrayImage]) -> list[PageReading]:
        threshold, pages = self._threshold("page"), self.pages.read(greys)
        if threshold is None:
            return pages
        return [replace(page, lines=tuple(_rejected_below(threshold, line) for line in page.lines)) for page in pages]

    def _threshold(self, layout: str) -> float | None:
        """Return from which confidence on answers are accepted in a layout; None where the networks' cards say so.

        Raises:
            ValueError: the reader keeps a promise that is not about this layout.
        """
        if self.promise is not None and layout != "number":
            raise ValueError(f"a promise is about pictures of one number each (layout number), not about {layout}")
        return self.threshold

    def _read_numbers(self, greys: Sequence[GrayImage]) -> list[NumberReading]:
        """Return each picture's one number: as its whole row is read, or as its row is found if that is unsure.

        A cell fills its picture; on a large one the number may be anywhere, and small beside it.
        """
        lines = self.lines.read(greys)
        if self._recogniser is not None:
            crops = [(grey, np.eye(3)) for grey in greys]
            lines = [line for line, _ in with_opinions(self.lines, self._recogniser, crops, lines)]
        for i, grey in enumerate(greys):
            if lines[i].confidence < 0.5 and len(grey) > LARGEST_CELL_PX:
                rows = [row for row in self.pages.read([grey])[0].lines if row.digits]
                if len(rows) == 1 and rows[0].confidence > max(0.6, lines[i].confidence):
                    lines[i] = rows[0]
        return lines


def _check_acceptance(threshold: float | None, promise: str | Path | None, risk: float | None) -> None:
    """Raise ValueError where it is not clear from which confidence on answers are accepted."""
    if threshold is not None and promise is not None:
        raise ValueError("give a threshold or a promise, not both")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be 0 to 1, got {threshold}")
    if risk is not None and (promise is None or not 0 < risk < 1):
        raise ValueError("risk goes with a promise and lies between 0 and 1, such as 0.01")


def _rejected_below(threshold: float, line: NumberReading) -> NumberReading:
    return line if line.confidence >= threshold else line.with_acceptance(False)


def _page_of(line: NumberReading, grey: GrayImage) -> PageReading:
    return PageReading(grey.shape[1], grey.shape[0], (line,), line.left_out)


def _as_stored(picture: LoadedImage, page: PageReading) -> PageReading:
    """Return the rows that hold digits, with all boxes in the stored picture's pixels."""
    page = replace(page, lines=tuple(line for line in page.lines if line.digits))
    page = page.with_boxes(picture.to_stored) if picture.reduction > 1 else page
    return replace(page, width=picture.width, height=picture.height)


def _cut_out(picture: LoadedImage, boxes: Sequence[Box]) -> tuple[list[Box], list[GrayImage]]:
    """Return the places that boxes have in a picture's pixels, and the pixels there.

    Raises:
        ValueError: as for `_place_in`.
    """
    places = [_place_in(picture, box, index) for index, box in enumerate(boxes)]
    return places, [np.ascontiguousarray(picture.pixels[y : y + h, x : x + w]) for x, y, w, h in places]


def _place_in(picture: LoadedImage, box: Box, index: int) -> Box:
    """Return the part of a box that lies in the picture, in its pixels as they were read.

    Raises:
        ValueError: the box has no area, or no part of it lies in the picture.
    """
    x, y, width, height = (int(value) for value in box)
    if width <= 0 or height <= 0:
        raise ValueError(f"box {index}: no area (x {x}, y {y}, width {width}, height {height})")
    left, top, right, bottom = max(0, x), max(0, y), min(picture.width, x + width), min(picture.height, y + height)
    if left >= right or top >= bottom:
        raise ValueError(
            f"box {index}: outside the picture of {picture.width} x {picture.height} pixels "
            f"(x {x}, y {y}, width {width}, height {height})"
        )
    return picture.from_stored((left, top, right - left, bottom - top))
