"""How well the digit network reads single digits, how well it knows what it reads, and what it rejects.

    python benchmarks/bench_digits.py [DIR] [--model RUN|FILE] [--json FILE]

Without DIR: MNIST's test set, and dots, lines, noise and blank paper that are made here. With DIR, which holds
`digits/*.npz` (x uint8 (N, H, W), y (N,)) and `not-digits/*.npz` (x): these, each picture framed first, as
`Reader.read_digit` does it. AUROC and FPR at 95 % say how well confidence tells MNIST's test digits from what is no
digit; accepted is the share at or above the card's threshold.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import Table, percent, publish

from inkdigits.data.loading import load_mnist
from inkdigits.evaluation.metrics import auroc, calibration_error, fpr_at_tpr
from inkdigits.evaluation.significance import wilson_interval
from inkdigits.reading.normalise.digit import frame_digit
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Classified

N_MADE = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path, nargs="?", help="with digits/*.npz and not-digits/*.npz")
    parser.add_argument("--model", default=None, help="a run or an ONNX file; default: the shipped digit network")
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    reader = Reader(given.model)
    test = load_mnist()[1]
    home = reader.classify(test.images)
    if given.dir:
        digits = [digits_row(path.stem, *stored_digits(reader, path)) for path in npz_in(given.dir / "digits")]
        others = stored_outliers(given.dir)
    else:
        digits = [digits_row("MNIST test", home, test.labels)]
        others = made_outliers(test.images)
    outliers = [outliers_row(name, reader.classify(images), home.confidence) for name, images in others.items()]
    publish(
        "digits",
        "Single digits of real handwriting, and real things that are no digits"
        if given.dir
        else "The digit network on MNIST",
        [digits_table(digits), outliers_table(outliers)],
        notes=[f"Model {reader.card['name']}, threshold {reader.card.get('threshold', 0):.3f}."],
        figures={"digits": digits, "outliers": outliers},
        path=given.json,
    )


def npz_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npz"))


def stored_digits(reader: Reader, path: Path) -> tuple[Classified, np.ndarray]:
    with np.load(path) as arrays:
        return reader.classify(framed(arrays["x"])), arrays["y"]


def framed(images: np.ndarray) -> np.ndarray:
    return np.stack([frame_digit(image) for image in images])


def digits_row(name: str, answers: Classified, labels: np.ndarray) -> dict[str, Any]:
    right = answers.labels == labels
    low, high = wilson_interval(int(right.sum()), len(right))
    accepted = answers.accepted
    return {
        "set": name,
        "n": len(right),
        "errors": int((~right).sum()),
        "accuracy": float(right.mean()),
        "interval": [low, high],
        "ece": calibration_error(answers.confidence, right),
        "accepted": float(accepted.mean()),
        "error_among_accepted": float((~right[accepted]).mean()) if accepted.any() else 0.0,
        "misses_accepted": int((~right & accepted).sum()),
    }


def outliers_row(name: str, answers: Classified, home: np.ndarray) -> dict[str, Any]:
    return {
        "set": name,
        "n": len(answers.labels),
        "auroc": auroc(home, answers.confidence),
        "fpr95": fpr_at_tpr(home, answers.confidence),
        "accepted": float(answers.accepted.mean()),
    }


def made_outliers(digits: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (N_MADE, 28, 28)).astype(np.uint8)
    dots, lines = np.full((2, N_MADE, 64, 64), 235, np.uint8)
    for dot, line in zip(dots, lines, strict=True):
        cv2.circle(dot, tuple(int(v) for v in rng.integers(8, 56, 2)), int(rng.integers(1, 8)), 40, -1)
        y = int(rng.integers(12, 52))
        ends = (int(rng.integers(2, 14)), y), (int(rng.integers(48, 62)), y + int(rng.integers(-8, 9)))
        cv2.line(line, *ends, 40, int(rng.integers(1, 6)))
    return {
        "inverted digits, as they are": 255 - digits[: 2 * N_MADE],
        "blank, 256 levels": np.repeat(np.arange(256, dtype=np.uint8), 784).reshape(-1, 28, 28),
        "noise, as it is": noise,
        "noise, framed": framed(rng.integers(0, 256, (N_MADE, 56, 56)).astype(np.uint8)),
        "one dot, framed": framed(dots),
        "a lying line, framed": framed(lines),
    }


def stored_outliers(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in npz_in(folder / "not-digits"):
        with np.load(path) as arrays:
            images = arrays["x"]
        found[f"{path.stem}, framed"] = framed(images)
        if images.shape[1:] == (28, 28):
            found[f"{path.stem}, as it is"] = images
    return found


def digits_table(digits: list[dict[str, Any]]) -> Table:
    header = ("digits", "n", "accuracy", "95 % interval", "errors", "ECE", "accepted", "error among accepted")
    return Table("", header, [digits_cells(row) for row in digits])


def digits_cells(row: dict[str, Any]) -> tuple[str, ...]:
    low, high = row["interval"]
    return (
        row["set"],
        f"{row['n']:,}",
        percent(row["accuracy"], 2),
        f"{percent(low, 2)} to {percent(high, 2)}",
        str(row["errors"]),
        percent(row["ece"], 2),
        percent(row["accepted"], 1),
        f"{percent(row['error_among_accepted'], 2)} ({row['misses_accepted']})",
    )


def outliers_table(outliers: list[dict[str, Any]]) -> Table:
    rows = [
        (row["set"], f"{row['n']:,}", percent(row["auroc"], 2), percent(row["fpr95"], 2), percent(row["accepted"], 2))
        for row in outliers
    ]
    return Table("", ("no digits", "n", "AUROC", "FPR at 95 %", "accepted"), rows)


if __name__ == "__main__":
    main()
