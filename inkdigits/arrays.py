"""Array types by what they hold: dtype and shape are said once, here."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray as NDArray
else:
    NDArray = np.ndarray  # numpy.typing takes 35 ms to import, a tenth of the time in which a digit is read

GrayImage = NDArray[np.uint8]  # (H, W), any size; 0 = black
DigitImage = NDArray[np.uint8]  # (28, 28), MNIST's form: 0 = paper, 255 = ink
DigitImages = NDArray[np.uint8]  # (N, 28, 28), MNIST's form
ColorImage = NDArray[np.uint8]  # (H, W, 3), BGR
Ink = NDArray[np.uint8]  # (H, W), paper removed: 0 = paper, 255 = ink
Labels = NDArray[np.int64]  # (N,), indices of classes
Scores = NDArray[np.float32]  # (N, classes), what a network answers
Probabilities = NDArray[np.float32]  # (N, classes), calibrated
Confidences = NDArray[np.float32]  # (N,), 0 to 1
Mask = NDArray[np.bool_]  # any shape
Transform = NDArray[np.floating[Any]]  # (2, 3) affine or (3, 3) projective, takes (x, y, 1) to another picture's pixels
Box = tuple[int, int, int, int]  # x, y, width, height in pixels
Floats = NDArray[np.floating[Any]]  # any shape
Rng: TypeAlias = "np.random.Generator"  # in quotes: NumPy loads this module, which takes 20 ms, on demand
Bytes = NDArray[np.uint8]  # one to three dimensions, as an IDX file holds them
Integers = NDArray[np.integer[Any]]  # any shape
GrayImages = NDArray[np.uint8]  # (N, H, W), any size
AnyImage = NDArray[Any]  # (H, W), uint8 or float32
Boxes = NDArray[np.integer[Any]]  # (N, 4), x, y, width, height in pixels; also one box (4,)
Points = NDArray[Any]  # (N, 2), x, y in pixels, whole or not
Regions = NDArray[np.int32]  # (H, W), which connected component a pixel belongs to; 0 = none
Indices = NDArray[np.integer[Any]]  # (N,), places in another array, or counts
