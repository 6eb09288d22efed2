"""What the digit net that ships has beyond a recipe: composed data, an eleventh class "no digit", calibration.

Data: `Composed` makes new pictures for each epoch in a process of its own while the net learns from those before.
Class: the net is trained on eleven scores; `relative` turns it into one of ten, each relative to "no digit".
Calibration: `calibrate` finds the temperature and the threshold which the card holds.
"""

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace

import keras
import numpy as np

from inkdigits.data.splits import Split
from inkdigits.evaluation import metrics
from inkdigits.reading.calibration import probabilities_of
from inkdigits.training.recipes import Recipe
from inkdigits.training.synthesis.digits import compose_digits
from inkdigits.training.synthesis.distortion import Distorted

# An epoch's pictures stay for so many epochs: making one costs as much as learning from it several times.
USES = 3
# The threshold accepts so many of MNIST's own digits.
ACCEPTED_SHARE = 0.99
WINDOW: dict[str, np.ndarray] = {}  # what a composing process works on


def _remember(images: np.ndarray, labels: np.ndarray) -> None:
    WINDOW["images"], WINDOW["labels"] = images, labels


def _compose(n: int, seed: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return compose_digits(WINDOW["images"], WINDOW["labels"], n, seed)


class Composed:
    """Pictures composed anew each epoch: call it with the epoch (1, 2, ...) to get its split.

    An epoch shows the pictures of the last `USES` batches of fresh ones; the first epochs fill up from batches
    numbered 0 and below. What an epoch shows depends on `seed` and its number alone, so that a resumed training
    sees the same.

    Args:
        split: the digits to compose from.
        n: pictures an epoch shows; one in `USES` of them is new.
        seed: >= 0.
    """

    def __init__(self, split: Split, n: int, seed: int) -> None:
        self._split, self._n_fresh, self._seed = split, n // USES, seed
        self._parts: dict[int, Future[tuple[np.ndarray, np.ndarray]]] = {}
        self._pool = ProcessPoolExecutor(
            1,
            # A process forked beside TensorFlow's threads may hang.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_remember,
            initargs=(np.asarray(split.images), np.asarray(split.labels)),
        )

    def __call__(self, epoch: int) -> Split:
        """Return the split of an epoch; the next epoch's new pictures are begun meanwhile."""
        wanted = range(epoch - USES + 1, epoch + 1)
        for number in [*wanted, epoch + 1]:
            if number not in self._parts:
                self._parts[number] = self._pool.submit(_compose, self._n_fresh, (self._seed, number + USES))
        parts = [self._parts[number].result() for number in wanted]
        self._parts = {number: part for number, part in self._parts.items() if number > wanted[0]}
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return replace(self._split, images=images, labels=labels)

    def close(self) -> None:
        """End the composing process."""
        self._pool.shutdown(cancel_futures=True)


def epochs_of(part: Split, recipe: Recipe, seed: int) -> Composed | Distorted | None:
    """Return what makes each epoch's split of `part`, as the recipe wants it; None where it stays as it is."""
    if recipe.composed:
        return Composed(part, recipe.composed, seed)
    return Distorted(part, recipe.distortion, seed) if recipe.distortion else None


def relative(model: keras.Model) -> keras.Model:
    """Return a model of the ten scores relative to the eleventh, "no digit", whose score then is 0."""
    scores = model.outputs[0]
    return keras.Model(model.inputs[0], scores[:, :-1] - scores[:, -1:], name=model.name)


def calibrate(model: keras.Model, validation: Split) -> dict[str, float]:
    """Return the temperature and the threshold which the card of a digit net holds.

    The temperature makes the held-out digits likeliest; the threshold accepts 99 % of them. Composed digits have no
    say: many of them nobody could read, and they made the net too modest on real ones.

    Args:
        model: gives ten scores relative to "no digit".
        validation: digits the net has not learned from.
    """
    scores = model.predict(validation.images, batch_size=1000, verbose=0)
    logits = np.concatenate([scores, np.zeros((len(scores), 1))], axis=1)
    temperature = metrics.fit_temperature(logits, validation.labels)
    confidence = probabilities_of(scores, "logits_none", temperature).max(axis=1)
    return {"temperature": temperature, "threshold": float(np.quantile(confidence, 1 - ACCEPTED_SHARE))}
