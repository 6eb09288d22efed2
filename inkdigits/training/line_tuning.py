"""A line network is fitted to one hand: some steps on its lines, among synthetic ones so that it forgets nothing."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx

from inkdigits.arrays import GrayImage, Ink, Scores
from inkdigits.data.splits import Split, hold_out
from inkdigits.errors import ModelError
from inkdigits.evaluation.gate import Gate
from inkdigits.reading.decoding import columns_needed, digits_of
from inkdigits.reading.model import OnnxModel
from inkdigits.reading.normalise.line import normalise_line
from inkdigits.training import export, line_model, line_net, line_rows, loop, recipes
from inkdigits.training.line_model import Scored
from inkdigits.training.recipes import LineRecipe, Stage
from inkdigits.training.synthesis.styles import ALPHABET

RATE = 1e-4  # falls to a hundredth
# With 2,400 of them, used three times each, synthetic lines were read worse afterwards (279 errors, 269 before).
N_REPLAY, PASSES = 7_200, 1  # synthetic lines, and how often each line is used
HAND_SHARE = 0.3  # of the lines of a step
ZOOM = 0.08  # standard deviation, as of composed lines
SYNTHETIC = 79, {"cell": 0.1, "page": 0.1}  # as `line_model.TEST`: of held-out digits
FOLDS = 3
MOST_FORGOTTEN = 0.003  # the share of synthetic lines by which errors may rise

SHARES = (1.0, 0.75, 0.5, 0.25)  # of the way to the fitted weights, the farthest first

Line = tuple[GrayImage, str]


@dataclass(frozen=True)
class Fit:
    """What a fit to a hand goes on with.

    Attributes:
        share: how much of the way to the fitted weights is gone, 0 to 1.
        unseen: the hand's lines as read by fits without them.
    """

    share: float
    unseen: Sequence[Scored]


class LineTuner:
    """Fits a line network to hands.

    Args:
        base: the network.
        mnist: the training part of MNIST, of which synthetic lines are composed.
        seed: of the synthetic lines and of the order of all.

    Raises:
        ModelError: the network has other convolutions than its recipe says.
    """

    def __init__(self, base: OnnxModel, mnist: Split, seed: int = 0) -> None:
        self._base, self._seed = base, seed
        members = [_replay_of(card["recipe"]) for card in base.card.get("members", [base.card])]
        self.recipe = members[0]
        kept, self._held_out = hold_out(mnist, self.recipe.validation, base.card["seed"])
        self._model = line_net.joined(
            [line_net.build(each, seed, is_normalised=False, name=f"member{i}") for i, each in enumerate(members)]
        )
        self._weights = _weights_of(base.path, self._model)
        line_net.prepare(self._model, self.recipe)
        self._untouched = [keras.ops.convert_to_numpy(each) for each in self._model.optimizer.variables]
        self._runner = line_net.runner_for(self._model, self.recipe)
        self._replay = self._composed(kept)

    def _composed(self, split: Split) -> tuple[list[Ink], list[str]]:
        line_rows.start_process(np.asarray(split.images), np.asarray(split.labels))
        images: list[Ink] = []
        texts: list[str] = []
        for compose, *rest in line_rows.jobs_of_epoch(self.recipe, self._seed, 1):
            lines, padded = compose(*rest)
            images += list(lines)
            texts += ["".join(ALPHABET[c] for c in row if c >= 0) for row in padded]
        return images, texts

    def gate(self, lines: Sequence[Line]) -> tuple[Gate, Fit]:
        """Return by cross-validation what a fit to a hand's lines changes, and what `write` needs.

        Of the way from the network to the fitted one so much is gone that synthetic lines are not forgotten (Wortsman
        et al., CVPR 2022, arXiv:2109.01903); how they are read is asked of the last fold's network.
        """
        fold = np.random.default_rng(self._seed).permutation(len(lines)) % FOLDS
        fitted = [self._tuned([lines[i] for i in np.flatnonzero(fold != k).tolist()]) for k in range(FOLDS)]
        temperature = self._base.card["temperature"]
        home = self._synthetic(self._base.scores)
        home_before = _errors(home, temperature)
        for share in SHARES:
            self._go(fitted[-1], share)
            home_after = _errors(self._synthetic(self._scores), temperature)
            if home_after - home_before <= MOST_FORGOTTEN * len(home):
                break
        after: dict[int, Scored] = {}
        for k, weights in enumerate(fitted):
            self._go(weights, share)
            out = np.flatnonzero(fold == k).tolist()
            scored = line_model.score_pictures(self._scores, self.recipe, [lines[i] for i in out])
            after |= zip(out, scored, strict=True)
        unseen = [after[i] for i in range(len(lines))]
        before = line_model.score_pictures(self._base.scores, self.recipe, lines)
        errors = _errors(before, temperature), _errors(unseen, temperature)
        gate = Gate("lines", len(lines), *errors, len(home), home_before, home_after, MOST_FORGOTTEN)
        return gate, Fit(share, unseen)

    def write(self, lines: Sequence[Line], fit: Fit, path: Path, facts: dict[str, Any]) -> None:
        """Write the network fitted to all of a hand's lines.

        Args:
            lines: the hand's.
            fit: of `gate`.
            path: of the ONNX file.
            facts: for the card.

        Raises:
            ModelError: ONNX Runtime does not agree with Keras.
        """
        self._go(self._tuned(lines), fit.share)
        temperature = line_model.fit_temperature([*fit.unseen, *self._synthetic(self._scores)])
        card = self._base.card | {"temperature": temperature, "adapted": facts, "name": facts["name"]}
        line_model.export_line(self._model, path, card)

    def _go(self, weights: Sequence[np.ndarray], share: float) -> None:
        """Set the network to what lies between where it began and other weights."""
        pairs = zip(self._weights, weights, strict=True)
        self._model.set_weights([start + share * (end - start) for start, end in pairs])

    def _tuned(self, lines: Sequence[Line]) -> list[np.ndarray]:
        """Set the network back, fit it to lines, and return its weights."""
        for variable, value in zip(self._model.optimizer.variables, self._untouched, strict=True):
            variable.assign(value)
        self._model.set_weights(self._weights)
        images, texts = self._augmented(lines)
        images, texts = images + self._replay[0], texts + self._replay[1]
        steps = self._runner(line_rows.as_array(images), line_rows.padded(texts), self._seed, 1)
        loop.run_epoch(self._model, steps)
        weights: list[np.ndarray] = self._model.get_weights()
        return weights

    def _augmented(self, lines: Sequence[Line]) -> tuple[list[Ink], list[str]]:
        """Return a hand's lines as line images, in a few zooms each, as many as make up their share."""
        rng = np.random.default_rng(self._seed)
        n = round(len(self._replay[0]) * HAND_SHARE / (1 - HAND_SHARE))
        images: list[Ink] = []
        texts: list[str] = []
        for k in range(n):
            picture, text = lines[k % len(lines)]
            image = normalise_line(picture, self.recipe.height, float(np.clip(rng.normal(1.0, ZOOM), 0.8, 1.25)))
            if columns_needed(written(text)) <= min(image.shape[1], line_rows.WIDTHS_PX[-1]) // line_rows.STRIDE_PX:
                images.append(image)
                texts.append(written(text))
        return images, texts

    def _synthetic(self, scores_of: line_model.ScoresOf) -> list[Scored]:
        scored = line_model.score_lines(scores_of, self.recipe, self._held_out, SYNTHETIC)
        return [line for lines in scored.values() for line in lines]

    def _scores(self, images: Ink) -> Scores:
        # Not `predict`, which would compile for each width.
        return np.asarray(keras.ops.convert_to_numpy(self._model(images, training=False)), np.float32)


def _replay_of(trained: dict[str, Any]) -> LineRecipe:
    """Return how a network trained by a recipe is fitted: for one epoch, in the styles of the last stage."""
    recipe = recipes.from_dict(trained)
    assert isinstance(recipe, LineRecipe)
    last = Stage(recipe.stages[-1].shares, 1, (1.0, 0.01))
    return dataclasses.replace(
        recipe, composed=N_REPLAY, passes=PASSES, epochs=1, stages=(last,), learning_rate=RATE, ema=0.0
    )


def written(text: str) -> str:
    """Return a text in the network's alphabet: a comma is its separator, what it does not know is left out."""
    return "".join(char for char in text.replace(",", ".") if char in ALPHABET)[: line_rows.LONGEST]


def _errors(scored: Sequence[Scored], temperature: float) -> int:
    read = [(line_model.read_scored(each, temperature).digits, digits_of(each[1])) for each in scored]
    return sum(ours != truth for ours, truth in read)


def _weights_of(path: Path, model: keras.Model) -> list[np.ndarray]:
    """Return an exported network's weights in the order of a model without batch normalisation.

    Raises:
        ModelError: the file's convolutions are others.
    """
    graph = onnx.load(path).graph
    constants = export.constants_of(graph)
    weights: list[np.ndarray] = []
    for node in graph.node:
        if node.op_type == "Conv":
            kernel, bias = (constants[name] for name in node.input[1:3])
            weights += [kernel.transpose(2, 3, 1, 0), bias]
    if [each.shape for each in weights] != [tuple(each.shape) for each in model.weights[: len(weights)]]:
        raise ModelError(f"{path}: its convolutions are not those of its recipe; it cannot be tuned")
    return weights
