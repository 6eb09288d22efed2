"""How well whole pictures are read: digits right, rows exact, seconds a picture.

    python benchmarks/pages.py DIR [--turn 1] [--misses]

DIR holds pictures and a truth.json, file -> {"lines": [...], "notes": ...}, or folders that do. Only the digits of a
line are compared. Digits right is 1 - edit distance / digits; a row is exact where a row of the answer equals it and so
does its place among those that do. Pictures whose notes say "no reading order" are compared as multisets of digits.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from inkdigits.images import read_image
from inkdigits.reader import PageReading, Reader


@dataclass(frozen=True)
class Score:
    """Of one picture."""

    digits: int
    errors: int
    rows: int
    exact: int
    wrong_but_accepted: int
    seconds: float


def digits_of(text: str) -> str:
    return "".join(char for char in text if char.isdigit())


def edit_distance(a: str, b: str) -> int:
    costs = list(range(len(b) + 1))
    for i, char in enumerate(a, 1):
        before, costs = costs, [i]
        for j, other in enumerate(b, 1):
            costs.append(min(before[j - 1] + (char != other), before[j] + 1, costs[-1] + 1))
    return costs[-1]


def in_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest sequence of items that stand in both, in order."""
    lengths = [0] * (len(b) + 1)
    for item in a:
        before = lengths
        lengths = [0]
        for j, other in enumerate(b, 1):
            lengths.append(before[j - 1] + 1 if item == other else max(before[j], lengths[-1]))
    return lengths[-1]


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


def measure(reader: Reader, folder: Path, turn: int, misses: bool) -> list[Score]:
    scores = []
    for name, truth in sorted(json.loads((folder / "truth.json").read_text()).items()):
        image = np.ascontiguousarray(np.rot90(read_image(folder / name), turn))
        started = time.perf_counter()
        page = reader.read_page(image)
        scores.append(score(page, truth, time.perf_counter() - started))
        if misses and (scores[-1].errors or scores[-1].exact < scores[-1].rows):
            print(f"{name}: {scores[-1]}\n    read  {page.text.split()}\n    truth {truth['lines']}")
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--turn", type=int, default=0, help="turn every picture by so many quarters first")
    parser.add_argument("--misses", action="store_true", help="show what was misread")
    parser.add_argument("--threads", type=int, default=0, help="of OpenCV; 0 = as many as it likes")
    given = parser.parse_args()
    if given.threads:
        cv2.setNumThreads(given.threads)
    reader = Reader()
    reader.read_page(np.full((100, 100), 255, np.uint8))
    for folder in given.folders:
        scores = measure(reader, folder, given.turn, given.misses)
        digits, rows = sum(s.digits for s in scores), sum(s.rows for s in scores)
        times = sorted(s.seconds for s in scores)
        print(
            f"{folder.name}: {len(scores)} pictures; digits right {1 - sum(s.errors for s in scores) / digits:.4f} "
            f"of {digits}; rows exact {sum(s.exact for s in scores) / rows:.3f} of {rows}; "
            f"accepted though wrong {sum(s.wrong_but_accepted for s in scores)}; "
            f"seconds a picture: median {times[len(times) // 2]:.3f}, slowest {times[-1]:.3f}"
        )


if __name__ == "__main__":
    main()
