"""A network's scores become calibrated probabilities."""

import numpy as np

from inkdigits.arrays import Floats, Probabilities


def probabilities_of(scores: Floats, output: str, temperature: float) -> Probabilities:
    """Return calibrated probabilities float32 (N, classes) of a network's scores.

    Args:
        scores: float32 (N, classes), what the network gives.
        output: what the scores are, as the card says: "sigmoid", "softmax", "logits", or "logits_none", where an
            implicit further class "not a digit" has logit 0 and its probability is left out of the answer.
        temperature: > 0; the logarithmic scores are divided by it (Guo et al. 2017, section 4.2).
    """
    logits = logits_of(scores.astype(np.float64), output) / temperature
    if output == "logits_none":
        logits = np.concatenate([logits, np.zeros((len(logits), 1))], axis=1)
    logits -= logits.max(axis=1, keepdims=True)
    exps = np.exp(logits)
    probabilities: Probabilities = (exps / exps.sum(axis=1, keepdims=True))[:, : scores.shape[1]].astype(np.float32)
    return probabilities


def logits_of(scores: Floats, output: str) -> Floats:
    """Return scores float64 (N, classes) as logits, of which the softmax is meant; `output` is the card's word."""
    if output == "sigmoid":
        # Keras's cross-entropies look through a sigmoid at the numbers before it and take the softmax of those: that
        # is what such a network was trained for, and its loss is this softmax's. The float32 below 1 is 1 - 6e-8.
        inside = np.clip(scores, 1e-7, 1 - 1e-8)
        scores = np.log(inside / (1 - inside))
    elif output == "softmax":
        scores = np.log(np.clip(scores, 1e-7, 1.0))
    return scores
