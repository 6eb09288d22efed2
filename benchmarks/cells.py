"""Whole numbers of real cells, as `inkdigits evaluate --cells` evaluates them: exactness, the surest, calibration.

    python benchmarks/cells.py DIR [--json FILE]

DIR holds pictures and a truth.json, file -> value. Errors of 500 of the cells (in the order of seed 0) were looked at
while the line network was designed; the row of the others says what that is worth.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import Table, percent, publish

from inkdigits.evaluation.cells import CellsEvaluation, evaluate_cells
from inkdigits.files.images import read_image
from inkdigits.reading.reader import Reader

LOOKED_AT = 500
TIMED = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    reader = Reader(text_detector=False)
    evaluated = evaluate_cells(reader, given.dir)
    figures = {"all": evaluated.to_dict()}
    # `truth.json` need not be sorted; the order in which errors were looked at is that of sorted names.
    unseen = np.argsort(evaluated.files)[np.random.default_rng(0).permutation(len(evaluated))[LOOKED_AT:]]
    if len(unseen):
        figures["those whose errors nobody looked at"] = part(evaluated, unseen).to_dict()
    alone = alone_ms(reader, [given.dir / name for name in evaluated.files[:TIMED]])
    note = f"One cell alone: {np.median(alone):.1f} ms, median of {len(alone)}; the slowest {max(alone):.0f} ms."
    for each in figures.values():
        each["data"] = "DATA/cells"  # where they lie is this machine's own affair
    table = Table("", HEADER, [row(name, found) for name, found in figures.items()])
    publish(
        "cells",
        "Whole numbers in cells of photographed logbooks",
        [table],
        notes=[note],
        figures=figures | {"alone_ms_median": float(np.median(alone))},
        path=given.json,
    )


def part(evaluated: CellsEvaluation, places: np.ndarray) -> CellsEvaluation:
    named = {name: tuple(getattr(evaluated, name)[i] for i in places) for name in ("files", "labels", "texts")}
    return replace(evaluated, **named, confidence=evaluated.confidence[places], accepted=evaluated.accepted[places])


def alone_ms(reader: Reader, paths: list[Path]) -> list[float]:
    pictures = [read_image(path) for path in paths]
    reader.read_number(pictures[0])
    taken = []
    for picture in pictures:
        started = time.perf_counter()
        reader.read_number(picture)
        taken.append(1000 * (time.perf_counter() - started))
    return taken


HEADER = ("cells", "n", "digits exact", "95 % interval", "string exact", "surest half right", "accepted")
HEADER += ("right among these", "calibration error")


def row(name: str, found: dict) -> tuple[str, ...]:
    low, high = found["digits_exact_interval"]
    return (
        name,
        f"{found['n']:,}",
        percent(found["digits_exact"], 2),
        f"{percent(low, 2)} to {percent(high, 2)}",
        percent(found["string_exact"], 2),
        percent(found["accuracy_surest_half"], 2),
        percent(found["coverage"], 1),
        percent(found["accuracy_accepted"], 1),
        percent(found["calibration_error"], 2),
    )


if __name__ == "__main__":
    main()
