"""A reader + out-of-distribution pictures -> how well it rejects them."""

from dataclasses import dataclass
from pathlib import Path

from inkdigits.arrays import Floats
from inkdigits.data.loading import load_arrays
from inkdigits.evaluation import metrics
from inkdigits.evaluation.digits import framed_split
from inkdigits.evaluation.text import percent
from inkdigits.reading.reader import Reader


@dataclass(frozen=True)
class Outliers:
    """How well confidence separates digits from pictures that are not digits.

    Attributes:
        source: where the other pictures come from.
        n: how many there are.
        auroc: probability that a digit gets more confidence than one of them.
        fpr_at_95: share of them accepted at the threshold that accepts 95 % of the digits.
        accepted: share of them that the reader accepts.
    """

    source: str
    n: int
    auroc: float
    fpr_at_95: float
    accepted: float

    def __str__(self) -> str:
        return (
            f"against {self.n:,} of {self.source}\nAUROC              {percent(self.auroc)}\n"
            f"FPR at 95 %        {percent(self.fpr_at_95)}\nof these accepted  {percent(self.accepted)}"
        )


def evaluate_outliers(reader: Reader, path: str | Path, inside: Floats, framed: str = "auto") -> Outliers:
    """Evaluate how well a reader rejects what is not a digit.

    Args:
        reader: the same as for `inside`.
        path: a .npz with `x` uint8 (N, H, W), light on dark.
        inside: float (M,), its confidence on digits.
        framed: as for `load_test`.

    Raises:
        DataError: the file cannot be read.
    """
    images, _ = load_arrays(path)
    answers = reader.classify(framed_split(images, reader, framed, str(path)))
    outside = answers.confidence
    accepted = float(answers.accepted.mean())
    auroc, fpr = metrics.auroc(inside, outside), metrics.fpr_at_tpr(inside, outside)
    return Outliers(str(path), len(images), auroc, fpr, accepted)
