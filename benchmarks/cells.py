"""Whole numbers of real cells by the shipped line net: exactness, the surest, calibration, milliseconds.

Usage: python benchmarks/cells.py DIR [--n 1000] [--first 0]      (DIR holds pictures and a truth.json)
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import inkdigits
from inkdigits.decoding import digits_of
from inkdigits.images import read_image


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error, 0 to 1, over equal bins."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(sum(abs((confidence - right)[place == i].sum()) for i in range(bins)) / len(right))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n", type=int, default=None, help="how many of the cells, in the order of `seed` 0")
    parser.add_argument(
        "--first", type=int, default=0, help="leave out so many; misses of the first 500 were looked at"
    )
    arguments = parser.parse_args()
    truth = json.loads((arguments.folder / "truth.json").read_text())
    names = sorted(truth)
    order = np.random.default_rng(0).permutation(len(names))[arguments.first :][: arguments.n]
    chosen = [names[i] for i in order]
    reader = inkdigits.Reader()
    pictures = [read_image(arguments.folder / name) for name in chosen]
    reader.read_number(pictures[0])
    started = time.perf_counter()
    read = [reader.read_number(picture) for picture in pictures]
    alone_ms = (time.perf_counter() - started) / len(read) * 1e3
    right = np.array([r.digits == digits_of(truth[name]) for r, name in zip(read, chosen, strict=True)])
    string = np.array([r.text == truth[name].replace(",", ".") for r, name in zip(read, chosen, strict=True)])
    confidence = np.array([r.confidence for r in read])
    surest = right[np.argsort(-confidence)]
    print(
        f"n {len(right)}: digits exact {right.mean():.1%}, string exact {string.mean():.1%}, "
        f"surest half {surest[: len(right) // 2].mean():.1%}, surest 75 % {surest[: len(right) * 3 // 4].mean():.1%}, "
        f"ECE {calibration_error(confidence, right):.1%}, {alone_ms:.1f} ms a cell alone"
    )


if __name__ == "__main__":
    main()
