"""A digit network that `inkdigits adapt` fitted to one hand: the network that ships, and a small file of changes to it.

Two things change its answer: the scores get a correction that is linear in what the last layer takes in, and the digits
most alike vote, those of the hand and, so that other hands are not forgotten, digits that the network held out.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.arrays import Floats, Indices, Labels, NDArray, Probabilities, Scores
from inkdigits.errors import ModelError, reason
from inkdigits.files.storage import write_bytes
from inkdigits.reading.calibration import logits_of
from inkdigits.reading.held_out import load_arrays, load_held_out
from inkdigits.reading.model import CHUNK, OnnxModel, model_path

FORMAT = 1
DIGIT, LINE = "digit.npz", "line.onnx"  # in a folder of one version of a hand
# How much more an alike digit's vote counts: exp of this times the cosine. Of 10, 30 and 60, errors on the studied
# digits hardly differ.
SHARPNESS = 30.0
# A digit of the hand counts as exp of this many held-out ones. With 0 the hand is hardly heard, without held-out digits
# MNIST's are read worse (22 errors of 3,000 in place of 12, with a share of 0.5).
HAND_WEIGHT = 2.0
N_REPLAY = 2_000  # held-out digits that vote and are learned along; those behind them say what is forgotten


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What one hand changes in a digit network.

    Attributes:
        weights: float32 (features, 10), added to the last layer's, for embeddings of length 1.
        bias: float32 (10,).
        neighbours: float32 (n, features), the hand's digits: embeddings of length 1.
        labels: int64 (n,), theirs, 0 to 9.
        share: how much of the answer is the neighbours', 0 to 1.
        temperature: > 0, of the changed scores.
        threshold: from which confidence on a digit is accepted, 0 to 1.
        base: the network's file, "" for the one that ships, and `base_sha256` of it.
        facts: what the card says of the adaptation.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    neighbours: NDArray[np.float32]
    labels: Labels
    share: float
    temperature: float
    threshold: float
    base: str
    base_sha256: str
    facts: Mapping[str, Any]

    def scores(self, embeddings: Floats, logits: Floats, voters: "Voters", is_open: bool) -> Scores:
        """Return calibrated logits float32 (N, 10) for embeddings (N, features) and the network's logits (N, 10).

        Args:
            embeddings: of any length.
            logits: at temperature 1.
            voters: of the hand and held-out digits.
            is_open: whether an eleventh class, "not a digit", has logit 0.
        """
        directions = unit(embeddings)
        logits = (logits + directions @ self.weights + self.bias) / self.temperature
        return mixed(logits, voters.votes(directions), self.share, is_open)


def mixed(logits: Floats, votes: Probabilities, share: float, is_open: bool) -> Scores:
    """Return logits float32 (N, 10) of probabilities of which a share is the neighbours' votes (N, 10)."""
    if not share:
        return np.asarray(logits, np.float32)
    if is_open:
        logits = np.concatenate([logits, np.zeros((len(logits), 1))], axis=1)
    logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    is_digit = 1 - np.exp(logs[:, 10:]) if is_open else 1.0
    mean = (1 - share) * np.exp(logs[:, :10]) + share * is_digit * votes
    reference = logs[:, 10:] if is_open else 0.0  # it stays as likely as it was that this is no digit
    return np.asarray(np.log(np.maximum(mean, 1e-9)) - reference, np.float32)


class Voters:
    """Digits that vote on others, each the more the more alike it is.

    Args:
        hand, labels: the hand's, (n, features) of length 1, and (n,).
        others, other_labels: held-out ones of the network's own data, likewise.
    """

    def __init__(self, hand: Floats, labels: Labels, others: Floats, other_labels: Labels) -> None:
        self._n_hand = len(hand)
        self._directions = np.concatenate([hand, others]).T
        self._classes = np.eye(10, dtype=np.float32)[np.concatenate([labels, other_labels])]

    def votes(self, directions: Floats, own: Indices | None = None) -> Probabilities:
        """Return the votes (N, 10), summing to 1, on digits (N, features) of length 1.

        Args:
            directions: the digits that are asked about.
            own: where all of the hand's voters are among them: their places there; none votes for itself.
        """
        alike = SHARPNESS * (directions @ self._directions)
        alike[:, : self._n_hand] += HAND_WEIGHT
        if own is not None:
            alike[own, np.arange(len(own))] = -np.inf
        weights = np.exp(alike - alike.max(axis=1, keepdims=True))
        votes = weights @ self._classes
        return np.asarray(votes / votes.sum(axis=1, keepdims=True), np.float32)


def unit(embeddings: Floats) -> Floats:
    """Return rows of length 1."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.maximum(lengths, 1e-9))


def save_adaptation(path: Path, adaptation: Adaptation) -> None:
    """Write an adaptation; the file appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    known = asdict(adaptation)
    arrays = {name: known.pop(name) for name in ("weights", "bias", "neighbours", "labels")}
    arrays |= {"neighbours": adaptation.neighbours.astype(np.float16), "labels": adaptation.labels.astype(np.uint8)}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=json.dumps({"format": FORMAT, **known}), **arrays)
    write_bytes(path, buffer.getvalue())


def load_adaptation(path: Path) -> Adaptation:
    """Read an adaptation.

    Raises:
        ModelError: the file is missing, damaged or of another version.
    """
    with naming_undo(path):
        return _loaded(path)


def _loaded(path: Path) -> Adaptation:
    arrays = load_arrays(path, ("about", "weights", "bias", "neighbours", "labels"))
    try:
        about = json.loads(str(arrays.pop("about")))
        version = about.pop("format")
        arrays |= {"neighbours": arrays["neighbours"].astype(np.float32), "labels": arrays["labels"].astype(np.int64)}
        if version == FORMAT:
            return _checked(Adaptation(**arrays, **about))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not an adaptation ({reason(error)})") from None
    raise ModelError(f"{path}: adapted by another version of inkdigits; adapt again")


def _checked(found: Adaptation) -> Adaptation:
    """Return an adaptation whose parts go together; ValueError for another."""
    features = found.weights.shape[0]
    numbers = (found.weights, found.bias, found.neighbours, found.share, found.temperature, found.threshold)
    fits = (
        found.weights.shape == (features, 10)
        and found.bias.shape == (10,)
        and found.neighbours.shape == (len(found.labels), features)
        and all(bool(np.isfinite(np.asarray(each, float)).all()) for each in numbers)
        and found.temperature > 0
        and bool(np.isin(found.labels, np.arange(10)).all())
        and {"name", "n", "errors"} <= set(found.facts)
    )
    if not fits:
        raise ValueError("its parts do not go together")
    return found


class AdaptedModel(OnnxModel):
    """A digit network as it was fitted to one hand.

    Args:
        path: what `save_adaptation` wrote.
        threads: as of `OnnxModel`.

    Raises:
        ModelError: the file is none, or the network under it is gone or has changed since.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        adaptation = load_adaptation(path)
        super().__init__(model_path(adaptation.base or None), threads)
        if self.sha256 != adaptation.base_sha256:
            with naming_undo(path):
                raise ModelError(f"{path}: adapted from other weights than {self.path}; adapt again")
        replay = load_held_out(self.path).take(slice(0, N_REPLAY))
        self._voters = Voters(adaptation.neighbours, adaptation.labels, unit(replay.embeddings), replay.labels)
        self._adaptation = adaptation
        self._output, self._temperature = self.card["output"], self.card.get("temperature", 1.0)
        self.path = path
        del self.sha256  # from now on the adaptation's own: promises made with the network alone are withdrawn
        self.card |= {
            "name": str(adaptation.facts["name"]),
            "output": "logits_none" if self._is_open else "logits",
            "temperature": 1.0,
            "threshold": adaptation.threshold,
            "adapted": dict(adaptation.facts),
        }

    @property
    def _is_open(self) -> bool:
        return bool(self._output == "logits_none")

    def scores(self, images: NDArray[np.uint8]) -> Scores:
        """Return the adapted network's calibrated logits, float32 (N, 10), for uint8 (N, 28, 28)."""
        chunks = [images[i : i + CHUNK] for i in range(0, len(images), CHUNK)] or [images]
        return np.concatenate([self._scores_of(chunk) for chunk in chunks])

    def _scores_of(self, images: NDArray[np.uint8]) -> Scores:
        embeddings, scores = self.embeddings(images)
        logits = logits_of(scores.astype(np.float64), self._output) / self._temperature
        return self._adaptation.scores(embeddings, logits, self._voters, self._is_open)


def open_model(model: str | Path | None, threads: int | None = None) -> OnnxModel:
    """Open a model file, a run directory, an adaptation, or the shipped digit network (None).

    Raises:
        ModelError: there is no such model.
    """
    path = model_path(model)
    return AdaptedModel(path, threads) if path.suffix == ".npz" else OnnxModel(path, threads)


def parts_of(model: str | Path | None) -> tuple[str | Path | None, Path | None]:
    """Return which digit network and which line network `model` means where it is a hand's folder; else as it is.

    Raises:
        ModelError: the hand's folder cannot be read, or its newest version holds nothing.
    """
    folder = None if model is None else newest(Path(model))
    return (model, None) if folder is None else _parts(folder)


def _parts(version: Path) -> tuple[Path | None, Path | None]:
    digit, line = version / DIGIT, version / LINE
    if not (digit.is_file() or line.is_file()):
        with naming_undo(digit):
            raise ModelError(f"{version}: this version of the hand is empty")
    return digit if digit.is_file() else None, line if line.is_file() else None


def facts_of(version: Path) -> dict[str, Any]:
    """Return what a version says of itself: `name`, `date`, `n` examples, `errors` before and after.

    Raises:
        ModelError: it is damaged or empty.
    """
    digit, line = _parts(version)
    facts: dict[str, Any] = {}
    if line is not None:
        with naming_undo(line):
            facts = dict(OnnxModel(line).card.get("adapted", {}))
            if not facts:
                raise ModelError(f"{line}: not a hand's network")
    return facts if digit is None else dict(load_adaptation(digit).facts)


def versions(hand: Path) -> list[Path]:
    """Return the versions in a hand's folder, the oldest first.

    Raises:
        ModelError: the folder cannot be read.
    """
    try:
        return (
            sorted(each for each in hand.iterdir() if each.is_dir() and each.name.isdecimal()) if hand.is_dir() else []
        )
    except OSError as error:
        raise ModelError(f"{hand}: cannot be read ({reason(error)})") from None


@contextmanager
def naming_undo(path: Path | None) -> Iterator[None]:
    """Add to what is wrong with a file of a hand's version how to take that version away.

    Args:
        path: the file, None or any other file where there is nothing to add.
    """
    try:
        yield
    except ModelError as error:
        if path is None or path.name not in (DIGIT, LINE) or not path.parent.name.isdecimal():
            raise
        hand = path.parent.parent.name
        raise ModelError(f"{error}; `inkdigits adapt {hand} --undo` takes this version away") from None


def newest(hand: Path) -> Path | None:
    """Return the newest version in a hand's folder, None where it is no such folder."""
    found = versions(hand)
    return found[-1] if found else None
