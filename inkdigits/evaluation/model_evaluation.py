"""Everything that `inkdigits evaluate` says about a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkdigits.evaluation.cells import CellsEvaluation, evaluate_cells
from inkdigits.evaluation.digits import Evaluation, evaluate, load_test
from inkdigits.evaluation.outliers import Outliers, evaluate_outliers
from inkdigits.reading.reader import Reader


@dataclass(frozen=True)
class ModelEvaluation:
    """All that was asked for; None for what was not.

    Attributes:
        digits: single digits.
        outliers: pictures that are not digits.
        cells: whole numbers.
    """

    digits: Evaluation | None = None
    outliers: Outliers | None = None
    cells: CellsEvaluation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the digits' figures with "outliers" and "cells" beside them, where there are any."""
        figures = self.digits.to_dict() if self.digits else {}
        figures |= {"outliers": dict(vars(self.outliers))} if self.outliers else {}
        return figures | ({"cells": self.cells.to_dict()} if self.cells else {})

    def __str__(self) -> str:
        return "\n\n".join(str(part) for part in (self.digits, self.outliers, self.cells) if part is not None)


def evaluate_model(
    reader: Reader,
    data: str | Path | None = None,
    framed: str = "auto",
    outliers: str | Path | None = None,
    cells: str | Path | None = None,
) -> ModelEvaluation:
    """Evaluate a reader on whatever is given, or on MNIST's test set if neither data nor cells are.

    Args:
        reader: the reader.
        data: as for `load_test`.
        framed: as for `load_test`.
        outliers: a .npz with pictures that are not digits.
        cells: a folder of pictures of one number each, with truth.json.

    Raises:
        DataError: something cannot be read.
    """
    digits = found = None
    if data is not None or outliers is not None or cells is None:
        digits = evaluate(reader, load_test(data, reader, framed))
    if outliers is not None and digits is not None:
        found = evaluate_outliers(reader, outliers, digits.answers.confidence, framed)
    return ModelEvaluation(digits, found, evaluate_cells(reader, cells) if cells is not None else None)
