"""Evaluations and comparisons -> HTML pages.

Importing this module fails where Jinja2, Matplotlib or seaborn is missing, so that nobody evaluates a model for minutes
and cannot draw the figures then.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inkdigits.errors import require
from inkdigits.evaluation.comparison import Comparison
from inkdigits.evaluation.digits import Evaluation
from inkdigits.evaluation.figures import N_SAMPLES, N_WORST, draw_confusions, figures_of, png_of
from inkdigits.evaluation.html import render, save_page
from inkdigits.evaluation.inspection import Inside
from inkdigits.files.storage import make_folder, write_bytes

require("matplotlib", "seaborn")


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
) -> str:
    """Return the report on one run as a page.

    Args:
        evaluation: of the run.
        pictures: as `figures_of` returns them; a section whose picture is missing is left out.
        facts: what run.json holds; None: what the card holds.
        inside: raw scores and weights of the network.
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
    )


def evaluation_html(evaluation: Evaluation) -> str:
    """Return the report on a model of which no more is known than its card and its answers."""
    return run_html(evaluation, figures_of(evaluation))


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
