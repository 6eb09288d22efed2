"""What a network without hidden layers looks for: its weights as pictures."""

from dataclasses import dataclass

import numpy as np

from inkdigits.arrays import DigitImages, Floats, Scores
from inkdigits.reading.calibration import logits_of
from inkdigits.reading.model import OnnxModel


@dataclass(frozen=True, eq=False)
class Inside:
    """What a network answers before calibration.

    Attributes:
        output: what its scores are, as the card says: "sigmoid", "softmax", "logits" or "logits_none".
        scores: float32 (N, classes), raw, one row per image.
        weights: float64 (28, 28, classes), what each pixel adds for each class, if the network is linear; else None.
    """

    output: str
    scores: Scores
    weights: Floats | None


def look_inside(network: OnnxModel, images: DigitImages) -> Inside:
    """Return a network's raw scores for some images and, if it is linear, the weight of each pixel.

    Args:
        network: a digit network.
        images: uint8 (N, 28, 28).
    """
    return Inside(network.card["output"], network.scores(images), _pixel_weights(network))


def _pixel_weights(network: OnnxModel) -> Floats | None:
    """Measure weights with one image per pixel; a network whose scores are not the sum of these is not linear."""
    single = np.zeros((786, 784), np.uint8)
    np.fill_diagonal(single, 255)
    single[784, ::7] = 128  # an image of 112 grey pixels; the last image stays blank
    logits = logits_of(network.scores(single.reshape(-1, 28, 28)).astype(np.float64), network.card["output"])
    if network.card["output"] != "sigmoid":
        logits -= logits.mean(axis=1, keepdims=True)  # a softmax ignores what all classes have in common
    blank = logits[785]
    weights: Floats = logits[:784] - blank
    if np.abs(weights[::7].sum(axis=0) * 128 / 255 - (logits[784] - blank)).max() > 0.02:
        return None
    return weights.reshape(28, 28, -1)
