"""What a network without hidden layers looks for: its weights as pictures."""

from dataclasses import dataclass

import numpy as np

from inkdigits.reading.calibration import logits_of
from inkdigits.reading.model import OnnxModel


@dataclass(frozen=True, eq=False)
class Inside:
    """What a net says before calibration.

    Attributes:
        output: what its scores are, as the card says: "sigmoid", "softmax", "logits" or "logits_none".
        scores: float32 (N, classes), raw, of the images that were shown.
        weights: float64 (28, 28, classes), what each pixel adds for each class, if the net is linear; else None.
    """

    output: str
    scores: np.ndarray
    weights: np.ndarray | None


def look_inside(net: OnnxModel, images: np.ndarray) -> Inside:
    """Return a net's raw scores for some images and, if it is linear, its weights as the pixels feel them.

    Args:
        net: a digit net.
        images: uint8 (N, 28, 28).
    """
    return Inside(net.card["output"], net.scores(images), _pixel_weights(net))


def _pixel_weights(net: OnnxModel) -> np.ndarray | None:
    """Measure weights with one image for each pixel; a net that does not add them up for an image is not linear."""
    single = np.zeros((786, 784), np.uint8)
    np.fill_diagonal(single, 255)
    single[784, ::7] = 128  # an image of 112 grey pixels; the last image stays blank
    logits = logits_of(net.scores(single.reshape(-1, 28, 28)).astype(np.float64), net.card["output"])
    if net.card["output"] != "sigmoid":
        logits -= logits.mean(axis=1, keepdims=True)  # a softmax does not feel what all classes have in common
    blank = logits[785]
    weights: np.ndarray = logits[:784] - blank
    if np.abs(weights[::7].sum(axis=0) * 128 / 255 - (logits[784] - blank)).max() > 0.02:
        return None
    return weights.reshape(28, 28, -1)
