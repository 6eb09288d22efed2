import cv2
import numpy as np
import pytest
from fake_reader import FakeReader

from inkdigits.bulk.pool import answers
from inkdigits.files.images import ImageSource, read_image
from inkdigits.reading.results import PageReading


def test_one_that_breaks_the_reader_is_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fragile(FakeReader):
        def read(self, image: ImageSource, layout: str = "page") -> PageReading:
            if read_image(image).shape == (13, 13):
                raise ZeroDivisionError("thirteen")
            return super().read(image, layout)

    blobs = [cv2.imencode(".png", np.full((12 + i, 12 + i), 255, np.uint8))[1].tobytes() for i in range(3)]
    pictures = [(f"{i}.png", blob, None) for i, blob in enumerate(blobs)]
    found = dict(answers(Fragile(), pictures, "number"))  # type: ignore[arg-type]
    assert found["1.png"] == "1.png: cannot be read (ZeroDivisionError: thirteen)"
    assert [isinstance(answer, PageReading) for answer in found.values()] == [True, False, True]


def test_the_callers_own_threads_of_opencv_are_left_alone() -> None:
    before = cv2.getNumThreads()
    blob = cv2.imencode(".png", np.full((12, 12), 255, np.uint8))[1].tobytes()
    assert len(list(answers(FakeReader(), [("a.png", blob, None)], "number"))) == 1  # type: ignore[arg-type]
    assert cv2.getNumThreads() == before
