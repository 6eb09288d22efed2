"""sweep.html: the ranking with its intervals, figures, learning curves, importance, the commands to repeat it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inkdigits.evaluation.figures import png_of
from inkdigits.evaluation.html import render, save_page
from inkdigits.sweep import figures
from inkdigits.sweep.ranking import LEAST_FOR_IMPORTANCE, Ranking
from inkdigits.training.hyperparameters import flag


def save(path: Path, found: Mapping[str, Any], ranking: Ranking, commands: Sequence[str]) -> Path:
    """Write the page whole and return its path.

    Args:
        path: sweep.html.
        found: the sweep as `Sweep.to_dict` returns it.
        ranking: of its configurations, compared with the best.
        commands: which repeat the best.

    Raises:
        OutputError: it cannot be written.
    """
    return save_page(path, page(found, ranking, commands).encode())


def page(found: Mapping[str, Any], ranking: Ranking, commands: Sequence[str]) -> str:
    """Return the page; the arguments are those of `save`."""
    drawn = figures.drawn(ranking)
    name = found["recipe"]["name"]
    outcomes = [outcome for row in ranking.rows for outcome in row.outcomes.values()]
    return render(
        "sweep.html",
        __package__,
        title=f"Sweep of {name}",
        lead=f"{len(ranking.rows)} configurations of {name}, at most {ranking.n_seeds} seeds each.",
        found=found,
        winner_name=Path(found["winner"]["path"]).name if found["winner"] else None,
        ranking=ranking,
        commands=commands,
        n_significant=sum(figures.is_significant(row) for row in ranking.rows),
        n_drawn=min(len(drawn), figures.MOST_DRAWN),
        n_with_accuracy=len(drawn),
        n_trainings=len(outcomes),
        minutes=sum(outcome.seconds for outcome in outcomes) / 60,
        errors=sorted({row.error for row in ranking.rows if row.error}),
        least_for_importance=LEAST_FOR_IMPORTANCE,
        pictures=_pictures(found, ranking) if drawn else {},
        hyperparameters=_hyperparameters(ranking) if drawn else {},
    )


def _pictures(found: Mapping[str, Any], ranking: Ranking) -> dict[str, bytes]:
    """Return the figures of the page as PNG files, those that there is something to draw for."""
    pictures = {"curves": png_of(figures.draw_curves(ranking))}
    if len(figures.drawn(ranking)) > 1:
        pictures["ranking"] = png_of(figures.draw_ranking(ranking))
    if found["importance"]:
        pictures["importance"] = png_of(figures.draw_importance(found["importance"]))
    return pictures


def _hyperparameters(ranking: Ranking) -> dict[str, bytes]:
    """Return a PNG file for each hyperparameter that was varied: flag -> bytes."""
    return {flag(name): png_of(figures.draw_hyperparameter(ranking, name)) for name in ranking.hyperparameters}
