"""A ranking -> Matplotlib figures: configurations, hyperparameters, learning curves, importance."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inkdigits.evaluation.figures import blank_figure
from inkdigits.sweep.ranking import SIGNIFICANCE_LEVEL, RankedConfiguration, Ranking, by_value
from inkdigits.sweep.space import LOGARITHMIC_FROM, value_in_words
from inkdigits.training.hyperparameters import flag

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, GREY, RED = "#1d4ed8", "#a3a3a3", "#b91c1c"
PALETTE = ("#1d4ed8", "#b45309", "#15803d", "#a21caf", "#525252")
# More configurations than these are in the table, but not in the figures.
MOST_DRAWN, N_CURVES = 30, 5


def drawn(ranking: Ranking) -> list[RankedConfiguration]:
    """Return the configurations that have an accuracy, the best first."""
    return [row for row in ranking.rows if row.accuracies]


def is_significant(row: RankedConfiguration) -> bool:
    """Say whether the difference from the best is significant."""
    return row.p is not None and row.p < SIGNIFICANCE_LEVEL


def _is_list(values: Sequence[Any]) -> bool:
    """Say whether each value gets its own place on the axis: they are few, or words."""
    return len(values) <= 8 or any(isinstance(value, str | bool) for value in values)


def draw_ranking(ranking: Ranking) -> "Figure":
    """Draw mean, seeds and interval of each configuration, the best on top."""
    rows = drawn(ranking)[:MOST_DRAWN]
    figure = blank_figure(10, 1.1 + 0.3 * len(rows))
    axes = figure.subplots()
    for y, row in enumerate(rows):
        colour = RED if is_significant(row) else BLUE
        axes.plot([100 * a for a in row.accuracies], [y] * len(row.accuracies), "o", color=GREY, markersize=3)
        half = None if row.half is None else 100 * row.half
        axes.errorbar(100 * row.mean, y, xerr=half, fmt="o", color=colour, capsize=3, markersize=6)
    axes.axvline(100 * rows[0].mean, linestyle="--", color=GREY, linewidth=1)
    axes.set_yticks(range(len(rows)), [", ".join(ranking.names(row)) for row in rows])
    axes.set(xlabel="accuracy on validation images, %", ylim=(len(rows) - 0.5, -0.5))
    _zoom(axes, [100 * a for row in rows for a in row.accuracies], "x")
    _plain(axes)
    return figure


def _zoom(axes: "Axes", values: Sequence[float], which: str) -> None:
    """Cut the axis, and say so, where a few very bad configurations would leave no room for the others."""
    ordered = sorted(values)
    top, middle = ordered[-1], ordered[len(ordered) // 2]
    low = top - 6 * max(top - middle, 0.25)
    if ordered[0] >= low:
        return
    n = sum(value < low for value in ordered)
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, top + 0.08 * (top - low))
    axes.set_title(f"{n} training{'s' if n > 1 else ''} under {low:.1f} % not shown", fontsize=9, color=GREY)


def draw_hyperparameter(ranking: Ranking, name: str) -> "Figure":
    """Draw the accuracy of every configuration against one hyperparameter."""
    values = by_value(ranking, name)
    figure = blank_figure(8, 3.4)
    axes = figure.subplots()
    if _is_list(list(values)):
        for x, accuracies in enumerate(values.values()):
            axes.plot([x] * len(accuracies), [100 * a for a in accuracies], "o", color=BLUE, alpha=0.6)
            axes.hlines(100 * sum(accuracies) / len(accuracies), x - 0.25, x + 0.25, color="#1c1917", linewidth=2)
        axes.set_xticks(range(len(values)), [value_in_words(value) for value in values])
        axes.set_xlim(-0.6, len(values) - 0.4)
    else:
        points = [(value, 100 * accuracy) for value, each in values.items() for accuracy in each]
        axes.plot(*zip(*points, strict=True), "o", color=BLUE, alpha=0.6)
        numbers = [float(value) for value in values]
        if min(numbers) > 0 and max(numbers) / min(numbers) >= LOGARITHMIC_FROM:
            axes.set_xscale("log")
    axes.set(xlabel=flag(name), ylabel="accuracy, %")
    _zoom(axes, [100 * accuracy for each in values.values() for accuracy in each], "y")
    _plain(axes)
    return figure


def draw_curves(ranking: Ranking) -> "Figure":
    """Draw the best configurations' accuracy by epoch, validation and training: mean and range of the seeds."""
    from matplotlib.ticker import MaxNLocator

    figure = blank_figure(9, 4.2)
    axes = figure.subplots()
    rows = drawn(ranking)[:N_CURVES]
    for row, colour in zip(rows, PALETTE, strict=False):
        curves = [each.history for each in row.outcomes.values() if each.accuracy is not None]
        epochs = [int(point["epoch"]) for point in curves[0]]
        validation = [[100 * curve[i]["val_accuracy"] for curve in curves] for i in range(len(epochs))]
        training = [sum(100 * curve[i]["accuracy"] for curve in curves) / len(curves) for i in range(len(epochs))]
        axes.plot(
            epochs,
            [sum(each) / len(each) for each in validation],
            "o-",
            color=colour,
            markersize=4,
            label=", ".join(ranking.names(row)) or "the recipe",
        )
        axes.fill_between(epochs, list(map(min, validation)), list(map(max, validation)), color=colour, alpha=0.15)
        axes.plot(epochs, training, ":", color=colour)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="accuracy, %")
    axes.legend(frameon=False)
    _plain(axes)
    return figure


def draw_importance(importance: Mapping[str, float]) -> "Figure":
    """Draw the share of each hyperparameter."""
    figure = blank_figure(7, 0.9 + 0.4 * len(importance))
    axes = figure.subplots()
    names = [flag(name) for name in importance]
    bars = axes.barh(names, [100 * share for share in importance.values()], color=BLUE)
    axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.set(xlabel="share of the variance explained, %", xlim=(0, max(100 * max(importance.values()) * 1.12, 1)))
    axes.invert_yaxis()
    _plain(axes)
    return figure


def _plain(axes: "Axes") -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
