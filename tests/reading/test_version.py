"""Holds the declared version of the normalisation to what normalisation does.

Fixed pictures, drawn with integers alone, go through it; the means over cells of what comes out must be those that were
recorded for the version, within a tolerance that builds of OpenCV keep to and a change of method does not. After a
change that is meant: raise the number in normalise/version.py, run `python tests/reading/test_version.py`, and train
the networks again.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from inkdigits.arrays import GrayImage
from inkdigits.reading import finder
from inkdigits.reading.normalise import digit, line
from inkdigits.reading.normalise.version import VERSIONS, normalisation_version

RECORD = Path(__file__).with_name("normalisation.json")
TOLERANCE = 6  # of 255, for the mean of a cell


def paper(height: int, width: int, level: int = 225) -> GrayImage:
    """Return paper with grain and a shadow to one side, the same on every machine."""
    y, x = np.mgrid[:height, :width]
    grain = (x * 7919 + y * 104729 + x * y * 31) % 7
    return (level + grain - 40 * x // width).astype(np.uint8)


def seven(height: int, width: int, pen: int) -> GrayImage:
    """Return a mask of two bars and a slanting stroke."""
    y, x = np.mgrid[:height, :width]
    top, left, right = height // 6, width // 5, 4 * width // 5
    bar = (y >= top) & (y < top + pen) & (x >= left) & (x < right)
    place = right - (y - top) * (right - left) // (2 * (height - 2 * top))
    slant = (y >= top) & (y < height - top) & (x >= place - pen) & (x < place)
    waist = (y >= height // 2) & (y < height // 2 + pen) & (x >= width // 3) & (x < right)
    return bar | slant | waist


def digit_probes() -> list[GrayImage]:
    dark, light, thin, ruled = paper(120, 100), paper(90, 90, 60), paper(640, 520), paper(70, 60)
    dark[seven(120, 100, 9)] = 70
    light[seven(90, 90, 7)] = 210
    thin[seven(640, 520, 9)] = 120
    ruled[seven(70, 60, 6)] = 50
    ruled[62:65] = 90
    framed = np.zeros((28, 28), np.uint8)
    framed[4:24, 8:20][seven(20, 12, 2)] = 255
    return [dark, light, thin, ruled, framed]


def line_probes() -> list[GrayImage]:
    large, small = paper(60, 220), paper(24, 90)
    for column in range(4):
        large[10:50, 20 + 48 * column : 50 + 48 * column][seven(40, 30, 4 + column)] = 60
        small[3:21, 6 + 20 * column : 20 + 20 * column][seven(18, 14, 2)] = 90
    large[56:58] = 80  # a table's line
    return [large, 255 - large, small]


def cells_of(image: GrayImage, side: int) -> list[int]:
    """Return the rounded means over squares of that side."""
    height, width = image.shape[0] // side, image.shape[1] // side
    cells = image[: height * side, : width * side].reshape(height, side, width, side)
    return [int(mean) for mean in np.rint(cells.mean(axis=(1, 3))).ravel()]


def signature(kind: str) -> list[list[int]]:
    if kind == "digit":
        return [cells_of(digit.frame_digit(probe), 4) for probe in digit_probes()]
    if kind == "finder":
        return [cells_of(finder.copy_of(probe, side), 8) for probe in digit_probes()[:3] for side in (160, 80)]
    views = [(zoom, shear) for zoom in (0.92, 1.1) for shear in (0.0, 0.2)]
    return [cells_of(line.normalise_line(probe, 32, *view), 8) for probe in line_probes() for view in views]


def furthest_apart(kind: str) -> float:
    """Return the largest difference between what is recorded for the version and what is done."""
    recorded, found = json.loads(RECORD.read_text())[kind][str(VERSIONS[kind])], signature(kind)
    if [len(cells) for cells in recorded] != [len(cells) for cells in found]:
        return 255.0
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in zip(recorded, found, strict=True))


@pytest.mark.parametrize("kind", VERSIONS)
def test_normalisation_does_what_its_version_did(kind: str) -> None:
    assert furthest_apart(kind) <= TOLERANCE, f"normalisation of a {kind} has changed: see normalise/version.py"


@pytest.mark.parametrize(
    ("kind", "module", "name", "value"),
    [
        ("digit", digit, "BOX", 19),
        ("digit", digit, "PEN_PX", (2.6, 4.3)),
        ("digit", digit, "WORK_SIDE_PX", 20),
        ("line", line, "LINE_INK_SHARE", 0.65),
        ("line", line, "LINE_WORK_PX", 12),
        ("finder", finder, "resized", lambda image, *_: image[:80, :80]),
    ],
)
def test_a_change_of_normalisation_is_noticed(
    kind: str, module: object, name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, value)
    assert furthest_apart(kind) > TOLERANCE


def test_each_kind_of_network_has_its_version() -> None:
    assert {kind: normalisation_version(kind) for kind in VERSIONS} == VERSIONS


if __name__ == "__main__":
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {kind: {} for kind in VERSIONS}
    for each in VERSIONS:
        record[each][str(VERSIONS[each])] = signature(each)
    RECORD.write_text(json.dumps(record, separators=(",", ":")).replace("]],", "]],\n") + "\n")
