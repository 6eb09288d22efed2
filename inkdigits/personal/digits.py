"""A digit network is fitted to one hand: its last layer again, close to what it was, and the hand's own digits vote.

The last layer is a penalised multinomial logistic regression towards the weights that ship. Digits that the network
held out of its training are learned along, so that it does not forget them; others of these say whether it did.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from inkdigits.arrays import Floats, Labels, NDArray, Probabilities
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
    replay, rest = home.take(slice(0, N_REPLAY)), home.take(slice(N_REPLAY, None))
    hand = seen(*model.embeddings(examples.images), examples.labels)
    if not is_open:
        hand = hand.take(hand.labels != NOT_A_DIGIT)
    digits = np.flatnonzero(hand.labels != NOT_A_DIGIT)

    unseen = _cross_validated(hand, replay, is_open, seed)[digits]
    weights, bias = _fit(hand, replay, is_open)
    home_logits = rest.logits + rest.directions @ weights + bias
    own = hand.take(digits)
    known = (np.concatenate([own.labels, rest.labels[:N_AT_HOME]]), is_open)
    heat = _temperature(np.concatenate([unseen, home_logits[:N_AT_HOME]]), *known)
    voters = Voters(own.directions, own.labels, replay.directions, replay.labels)
    votes = voters.votes(own.directions, is_hand=True)
    share = _best_share(unseen / heat, votes, own.labels, is_open)
    after = mixed(unseen / heat, votes, share, is_open)
    home_after = mixed(home_logits / heat, voters.votes(rest.directions), share, is_open)
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
    threshold = float(np.quantile(_with_none(home_after, is_open)[:, :10].max(axis=1), 1 - ACCEPTED_SHARE))
    told = dict(facts) | {"n": gate.n, "share": share, "errors": [gate.errors_before, gate.errors_after]}
    adaptation = Adaptation(weights, bias, own.directions, own.labels, share, heat, threshold, base, model.sha256, told)
    return adaptation, gate


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


def _cross_validated(hand: _Seen, replay: _Seen, is_open: bool, seed: int) -> Floats:
    """Return logits (N, 10) of a hand's digits, each by a fit to the other folds."""
    fold = np.random.default_rng(seed).permutation(len(hand.labels)) % FOLDS
    logits = np.empty_like(hand.logits)
    for number in range(FOLDS):
        out = fold == number
        weights, bias = _fit(hand.take(~out), replay, is_open)
        logits[out] = hand.logits[out] + hand.directions[out] @ weights + bias
    return logits


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
