"""Evaluations and comparisons -> HTML pages.

Importing this module fails where Jinja2, Matplotlib or seaborn is missing, so that nobody evaluates a model for minutes
and cannot draw the figures then.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inkdigits.errors import require
from inkdigits.evaluation.cells import CellsEvaluation, CellsPromise
from inkdigits.evaluation.comparison import Comparison
from inkdigits.evaluation.digits import Evaluation
from inkdigits.evaluation.figures import (
    N_SAMPLES,
    N_WORST,
    draw_confusions,
    draw_reliability,
    draw_risk_coverage,
    figures_of,
    png_of,
)
from inkdigits.evaluation.html import render, save_page
from inkdigits.evaluation.inspection import Inside
from inkdigits.evaluation.model_evaluation import ModelEvaluation
from inkdigits.evaluation.selective import Promise, bounded_risk_coverage
from inkdigits.files.images import read_image
from inkdigits.files.storage import make_folder, write_bytes

require("matplotlib", "seaborn", "scipy")


def save_run_report(
    folder: Path,
    evaluation: Evaluation,
    history: Sequence[Mapping[str, float]] = (),
    facts: Mapping[str, Any] | None = None,
    inside: Inside | None = None,
) -> Path:
    """Write report.html and figures/*.png of one run and return the report's path.

    Args:
        folder: the run directory.
        evaluation: of the run on its test set.
        history: one row an epoch.
        facts: what run.json holds; None: what the card holds.
        inside: raw scores and weights of the network, for the remark about sigmoids and the weight images.

    Raises:
        OutputError: the files cannot be written.
    """
    pictures = figures_of(evaluation, history, inside)
    make_folder(str(folder / "figures"))
    for name, png in pictures.items():
        write_bytes(str(folder / "figures" / f"{name}.png"), png)
    return save_page(folder / "report.html", run_html(evaluation, pictures, facts, inside).encode())


def run_html(
    evaluation: Evaluation,
    pictures: Mapping[str, bytes],
    facts: Mapping[str, Any] | None = None,
    inside: Inside | None = None,
    cells: "CellsReport | None" = None,
) -> str:
    """Return the report on one run as a page.

    Args:
        evaluation: of the run.
        pictures: as `figures_of` returns them; a section whose picture is missing is left out.
        facts: what run.json holds; None: what the card holds.
        inside: raw scores and weights of the network.
        cells: numbers that were evaluated as well.
    """
    known = {**evaluation.card, **(facts or {})}
    return render(
        "run.html",
        title=evaluation.model,
        lead=f"Evaluated on {len(evaluation):,} {evaluation.split.name} images of {evaluation.split.source}.",
        evaluation=evaluation,
        pictures=pictures,
        worst=evaluation.worst_errors(N_WORST),
        n_samples=min(N_SAMPLES, len(evaluation)),
        label_smoothing=known.get("recipe", {}).get("label_smoothing"),
        facts=_grouped(known),
        inside=inside,
        report=cells,
    )


def model_html(evaluation: ModelEvaluation, promise: CellsPromise | None = None) -> str:
    """Return the report on all that was evaluated; with cells what they allow to promise, if it was asked for."""
    cells = None if evaluation.cells is None else cells_report(evaluation.cells, promise)
    if evaluation.digits is not None:
        return run_html(evaluation.digits, figures_of(evaluation.digits), cells=cells)
    assert cells is not None  # one of the two is always evaluated
    lead = f"Evaluated on {len(cells.cells):,} pictures of one number each of {cells.cells.source}."
    return render("cells.html", title="Numbers in cells", lead=lead, report=cells)


@dataclass(frozen=True)
class CellsReport:
    """What a page shows of cells.

    Attributes:
        cells: the evaluation.
        figures: as `CellsEvaluation.to_dict` has them.
        promise: what the cells allow to promise, if it was asked for.
        pictures: "risk_coverage" and "reliability" as PNG files.
        worst: the most confident errors: the picture as PNG, its place among the cells.
    """

    cells: CellsEvaluation
    figures: Mapping[str, Any]
    promise: Promise | None
    pictures: Mapping[str, bytes]
    worst: Sequence[tuple[bytes, int]]


def cells_report(cells: CellsEvaluation, promise: CellsPromise | None = None) -> CellsReport:
    """Return what a page shows of cells; their pictures are read once more.

    Raises:
        ImageError: one of them is gone.
    """
    right, made = cells.string_right, None if promise is None else promise.promise
    curve = bounded_risk_coverage(cells.confidence, right) if promise is None else promise.curve
    drawn = {
        "risk_coverage": draw_risk_coverage(curve, made),
        "reliability": draw_reliability(cells.confidence, right),
    }
    wrong = np.flatnonzero(~right)
    worst = wrong[np.argsort(-cells.confidence[wrong], kind="stable")][:N_WORST].tolist()
    shown = [(_thumbnail(Path(cells.source) / cells.files[i]), i) for i in worst]
    return CellsReport(cells, cells.to_dict(), made, {name: png_of(figure) for name, figure in drawn.items()}, shown)


def _thumbnail(path: Path) -> bytes:
    """Return a picture as PNG, made smaller where it is larger than a page has room for."""
    picture, buffer = Image.fromarray(read_image(path)), io.BytesIO()
    picture.thumbnail((220, 80))
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def comparison_html(comparison: Comparison) -> str:
    """Return the report on two models as a page."""
    first, second = comparison.first, comparison.second
    return render(
        "comparison.html",
        title=f"{first.model} against {second.model}",
        lead=f"On the same {len(first):,} {first.split.name} images of {first.split.source}.",
        comparison=comparison,
        matrices=png_of(draw_confusions(comparison)),
    )


def _grouped(facts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every hyperparameter, the data and the environment of a run under their headings."""

    def chosen(*names: str) -> dict[str, Any]:
        return {name: facts[name] for name in names if name in facts}

    return {
        "Hyperparameters": {**facts.get("recipe", {}), **chosen("seed")},
        "Data": facts.get("data", {}),
        "Calibration": chosen("output", "temperature", "threshold"),
        "Environment": {
            **chosen("backend", "machine", "started", "finished", "seconds"),
            **facts.get("versions", {}),
        },
    }
