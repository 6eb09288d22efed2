"""A reader that knows one thing: the ink's place. It stands in where a test is about the server alone."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from inkdigits.files.images import ImageSource, read_image
from inkdigits.reading.results import Classified, Item, NumberReading, PageReading


class FakeReader:
    digits = SimpleNamespace(model=SimpleNamespace(path=Path("fake.onnx")))
    card: ClassVar[dict[str, Any]] = {"format": 1, "kind": "digit", "name": "fake", "classes": list("0123456789")}

    def read(self, image: ImageSource, layout: str = "page") -> PageReading:
        image = read_image(image)
        height, width = image.shape
        ys, xs = np.nonzero(image < 128)
        if not len(ys):
            return PageReading(width, height, ())
        box = (int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1)
        item = Item(7, 0.99, True, box, ((1, 0.005),), self.frame(image))
        return PageReading(width, height, (NumberReading("7", "7", 0.99, True, (item,)),))

    def read_many(self, images: Sequence[ImageSource], layout: str) -> list[PageReading]:
        return [self.read(image, layout) for image in images]

    def frame(self, image: np.ndarray) -> np.ndarray:
        framed = np.zeros((28, 28), np.uint8)
        framed[4:24, 12:16] = 255
        return framed

    def classify(self, images: np.ndarray) -> Classified:
        ink = images.reshape(len(images), -1).sum(axis=1, dtype=np.float64) / (80 * 255)
        probabilities = np.full((len(images), 10), 0.01, np.float32)
        probabilities[:, 7] = np.clip(ink, 0, 1) * 0.9
        confidence = probabilities.max(axis=1)
        return Classified(probabilities.argmax(axis=1), probabilities, confidence, confidence > 0.5)
