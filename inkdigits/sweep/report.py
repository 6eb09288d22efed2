"""sweep.html: the ranking with its intervals, a plot a knob, learning curves, importance, the commands to repeat it."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inkdigits.evaluation import html
from inkdigits.evaluation.figures import blank_figure, png_of
from inkdigits.evaluation.text import percent
from inkdigits.sweep.ranking import LEAST_FOR_IMPORTANCE, RankedConfiguration, Ranking, by_value
from inkdigits.sweep.space import LOGARITHMIC_FROM, flag, value_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BLUE, GREY, RED = "#1d4ed8", "#a3a3a3", "#b91c1c"
# More configurations than these are in the table, and not in the pictures.
MOST_DRAWN, N_CURVES = 30, 5
PALETTE = ("#1d4ed8", "#b45309", "#15803d", "#a21caf", "#525252")


def save(path: Path, found: Mapping[str, Any], ranking: Ranking, commands: Sequence[str]) -> Path:
    """Write the page whole and return its path.

    Args:
        path: sweep.html.
        found: the sweep as `Sweep.to_dict` returns it.
        ranking: of its configurations, judged.
        commands: which repeat the best.

    Raises:
        RunError: it cannot be written.
    """
    return html.save_page(path, page(found, ranking, commands).encode())


def page(found: Mapping[str, Any], ranking: Ranking, commands: Sequence[str]) -> str:
    """Return the page; the arguments are those of `save`."""
    drawn = [row for row in ranking.rows if row.accuracies]
    sections = [html.Section("Ranking", _ranking_body(ranking, drawn))]
    if drawn:
        sections += [html.Section("Knob by knob", _knobs_body(ranking))] if ranking.hyperparameters else []
        curves = html.picture(png_of(draw_curves(ranking)), "Learning curves of the best", _CURVES)
        sections.append(html.Section("Learning curves", curves))
    sections.append(html.Section("Importance", _importance_body(found["importance"], ranking)))
    sections.append(html.Section("To repeat it", _commands_body(commands)))
    sections.append(html.Section("How it was done", _method_body(found, ranking)))
    lead = f"{len(ranking.rows)} configurations of {found['recipe']['name']}, {ranking.n_seeds} seeds each at most."
    return html.document(f"Sweep of {found['recipe']['name']}", lead, sections, _tiles(found, ranking))


_CURVES = (
    "<b>How to read it.</b> Accuracy after each epoch of the best configurations: solid on the held-out images, the "
    "band from the worst seed to the best; dotted on the images it learns from, while it learns. Where the dotted line "
    "goes on rising and the solid one does not, more epochs only teach by heart."
)


def _tiles(found: Mapping[str, Any], ranking: Ranking) -> str:
    cards = []
    if ranking.best is not None:
        best = ranking.best
        cards.append(("best on held-out images", percent(best.mean), f"mean of {len(best.accuracies)} seeds"))
    if found["winner"] is not None:
        winner = found["winner"]
        below = f"{winner['test_mistakes']:,.0f} mistakes in {winner['n_test']:,.0f}, read once"
        cards.append(("winner on the test set", percent(winner["test_accuracy"]), below))
    real = sum(row.verdict == "significant" for row in ranking.rows)
    cards.append(("real differences from the best", f"{real} of {len(ranking.tested)}", "the others are noise"))
    trainings = sum(len(row.outcomes) for row in ranking.rows)
    seconds = sum(outcome.seconds for row in ranking.rows for outcome in row.outcomes.values())
    cards.append(("trainings", f"{trainings:,}", f"{seconds / 60:.1f} minutes of one core or more"))
    return html.tiles(cards)


def _ranking_body(ranking: Ranking, drawn: Sequence[RankedConfiguration]) -> str:
    body = f"<p>{escape(ranking.in_words())}</p>"
    if len(drawn) > 1:
        caption = "<b>How to read it.</b> Small dots are the single seeds, the large one their mean. "
        if ranking.tested:
            caption += (
                "The bar is the 95 % interval of the difference from the best, set around the mean: one that reaches "
                "the dashed line may be chance. So may a blue one that just misses it, for among many pairs some do by "
                "luck; red ones stay real after adjusting for all pairs. "
            )
        caption += f"The first {MOST_DRAWN} are drawn." if len(drawn) > MOST_DRAWN else ""
        body += html.picture(png_of(draw_ranking(ranking)), "Accuracy of every configuration", caption)
    errors = sorted({row.error for row in ranking.rows if row.error})
    failed = "".join(f"<li>{escape(error)}</li>" for error in errors)
    body += html.table(ranking.head(), ranking.cells())
    return body + (f"<h3>What failed</h3><ul>{failed}</ul>" if failed else "")


def _knobs_body(ranking: Ranking) -> str:
    text = (
        "<p>A dot is a configuration, the mean of its seeds; whatever else it has differs from dot to dot. A bar is "
        "the mean of the dots above a value.</p>"
    )
    return text + "".join(
        f"<h3>{flag(knob)}</h3>" + html.picture(png_of(draw_knob(ranking, knob)), f"Accuracy by {flag(knob)}")
        for knob in ranking.hyperparameters
    )


def _importance_body(importance: Mapping[str, float], ranking: Ranking) -> str:
    if not importance:
        return (
            f"<p>It takes two knobs of several values and {LEAST_FOR_IMPORTANCE} configurations to say which knob "
            "matters more.</p>"
        )
    n = sum(bool(row.accuracies) for row in ranking.rows)
    caption = (
        f"<b>How to read it.</b> The share of the accuracy's variance over the {n} configurations that a knob explains "
        "(fANOVA), within the values tried here: a knob with one very bad value is important, however little it "
        "matters among the good ones."
    )
    return html.picture(png_of(draw_importance(importance)), "Importance of each knob", caption)


def _commands_body(commands: Sequence[str]) -> str:
    if not commands:
        return "<p>There is no best.</p>"
    first = "<p>The best, trained once on all training images and judged on the test set:</p>"
    second = "<p>The best with its seeds, on the same held-out images:</p>"
    return "".join(
        f"{words}<pre>{escape(command)}</pre>" for words, command in zip((first, second), commands, strict=True)
    )


def _method_body(found: Mapping[str, Any], ranking: Ranking) -> str:
    facts = [
        ["learned from", f"{found['n_train']:,} training images"],
        ["chosen on", f"{ranking.n_validation:,} other training images, the same for all, after the last epoch"],
        ["test set", "read for the winner alone, trained anew with seed 0 on the held-out images as well"],
        ["seeds", "0 to " + str(ranking.n_seeds - 1) + "; first weights, order of the images, dropout"],
        ["real or noise", "variance over images and over seeds, paired, Student's t; Holm over all pairs"],
        ["study", found["study"]],
        ["storage", found["storage"]],
    ]
    facts += [["left out", f"{count}: {reason}"] for reason, count in found["left_out"].items()]
    if found["winner"] is not None:
        facts.append(["winner's run", found["winner"]["path"]])
    return html.table([], facts, "facts")


def _is_list(values: Sequence[Any]) -> bool:
    """Are there so few values, or such words, that each stands by itself?"""
    return len(values) <= 8 or any(isinstance(value, str | bool) for value in values)


def draw_ranking(ranking: Ranking) -> "Figure":
    """Draw mean, seeds and interval of each configuration, the best on top."""
    rows = [row for row in ranking.rows if row.accuracies][:MOST_DRAWN]
    figure = blank_figure(10, 1.1 + 0.3 * len(rows))
    axes = figure.subplots()
    for y, row in enumerate(rows):
        colour = RED if row.verdict == "significant" else BLUE
        axes.plot([100 * a for a in row.accuracies], [y] * len(row.accuracies), "o", color=GREY, markersize=3)
        half = None if row.half is None else 100 * row.half
        axes.errorbar(100 * row.mean, y, xerr=half, fmt="o", color=colour, capsize=3, markersize=6)
    axes.axvline(100 * rows[0].mean, linestyle="--", color=GREY, linewidth=1)
    axes.set_yticks(range(len(rows)), [", ".join(ranking.names(row)) for row in rows])
    axes.set(xlabel="accuracy on held-out images, %", ylim=(len(rows) - 0.5, -0.5))
    _zoom(axes, [100 * a for row in rows for a in row.accuracies], "x")
    _plain(axes)
    return figure


def _zoom(axes: "Axes", values: Sequence[float], which: str) -> None:
    """Keep a few hopeless configurations from pressing all others into one place: cut the axis, and say so."""
    ordered = sorted(values)
    top, middle = ordered[-1], ordered[len(ordered) // 2]
    low = top - 6 * max(top - middle, 0.25)
    if ordered[0] >= low:
        return
    n = sum(value < low for value in ordered)
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, top + 0.08 * (top - low))
    axes.set_title(f"{n} training{'s' if n > 1 else ''} under {low:.1f} % not in the picture", fontsize=9, color=GREY)


def draw_knob(ranking: Ranking, knob: str) -> "Figure":
    """Draw the accuracy of every configuration against one knob."""
    values = by_value(ranking, knob)
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
    axes.set(xlabel=flag(knob), ylabel="accuracy, %")
    _zoom(axes, [100 * accuracy for each in values.values() for accuracy in each], "y")
    _plain(axes)
    return figure


def draw_curves(ranking: Ranking) -> "Figure":
    """Draw accuracy by epoch of the best configurations: held out and while training, mean and range of the seeds."""
    from matplotlib.ticker import MaxNLocator

    figure = blank_figure(9, 4.2)
    axes = figure.subplots()
    rows = [row for row in ranking.rows if row.accuracies][:N_CURVES]
    for row, colour in zip(rows, PALETTE, strict=False):
        curves = [each.history for each in row.outcomes.values() if each.accuracy is not None]
        epochs = [int(point["epoch"]) for point in curves[0]]
        held_out = [[100 * curve[i]["val_accuracy"] for curve in curves] for i in range(len(epochs))]
        training = [sum(100 * curve[i]["accuracy"] for curve in curves) / len(curves) for i in range(len(epochs))]
        axes.plot(
            epochs,
            [sum(each) / len(each) for each in held_out],
            "o-",
            color=colour,
            markersize=4,
            label=", ".join(ranking.names(row)) or "the recipe",
        )
        axes.fill_between(epochs, list(map(min, held_out)), list(map(max, held_out)), color=colour, alpha=0.15)
        axes.plot(epochs, training, ":", color=colour)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="accuracy, %")
    axes.legend(frameon=False)
    _plain(axes)
    return figure


def draw_importance(importance: Mapping[str, float]) -> "Figure":
    """Draw each knob's share."""
    figure = blank_figure(7, 0.9 + 0.4 * len(importance))
    axes = figure.subplots()
    names = [flag(knob) for knob in importance]
    bars = axes.barh(names, [100 * share for share in importance.values()], color=BLUE)
    axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.set(xlabel="share of the variance explained, %", xlim=(0, max(100 * max(importance.values()) * 1.12, 1)))
    axes.invert_yaxis()
    _plain(axes)
    return figure


def _plain(axes: "Axes") -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
