"""Does `inkdigits doctor` find wrong labels? Of the 15 disputed ones of MNIST's test set, how many come first?

Human raters dispute 15 labels of the test set (cleanlab's listing, labelerrors.com). How many are among the first 15,
25, 50 and 100 of the doctor's ranking, and what would chance give? `benchmarks/flips.py` asks about labels turned
wrong on purpose.

Usage: python benchmarks/bench_doctor.py [--recipe cnn] [--folds 5] [--seed 0] [--json FILE]
"""

import argparse
import time
from pathlib import Path

import numpy as np
from common import Table, publish

import inkdigits
from inkdigits.audit.label_issues import Diagnosis, LabelIssues, examine, find_twins

DISPUTED = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
FIRST = (15, 25, 50, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="cnn")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="keep the figures here")
    arguments = parser.parse_args()
    train, test = inkdigits.load_mnist()
    settings = {"recipe": arguments.recipe, "folds": arguments.folds, "seed": arguments.seed}
    start = time.perf_counter()
    diagnosis = examine(train, test, **settings)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    find_twins(train, test)
    twins_seconds = time.perf_counter() - start
    ranks = ranks_of(diagnosis.test, DISPUTED)
    tables = [disputed_table(ranks, len(test)), whole_table(diagnosis, seconds, twins_seconds)]
    figures = {"ranks": dict(zip(map(str, DISPUTED), ranks, strict=True)), "seconds": seconds, "twins_s": twins_seconds}
    notes = [
        f"Ranks of the disputed, of 10,000: {', '.join(f'{i}: {r}' for i, r in zip(DISPUTED, ranks, strict=True))}.",
        "cleanlab's default score (self-confidence) throughout; nothing was tuned on these 15.",
    ]
    title = "Wrong labels: MNIST's disputed digits among the doctor's first"
    publish("doctor", title, tables, notes=notes, figures=figures, path=arguments.json)


def ranks_of(found: LabelIssues, indices: tuple[int, ...]) -> list[int]:
    """Return the place of each image in the ranking, 1 for the lowest label quality."""
    rank = np.empty(len(found.split), np.int64)
    rank[found.ranking] = np.arange(1, len(found.ranking) + 1)
    return [int(rank[i]) for i in indices]


def disputed_table(ranks: list[int], n: int) -> Table:
    rows = [
        [f"{first}", f"**{sum(rank <= first for rank in ranks)} of {len(ranks)}**", f"{len(ranks) * first / n:.2f}"]
        for first in FIRST
    ]
    return Table("Disputed test labels, n = 10,000", ["among the first", "found", "by chance"], rows)


def whole_table(diagnosis: Diagnosis, seconds: float, twins_seconds: float) -> Table:
    rows = [
        ["test labels the networks disagree with", f"{diagnosis.test.disagrees.sum()} of 10,000"],
        ["training labels the networks disagree with", f"{diagnosis.train.disagrees.sum()} of 60,000"],
        ["duplicates, exact and near, in 70,000", f"{len(diagnosis.twins)}"],
        ["seconds in all", f"{seconds:.0f}"],
        ["of these, seconds for the duplicates", f"{twins_seconds:.0f}"],
    ]
    return Table("The whole examination", ["", ""], rows)


if __name__ == "__main__":
    main()
