"""A digit network is fitted to one hand: its last layer again, close to what it was, and the hand's own digits vote.

The last layer is a penalised multinomial logistic regression towards the weights that ship. Digits that the network
held out of its training are learned along, so that it does not forget them; others of these say whether it did.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from inkdigits.arrays import Floats, Labels, Mask, NDArray, Probabilities
from inkdigits.evaluation import metrics
from inkdigits.evaluation.gate import Gate
from inkdigits.personal.examples import NOT_A_DIGIT, Examples
from inkdigits.reading.adapted import N_REPLAY, Adaptation, Voters, mixed, unit
from inkdigits.reading.calibration import logits_of
from inkdigits.reading.held_out import HeldOut
from inkdigits.reading.model import OnnxModel

# Chosen on the studied digits (semeion, optdigits, gridpage; 50 and 200 of a hand, 4 draws): of penalties 0.01 to 0.3
# and replays of 200 to 2,000 these forget least, and come within two errors of the best.
PENALTY = 0.1
REPLAY_WEIGHT = 200.0  # so many digits of the hand weigh as much as all replayed ones
STEPS = 25  # of L-BFGS
PARTS = (1.0, 0.7, 0.5, 0.3)  # of the way to the fit, the first that is kept
FOLDS = 5
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # how much say the most alike digits may have
MOST_FORGOTTEN = 0.0005  # the share of held-out digits by which errors may rise
ACCEPTED_SHARE = 0.99  # of held-out digits, as for every network
N_AT_HOME = 500  # held-out digits that have a say in the temperature


@dataclass(frozen=True, eq=False)
class _Seen:
    """Digits as the network sees them: directions (N, features) of length 1, logits (N, 10), labels (N,)."""

    directions: Floats
    logits: Floats
    labels: Labels

    def take(self, which: Any) -> "_Seen":
        return _Seen(self.directions[which], self.logits[which], self.labels[which])


def fit_digits(
    model: OnnxModel, held_out: HeldOut, examples: Examples, base: str, facts: Mapping[str, Any], seed: int = 0
) -> tuple[Adaptation, Gate]:
    """Fit a digit network to a hand, and say by cross-validation what this changes.

    Args:
        model: the network.
        held_out: digits that it did not learn from.
        examples: the hand's digits, `FOLDS` at least.
        base: the network's file, as an adaptation names it.
        facts: for the card.
        seed: of the folds.
    """
    output, temperature = model.card["output"], model.card.get("temperature", 1.0)
    is_open = output == "logits_none"

    def seen(embeddings: Floats, scores: Floats, labels: Labels) -> _Seen:
        logits = logits_of(scores.astype(np.float64), output) / temperature
        return _Seen(unit(embeddings).astype(np.float32), logits.astype(np.float32), labels)

    home = seen(held_out.embeddings, held_out.scores, held_out.labels)
    hand = seen(*model.embeddings(examples.images), examples.labels)
    if not is_open:
        hand = hand.take(hand.labels != NOT_A_DIGIT)
    # One thread: the matrices are small, and beside other work two take 25 times as long.
    with threadpool_limits(1):
        fit = _Fit(hand, home, is_open, seed)
        steps = [fit.step(PARTS[0])]
        while not steps[-1].gate.is_kept and len(steps) < len(PARTS):
            steps.append(fit.step(PARTS[len(steps)]))
    # Where none is kept, the whole way says why.
    step = steps[-1] if steps[-1].gate.is_kept else steps[0]
    gate, share = step.gate, step.share
    told = dict(facts) | {
        "n": gate.n,
        "n_set_aside": fit.n_set_aside,
        "part": step.part,
        "share": share,
        "errors": [gate.errors_before, gate.errors_after],
    }
    changes, voters = (step.part * fit.weights, step.part * fit.bias), (fit.voters.directions, fit.voters.labels)
    adaptation = Adaptation(*changes, *voters, share, step.heat, step.threshold, base, model.sha256, told)
    return adaptation, gate


@dataclass(frozen=True)
class _Step:
    """What is gained by going a part of the way to a fit, and what goes with it."""

    part: float
    share: float
    heat: float
    threshold: float
    gate: Gate


class _Fit:
    """A fit to a hand, of which the whole way or a part is gone.

    Examples whose labels the others of the hand make unlikely are set aside: not learned, but they count as errors.

    Args:
        hand: all examples.
        home: held-out digits of what the network was trained for.
        is_open: whether "not a digit" is a class.
        seed: of the folds.
    """

    def __init__(self, hand: _Seen, home: _Seen, is_open: bool, seed: int) -> None:
        self._is_open = is_open
        self._replay, self._rest = home.take(slice(0, N_REPLAY)), home.take(slice(N_REPLAY, None))
        # Twice, for the first time wrong labels are learned along.
        supported = np.ones(len(hand.labels), bool)
        for _ in range(2):
            unseen = _cross_validated(hand, self._replay, is_open, seed, supported)
            supported = _supported(unseen, hand.labels, is_open)
        unseen = _cross_validated(hand, self._replay, is_open, seed, supported)
        self.n_set_aside = int((~supported).sum())
        self.weights, self.bias = _fit(hand.take(supported), self._replay, is_open)
        digits = np.flatnonzero(hand.labels != NOT_A_DIGIT)
        self._own, self._change = hand.take(digits), (unseen - hand.logits)[digits]
        voting = np.flatnonzero(supported[digits])
        self.voters = self._own.take(voting)
        voters = Voters(self.voters.directions, self.voters.labels, self._replay.directions, self._replay.labels)
        self._votes, self._home_votes = voters.votes(self._own.directions, voting), voters.votes(self._rest.directions)

    def step(self, part: float) -> _Step:
        """Return what a part of the way brings, > 0 to 1, by digits that were not learned from."""
        own, rest, is_open = self._own, self._rest, self._is_open
        unseen = own.logits + part * self._change
        at_home = rest.logits + part * (rest.directions @ self.weights + self.bias)
        labels = np.concatenate([own.labels, rest.labels[:N_AT_HOME]])
        heat = _temperature(np.concatenate([unseen, at_home[:N_AT_HOME]]), labels, is_open)
        share = _best_share(unseen / heat, self._votes, own.labels, is_open)
        after = mixed(unseen / heat, self._votes, share, is_open)
        home_after = mixed(at_home / heat, self._home_votes, share, is_open)
        gate = Gate(
            "digits",
            len(own.labels),
            _errors(own.logits, own.labels),
            _errors(after, own.labels),
            len(rest.labels),
            _errors(rest.logits, rest.labels),
            _errors(home_after, rest.labels),
            MOST_FORGOTTEN,
        )
        sure = _with_none(home_after, is_open)[:, :10].max(axis=1)
        return _Step(part, share, heat, float(np.quantile(sure, 1 - ACCEPTED_SHARE)), gate)


def _fit(hand: _Seen, replay: _Seen, is_open: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what is added to the last layer's weights (features, 10) and bias (10,)."""
    directions = np.concatenate([hand.directions, replay.directions])
    logits = np.concatenate([hand.logits, replay.logits])
    labels = np.concatenate([hand.labels, replay.labels])
    say = np.concatenate([np.ones(len(hand.labels)), np.full(len(replay.labels), REPLAY_WEIGHT / len(replay.labels))])
    truth, n_features = np.eye(11, dtype=np.float32)[labels], directions.shape[1]

    def loss(changes: Floats) -> tuple[float, Floats]:
        weights = changes[: n_features * 10].reshape(n_features, 10).astype(np.float32)
        chances = _with_none(logits + directions @ weights + changes[n_features * 10 :].astype(np.float32), is_open)
        of_truth = np.maximum(chances[np.arange(len(labels)), labels], 1e-12)
        slope = (chances - truth)[:, :10] * say[:, None].astype(np.float32)
        gradient = np.concatenate([(directions.T @ slope).ravel(), slope.sum(axis=0)]) + PENALTY * changes
        return float(-(say * np.log(of_truth)).sum() + PENALTY / 2 * changes @ changes), gradient

    found = minimize(loss, np.zeros(n_features * 10 + 10), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    found = found.astype(np.float32)
    return found[: n_features * 10].reshape(n_features, 10), found[n_features * 10 :]


def _cross_validated(hand: _Seen, replay: _Seen, is_open: bool, seed: int, learned: Mask) -> Floats:
    """Return logits (N, 10) of a hand's digits, each by a fit to those of the other folds that may be learned."""
    fold = np.random.default_rng(seed).permutation(len(hand.labels)) % FOLDS
    logits = np.empty_like(hand.logits)
    for number in range(FOLDS):
        out = fold == number
        weights, bias = _fit(hand.take(~out & learned), replay, is_open)
        logits[out] = hand.logits[out] + hand.directions[out] @ weights + bias
    return logits


def _supported(logits: Floats, labels: Labels, is_open: bool) -> Mask:
    """Say which labels (N,) are likelier right than wrong, by logits (N, 10) of fits to a hand's other digits.

    A wrong label is taken for any class alike; how many are wrong is estimated along (expectation maximisation).
    """
    chances = _with_none(logits, is_open)[np.arange(len(labels)), labels]
    right, n_wrong = np.ones(len(labels)), 0.1 * len(labels)
    for _ in range(50):
        wrong = float(np.clip(n_wrong / len(labels), 1e-4, 0.5))
        right = 1 / (1 + wrong / 10 / np.maximum((1 - wrong) * chances, 1e-12))
        n_wrong = float((1 - right).sum())
    return right >= 0.5


def _temperature(logits: Floats, labels: Labels, is_open: bool) -> float:
    if is_open:
        logits = np.concatenate([logits, np.zeros((len(logits), 1), logits.dtype)], axis=1)
    return metrics.fit_temperature(logits, labels)


def _best_share(logits: Floats, votes: Probabilities, labels: Labels, is_open: bool) -> float:
    """Return how much say the neighbours have where the labels are likeliest."""

    def surprise(share: float) -> float:
        chances = _with_none(mixed(logits, votes, share, is_open), is_open)
        return float(-np.log(np.maximum(chances[np.arange(len(labels)), labels], 1e-12)).sum())

    return min(SHARES, key=surprise)


def _with_none(logits: Floats, is_open: bool) -> Floats:
    """Return probabilities (N, 11) of the digits and of "not a digit": 0 where the network has no such class."""
    none = np.zeros((len(logits), 1), logits.dtype) if is_open else np.full((len(logits), 1), -np.inf, logits.dtype)
    logits = np.concatenate([logits, none], axis=1)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def _errors(logits: Floats, labels: Labels) -> int:
    return int((logits.argmax(axis=1) != labels).sum())
