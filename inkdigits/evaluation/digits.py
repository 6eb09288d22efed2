"""A reader + a split -> `Evaluation`."""

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.arrays import DigitImages, Floats, Labels, Mask, NDArray
from inkdigits.data.idx import idx_sha256
from inkdigits.data.loading import load_arrays, load_data
from inkdigits.data.splits import Split
from inkdigits.errors import DataError
from inkdigits.evaluation import metrics, significance
from inkdigits.evaluation.text import or_none, pair_in_words, percent
from inkdigits.reading.normalise.digit import is_framed
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Classified


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model answered on a split, and how good that is.

    Attributes:
        model: the model's name.
        card: its card.
        split: the images and their labels.
        answers: what the reader gave for them.
    """

    model: str
    card: dict[str, Any]
    split: Split
    answers: Classified

    def __len__(self) -> int:
        return len(self.split)

    @property
    def class_names(self) -> Sequence[str]:
        """What each class is called."""
        return self.split.class_names

    @cached_property
    def right(self) -> Mask:
        """Bool (N,): is the answer right, accepted or not?"""
        right: Mask = self.split.labels == self.answers.labels
        return right

    @property
    def n_errors(self) -> int:
        """How many answers are wrong."""
        return metrics.count_errors(self.split.labels, self.answers.labels)

    @property
    def accuracy(self) -> float:
        """The share of answers that are right."""
        return 1 - self.n_errors / len(self)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return significance.wilson_interval(len(self) - self.n_errors, len(self))

    @cached_property
    def loss(self) -> float:
        """Cross-entropy of the probabilities in nats: for a network as trained, Keras's own test loss."""
        return metrics.log_loss(self.split.labels, self.answers.probabilities)

    @cached_property
    def confusion(self) -> metrics.ConfusionMatrix:
        """Int64 (classes, classes): row = ground truth, column = answer."""
        return metrics.confusion_matrix(self.split.labels, self.answers.labels, len(self.class_names))

    @property
    def per_class(self) -> Floats:
        """Float64 (classes, 3): precision, recall, F1; NaN where nothing was measured."""
        return metrics.precision_recall_f1(self.confusion)

    @property
    def confused(self) -> list[tuple[str, str, int]]:
        """(label, answer, count) of every confusion, the most frequent first."""
        return metrics.confused_pairs(self.confusion, self.class_names)

    @cached_property
    def calibration_error(self) -> float:
        """Expected calibration error in 15 bins."""
        return metrics.calibration_error(self.answers.confidence, self.right)

    @property
    def coverage(self) -> float:
        """The share of answers that the reader accepts."""
        return float(self.answers.accepted.mean())

    @property
    def n_errors_accepted(self) -> int:
        """How many of the accepted answers are wrong."""
        return int((~self.right & self.answers.accepted).sum())

    @property
    def error_rate_accepted(self) -> float:
        """The share of wrong answers among the accepted; NaN where none is accepted."""
        accepted = int(self.answers.accepted.sum())
        return self.n_errors_accepted / accepted if accepted else math.nan

    def worst_errors(self, n: int) -> Labels:
        """Return int64 (<= n,): indices of the most confident errors, the most confident first."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.answers.confidence[wrong], kind="stable")][:n]

    def names(self, i: int) -> tuple[str, str]:
        """Return what the true class and the answer of image `i` are called."""
        return self.class_names[self.split.labels[i]], self.class_names[self.answers.labels[i]]

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as JSON holds it; what could not be measured is None."""
        names = ("precision", "recall", "f1")
        classes = [
            {"class": name, "n": int(n), **dict(zip(names, map(or_none, row), strict=True))}
            for name, n, row in zip(self.class_names, self.confusion.sum(axis=1), self.per_class, strict=True)
        ]
        return {
            "model": self.model,
            "data": self.split.source,
            "sha256": self.split.sha256,
            "split": self.split.name,
            "n": len(self),
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.accuracy_interval),
            "errors": self.n_errors,
            "loss": self.loss,
            "calibration_error": self.calibration_error,
            "coverage": self.coverage,
            "errors_accepted": self.n_errors_accepted,
            "error_rate_accepted": or_none(self.error_rate_accepted),
            "classes": classes,
            "confusion_matrix": self.confusion.tolist(),
            "confused": [{"truth": truth, "answer": answer, "count": n} for truth, answer, n in self.confused],
        }

    def __str__(self) -> str:
        return "\n".join(
            [*self.headlines(), "", *_class_table(self), "", *matrix_lines(self), "", *confused_lines(self)]
        )

    def headlines(self) -> list[str]:
        """Return the chief figures, one a line."""
        low, high = self.accuracy_interval
        lines = [
            f"{self.model} on {len(self):,} {self.split.name} images of {self.split.source}",
            f"accuracy           {percent(self.accuracy)} (95 % interval {low * 100:.2f} to {percent(high)}), "
            f"{self.n_errors:,} errors in {len(self):,}",
            f"loss               {self.loss:.4f}",
            f"calibration error  {percent(self.calibration_error)}",
        ]
        if self.card.get("threshold", 0.0) > 0:
            n_accepted = int(self.answers.accepted.sum())
            lines.append(
                f"accepted           {percent(self.coverage)}; errors among these: {percent(self.error_rate_accepted)} "
                f"({self.n_errors_accepted:,} of {n_accepted:,})"
            )
        return lines


def _class_table(evaluation: Evaluation) -> list[str]:
    width = max(5, *map(len, evaluation.class_names))
    lines = [f"{'class':<{width}}  precision   recall       F1        n"]
    counts = evaluation.confusion.sum(axis=1)
    for name, row, n in zip(evaluation.class_names, evaluation.per_class, counts, strict=True):
        shares = "  ".join(f"{percent(value, 1):>7}" for value in row)
        lines.append(f"{name:<{width}}    {shares}  {n:>7,}")
    return lines


def matrix_lines(evaluation: Evaluation) -> list[str]:
    """Return the confusion matrix as text: a row per true class, a column per answer, dots for 0."""
    names = [name[:9] for name in evaluation.class_names]
    width = max(max(map(len, names)), len(str(evaluation.confusion.max()))) + 1
    lines = ["rows: label, columns: answer", " " * width + "".join(f"{name:>{width}}" for name in names)]
    for name, row in zip(names, evaluation.confusion, strict=True):
        lines.append(f"{name:>{width}}" + "".join(f"{n or '.':>{width}}" for n in row))
    return lines


def confused_lines(evaluation: Evaluation, n: int = 5) -> list[str]:
    """Return the most frequent confusions in words: "4 read as 9: 44 times"."""
    return [pair_in_words(*pair) for pair in evaluation.confused[:n]] or ["nothing was confused"]


def evaluate(reader: Reader, split: Split) -> Evaluation:
    """Evaluate a reader's digit network on images in MNIST's form.

    Args:
        reader: of a run, a file, or the networks that ship.
        split: images in MNIST's form.

    Raises:
        DataError: the split is empty, or its classes are not the model's in number.

    Examples:
        >>> import cv2
        >>> from inkdigits.data.loading import load_data
        >>> images = np.zeros((10, 28, 28), np.uint8)
        >>> for digit, image in enumerate(images):
        ...     _ = cv2.putText(image, str(digit), (7, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
        >>> np.savez("drawn.npz", x_train=images, y_train=range(10), x_test=images, y_test=range(10))
        >>> evaluation = evaluate(Reader(), load_data("drawn.npz")[1])
        >>> len(evaluation), evaluation.n_errors <= 2
        (10, True)
    """
    if len(split) == 0:
        raise DataError(f"{split.source}: no {split.name} images: there is nothing to evaluate")
    if len(reader.classes) != len(split.class_names):
        raise DataError(
            f"{split.source}: has {len(split.class_names)} classes, but the model {reader.card.get('name', '')} knows "
            f"{len(reader.classes)}; give the --data it was trained on"
        )
    return Evaluation(reader.card.get("name", "model"), reader.card, split, reader.classify(split.images))


def load_test(data: str | Path | None, reader: Reader, framed: str = "auto") -> Split:
    """Return what to evaluate a reader on: the test part of a data set, or a file of pictures.

    Args:
        data: None for MNIST, anything in MNIST's format, or a .npz with `x` uint8 (N, H, W), light ink on dark, and
            `y` (N,).
        reader: frames pictures, and knows what the classes of a .npz file are called.
        framed: "yes": the pictures are in MNIST's form; "no": frame each; "auto": frame them unless they are.

    Raises:
        DataError: the data cannot be loaded, carry no labels, or are not framed although said to be.
    """
    if data is None or not _is_single_set(Path(data)):
        split = load_data(data)[1]
        images, labels, names, source = split.images, split.labels, split.class_names, split.source
    else:
        images, of_file = load_arrays(data)
        if of_file is None:
            raise DataError(f"{data}: has no array y: evaluating needs labels")
        labels, names, source = of_file, tuple(reader.classes), str(data)
        if labels.max() >= len(names):
            raise DataError(f"{data}: y holds {labels.max()}, but the model knows the classes 0 to {len(names) - 1}")
    return Split(framed_split(images, reader, framed, source), labels, "test", names, source, idx_sha256(images))


def _is_single_set(path: Path) -> bool:
    return path.suffix == ".npz" and zipfile.is_zipfile(path) and "x.npy" in zipfile.ZipFile(path).namelist()


def framed_split(images: NDArray[np.uint8], reader: Reader, framed: str, source: str) -> DigitImages:
    """Return uint8 (N, 28, 28), the pictures as they are or normalised, as `framed` (yes, no, auto) asks."""
    if framed == "yes" and images.shape[1:] != (28, 28):
        raise DataError(f"{source}: pictures of {images.shape[1]} x {images.shape[2]} are not framed; try --framed no")
    # Framed pictures come out of `frame` as they are; asking the whole set first saves asking each.
    if framed == "yes" or (framed == "auto" and is_framed(images)):
        return images
    return np.stack([reader.frame(image) for image in images])
