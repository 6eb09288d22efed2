"""A trained page finder -> `model.onnx`: its threshold chosen, evaluated, its weights in few bits.

Pages to choose and to evaluate on are composed of digits, on papers and desks and with pens, that were never learned.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import scipy.optimize

from inkdigits.arrays import Floats, NDArray
from inkdigits.data.splits import Split
from inkdigits.reading.decoding import digits_of
from inkdigits.reading.digit_reader import DigitReader
from inkdigits.reading.finder import Finder
from inkdigits.reading.found_rows import FoundRow
from inkdigits.reading.line_reader import LineReader
from inkdigits.reading.normalise.version import normalisation_version
from inkdigits.reading.row_reader import RowFinder, RowReader, confidences
from inkdigits.reading.second_opinion import TextRecogniser
from inkdigits.training import export
from inkdigits.training.finder_net import finder_loss
from inkdigits.training.finder_pages import SHAPES
from inkdigits.training.recipes import FinderRecipe
from inkdigits.training.synthesis.page_lines import row_around
from inkdigits.training.synthesis.page_maps import CHANNELS, HALF_PX, LEAST_HALF_PX, STRIDE_PX
from inkdigits.training.synthesis.pages import PAGE_STYLES, Page, compose_page
from inkdigits.training.synthesis.styles import Digits

TOLERANCE = 0.02  # of logits, before the weights are narrowed
THRESHOLDS = tuple(np.arange(0.5, 0.96, 0.05).round(2).tolist())
# Seeds of the pages, and how many of them are composed for each digit of the split; at most `MOST_PAGES`.
CALIBRATION, TEST = (79, 0.08), (80, 0.04)
MOST_PAGES = 400
# A row is accepted from the confidence on from which so many composed rows are right.
ACCEPTED_RIGHT = 0.97
PENALTY = 2.0  # of the logistic model's weights, squared, beside the sum of the rows' losses
NOTHING_LEARNED: dict[str, Any] = {"weights": [0.0] * 7, "accepted": 1.0}
SAME = 0.5  # intersection over union from which a found row is a true one, along and across
LEAST_INSIDE = 0.6  # of a row's length; of rows that the edge cuts more, none is asked for


def is_same(found: FoundRow, row: FoundRow) -> bool:
    """Say whether a found row lies over a true one: overlap of 0.5 (IoU) along its axis, and of 0.5 across it."""
    ends = row.in_frame(found.out_of_frame(np.array([[-found.half_width, 0], [found.half_width, 0]])))
    thick = found.half_height / row.half_height
    along = _overlap(float(ends[:, 0].min()), float(ends[:, 0].max()))
    across = _overlap(float(ends[:, 1].mean()) - thick, float(ends[:, 1].mean()) + thick)
    return along >= SAME and across >= SAME and abs(np.sin(found.angle - row.angle)) < 0.5


def _overlap(low: float, high: float) -> float:
    """Return the intersection over union of an interval and -1 to 1."""
    return max(0.0, min(high, 1.0) - max(low, -1.0)) / (max(high, 1.0) - min(low, -1.0))


def match(found: Sequence[FoundRow], page: Page) -> tuple[int, int, int]:
    """Return how many of a page's rows were found, how many there are, and how many found rows are none."""
    height, width = page.image.shape
    rows = [row_around(band) for band in page.rows if _counts(band, (height, width))]
    open_ = [
        each for band, each in ((band, row_around(band)) for band in page.rows) if not _counts(band, (height, width))
    ]
    left = sorted(found, key=lambda row: -row.score)
    n_found = 0
    for row in rows:
        same = next((each for each in left if is_same(each, row)), None)
        if same is not None:
            left.remove(same)
            n_found += 1
    n_false = sum(not _is_open(each, open_, page) for each in left)
    return n_found, len(rows), n_false


def _counts(band: Floats, shape: tuple[int, int]) -> bool:
    """Say whether a row is tall enough and far enough in the picture to be asked for, as the maps have it."""
    middle = band.mean(axis=0)
    inside = ((middle >= 0) & (middle < (shape[1], shape[0]))).all(axis=1).mean()
    return bool(inside >= LEAST_INSIDE) and row_around(band).half_height >= LEAST_HALF_PX


def _is_open(found: FoundRow, rows: Sequence[FoundRow], page: Page) -> bool:
    """Say whether a found row lies where a row may be found or not: at the edge, on print, on a lone O."""
    x, y = round(found.x / STRIDE_PX), round(found.y / STRIDE_PX)
    weight = page.maps[..., -1]
    around = weight[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    return bool(around.size and around.min() == 0) or any(is_same(found, row) for row in rows)


# ----------------------------------------------------------------------------------------------------------- evaluation


def held_out_pages(split: Split, pages: tuple[int, float]) -> Iterable[Page]:
    """Yield pages of held-out styles, composed of a split's digits.

    Args:
        split: digits that were never learned.
        pages: `CALIBRATION` or `TEST`.
    """
    digits = Digits(np.asarray(split.images), np.asarray(split.labels))
    seed, share = pages
    shapes = list(SHAPES)
    for number in range(min(MOST_PAGES, max(4, round(share * len(split))))):
        rng = np.random.default_rng((seed, number))
        yield compose_page(rng, digits, shapes[number % len(shapes)], PAGE_STYLES["held_out"])


def choose_threshold(finder: Finder, pages: Iterable[Page]) -> float:
    """Return the threshold of `THRESHOLDS` with the best F1 over all rows of pages."""
    counts = np.zeros((len(THRESHOLDS), 3))
    for page in pages:
        found = finder.find(page.image, THRESHOLDS[0])
        counts += [match([row for row in found if row.score >= least], page) for least in THRESHOLDS]
    n_found, n_rows, n_false = counts.T
    return float(THRESHOLDS[int(np.argmax(2 * n_found / np.maximum(n_found + n_false + n_rows, 1)))])


def fit_rows(finder: RowFinder, pages: Iterable[Page], recogniser: TextRecogniser | None = None) -> dict[str, Any]:
    """Return the model of how likely a row is read right by the shipped networks, and from where on it is accepted.

    Args:
        finder: finds the rows.
        pages: of held-out styles and digits.
        recogniser: a second opinion, if there is to be one.

    Returns:
        "weights": of `ReadRow.features` and the constant; "accepted": the confidence from which rows are
        accepted, 1 where never 97 % are right. `NOTHING_LEARNED` where no row is read right.
    """
    reader = RowReader(DigitReader(), LineReader(), [finder], recogniser=recogniser)
    features, right = [], []
    for page in pages:
        rows = [(row_around(band), text) for band, text in zip(page.rows, page.texts, strict=True)]
        for each in reader.read_rows(page.image)[0]:
            text = next((text for row, text in rows if is_same(each.row, row)), None)
            if each.reading.digits and (text is not None or not _is_open(each.row, [], page)):
                features.append(each.features())
                right.append(text is not None and digits_of(text) == each.reading.digits)
    if not any(right):
        return NOTHING_LEARNED
    x, y = np.array(features), np.array(right)
    weights = fit_logistic(x, y)
    chances = confidences(x, {"weights": weights})
    order = np.argsort(-chances)
    share = np.cumsum(y[order]) / np.arange(1, len(y) + 1)
    enough = np.flatnonzero(share >= ACCEPTED_RIGHT)
    accepted = float(chances[order][enough[-1]]) if len(enough) else 1.0
    return {"weights": weights, "accepted": accepted}


def fit_logistic(x: Floats, y: NDArray[np.bool_]) -> list[float]:
    """Return the weights of a logistic regression of y (N,) on features (N, n), and its constant."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    scaled = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    sign = np.where(y, 1.0, -1.0)

    def loss(weights: Floats) -> tuple[float, Floats]:
        margin = sign * (scaled @ weights)
        own = np.append(weights[:-1], 0.0)
        slope = -(sign / (1 + np.exp(np.clip(margin, -30, 30)))) @ scaled + 2 * PENALTY * own
        return float(np.logaddexp(0, -margin).sum() + PENALTY * own @ own), slope

    found = scipy.optimize.minimize(loss, np.zeros(scaled.shape[1]), jac=True).x
    weights = found[:-1] / spread
    return [*weights.round(4).tolist(), round(float(found[-1] - weights @ mean), 4)]


def evaluate_pages(finder: Finder, pages: Iterable[Page], threshold: float) -> dict[str, float]:
    """Return a run's figures.

    Returns:
        "test_accuracy", recall, the share of true rows that were found; "test_errors", rows that were not, "n_test",
        rows; "test_loss", the mean loss of the maps; "precision", the share of found rows that are true ones;
        "n_false", those that are not; "n_pages".
    """
    counts, losses = np.zeros(3, int), []
    for page in pages:
        counts += match(finder.find(page.image, threshold), page)
        losses.append(_loss(finder, page))
    n_found, n_rows, n_false = (int(count) for count in counts)
    return {
        "test_loss": float(np.mean(losses)),
        "test_accuracy": n_found / max(1, n_rows),
        "test_errors": n_rows - n_found,
        "n_test": n_rows,
        "precision": n_found / max(1, n_found + n_false),
        "n_false": n_false,
        "n_pages": len(losses),
    }


def _loss(finder: Finder, page: Page) -> float:
    maps = finder.maps(page.image)
    return float(keras.ops.convert_to_numpy(finder_loss(page.maps[None], maps[None]))[0])


def card_of_finder(recipe: FinderRecipe) -> dict[str, Any]:
    """Return what a finder's card says, but for its threshold and figures, beyond what every card does."""
    return {
        "kind": "finder",
        "output": "logits",
        "classes": list(CHANNELS[:-1]),
        "normalisation": normalisation_version("finder"),
        "stride": STRIDE_PX,
        "half_px": HALF_PX,
        "temperature": 1.0,
        "threshold": 0.65,
        "rows": NOTHING_LEARNED,
    }


def export_finder(model: keras.Model, path: Path, card: dict[str, Any]) -> None:
    """Write the network as ONNX with weights in few bits, for pictures of any size in multiples of 64.

    Raises:
        ModelError: ONNX Runtime's maps are off by more than 0.1.
        RunError: the file cannot be written.
    """
    probe = np.random.default_rng(0).integers(0, 256, (2, 128, 192)).astype(np.uint8)
    export.export_narrowed(model, path, card, probe, TOLERANCE)
