"""What one hand wrote and what it means: from corrections, from reviewed forms, from labelled pictures."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inkdigits.arrays import Box, DigitImage, DigitImages, GrayImage, Labels
from inkdigits.data.corrections import Correction, Corrections, latest
from inkdigits.data.loading import load_data
from inkdigits.errors import DataError
from inkdigits.evaluation.cells import load_cells
from inkdigits.evaluation.text import counted
from inkdigits.files.images import read_image
from inkdigits.reading.geometry import hull_of
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import NumberReading

if TYPE_CHECKING:
    from inkdigits.forms.job import Job

NOT_A_DIGIT = 10  # a label


@dataclass(frozen=True, eq=False)
class Examples:
    """A hand's digits and lines.

    Attributes:
        images: uint8 (N, 28, 28), digits in MNIST's form.
        labels: int64 (N,), 0 to 9, or `NOT_A_DIGIT`.
        lines: pictures of one number each, uint8 (H, W), and what is written there.
        n_contradicting: digits that were left out, for the same picture has another label elsewhere.
        n_repeated: digits that were left out, for the same picture is there with the same label.
        n_not_cut: numbers whose digits were left out, for not as many were found as are written.
    """

    images: DigitImages
    labels: Labels
    lines: tuple[tuple[GrayImage, str], ...] = ()
    n_contradicting: int = 0
    n_repeated: int = 0
    n_not_cut: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def left_out(self) -> str:
        """What was left out and why, in words; "" for nothing."""
        counts = (
            (self.n_not_cut, "number", "in which not as many digits were found as are written"),
            (self.n_contradicting, "digit", "labelled otherwise elsewhere"),
            (self.n_repeated, "digit", "there twice"),
        )
        return ", ".join(f"{counted(n, noun)} {why}" for n, noun, why in counts if n)


def examples_of(
    images: Sequence[DigitImage] | DigitImages,
    labels: Sequence[int] | Labels,
    lines: Sequence[tuple[GrayImage, str]] = (),
) -> Examples:
    """Return examples without those that contradict each other, and each picture once."""
    known: dict[str, set[int]] = {}
    keys = [hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest() for image in images]
    for key, label in zip(keys, labels, strict=True):
        known.setdefault(key, set()).add(int(label))
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    kept = sorted(i for key, i in first.items() if len(known[key]) == 1)
    chosen = np.array([images[i] for i in kept], np.uint8).reshape(-1, 28, 28)
    n_contradicting = sum(len(known[key]) > 1 for key in keys)
    n_repeated = len(keys) - len(kept) - n_contradicting
    kept_labels = np.array([int(labels[i]) for i in kept], np.int64)
    return Examples(chosen, kept_labels, tuple(lines), n_contradicting, n_repeated)


def of_corrections(corrections: Sequence[Correction]) -> Examples:
    """Return the digits that people corrected on the page; of several corrections of one place the last counts."""
    standing = latest(list(corrections))
    labels = [NOT_A_DIGIT if each.truth is None else each.truth for each in standing]
    return examples_of([each.framed for each in standing], labels)


def of_data(path: Path) -> Examples:
    """Return the training part of a data set in MNIST's format.

    Raises:
        DataError: it cannot be loaded, or its classes are not the ten digits.
    """
    train, _ = load_data(path)
    if train.class_names != tuple("0123456789"):
        raise DataError(f"{path}: its classes are not the digits 0 to 9")
    return examples_of(train.images, train.labels)


def of_cells(folder: Path, reader: Reader) -> Examples:
    """Return pictures of one number each, with their digits where as many are read as are written.

    Args:
        folder: as for `evaluate --cells`: pictures and truth.json.
        reader: cuts the digits.

    Raises:
        DataError: truth.json is missing, damaged or empty.
        ImageError: a picture cannot be read.
    """
    lines = [(read_image(folder / name), text) for name, text in load_cells(folder).items()]
    return of_lines(lines, reader)


def of_lines(lines: Sequence[tuple[GrayImage, str]], reader: Reader) -> Examples:
    """Return labelled lines, with their digits where as many are read as are written."""
    readings = reader.lines.read([picture for picture, _ in lines])
    by_line = [_digits(reading, text) for reading, (_, text) in zip(readings, lines, strict=True)]
    found = [pair for pairs in by_line for pair in pairs]
    examples = examples_of([image for image, _ in found], [label for _, label in found], lines)
    return replace(examples, n_not_cut=sum(not pairs for pairs in by_line))


def _digits(reading: NumberReading, text: str) -> list[tuple[np.ndarray, int]]:
    digits = re.sub(r"[^0-9]", "", text)
    if len(digits) != len(reading.items):
        return []
    return [(item.framed, int(digit)) for item, digit in zip(reading.items, digits, strict=True)]


def of_job(job: "Job", reader: Reader) -> Examples:
    """Return what people keyed of forms, audits of right readings among it: the fields' pictures and values.

    Raises:
        FormError: the job cannot be read.
    """
    from inkdigits.forms.read import FormReader  # it needs the extra `forms`

    keyed = job.keyed(FormReader(job.folder / "form", reader))
    return of_lines([line for line in keyed if re.search(r"[0-9]", line[1])], reader)


def lines_of_corrections(store: Corrections, hand: str, reader: Reader) -> list[tuple[GrayImage, str]]:
    """Return the rows in which a hand's digits were corrected, cut out, with their texts as corrected.

    Whoever corrects a digit looked at its row: the others in it count as right. Rows in which something is no digit are
    left out, and those that this reader cuts into other digits.
    """
    truths: dict[str, dict[Box, int | None]] = {}
    for each in latest(store.all(hand)):
        truths.setdefault(each.picture_sha256, {})[each.box] = each.truth
    lines: list[tuple[GrayImage, str]] = []
    for sha256, boxes in truths.items():
        data = store.picture(sha256)
        if data is None:
            continue
        picture = read_image(data)
        for row in reader.read(data).lines:
            found = [boxes.get(item.box, item.digit) for item in row.items]
            if any(item.box in boxes for item in row.items) and None not in found:
                digits = iter(map(str, found))
                text = "".join(next(digits) if char.isdigit() else char for char in row.text)
                lines.append((_cut(picture, [item.box for item in row.items]), text))
    return lines


def _cut(picture: GrayImage, boxes: Sequence[Box]) -> GrayImage:
    x, y, width, height = hull_of(boxes)
    room = round(0.3 * height)
    return np.ascontiguousarray(picture[max(0, y - room) : y + height + room, max(0, x - room) : x + width + room])
