"""A trained line network -> `model.onnx`: calibrated, evaluated, its weights in few bits.

Lines to calibrate and to evaluate on are composed, in the styles of real input, of digits that were never learned.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from inkdigits.arrays import GrayImage, Ink, Scores
from inkdigits.data.splits import Split
from inkdigits.reading.decoding import Decoded, answers_at, decode, digits_of, readable, softmax
from inkdigits.reading.line_reader import by_member
from inkdigits.reading.model import OnnxModel
from inkdigits.reading.normalise.line import normalise_line
from inkdigits.reading.normalise.version import normalisation_version
from inkdigits.training import export
from inkdigits.training.line_net import BLANK
from inkdigits.training.line_rows import STRIDE_PX
from inkdigits.training.recipes import LineRecipe
from inkdigits.training.synthesis.page_lines import FOUND, compose_lines
from inkdigits.training.synthesis.pages import PAGE_STYLES
from inkdigits.training.synthesis.styles import ALPHABET, Digits

TOLERANCE = 0.01  # of scores, before the weights are narrowed
ACCEPT_FROM = 0.5  # a digit that is more likely wrong than right is rejected
TEMPERATURES = np.geomspace(0.5, 4.0, 19)
# Seeds of the lines, and style -> how many of them are composed for each digit of the split.
CALIBRATION = 77, {"cell": 0.5, "row": 0.2, "page": 0.5, FOUND: 0.2}
TEST = 78, {"cell": 0.1, "row": 0.1, "page": 0.1, FOUND: 0.1}
BATCH = 64

# Line images uint8 (N, height, W) -> float32 (N, columns, classes), or (N, members, columns, classes).
ScoresOf = Callable[[Ink], Scores]
# The network's scores for each view of a line, of each member, and the line's text.
Scored = tuple[list[Scores], str]


def score_lines(
    scores_of: ScoresOf, recipe: LineRecipe, split: Split, lines: tuple[int, dict[str, float]]
) -> dict[str, list[Scored]]:
    """Return what a network says of lines composed of a split's digits, by style.

    Args:
        scores_of: the network.
        recipe: says at which height and in which views a line is read.
        split: digits it never learned from.
        lines: `CALIBRATION` or `TEST`.
    """
    digits = Digits(np.asarray(split.images), np.asarray(split.labels))
    seed, shares = lines
    scored: dict[str, list[Scored]] = {}
    for kind, (style, share) in enumerate(shares.items()):
        rng = np.random.default_rng((seed, kind))
        composed = compose_lines(rng, digits, style, PAGE_STYLES["held_out"])
        n = max(1, round(share * len(split)))
        scored[style] = score_pictures(scores_of, recipe, list(itertools.islice(composed, n)))
    return scored


def score_pictures(scores_of: ScoresOf, recipe: LineRecipe, lines: Sequence[tuple[GrayImage, str]]) -> list[Scored]:
    """Return what a network says of pictures of lines, uint8 (H, W), with their texts."""
    views = [[normalise_line(line, recipe.height, *view) for line, _ in lines] for view in recipe.views]
    scores = [_scores_of_each(scores_of, images) for images in views]
    return [([member for view in scores for member in view[i]], text) for i, (_, text) in enumerate(lines)]


def _scores_of_each(scores_of: ScoresOf, images: list[Ink]) -> list[Scores]:
    """Return each line's scores (members, columns, classes), those of one width computed together."""
    scores: dict[int, Scores] = {}
    widths = np.array([image.shape[1] for image in images])
    for width in np.unique(widths):
        members = np.flatnonzero(widths == width)
        for start in range(0, len(members), BATCH):
            chosen = members[start : start + BATCH]
            answers = by_member(scores_of(np.stack([images[i] for i in chosen])))
            scores |= zip(chosen.tolist(), answers, strict=True)
    return [scores[i] for i in range(len(images))]


def fit_temperature(scored: Sequence[Scored]) -> float:
    """Return the temperature for whole numbers at which log-likelihood is best."""
    temperatures = TEMPERATURES.tolist()
    surprises = np.zeros(len(temperatures))
    for views, text in scored:
        for i, (answer, p) in enumerate(answers_at(views, ALPHABET, temperatures)):
            p = min(max(p, 1e-6), 1 - 1e-6)
            surprises[i] -= np.log(p if answer == readable(text) else 1 - p)
    return float(temperatures[int(surprises.argmin())])


def evaluate_lines(scored: dict[str, list[Scored]], temperature: float) -> dict[str, float]:
    """Return a run's figures.

    Returns:
        "test_accuracy", share of lines whose whole text is right; "test_errors", "n_test", counts of lines;
        "test_loss", the mean CTC loss of the first view; for each style "STYLE_exact", such a share,
        "STYLE_digits_exact", the share of lines whose digits are right, and "STYLE_n".
    """
    read = {style: [(read_scored(each, temperature), each[1]) for each in lines] for style, lines in scored.items()}
    right = {style: [line.text == readable(text) for line, text in lines] for style, lines in read.items()}
    n = sum(map(len, right.values()))
    n_errors = n - sum(map(sum, right.values()))
    figures = {
        "test_loss": float(
            np.mean([ctc_loss_of(views[0], text) for lines in scored.values() for views, text in lines])
        ),
        "test_accuracy": (n - n_errors) / n,
        "test_errors": n_errors,
        "n_test": n,
    }
    for style, exact in right.items():
        digits = [line.digits == digits_of(text) for line, text in read[style]]
        figures |= {
            f"{style}_exact": float(np.mean(exact)),
            f"{style}_digits_exact": float(np.mean(digits)),
            f"{style}_n": len(exact),
        }
    return figures


def ctc_loss_of(scores: Scores, text: str) -> float:
    """Return the CTC loss of a text under a line's scores (columns, classes): by NumPy, which compiles nothing a width.

    A text that is too long for the columns counts as 1,000.
    """
    logs = np.log(np.maximum(softmax(scores), 1e-30))
    states = [BLANK] + [state for char in text for state in (ALPHABET.index(char), BLANK)]
    may_skip = np.array([i > 1 and s != BLANK and s != states[i - 2] for i, s in enumerate(states)])
    ahead = np.full(len(states), -np.inf)  # log-probability of all ways to a state
    ahead[:2] = logs[0, states[:2]]
    for column in logs[1:]:
        one = np.concatenate([[-np.inf], ahead[:-1]])
        two = np.where(may_skip, np.concatenate([[-np.inf, -np.inf], ahead[:-2]]), -np.inf)
        ahead = np.logaddexp(np.logaddexp(ahead, one), two) + column[states]
    return float(min(-np.logaddexp(ahead[-1], ahead[-2]), 1_000.0))


def read_scored(line: Scored, temperature: float) -> Decoded:
    """Return what a line's scores say."""
    return decode(line[0], ALPHABET, temperature)


def card_of_lines(recipe: LineRecipe) -> dict[str, Any]:
    """Return what a line network's card says, but for its calibration, beyond what every card does."""
    return {
        "kind": "line",
        "output": "logits",
        "classes": [*ALPHABET, ""],
        "normalisation": normalisation_version("line"),
        "blank": BLANK,
        "height": recipe.height,
        "stride": STRIDE_PX,
        "views": [{"zoom": zoom, "shear": shear} for zoom, shear in recipe.views],
        "temperature": 1.0,
        "threshold": ACCEPT_FROM,
    }


def calibrate(path: Path, recipe: LineRecipe, validation: Split, test: Split) -> None:
    """Complete a line network's card by its temperature and its figures.

    Args:
        path: the exported network: by the path that users take, Keras would compile for each width.
        recipe: says at which height and in which views a line is read.
        validation: digits that were held out.
        test: MNIST's test part.
    """
    network = OnnxModel(path)
    held_out = score_lines(network.scores, recipe, validation, CALIBRATION)
    temperature = fit_temperature([line for lines in held_out.values() for line in lines])
    figures = evaluate_lines(score_lines(network.scores, recipe, test, TEST), temperature)
    export.write_card(path, network.card | {"temperature": temperature, "figures": figures})


def export_line(model: keras.Model, path: Path, card: dict[str, Any]) -> None:
    """Write the network as ONNX, held equal to Keras's answers, its weights in few bits (arithmetic stays in float32).

    Raises:
        ModelError: ONNX Runtime's scores are off by more than 0.01.
        RunError: the file cannot be written.
    """
    probe = np.random.default_rng(0).integers(0, 256, (8, card["height"], 96)).astype(np.uint8)
    export.export_narrowed(model, path, card, probe, TOLERANCE)
