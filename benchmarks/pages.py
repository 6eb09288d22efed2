"""How well whole pictures are read: digits right, rows exact, seconds a picture.

    python benchmarks/pages.py DIR ... [--turns 0 1 2 3] [--errors] [--json FILE]

DIR holds pictures and a truth.json, file -> {"lines": [...], "notes": ...}, or folders that do. Only the digits of a
line are compared. Digits right is 1 - edit distance / digits; a row is exact where a row of the answer equals it and so
does its place among those that do. Pictures whose notes say "no reading order" are compared as multisets of digits.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import Table, in_common, percent, publish

from inkdigits.evaluation.metrics import edit_distance
from inkdigits.files.images import read_image
from inkdigits.reading.decoding import digits_of
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading


@dataclass(frozen=True)
class Score:
    """Of one picture."""

    digits: int
    errors: int
    rows: int
    exact: int
    wrong_but_accepted: int
    seconds: float


def score(page: PageReading, truth: dict[str, Any], seconds: float) -> Score:
    found = [line.digits for line in page.lines]
    wanted = [digits_of(line) for line in truth["lines"]]
    sure = [str(item.digit) for line in page.lines for item in line.items if item.accepted]
    if "no reading order" in truth.get("notes", ""):
        found, wanted, sure = ["".join(sorted("".join(found)))], ["".join(sorted("".join(wanted)))], sorted(sure)
    digits = "".join(wanted)
    errors = edit_distance("".join(found), digits)
    wrong = len(sure) - in_common(sure, digits)
    return Score(len(digits), errors, len(wanted), in_common(found, wanted), wrong, seconds)


def measure(reader: Reader, folder: Path, turn: int, errors: bool) -> list[Score]:
    scores = []
    for name, truth in sorted(json.loads((folder / "truth.json").read_text()).items()):
        image = np.ascontiguousarray(np.rot90(read_image(folder / name), turn))
        started = time.perf_counter()
        page = reader.read_page(image)
        scores.append(score(page, truth, time.perf_counter() - started))
        if errors and (scores[-1].errors or scores[-1].exact < scores[-1].rows):
            misread = f"{name}: {scores[-1]}\n    read  {page.text.split()}\n    truth {truth['lines']}"
            print(misread, file=sys.stderr)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--turns", type=int, nargs="+", default=[0], help="turn every picture by so many quarters, too")
    parser.add_argument("--errors", action="store_true", help="show what was misread")
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    reader = Reader(text_detector=False)
    reader.read_page(np.full((100, 100), 255, np.uint8))
    found = {
        f"{folder.name}, turned by {90 * turn} degrees" if turn else folder.name: summary(
            measure(reader, folder, turn, given.errors)
        )
        for folder in given.folders
        for turn in given.turns
    }
    header = ("pictures", "n", "digits right", "rows exact", "accepted though wrong", "ms a picture, median", "slowest")
    publish(
        "pages",
        "Photographs and scanned pages",
        [Table("", header, [cells(name, figures) for name, figures in found.items()])],
        notes=[
            "The layout was developed on these very photographs. Each scanned page holds one digit a hundred times: "
            "turned ones are read but for those of 6s and 9s, which upside down are each other, and of 1s, which are "
            "bars. Photographs of fewer than four pieces of ink are read as they lie; six of four to seven digits stay "
            "upside down."
        ],
        figures=found,
        path=given.json,
    )


def summary(scores: list[Score]) -> dict[str, float]:
    digits, rows = sum(s.digits for s in scores), sum(s.rows for s in scores)
    return {
        "n": len(scores),
        "n_digits": digits,
        "digits_right": 1 - sum(s.errors for s in scores) / digits,
        "n_rows": rows,
        "rows_exact": sum(s.exact for s in scores) / rows,
        "wrong_but_accepted": sum(s.wrong_but_accepted for s in scores),
        "ms_median": 1000 * statistics.median(s.seconds for s in scores),
        "ms_slowest": 1000 * max(s.seconds for s in scores),
    }


def cells(name: str, found: dict[str, float]) -> tuple[str, ...]:
    return (
        name,
        str(found["n"]),
        f"{percent(found['digits_right'], 2)} of {found['n_digits']}",
        f"{percent(found['rows_exact'], 1)} of {found['n_rows']}",
        str(found["wrong_but_accepted"]),
        f"{found['ms_median']:.0f}",
        f"{found['ms_slowest']:.0f}",
    )


if __name__ == "__main__":
    main()
