"""`Reader`: frames, runs the nets, calibrates, accepts or refuses. The only path from a picture to an answer."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from inkdigits import decoding, framing, page
from inkdigits.errors import ModelError
from inkdigits.files.images import ImageSource, read_image
from inkdigits.machine import cores

SHIPPED = Path(__file__).parent / "models"
# More images in one call gain nothing and only fill memory: a convolutional net's activations are ~100 times its input.
CHUNK = 256
# In its own heights: what is longer is no row of digits, and only its beginning is read.
LONGEST_ROW = 200
LINE_CHUNK = 64
# Pictures of one number that are taller than this may show more than a cell of a form (logbooks: about 34 px).
LARGEST_CELL_PX = 100
# On a page, a piece of ink less likely than this to be a digit is left out: a letter, an operator, a speck.
LEAST_DIGIT = 0.1
# A piece of ink less likely than this to be one digit may be several linked ones; of so many the line net is asked.
SURELY_ONE = 0.8
MOST_LINKED = 256
# The line net's confidence in a piece times the digit net's in its cuts. Over 0.33 lie 95 % of touching pairs of digits
# that neither net learned from (MNIST's training images, n = 469), over 0.46 90 %; over 0.31 lie 42 % of letters that
# the line net takes for numbers (n = 110), over 0.49 16 %. Longer chains are less sure than pairs.
LEAST_LINKED = 0.4
# A page's way up is told from so many pieces of its ink, and it is turned where so much (in nats) speaks for it. Few
# pieces say too little: a lone W on its side looks like a 3.
TURN_LEAST = 4
TURN_SAMPLE = 48
TURN_EVIDENCE = 2.0


@dataclass(frozen=True)
class Classified:
    """Answers for N framed images.

    Attributes:
        labels: int64 (N,), the most probable class, whether accepted or not.
        probabilities: float32 (N, classes), calibrated; where the net knows "no digit" they sum to less than 1.
        confidence: float32 (N,), the largest probability of each row.
        accepted: bool (N,), confidence >= the card's threshold.
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
        accepted: False where the picture is doubtful or no digit.
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


class Net:
    """An ONNX file and its card: uint8 pixels in, raw scores out.

    Raises:
        ModelError: the file is missing, is no ONNX model, or carries no card.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path = path
        self.session = _open_session(path, threads)
        self.card = _card_of(self.session, path)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the net's float32 scores for uint8 (N, H, W), in chunks so that memory stays flat."""
        chunks = [images[i : i + CHUNK] for i in range(0, len(images), CHUNK)] or [images]
        return np.concatenate([self.session.run(["scores"], {"images": chunk})[0] for chunk in chunks])


def _open_session(path: Path, threads: int | None) -> ort.InferenceSession:
    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = cores() if threads is None else threads
    # Threads that spin between two small calls take the cores from decoding and from other readers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        raise ModelError(f"{path}: not a readable ONNX model ({str(error).splitlines()[0][:120]})") from None


def _card_of(session: ort.InferenceSession, path: Path) -> dict[str, Any]:
    raw = session.get_modelmeta().custom_metadata_map.get("card")
    if raw is None:
        raise ModelError(f"{path}: carries no inkdigits card; export it with `inkdigits train`")
    card: dict[str, Any] = json.loads(raw)
    return card


def load_card(model: str | Path | None = None) -> dict[str, Any]:
    """Return the card of a model file, a run directory, or the shipped digit net (None).

    Raises:
        ModelError: there is no such model, or it carries no card.
    """
    return Net(model_path(model)).card


def model_path(model: str | Path | None) -> Path:
    """Return the ONNX file that `model` means: a file, a run directory, or None for the shipped digit net."""
    if model is None:
        return SHIPPED / "digit.onnx"
    path = Path(model)
    return path / "model.onnx" if path.is_dir() else path


def probabilities_of(scores: np.ndarray, output: str, temperature: float) -> np.ndarray:
    """Return calibrated probabilities float32 (N, classes) of a net's scores.

    Args:
        scores: float32 (N, classes), what the net gives.
        output: what the scores are, as the card says: "sigmoid", "softmax", "logits", or "logits_none", where an
            implicit further class "no digit" has logit 0 and its probability is left out of the answer.
        temperature: > 0; the logarithmic scores are divided by it (Guo et al. 2017, section 4.2).
    """
    logits = logits_of(scores.astype(np.float64), output) / temperature
    if output == "logits_none":
        logits = np.concatenate([logits, np.zeros((len(logits), 1))], axis=1)
    logits -= logits.max(axis=1, keepdims=True)
    exps = np.exp(logits)
    probabilities: np.ndarray = (exps / exps.sum(axis=1, keepdims=True))[:, : scores.shape[1]].astype(np.float32)
    return probabilities


def logits_of(scores: np.ndarray, output: str) -> np.ndarray:
    """Return scores float64 (N, classes) as logits, of which the softmax is meant; `output` is the card's word."""
    if output == "sigmoid":
        # Keras's cross-entropies look through a sigmoid at the numbers before it and take the softmax of those: that
        # is what such a net was trained for, and its loss is this softmax's. The float32 below 1 is 1 - 6e-8.
        inside = np.clip(scores, 1e-7, 1 - 1e-8)
        scores = np.log(inside / (1 - inside))
    elif output == "softmax":
        scores = np.log(np.clip(scores, 1e-7, 1.0))
    return scores


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
        own = None if model is None else Net(model_path(model), threads)
        if own is not None and own.card.get("kind") == "line":
            self._own_line_net: Net | None = own
            own = None
        else:
            self._own_line_net = None
        self._digit_net = own or Net(SHIPPED / "digit.onnx", threads)
        self._opening = threading.Lock()
        if tuple(self._digit_net.session.get_inputs()[0].shape[1:]) != (28, 28):
            raise ModelError(f"{self._digit_net.path}: not a digit net (its input is not N x 28 x 28)")

    @property
    def card(self) -> dict[str, Any]:
        """The digit net's card: recipe, seed, data, versions, calibration, figures."""
        return self._digit_net.card

    @cached_property
    def _line_net(self) -> Net:
        """The line net, opened when the first row is read: single digits do not need it."""
        with self._opening:
            return self._own_line_net or Net(SHIPPED / "line.onnx", self._threads)

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
        return framing.frame_digit(read_image(image))

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
            placed = [framing.place_digit(grey) for grey in greys]
            readings = self._readings([framed for framed, _ in placed])
            lines = [[_as_line(reading, box)] for reading, (_, box) in zip(readings, placed, strict=True)]
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
        framed, box = framing.place_digit(grey)
        reading = self._readings([framed])[0]
        return [_as_line(reading, box)] if reading.accepted and box else []

    def _read_pages(self, greys: Sequence[np.ndarray]) -> list[list[NumberReading]]:
        """Return each picture's rows: pieces of ink that are one digit by the digit net, linked digits by the line net.

        On the shared photographs the digit net alone reads more than the line net, which takes operators for digits.
        """
        sheets = [self._upright_rows(grey) for grey in greys]
        rows = [row for sheet, _ in sheets for row in sheet]
        framed = np.concatenate([images for _, images in sheets] or [_framed([])])
        found = self.classify(framed)
        linked = self._linked(rows, found)
        starts = np.cumsum([0] + [len(row.boxes) for row in rows])
        lines = iter([_page_line(r, n, found, framed, linked) for r, n in zip(rows, starts[:-1].tolist(), strict=True)])
        return [[next(lines) for _ in sheet] for sheet, _ in sheets]

    def _upright_rows(self, grey: np.ndarray) -> tuple[list[page.Row], np.ndarray]:
        """Return a picture's rows, the sheet turned upright if need be, and all their pieces uint8 (N, 28, 28)."""
        rows = page.find_rows(grey)
        framed = _framed(rows)
        turns = self._quarter_turns(framed)
        if turns:
            rows = page.find_rows(grey, turns)
            framed = _framed(rows)
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

    def _linked(self, rows: Sequence[page.Row], found: Classified) -> dict[int, NumberReading]:
        """Return the pieces (their places in `found`) that the line net takes for several digits, as it reads them."""
        digitness = found.probabilities.sum(axis=1)
        pieces = [(row, index) for row in rows for index in range(len(row.boxes))]
        wide = np.array([row.boxes[index, 2] >= 0.65 * row.boxes[index, 3] for row, index in pieces], bool)
        doubtful = np.flatnonzero((digitness < SURELY_ONE) & wide)[:MOST_LINKED].tolist()
        readings = self._read_rows([_linked_crop(*pieces[number]) for number in doubtful]) if doubtful else []
        return {
            number: reading
            for number, reading in zip(doubtful, readings, strict=True)
            if _is_linked(reading, *pieces[number])
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
        strips = [[framing.place_row(crop, height, **view) for view in views] for crop, _ in crops]
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
        self, row: decoding.Decoded, crop: np.ndarray, strip: framing.Strip, to_picture: np.ndarray
    ) -> NumberReading:
        """Return a decoded row with the place of each digit in the picture, and its ink in MNIST's form."""
        stride, threshold = self.line_card["stride"], self.line_card["threshold"]
        ink = framing.remove_paper(crop)
        items = []
        for i, digit in enumerate(row.digits):
            x, y, width, height = framing.ink_box(ink, strip, stride * row.spans[i][0], stride * row.spans[i][1])
            items.append(
                Item(
                    int(digit),
                    row.confidences[i],
                    row.confidences[i] >= threshold,
                    _to_picture((x, y, width, height), to_picture),
                    row.alternatives[i],
                    framing.frame_ink(ink[y : y + height, x : x + width]),
                )
            )
        accepted = bool(items) and all(item.accepted for item in items)
        return NumberReading(row.text, row.digits, row.probability, accepted, tuple(items))


def _framed(rows: Sequence[page.Row]) -> np.ndarray:
    """Return uint8 (N, 28, 28), the rows' pieces of ink in MNIST's form."""
    framed = [framing.frame_ink(row.piece(index)) for row in rows for index in range(len(row.boxes))]
    return np.array(framed, np.uint8).reshape(-1, framing.SIDE, framing.SIDE)


def _linked_crop(row: page.Row, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a piece of ink with room around it, and the transform that takes that crop to the picture."""
    x, y, _, height = row.boxes[index].tolist()
    room = height // 2 + 2
    shift = np.array([[1, 0, x - room], [0, 1, y - room], [0, 0, 1.0]])
    return np.pad(row.piece(index), room), row.transform @ shift


def _is_linked(reading: NumberReading, row: page.Row, index: int) -> bool:
    """Say whether the line net read several digits in a piece that has room for them; an M is no 111."""
    width, height = row.boxes[index, 2:]
    return len(reading.digits) > 1 and bool(width > 0.38 * len(reading.digits) * height)


def _page_line(
    row: page.Row, start: int, found: Classified, framed: np.ndarray, linked: dict[int, NumberReading]
) -> NumberReading:
    """Return a row of a page from its pieces' answers, which begin at `start`; what is no digit is left out.

    Where something is left out, a sign stands, or the gap is wide, the text has a space: another number begins.
    """
    gaps = row.boxes[1:, 0] - row.boxes[:-1, 0] - row.boxes[:-1, 2]
    height = float(np.median(row.boxes[:, 3]))
    parted = _are_parted(row, gaps, height)
    numbers = range(start, start + len(row.boxes))
    digitness = found.probabilities[numbers.start : numbers.stop].sum(axis=1)
    sure = np.array([linked[n].confidence > 0.9 if n in linked else digitness[n - start] > 0.5 for n in numbers])
    digits = np.array([n in linked for n in numbers]) | (digitness >= LEAST_DIGIT)
    digits &= ~(_in_words(sure, gaps > 0.3 * height) | _is_text(row, height))
    text, apart = "", False
    items: list[Item] = []
    for index, number in enumerate(numbers):
        apart |= not digits[index] or (index > 0 and bool(parted[index - 1]))
        if digits[index]:
            box = row.to_picture(row.boxes[index].tolist())
            new = linked[number].items if number in linked else (_item(found, number, box, framed[number]),)
            text += " " * (apart and bool(items)) + "".join(str(item.digit) for item in new)
            items += new
            apart = False
    confidence = float(np.prod([item.confidence for item in items])) if items else 0.0
    accepted = bool(items) and all(item.accepted for item in items)
    return NumberReading(text, text.replace(" ", ""), confidence, accepted, tuple(items))


def _are_parted(row: page.Row, gaps: np.ndarray, height: float) -> np.ndarray:
    """Say, bool (N - 1,), between which of a row's N boxes there is a wide gap or a sign such as a minus."""
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    signs = row.marks[row.marks[:, 2] > 0.25 * height]
    middles = (signs[:, 0] + signs[:, 2] / 2)[None]
    between = (middles > (row.boxes[:-1, 0] + row.boxes[:-1, 2])[:, None]) & (middles < row.boxes[1:, 0][:, None])
    parted: np.ndarray = (gaps > max(1.2 * height, 3 * usual)) | between.any(axis=1)
    return parted


def _is_text(row: page.Row, height: float) -> bool:
    """Say whether a row holds more low letters than numbers have commas, points and signs."""
    low = int((row.marks[:, 2:].max(axis=1, initial=0) > 0.2 * height).sum())
    return low >= max(4, len(row.boxes))


def _in_words(sure: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Say which pieces, bool (N,), stand close together in words that are no digits by half: an o, an l is no number.

    Args:
        sure: bool (N,), which pieces are surely digits.
        gaps: bool (N - 1,), where a word ends.
    """
    word = np.concatenate([[0], np.cumsum(gaps)])
    length, like_digits = np.bincount(word), np.bincount(word, sure)
    in_words: np.ndarray = ((length >= 3) & (2 * like_digits <= length))[word]
    return in_words


def _item(found: Classified, number: int, box: tuple[int, int, int, int], framed: np.ndarray) -> Item:
    """Return the answer for a framed piece of ink as a digit of a row."""
    probabilities = found.probabilities[number]
    others = tuple((int(digit), float(probabilities[digit])) for digit in np.argsort(-probabilities)[1:4])
    label, confidence = int(found.labels[number]), float(found.confidence[number])
    return Item(label, confidence, bool(found.accepted[number]), box, others, framed)


def _to_picture(box: tuple[int, int, int, int], transform: np.ndarray) -> tuple[int, int, int, int]:
    """Return the upright box x, y, width, height in the picture around a box in a crop."""
    x, y, width, height = box
    corners = np.array([[x, y, 1], [x + width, y, 1], [x, y + height, 1], [x + width, y + height, 1]]) @ transform.T
    points = corners[:, :2] / corners[:, 2:]
    low, high = np.floor(points.min(axis=0) + 1e-6), np.ceil(points.max(axis=0) - 1e-6)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def _as_line(reading: Reading, box: tuple[int, int, int, int] | None) -> NumberReading:
    """Return the reading of one digit as a row of one; a picture without any ink is an empty row."""
    if box is None:
        return NumberReading("", "", 0.0, False, ())
    others = [(int(d), float(reading.probabilities[d])) for d in np.argsort(-reading.probabilities)[1:4]]
    item = Item(reading.digit, reading.confidence, reading.accepted, box, tuple(others), reading.framed)
    text = str(reading.digit)
    return NumberReading(text, text, reading.confidence, reading.accepted, (item,))
