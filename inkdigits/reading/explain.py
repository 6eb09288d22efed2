"""Which ink mattered: parts of a digit are covered with paper, and the answer's loss of probability is noted.

Occlusion as in Zeiler and Fergus 2014, section 4.2; it needs answers alone, no gradients.
"""

import cv2
import numpy as np

from inkdigits.reading.reader import Reader

SIDE = 28
PATCH = 5
STRIDE = 2
# BGR. Orange and blue stay apart for every kind of colour vision.
FOR = np.array([0, 150, 255], np.float32)
AGAINST = np.array([255, 150, 60], np.float32)


def occlusion_map(reader: Reader, framed: np.ndarray, digit: int) -> np.ndarray:
    """Return how much each pixel speaks for a digit.

    Args:
        reader: whose answers are explained.
        framed: uint8 (28, 28), a digit in MNIST's form.
        digit: 0 to 9, the answer that is explained.

    Returns:
        float32 (28, 28), the mean loss of the digit's probability when the pixel is covered, -1 to 1: above 0 the
        ink there speaks for the digit, below 0 against it; 0 where there is no ink.
    """
    corners = [(y, x) for y in range(1 - PATCH, SIDE, STRIDE) for x in range(1 - PATCH, SIDE, STRIDE)]
    masks = np.zeros((len(corners), SIDE, SIDE), bool)
    for mask, (y, x) in zip(masks, corners, strict=True):
        mask[max(0, y) : y + PATCH, max(0, x) : x + PATCH] = True
    # Covering bare paper changes nothing and needs no model call.
    masks = masks[(masks & (framed > 0)).any(axis=(1, 2))]
    covered = np.where(masks, np.uint8(0), framed)
    probabilities = reader.classify(np.concatenate([framed[None], covered])).probabilities[:, digit]
    losses = probabilities[0] - probabilities[1:]
    covers = masks.sum(axis=0)
    total: np.ndarray = np.tensordot(losses, masks.astype(np.float32), axes=1)
    importance = np.where(framed > 0, total / np.maximum(covers, 1), 0)
    return importance.astype(np.float32)


def draw_map(importance: np.ndarray, framed: np.ndarray) -> np.ndarray:
    """Return the map as a picture: the ink in grey, what spoke for the answer orange, what spoke against it blue.

    Args:
        importance: float32 (28, 28), what `occlusion_map` returns.
        framed: uint8 (28, 28).

    Returns:
        uint8 (280, 280, 3), BGR.
    """
    strength = np.abs(importance) / max(float(np.abs(importance).max()), 1e-6)
    ink = framed.astype(np.float32)[..., None] / 255
    tint = np.where(importance[..., None] > 0, FOR, AGAINST)
    grey = np.full((SIDE, SIDE, 3), 150, np.float32)
    colours = grey + (tint - grey) * strength[..., None]
    picture = np.rint(colours * ink).astype(np.uint8)
    return np.asarray(cv2.resize(picture, None, fx=10, fy=10, interpolation=cv2.INTER_NEAREST))
