"""Finds rows of text on a page with PP-OCR's detector, from the package `rapidocr` (extra `pages`).

It was trained on photographs of many kinds of text, so it finds writing on papers and in lights that our synthesis does
not make; whether that is a number, the readers say. Large single digits, which are no text to it, our finder finds.
"""

import math
import threading
from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np

from inkdigits.arrays import Floats, GrayImage
from inkdigits.errors import naming_missing_extra
from inkdigits.machine import cores
from inkdigits.reading.found_rows import FoundRow

# Around a row of digits a box has this much room: the median of 95 rows of 80 composed pages.
HEIGHT = 0.6  # half height of the digits, in half heights of the box (quartiles 0.49 and 0.62)
ENDS = 0.25  # beyond either end, likewise (0.21, 0.30)
UPRIGHT = 1.5  # a box this many times as tall as wide is a row that reads up or down, as RapidOCR has it
# RapidOCR enlarges a picture until its shorter side has 736 pixels; of one this slender that would be very many.
SLENDER = 4
# How likely a row is read right with a second opinion, see `row_reader.confidences`: a row of our finder, and of this
# one. Fitted by benchmarks/fit_text_detector.py.
ROWS: tuple[dict[str, Any], ...] = (
    {"weights": [1.5361, 1.6795, 0.0658, -0.1958, -2.6469, -0.3776, -0.8373, -0.4708], "accepted": 0.9022},
    {"weights": [1.6542, 0.2886, 0.1205, -0.1958, 0.0, -0.4899, -1.1158, 2.2968], "accepted": 0.8904},
)


class TextDetector:
    """Finds rows of text on pictures. Thread-safe. Needs the extra `pages`.

    Args:
        threads: how many the network may use, at least 1; all cores where None.

    Raises:
        MissingExtraError: RapidOCR is not installed.
    """

    def __init__(self, threads: int | None = None) -> None:
        with naming_missing_extra():
            from rapidocr import RapidOCR
        self._lock = threading.Lock()  # RapidOCR keeps what it works with in itself
        self._detect = RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.use_rec": False,
                "Global.log_level": "critical",
                "EngineConfig.onnxruntime.intra_op_num_threads": cores() if threads is None else threads,
            }
        )

    def find(self, image: GrayImage, threshold: float | None = None) -> list[FoundRow]:
        """Return the rows of text on a picture uint8 (H, W), in no order.

        Args:
            image: any size, either polarity.
            threshold: 0 to 1, the least score; RapidOCR's own, 0.5, where None or lower.
        """
        height, width = image.shape
        down, right = max(0, width // SLENDER - height), max(0, height // SLENDER - width)
        padded = cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)
        with self._lock:
            found: Any = self._detect(cv2.cvtColor(padded, cv2.COLOR_GRAY2BGR))
        if found.boxes is None:
            return []
        rows = [
            _row_of(np.asarray(box, float), float(score)) for box, score in zip(found.boxes, found.scores, strict=True)
        ]
        return [row for row in rows if row.score >= (threshold or 0.0)]


def is_installed() -> bool:
    """Say whether the extra `pages` is installed."""
    return find_spec("rapidocr") is not None


def _row_of(box: Floats, score: float) -> FoundRow:
    """Return the row in a box float64 (4, 2): its corners from the upper left one on, clockwise."""
    along, down = (box[1] + box[2] - box[0] - box[3]) / 2, (box[3] + box[2] - box[0] - box[1]) / 2
    if math.hypot(*down) >= UPRIGHT * math.hypot(*along):
        along, down = down, along
    half_width, half_height = math.hypot(*along) / 2, math.hypot(*down) / 2
    angle = math.atan2(along[1], along[0])
    x, y = box.mean(axis=0).tolist()
    return FoundRow(
        x,
        y,
        max(1.0, half_width - ENDS * half_height),
        max(1.0, HEIGHT * half_height),
        (angle + math.pi / 2) % math.pi - math.pi / 2,
        score,
        other=0.0,
    )
