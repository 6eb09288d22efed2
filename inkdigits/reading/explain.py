"""Which ink mattered: parts of a digit are covered with paper, and the answer's loss of probability is noted.

    framed = reader.frame("seven.png")
    cv2.imwrite("why.png", draw_map(occlusion_map(reader, framed), framed))

Occlusion as in Zeiler and Fergus 2014, section 4.2; it needs answers alone, no gradients.
"""

import cv2
import numpy as np

from inkdigits.arrays import ColorImage, DigitImage, Floats
from inkdigits.reading.digit_reader import DigitReader
from inkdigits.reading.normalise.digit import SIDE
from inkdigits.reading.reader import Reader

PATCH_PX = 5
STRIDE_PX = 2
# BGR. Orange and blue differ for every kind of colour vision.
FOR = np.array([0, 150, 255], np.float32)
AGAINST = np.array([255, 150, 60], np.float32)


def occlusion_map(reader: Reader | DigitReader, framed: DigitImage, digit: int | None = None) -> Floats:
    """Return how much each pixel speaks for a digit.

    Args:
        reader: whose answers are explained.
        framed: uint8 (28, 28), a digit in MNIST's form, such as `reader.frame(image)` or an `Item.framed`.
        digit: 0 to 9, the answer that is explained; the most probable one where None.

    Returns:
        float32 (28, 28), the mean loss of the digit's probability when the pixel is covered, -1 to 1: above 0 the
        ink there speaks for the digit, below 0 against it; 0 where there is no ink.

    Raises:
        ValueError: the picture has another dtype or shape, or the digit is not one that the reader knows.
    """
    whole = reader.classify(np.asarray(framed)[None])  # which checks the picture
    explained = int(whole.labels[0]) if digit is None else digit
    if not 0 <= explained < whole.probabilities.shape[1]:
        raise ValueError(f"digit must be 0 to {whole.probabilities.shape[1] - 1}, got {digit}")
    corners = [(y, x) for y in range(1 - PATCH_PX, SIDE, STRIDE_PX) for x in range(1 - PATCH_PX, SIDE, STRIDE_PX)]
    masks = np.zeros((len(corners), SIDE, SIDE), bool)
    for mask, (y, x) in zip(masks, corners, strict=True):
        mask[max(0, y) : y + PATCH_PX, max(0, x) : x + PATCH_PX] = True
    # Covering bare paper changes nothing and needs no call of the network.
    masks = masks[(masks & (framed > 0)).any(axis=(1, 2))]
    covered = reader.classify(np.where(masks, np.uint8(0), framed)).probabilities
    losses = whole.probabilities[0, explained] - covered[:, explained]
    covers = masks.sum(axis=0)
    total: Floats = np.tensordot(losses, masks.astype(np.float32), axes=1)
    return np.where(framed > 0, total / np.maximum(covers, 1), 0).astype(np.float32)


def draw_map(importance: Floats, framed: DigitImage) -> ColorImage:
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
    return np.asarray(cv2.resize(picture, None, fx=10, fy=10, interpolation=cv2.INTER_NEAREST), np.uint8)
