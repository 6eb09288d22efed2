"""What adapting to one hand is worth: errors on the rest of a hand before and after it was learned.

    python benchmarks/personal.py DATA [--draws N] [--lines] [--json FILE]

A hand is a source of DATA/digits, of DATA/cells or, one clerk, of DATA/strings. Half of it is there to learn from: the
examples are what a person corrects, the errors first, up to half of the examples, and right readings for the others.
Errors are counted on the other half, by the network as it ships and by the hand's version; where the gate keeps none,
both are the same. `--lines`: the line network, too, with TensorFlow, one draw each.
"""

import argparse
import functools
import json
import os
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import Table, mean_sd, percent, publish

from inkdigits.arrays import GrayImage
from inkdigits.files.images import read_image
from inkdigits.personal.adapt import Outcome, adapt
from inkdigits.personal.examples import examples_of, of_lines
from inkdigits.reading.reader import Reader

SIZES = (20, 50, 100, 200)
LINE_SIZES = {"cells": (200,), "strings": (50,)}
DIGITS = ("semeion", "optdigits32", "gridpage64", "hwd1000")
LINES = {"cells": "", "strings": "702"}  # folder -> how the names of one hand's pictures begin
Line = tuple[GrayImage, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        cached = os.environ.get("INKDIGITS_HOME")
        digits = {name: of_digits(given.data / "digits" / f"{name}.npz", given.draws, home) for name in DIGITS}
        os.environ.pop("INKDIGITS_HOME", None) if cached is None else os.environ.update(INKDIGITS_HOME=cached)
        lines = {name: lines_of(given.data / name, start, home) for name, start in LINES.items()} if given.lines else {}
    header = ("hand", "examples", "errors before", "after", "fewer", "kept", "MNIST's own, of 3,000", "seconds")
    tables = [Table("Single digits (the digit network, without TensorFlow)", header, rows_of(digits))]
    if lines:
        tables.append(Table("Whole numbers (the line network)", header[:6], line_rows(lines)))
    publish(
        "personal",
        "One's own hand",
        tables,
        notes=["Half of each hand is learned from, errors first; errors are those on the other half."],
        figures={"digits": digits, "lines": lines},
        path=given.json,
    )


def of_digits(path: Path, n_draws: int, home: str) -> dict[str, list[dict[str, float]]]:
    """Return, for each number of examples, what each draw gave."""
    with np.load(path) as stored:
        images, labels = list(stored["x"]), stored["y"]
    readings = Reader().read_digits(images)
    framed = np.stack([reading.framed for reading in readings])
    wrong = Reader().classify(framed).labels != labels
    found: dict[str, list[dict[str, float]]] = {}
    for n in SIZES:
        found[str(n)] = []
        for draw in range(n_draws):
            learn, rest = halves(wrong, n, draw)
            os.environ["INKDIGITS_HOME"] = str(Path(home, f"{path.stem}-{n}-{draw}"))
            start = time.perf_counter()
            outcome = adapt("hand", examples_of(framed[learn], labels[learn]))
            seconds = time.perf_counter() - start
            after = Reader(outcome.version.parent).classify(framed[rest]).labels if outcome.version else None
            before = int(wrong[rest].sum())
            found[str(n)].append(
                {
                    "n": len(rest),
                    "before": before,
                    "after": before if after is None else int((after != labels[rest]).sum()),
                    "kept": float(outcome.version is not None),
                    "home_before": outcome.digits.home_before,
                    "home_after": outcome.digits.home_after if outcome.version else outcome.digits.home_before,
                    "seconds": seconds,
                }
            )
    return found


def halves(wrong: np.ndarray, n: int, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which to learn from, the errors of one half first and right ones for the others, and the other half."""
    order = np.random.default_rng(draw).permutation(len(wrong))
    learn, rest = order[: len(order) // 2], order[len(order) // 2 :]
    errors = learn[wrong[learn]][: n // 2]
    return np.concatenate([errors, learn[~wrong[learn]][: n - len(errors)]]), rest


def lines_of(folder: Path, start: str, home: str) -> dict[str, dict[str, float]]:
    """Return, for each number of examples, what one draw gave."""
    from inkdigits.data.loading import load_mnist
    from inkdigits.reading.model import SHIPPED, OnnxModel
    from inkdigits.training.line_tuning import LineTuner

    truth = json.loads((folder / "truth.json").read_text())
    lines = [(read_image(folder / name), text) for name, text in truth.items() if name.startswith(start)]
    wrong = ~right(Reader(), lines)
    found = {}
    for n in LINE_SIZES[folder.name]:
        learn, rest = halves(wrong, n, 0)
        mnist = load_mnist()[0]
        os.environ["INKDIGITS_HOME"] = str(Path(home, f"{folder.name}-{n}"))
        begin = time.perf_counter()
        outcome = adapt(
            "hand",
            of_lines([lines[i] for i in learn], Reader()),
            make_tuner=functools.partial(LineTuner, OnnxModel(SHIPPED / "line.onnx"), mnist),
        )
        os.environ.pop("INKDIGITS_HOME", None)
        unseen = [lines[i] for i in rest]
        after = right(Reader(outcome.version.parent), unseen) if outcome.version else ~wrong[rest]
        found[str(n)] = {
            "n": len(rest),
            "before": int(wrong[rest].sum()),
            "after": int((~after).sum()),
            "kept": float(outcome.lines.is_kept) if outcome.lines else 0.0,
            **home_of(outcome),
            "seconds": time.perf_counter() - begin,
        }
        print(folder.name, n, found[str(n)], outcome.lines, flush=True)
    return found


def home_of(outcome: Outcome) -> dict[str, float]:
    gate = outcome.lines
    assert gate is not None
    return {"n_home": gate.n_home, "home_before": gate.home_before, "home_after": gate.home_after}


def right(reader: Reader, lines: Sequence[Line]) -> np.ndarray:
    """Return bool (N,), of which lines the digits are read right."""
    readings = reader.lines.read([picture for picture, _ in lines])
    pairs = zip(readings, lines, strict=True)
    return np.array([reading.digits == re.sub(r"[^0-9]", "", text) for reading, (_, text) in pairs])


def rows_of(digits: dict[str, dict[str, list[dict[str, float]]]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, sizes in digits.items():
        for n, draws in sizes.items():
            before, after = (sum(draw[key] for draw in draws) for key in ("before", "after"))
            home_before, home_after = (
                statistics.fmean(draw[key] for draw in draws) for key in ("home_before", "home_after")
            )
            rows.append(
                (
                    f"{name} ({draws[0]['n']:,} digits)",
                    n,
                    mean_sd([draw["before"] for draw in draws], 1),
                    mean_sd([draw["after"] for draw in draws], 1),
                    percent(1 - after / before, 0) if before else "-",
                    f"{sum(draw['kept'] for draw in draws):.0f} of {len(draws)}",
                    f"{home_before:.1f} -> {home_after:.1f}",
                    f"{statistics.median(draw['seconds'] for draw in draws):.1f}",
                )
            )
    return rows


def line_rows(lines: dict[str, dict[str, dict[str, float]]]) -> list[tuple[str, ...]]:
    return [
        (
            f"{name} ({each['n']:.0f} numbers)",
            n,
            f"{each['before']:.0f}",
            f"{each['after']:.0f}",
            percent(1 - each["after"] / each["before"], 0),
            "yes" if each["kept"] else "no",
        )
        for name, sizes in lines.items()
        for n, each in sizes.items()
    ]


if __name__ == "__main__":
    main()
