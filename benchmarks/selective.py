"""How many numbers can be accepted at which error: risk-coverage curves of real cells, with what a promise allows.

    python benchmarks/selective.py DATA [--blind] [--json FILE]

DATA/cells and DATA/strings hold pictures of one number each and truth.json; `--blind` scores DATA/blind, too. A number
counts as right if its whole string is, separators and signs included. The curves of the studied sets are drawn into
docs/images/risk-coverage.png.
"""

import argparse
from pathlib import Path

import numpy as np
from common import Table, percent, publish

from inkdigits.evaluation import selective
from inkdigits.evaluation.cells import CellsEvaluation, evaluate_cells
from inkdigits.evaluation.figures import draw_risk_coverage, png_of
from inkdigits.files.storage import write_bytes
from inkdigits.reading.reader import Reader

SETS = ("cells", "strings")
ERRORS = (0.005, 0.01, 0.02, 0.05)
RISK = 0.05
IMAGE = Path(__file__).parent.parent / "docs" / "images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--blind", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    reader = Reader(text_detector=False)
    parts = {"studied by the authors": given.data}
    if given.blind:
        parts["seen by nobody"] = given.data / "blind"
    rows, figures = [], {}
    for part, folder in parts.items():
        for name in SETS:
            cells = evaluate_cells(reader, folder / name)
            figures[f"{name}, {part}"] = figures_of(cells)
            rows.append(row_of(f"{name}, {part}", figures[f"{name}, {part}"]))
            if part == "studied by the authors":
                curve = selective.bounded_risk_coverage(cells.confidence, cells.string_right)
                made = selective.promise(cells.confidence, cells.string_right, RISK)
                write_bytes(IMAGE / f"risk-coverage-{name}.png", png_of(draw_risk_coverage(curve, made)))
    header = ("set", "n", "wrong", "AURC", *(f"accepted at {percent(error, 1)} wrong" for error in ERRORS), "promise")
    publish(
        "selective",
        "How many numbers can be accepted at which error",
        [Table("Whole strings, the surest first", header, rows)],
        notes=[
            f"Promise: accepted at a risk of {percent(RISK, 0)}, 95 % sure. The curves of the studied sets, with their "
            "upper bound (Clopper-Pearson, 95 %): ![cells](images/risk-coverage-cells.png) "
            "![strings](images/risk-coverage-strings.png)"
        ],
        figures=figures,
        path=given.json,
    )


def figures_of(cells: CellsEvaluation) -> dict[str, float | None]:
    right = np.asarray(cells.string_right)
    made = selective.promise(cells.confidence, right, RISK)
    return {
        "n": len(cells),
        "wrong": float((~right).mean()),
        "aurc": selective.aurc(cells.confidence, right),
        **{f"coverage_at_{error:g}": selective.coverage_at(cells.confidence, right, error) for error in ERRORS},
        "promised": made.coverage if made.threshold is not None else None,
    }


def row_of(name: str, found: dict[str, float | None]) -> tuple[str, ...]:
    shares = [percent(found[f"coverage_at_{error:g}"] or 0.0, 0) for error in ERRORS]
    promised = "none yet" if found["promised"] is None else percent(found["promised"], 0)
    return (
        name,
        f"{found['n']:,}",
        percent(found["wrong"] or 0.0, 1),
        percent(found["aurc"] or 0.0, 2),
        *shares,
        promised,
    )


if __name__ == "__main__":
    main()
