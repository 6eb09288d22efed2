"""A reader + pictures of one number each -> `CellsEvaluation`."""

import json
import math
import re
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.arrays import Floats, Mask
from inkdigits.errors import DataError, PromiseError, reason
from inkdigits.evaluation import metrics, selective, significance
from inkdigits.evaluation.text import percent
from inkdigits.reading.normalise.version import normalisation_version
from inkdigits.reading.promise import SavedPromise
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading

# Cells read in one call: enough to fill batches, few enough to keep memory flat.
CELLS_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class CellsEvaluation:
    """What a reader answered for pictures of one whole number each.

    Attributes:
        source: the folder.
        files: the names of the pictures.
        labels: what is written in each.
        texts: what was read.
        confidence: float64 (N,), the probability that the whole string is right.
        accepted: bool (N,).
    """

    source: str
    files: tuple[str, ...]
    labels: tuple[str, ...]
    texts: tuple[str, ...]
    confidence: Floats
    accepted: Mask

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def string_right(self) -> Mask:
        """Bool (N,): is the whole string right, comma and dot alike?"""
        return np.array([_string(a) == _string(b) for a, b in zip(self.labels, self.texts, strict=True)])

    @cached_property
    def right(self) -> Mask:
        """Bool (N,): are the digits right, all else dropped?"""
        return np.array([_digits(a) == _digits(b) for a, b in zip(self.labels, self.texts, strict=True)])

    @cached_property
    def edits(self) -> int:
        """Digits to insert, delete or replace, over all cells."""
        pairs = zip(self.labels, self.texts, strict=True)
        return sum(metrics.edit_distance(_digits(truth), _digits(text)) for truth, text in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as JSON holds it; what could not be measured is None.

        "aurc" is the area under the risk-coverage curve, "coverage_at_1_percent" and "coverage_at_half_percent" are the
        largest shares, the surest first, with so few wrong: all by the whole string, as "calibration_error".
        """
        n, accepted = len(self), int(self.accepted.sum())
        return {
            "data": self.source,
            "n": n,
            "string_exact": float(self.string_right.mean()),
            "digits_exact": float(self.right.mean()),
            "digits_exact_interval": list(significance.wilson_interval(int(self.right.sum()), n)),
            "edit_distance": self.edits,
            "n_digits": sum(len(_digits(truth)) for truth in self.labels),
            "coverage": accepted / n,
            "accuracy_accepted": float(self.right[self.accepted].mean()) if accepted else None,
            "string_accuracy_accepted": float(self.string_right[self.accepted].mean()) if accepted else None,
            "accuracy_surest_half": metrics.accuracy_of_surest(self.right, self.confidence, 0.5),
            "calibration_error": metrics.calibration_error(self.confidence, self.string_right),
            "aurc": selective.aurc(self.confidence, self.string_right),
            "coverage_at_1_percent": selective.coverage_at(self.confidence, self.string_right, 0.01),
            "coverage_at_half_percent": selective.coverage_at(self.confidence, self.string_right, 0.005),
        }

    def __str__(self) -> str:
        figures = self.to_dict()
        low, high = figures["digits_exact_interval"]
        digits, strings = (
            math.nan if share is None else share
            for share in (figures["accuracy_accepted"], figures["string_accuracy_accepted"])
        )
        return "\n".join(
            [
                f"{len(self):,} cells of {self.source}",
                f"digits exact       {percent(figures['digits_exact'])} (95 % interval {low * 100:.2f} to "
                f"{percent(high)}), {len(self) - int(self.right.sum()):,} wrong",
                f"string exact       {percent(figures['string_exact'])}",
                f"edit distance      {self.edits:,} in {figures['n_digits']:,} digits "
                f"({percent(self.edits / max(1, figures['n_digits']))})",
                f"accepted           {percent(figures['coverage'])}; of these {percent(digits)} have the digits right, "
                f"{percent(strings)} the string",
                f"surest half        {percent(figures['accuracy_surest_half'])} right",
                f"calibration error  {percent(figures['calibration_error'])}",
                f"risk and coverage  AURC {percent(figures['aurc'])}; with 1 % of the strings wrong "
                f"{percent(figures['coverage_at_1_percent'])} can be accepted, with 0.5 % "
                f"{percent(figures['coverage_at_half_percent'])}",
            ]
        )


@dataclass(frozen=True, eq=False)
class CellsPromise:
    """What an evaluation of cells allows to promise, with its risk-coverage curve.

    Attributes:
        promise: about the whole string.
        curve: float64 (N, 3), see `selective.bounded_risk_coverage`, at the promise's delta.
    """

    promise: selective.Promise
    curve: Floats

    def to_dict(self) -> dict[str, Any]:
        """Return the promise and a hundred points of the curve, as JSON holds them."""
        names = ("coverage", "error", "at_most")
        points = selective.points_of(self.curve, 100).tolist()
        return {
            "promise": asdict(self.promise),
            "risk_coverage": [dict(zip(names, point, strict=True)) for point in points],
        }

    def __str__(self) -> str:
        rows = [f"{c:>7.0%}  {e:>7.2%}  {b:>7.2%}" for c, e, b in selective.points_of(self.curve, 10).tolist()]
        head = f"surest     wrong  at most ({1 - self.promise.delta:.0%} sure)"
        return "\n".join([str(self.promise), "", head, *rows])


def promise_for(cells: CellsEvaluation, risk: float, delta: float = 0.05) -> CellsPromise:
    """Return what an evaluation of cells allows to promise about the whole string; arguments as for `promise`."""
    sure, right = cells.confidence, cells.string_right
    found = selective.promise(sure, right, risk, delta)
    return CellsPromise(found, selective.bounded_risk_coverage(sure, right, delta))


def saved_promise(cells: CellsEvaluation, made: CellsPromise, reader: Reader) -> SavedPromise:
    """Return a promise as a file holds it.

    Args:
        cells: what it was made of.
        made: the promise.
        reader: that read the cells.

    Raises:
        PromiseError: nothing can be promised yet.
    """
    found = made.promise
    if found.threshold is None:
        raise PromiseError(str(found))
    networks = reader.networks()
    return SavedPromise(
        says=str(found),
        risk=found.risk,
        delta=found.delta,
        threshold=found.threshold,
        n=found.n,
        source=cells.source,
        date=date.today().isoformat(),
        networks=networks,
        normalisation={kind: normalisation_version(kind) for kind in networks if kind != "second_opinion"},
        steps=selective.steps_of(cells.confidence, cells.string_right, found.delta),
    )


def _string(text: str) -> str:
    return text.replace(",", ".").replace(" ", "")


def _digits(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def evaluate_cells(reader: Reader, folder: str | Path) -> CellsEvaluation:
    """Evaluate a reader on pictures of one number each.

    Args:
        reader: with a line network.
        folder: holds the pictures and truth.json: file name -> what is written there, such as "10,200".

    Raises:
        DataError: truth.json is missing, damaged or empty.
        ImageError: a picture cannot be read.
    """
    folder = Path(folder)
    labels = load_cells(folder)
    files = tuple(labels)
    readings: list[PageReading] = []
    for start in range(0, len(files), CELLS_AT_ONCE):
        paths = [folder / name for name in files[start : start + CELLS_AT_ONCE]]
        readings += reader.read_many(paths, "number")
    lines = [reading.lines[0] if reading.lines else None for reading in readings]
    return CellsEvaluation(
        str(folder),
        files,
        tuple(labels.values()),
        tuple(line.text if line else "" for line in lines),
        np.array([line.confidence if line else 0.0 for line in lines]),
        np.array([line.accepted if line else False for line in lines]),
    )


def load_cells(folder: Path) -> dict[str, str]:
    """Return what truth.json in a folder says: file name -> what is written there.

    Raises:
        DataError: it is missing, damaged or empty.
    """
    path = folder / "truth.json"
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({reason(error)}); it says what is written in each picture") from None
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error})") from None
    if not isinstance(labels, dict) or not labels or not all(isinstance(value, str) for value in labels.values()):
        raise DataError(f'{path}: must be one object, file name -> string, such as {{"a.jpg": "10,200"}}')
    return labels
