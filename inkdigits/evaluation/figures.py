"""Evaluations and histories -> Matplotlib figures.

Matplotlib and seaborn are imported when the first figure is drawn; no window and no global state is touched.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from inkdigits.arrays import Floats, Mask
from inkdigits.evaluation import metrics, significance
from inkdigits.evaluation.comparison import Comparison
from inkdigits.evaluation.digits import Evaluation
from inkdigits.evaluation.inspection import Inside
from inkdigits.evaluation.selective import Promise
from inkdigits.evaluation.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


N_WORST = 30
N_SAMPLES = 10
# More classes than this and the numbers in the cells of a matrix run into each other.
MOST_ANNOTATED = 20


def blank_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, width x height inches, that no window and no global state knows of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def draw_history(history: Sequence[Mapping[str, float]]) -> "Figure":
    """Draw loss and accuracy over the epochs.

    Args:
        history: one row an epoch, >= 1, with "epoch", "loss", "accuracy" and at will "val_loss", "val_accuracy".
    """
    figure = blank_figure(10, 4)
    epochs = [row["epoch"] for row in history]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label, style in ((name, "while training", "o-"), (f"val_{name}", "validation", "s--")):
            if key in history[0]:
                axes.plot(epochs, [row[key] for row in history], style, label=label, markersize=4)
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure


def draw_confusion(
    matrix: metrics.ConfusionMatrix, class_names: Sequence[str], axes: "Axes | None" = None, top: int | None = None
) -> "Figure":
    """Draw a confusion matrix as the tutorial does: a seaborn heatmap of counts, Predicted, Truth.

    Args:
        matrix: int64 (classes, classes), row = ground truth.
        class_names: what each class is called.
        axes: where to draw; None for a figure of its own, 10 x 7 inches.
        top: the count that ends the color scale; None for the largest.
    """
    import seaborn

    axes = blank_figure(10, 7).subplots() if axes is None else axes
    names = list(class_names)
    annotated = len(names) <= MOST_ANNOTATED
    seaborn.heatmap(matrix, annot=annotated, fmt="d", xticklabels=names, yticklabels=names, vmin=0, vmax=top, ax=axes)
    axes.set(xlabel="Predicted", ylabel="Truth")
    return cast("Figure", axes.figure)


def draw_confusion_errors(
    matrix: metrics.ConfusionMatrix, class_names: Sequence[str], axes: "Axes | None" = None, top: int | None = None
) -> "Figure":
    """Draw a confusion matrix without its diagonal, on a color scale on which the errors show.

    Args:
        matrix: int64 (classes, classes), row = ground truth.
        class_names: what each class is called.
        axes: where to draw; None for a figure of its own, 10 x 7 inches.
        top: the count that ends the color scale; None for the largest off the diagonal.
    """
    import seaborn

    axes = blank_figure(10, 7).subplots() if axes is None else axes
    names = list(class_names)
    seaborn.heatmap(
        matrix,
        mask=np.eye(len(names), dtype=bool) | (matrix == 0),
        annot=len(names) <= MOST_ANNOTATED,
        fmt="d",
        xticklabels=names,
        yticklabels=names,
        cmap="Reds",
        vmin=0,
        vmax=most_confused(matrix) if top is None else top,
        linewidths=0.5,
        linecolor="#e5e5e5",
        ax=axes,
    )
    axes.set(xlabel="Predicted", ylabel="Truth")
    return cast("Figure", axes.figure)


def most_confused(matrix: metrics.ConfusionMatrix) -> int:
    """Return the largest count off the diagonal, at least 1."""
    return max(1, int((matrix - np.diag(np.diag(matrix))).max()))


def draw_confusions(comparison: Comparison) -> "Figure":
    """Draw both confusion matrices side by side, above with and below without what is right, on one scale each."""
    figure = blank_figure(15, 12)
    both = (comparison.first, comparison.second)
    whole, errors = figure.subplots(2, 2)
    top = int(max(evaluation.confusion.max() for evaluation in both))
    most = max(most_confused(evaluation.confusion) for evaluation in both)
    for axes, below, evaluation in zip(whole, errors, both, strict=True):
        draw_confusion(evaluation.confusion, evaluation.class_names, axes, top)
        draw_confusion_errors(evaluation.confusion, evaluation.class_names, below, most)
        axes.set_title(f"{evaluation.model}: {evaluation.n_errors:,} errors in {len(evaluation):,}")
        below.set_title("the errors alone")
    return figure


def draw_errors(evaluation: Evaluation) -> "Figure":
    """Draw the most confident errors with their true class, answer and confidence."""
    worst = evaluation.worst_errors(N_WORST)
    figure = blank_figure(10, 1.5 * max(1, -(-len(worst) // 6)) + 0.2)
    for axes, i in zip(_cells(figure, len(worst), 6), worst, strict=False):
        axes.imshow(255 - evaluation.split.images[i], cmap="gray", vmin=0, vmax=255)
        truth, answer = evaluation.names(i)
        axes.set_title(f"{truth}, read as {answer} ({percent(evaluation.answers.confidence[i], 0)})", fontsize=8)
    return figure


def draw_samples(evaluation: Evaluation) -> "Figure":
    """Draw the first images with the bars of their probabilities; the bar of the true class is dark."""
    n = min(N_SAMPLES, len(evaluation))
    figure = blank_figure(10, 1.6 * n / 2)
    names = list(evaluation.class_names)
    for i, (image, bars) in enumerate(figure.subplots(-(-n // 2), 4, squeeze=False).reshape(-1, 2)):
        if i >= n:
            image.axis("off")
            bars.axis("off")
            continue
        image.imshow(255 - evaluation.split.images[i], cmap="gray", vmin=0, vmax=255)
        image.axis("off")
        colours = ["#1d4ed8" if k == evaluation.split.labels[i] else "#a3a3a3" for k in range(len(names))]
        bars.bar(range(len(names)), evaluation.answers.probabilities[i], color=colours)
        bars.set(ylim=(0, 1), yticks=(0, 1))
        if len(names) <= MOST_ANNOTATED:
            bars.set_xticks(range(len(names)), [name[:4] for name in names], fontsize=7)
        bars.spines[["top", "right"]].set_visible(False)
    return figure


def draw_weights(weights: Floats, class_names: Sequence[str]) -> "Figure":
    """Draw the weight image of each class of a linear network.

    Args:
        weights: float (28, 28, classes).
        class_names: what each class is called.
    """
    figure = blank_figure(10, 2.25 * -(-len(class_names) // 5))
    # Border pixels are blank in all of MNIST and keep their initial weights; extremes must not make the others pale.
    reach = float(np.quantile(np.abs(weights), 0.995)) or 1.0
    for k, axes in enumerate(_cells(figure, len(class_names), 5)):
        drawn = axes.imshow(weights[:, :, k], cmap="RdBu_r", vmin=-reach, vmax=reach)
        axes.set_title(class_names[k], fontsize=10)
    figure.colorbar(drawn, ax=figure.axes, shrink=0.7, label="ink here speaks against - for the class")
    return figure


def draw_reliability(confidence: Floats, right: Mask) -> "Figure":
    """Draw how often answers of each confidence are right, and how many there are.

    Args:
        confidence: float (N,), 0 to 1.
        right: bool (N,), was the answer right?
    """
    counts, mean, share = metrics.reliability(confidence, right).T
    seen = counts > 0
    figure = blank_figure(6, 6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    above.plot([0, 1], [0, 1], "--", color="#a3a3a3", label="perfect calibration")
    pairs = zip(counts[seen], share[seen], strict=True)
    bounds = np.array([significance.wilson_interval(round(s * n), int(n)) for n, s in pairs])
    errors = np.abs(bounds.T - share[seen])
    above.errorbar(
        mean[seen], share[seen], errors, fmt="o-", color="#1d4ed8", capsize=3, label="measured, with 95 % interval"
    )
    above.set(ylabel="accuracy", xlim=(0, 1.01), ylim=(0, 1.01))
    above.legend(frameon=False)
    below.bar((np.arange(len(counts)) + 0.5) / len(counts), counts, 0.9 / len(counts), color="#a3a3a3")
    below.set(xlabel="confidence", ylabel="answers", yscale="log")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def draw_risk_coverage(curve: Floats, promised: Promise | None = None) -> "Figure":
    """Draw the share of errors over the share of answers that are accepted, the surest first, with its upper bound.

    Args:
        curve: float64 (N, 3), see `selective.bounded_risk_coverage`.
        promised: what the same sample allows to promise: its risk and, where there is one, its coverage are marked.
    """
    coverage, error, bound = curve.T * 100
    figure = blank_figure(8, 4.5)
    axes = figure.subplots()
    sure = 95 if promised is None else round(100 * (1 - promised.delta))
    axes.fill_between(coverage, error, bound, color="#1d4ed8", alpha=0.12, linewidth=0)
    axes.plot(coverage, bound, "--", color="#1d4ed8", linewidth=1, label=f"upper bound, {sure} % sure")
    axes.plot(coverage, error, color="#1d4ed8", label="wrong in this sample")
    # Where few are accepted the bound is near 100 %, which would press all else flat.
    top = min(100.0, max(1.6 * error[-1], 1.0, 3 * 100 * promised.risk if promised else 0.0))
    if promised is not None:
        axes.axhline(
            100 * promised.risk, color="#b91c1c", linewidth=1, label=f"risk asked for, {100 * promised.risk:g} %"
        )
        if promised.threshold is not None:
            label = f"promised from confidence {promised.threshold:g} on"
            axes.plot([100 * promised.coverage], [100 * promised.risk], "o", color="#b91c1c", label=label)
    axes.set(xlabel="accepted, the surest first, %", ylabel="of these wrong, %", xlim=(0, 100), ylim=(0, top))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper center")
    return figure


def draw_balance(balance: Sequence[tuple[str, int, int]]) -> "Figure":
    """Draw the share of each class in the training and in the test set.

    Args:
        balance: (class, training images, test images) of every class.
    """
    figure = blank_figure(10, 3.5)
    axes = figure.subplots()
    places = np.arange(len(balance))
    for column, name, colour, side in ((1, "train", "#1d4ed8", -0.2), (2, "test", "#a3a3a3", 0.2)):
        counts = np.array([row[column] for row in balance], np.float64)
        axes.bar(places + side, counts / max(1.0, counts.sum()) * 100, 0.38, color=colour, label=name)
    turned = any(len(row[0]) > 6 for row in balance) or len(balance) > MOST_ANNOTATED
    axes.set_xticks(places, [row[0] for row in balance], rotation=90 if turned else 0)
    axes.set(ylabel="share of the images, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=2, loc="upper right", bbox_to_anchor=(1, 1.12))
    return figure


def _cells(figure: "Figure", n: int, n_columns: int) -> "list[Axes]":
    """Return n square cells without axes."""
    grid = figure.subplots(max(1, -(-n // n_columns)), n_columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    return list(grid[:n])


def png_of(figure: "Figure") -> bytes:
    """Return a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def figures_of(
    evaluation: Evaluation, history: Sequence[Mapping[str, float]] = (), inside: Inside | None = None
) -> dict[str, bytes]:
    """Return every figure of a run as PNG files: name -> bytes."""
    drawn = {"history": draw_history(history)} if history else {}
    drawn |= {
        "confusion": draw_confusion(evaluation.confusion, evaluation.class_names),
        "confusion_errors": draw_confusion_errors(evaluation.confusion, evaluation.class_names),
        "errors": draw_errors(evaluation),
        "samples": draw_samples(evaluation),
        "reliability": draw_reliability(evaluation.answers.confidence, evaluation.right),
    }
    if inside is not None and inside.weights is not None:
        drawn["weights"] = draw_weights(inside.weights, evaluation.class_names)
    return {name: png_of(figure) for name, figure in drawn.items()}
