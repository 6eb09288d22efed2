"""Evaluations and figures -> the sections of a report."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from inkdigits.evaluation.comparison import Comparison
from inkdigits.evaluation.digits import Evaluation
from inkdigits.evaluation.figures import (
    MOST_ANNOTATED,
    N_SAMPLES,
    N_WORST,
    draw_confusions,
    figures_of,
    names_of,
    png_of,
)
from inkdigits.evaluation.html import Section, digit_picture, document, picture, save_page, table, tiles
from inkdigits.evaluation.inspection import Inside
from inkdigits.evaluation.text import p_in_words, pair_in_words, percent

SIGMOID_REMARK = (
    "This net ends in <b>sigmoid</b> outputs, as the tutorial's do. Each of the ten lies between 0 and 1 by itself, so "
    "they are <b>no probabilities</b> and do not sum to 1. Keras's cross-entropy looks through the sigmoid and trains "
    "the softmax of the numbers before it; the confidences in this report are that softmax. <code>--output "
    "softmax</code> makes the net itself say what it was trained for."
)


def headline_tiles(evaluation: Evaluation) -> str:
    """Return accuracy, mistakes, loss and calibration error as cards."""
    low, high = evaluation.accuracy_interval
    return tiles(
        [
            ("accuracy", percent(evaluation.accuracy), f"95 % interval {low * 100:.2f} to {percent(high)}"),
            ("mistakes", f"{evaluation.mistakes:,}", f"in {len(evaluation):,} {evaluation.split.name} images"),
            ("loss", f"{evaluation.loss:.4f}", "cross-entropy, nats an image"),
            ("calibration error", percent(evaluation.calibration_error), "confidence against share right"),
        ]
    )


def confusion_body(evaluation: Evaluation, png: bytes) -> str:
    """Return the confusion matrix, how to read it, the commonest confusions in words, precision and recall."""
    pairs = "".join(f"<li>{escape(pair_in_words(*pair))}</li>" for pair in evaluation.confused[:10])
    counts = evaluation.confusion.sum(axis=1)
    rows = [
        [name, *(percent(value, 1) for value in row), f"{n:,}"]
        for name, row, n in zip(evaluation.class_names, evaluation.per_class, counts, strict=True)
    ]
    alt = f"Confusion matrix of {evaluation.model}; its commonest confusions are listed below it"
    return (
        picture(png, alt, how_to_read(evaluation))
        + (f"<h3>The commonest confusions</h3><ol>{pairs}</ol>" if pairs else "<p>Nothing was confused.</p>")
        + "<h3>Class by class</h3><p class='soft'>Precision: of the answers, how many are right. Recall: of the true "
        "ones, how many are found. F1: their harmonic mean.</p>"
        + table(["class", "precision", "recall", "F1", "n"], rows)
    )


def how_to_read(evaluation: Evaluation) -> str:
    """Return the "how to read it" of a confusion matrix, with an example from it, as HTML."""
    names, matrix = evaluation.class_names, evaluation.confusion
    text = (
        "<b>How to read it.</b> Each row is a true class, each column an answer; a cell counts the images. On the "
        f"diagonal answer and truth agree: {matrix[0, 0]:,} images of {escape(names[0])} were read as "
        f"{escape(names[0])}. All else is a mistake"
    )
    if not evaluation.confused:
        return text + "; there is none."
    truth, answer, count = evaluation.confused[0]
    return text + (
        f": the largest is row {escape(truth)}, column {escape(answer)}, where {count:,} images of {escape(truth)} "
        f"were read as {escape(answer)}. A row tells what became of a digit; a column, what hides behind an answer."
    )


def mistakes_body(evaluation: Evaluation) -> str:
    """Return the wrong answers that the model was surest of, as pictures with truth, answer and confidence."""
    cells = []
    worst = evaluation.worst_mistakes(N_WORST)
    for i in worst:
        truth, answer = names_of(evaluation, i)
        confidence = percent(evaluation.answers.confidence[i], 1)
        image = digit_picture(evaluation.split.images[i], f"image {i}: truth {truth}, read as {answer}")
        cells.append(
            f'<li>{image}<br>truth <b>{escape(truth)}</b><br><span class="wrong">read as {escape(answer)}</span>'
            f'<br><span class="soft">{confidence} sure<br>image {i:,}</span></li>'
        )
    if not cells:
        return "<p>There is none.</p>"
    return (
        f"<p>Of {evaluation.mistakes:,} mistakes the {len(worst)} of which the model was surest. Some are the model's; "
        f'some you may find hard to read yourself.</p><ul class="digits">{"".join(cells)}</ul>'
    )


def samples_body(evaluation: Evaluation) -> str:
    """Return the first images of the split, each with the bars of its probabilities."""
    cells = []
    for i in range(min(N_SAMPLES, len(evaluation))):
        truth, answer = names_of(evaluation, i)
        right = bool(evaluation.right[i])
        verdict = f"read as {escape(answer)}" if right else f'<span class="wrong">read as {escape(answer)}</span>'
        image = digit_picture(evaluation.split.images[i], f"image {i}: truth {truth}, read as {answer}")
        cells.append(
            f"<li>{image}{_bars(evaluation, i)}truth <b>{escape(truth)}</b><br>{verdict}"
            f'<br><span class="soft">{percent(evaluation.answers.confidence[i], 1)} sure</span></li>'
        )
    return (
        f"<p>The first {len(cells)} images of the {evaluation.split.name} set. The bars are the probabilities of the "
        f"{len(evaluation.class_names)} classes; the answer is the highest.</p>"
        f'<ul class="digits wide">{"".join(cells)}</ul>'
    )


def _bars(evaluation: Evaluation, i: int) -> str:
    names, probabilities = evaluation.class_names, evaluation.answers.probabilities[i]
    words = ", ".join(f"{name}: {percent(p, 1)}" for name, p in zip(names, probabilities, strict=True))
    bars = "".join(
        f'<span class="{"answer" if k == evaluation.answers.labels[i] else ""}" style="height:{p * 100:.1f}%"></span>'
        for k, p in enumerate(probabilities)
    )
    ticks = "".join(f"<span>{escape(name[:2])}</span>" for name in names) if len(names) <= MOST_ANNOTATED else ""
    return (
        f'<div class="bars" role="img" aria-label="{escape(words)}" title="{escape(words)}">{bars}</div>'
        f'<div class="ticks" aria-hidden="true">{ticks}</div>'
    )


def confidence_body(evaluation: Evaluation, png: bytes, inside: Inside | None) -> str:
    """Return whether the model's confidence can be believed; for sigmoid outputs, what they are not."""
    body = f"<p>Confidence and share right differ by {percent(evaluation.calibration_error)} on average.</p>"
    if inside is not None and inside.output == "sigmoid":
        body += f'<p class="note">{SIGMOID_REMARK}</p>' + _raw_scores(evaluation, inside)
    caption = (
        "<b>How to read it.</b> Answers are sorted by confidence into 15 slices. A dot on the dashed line means: what "
        "the model calls 80 % is right 80 times in 100. Below the line it is too sure of itself, above it too modest. "
        "The lower part counts the answers of each slice, on a logarithmic scale."
    )
    return body + picture(png, "Reliability diagram: share right against confidence", caption)


def _raw_scores(evaluation: Evaluation, inside: Inside) -> str:
    scores, probabilities = inside.scores[0], evaluation.answers.probabilities[0]
    rows = [
        ["sigmoid output", *(f"{value:.3f}" for value in scores), f"{scores.sum():.3f}"],
        ["probability", *(f"{value:.3f}" for value in probabilities), f"{probabilities.sum():.3f}"],
    ]
    truth, answer = names_of(evaluation, 0)
    return f"<p>The first image (truth {escape(truth)}, read as {escape(answer)}):</p>" + table(
        ["", *evaluation.class_names, "sum"], rows
    )


def weights_body(png: bytes) -> str:
    """Return the weight images of a linear net and what they mean."""
    caption = (
        "<b>How to read it.</b> The net has one weight for each pixel and digit. Red: ink here speaks for the digit; "
        "blue: against it. The 0 dislikes ink in its middle. The answer is the digit whose picture gains most from the "
        "ink that is there, which is all a net without a hidden layer can do."
    )
    return picture(png, "Ten images of weights, one a digit", caption)


def facts_body(facts: Mapping[str, Any]) -> str:
    """Return every hyperparameter, the data and the environment of a run.

    Args:
        facts: a model card, or what run.json holds.
    """
    recipe = {**facts.get("recipe", {}), **({"seed": facts["seed"]} if "seed" in facts else {})}
    about = {key: facts[key] for key in ("backend", "machine", "started", "finished", "seconds") if key in facts}
    parts = (
        ("Hyperparameters", recipe),
        ("Data", facts.get("data", {})),
        ("Calibration", {key: facts[key] for key in ("output", "temperature", "threshold") if key in facts}),
        ("Environment", {**about, **facts.get("versions", {})}),
    )
    return "".join(
        f"<h3>{title}</h3>" + table([], [[key, _value(value)] for key, value in entries.items()], "facts")
        for title, entries in parts
        if entries
    )


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "default" if value is None else str(value)


def run_sections(
    evaluation: Evaluation,
    figures: Mapping[str, bytes],
    facts: Mapping[str, Any],
    inside: Inside | None = None,
) -> list[Section]:
    """Return what a report says about one run; a section whose figure is missing is left out.

    Args:
        evaluation: of the run.
        figures: as `figures_of` returns them.
        facts: what run.json or the card holds.
        inside: raw scores and weights of the net.
    """
    sections = []
    if "history" in figures:
        caption = (
            "<b>How to read it.</b> Loss must fall and accuracy rise. While training, figures are means over an epoch "
            "in which the net still learns. A validation line that turns away from the other tells of overfitting."
        )
        curves = picture(figures["history"], "Loss and accuracy by epoch", caption)
        sections.append(Section("Training", curves))
    sections += [
        Section("Confusion matrix", confusion_body(evaluation, figures["confusion"])),
        Section("Worst mistakes", mistakes_body(evaluation)),
        Section("Sample predictions", samples_body(evaluation)),
    ]
    if "weights" in figures:
        sections.append(Section("Weights", weights_body(figures["weights"])))
    sections.append(Section("Confidence", confidence_body(evaluation, figures["reliability"], inside)))
    sections.append(Section("Settings and environment", facts_body(facts)))
    return sections


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
        inside: raw scores and weights of the net, for the remark about sigmoids and the weight images.

    Raises:
        RunError: the files cannot be written.
    """
    figures = figures_of(evaluation, history, inside)
    for name, png in figures.items():
        save_page(folder / "figures" / f"{name}.png", png)
    return save_page(folder / "report.html", run_html(evaluation, figures, facts, inside).encode())


def run_html(
    evaluation: Evaluation,
    figures: Mapping[str, bytes],
    facts: Mapping[str, Any] | None = None,
    inside: Inside | None = None,
) -> str:
    """Return the report on one run as a page; the arguments are those of `run_sections`."""
    sections = run_sections(evaluation, figures, {**evaluation.card, **(facts or {})}, inside)
    lead = f"Judged on {len(evaluation):,} {evaluation.split.name} images of {evaluation.split.source}."
    return document(evaluation.model, lead, sections, headline_tiles(evaluation))


def evaluation_html(evaluation: Evaluation) -> str:
    """Return the report on a model of which no more is known than its card and its answers."""
    return run_html(evaluation, figures_of(evaluation))


def comparison_sections(comparison: Comparison, matrices: bytes) -> list[Section]:
    """Return what a report says about two models; `matrices` is `draw_confusions` as PNG."""
    rows = [
        [
            change.name,
            *(f"{n:,}" for n in (*change.mistakes, change.n_fixed, change.n_broken)),
            p_in_words(change.p).removeprefix("= "),
            change.verdict,
        ]
        for change in comparison.classes
    ]
    moved = "".join(f"<li>{escape(f'{t} read as {a}: {n} → {m} times')}</li>" for t, a, n, m in comparison.pairs[:10])
    words = "".join(f"<li>{escape(line)}</li>" for line in comparison.in_words())
    head = ["class", "mistakes, first", "second", "mended", "new", "p", "verdict"]
    alt = f"Confusion matrices of {comparison.first.model} and {comparison.second.model}, side by side"
    return [
        Section("Both matrices", picture(matrices, alt, "Both on one scale of colours: left first, right second.")),
        Section("Digit by digit", f"<ul>{words}</ul>" + table(head, rows)),
        Section("Confusions that changed most", f"<ul>{moved}</ul>" if moved else "<p>None changed.</p>"),
    ]


def comparison_html(comparison: Comparison) -> str:
    """Return the report on two models as a page."""
    a, b = comparison.first, comparison.second
    low, high = (100 * bound for bound in comparison.interval)
    mended, p = f"{comparison.n_fixed:,}, {comparison.n_broken:,}", p_in_words(comparison.p)
    head = tiles(
        [
            ("first", percent(a.accuracy), f"{a.mistakes:,} mistakes"),
            ("second", percent(b.accuracy), f"{b.mistakes:,} mistakes"),
            ("difference", f"{comparison.difference * 100:+.2f} points", f"95 %: {low:+.2f} to {high:+.2f}"),
            ("mended, new", mended, f"McNemar p {p}"),
        ]
    )
    lead = f"On the same {len(a):,} {a.split.name} images of {a.split.source}."
    sections = comparison_sections(comparison, png_of(draw_confusions(comparison)))
    return document(f"{a.model} against {b.model}", lead, sections, head)
