"""No digit of a synthetic sheet vanishes from the answer: it is read, left out with its box, or in a rejected row."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from benchmarks.test_benchmarks import imported

from inkdigits.data.splits import Split
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Item, LeftOut, NumberReading, PageReading

# The first are those of 1,000 in which a digit had vanished: a flat 0, two halves of a 5, an 8 in crumbs.
SEEDS = (91, 109, 123, *range(20))


@pytest.fixture
def vanish(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from imported("vanish", monkeypatch)


def test_no_digit_vanishes(vanish: ModuleType, mnist: tuple[Split, Split]) -> None:
    reader, missing = Reader(text_detector=False), []
    for seed in SEEDS:
        image, lines = vanish.sheet(mnist[0], seed)
        missing += [(seed, *each) for each in vanish.vanished(image, reader.read_page(image), lines)]
    assert not missing


def row(boxes: list[tuple[int, int, int, int]], accepted: bool = True) -> NumberReading:
    framed = np.zeros((28, 28), np.uint8)
    items = tuple(Item(1, 0.9, accepted, box, (), framed) for box in boxes)
    return NumberReading("1" * len(boxes), "1" * len(boxes), 0.9, accepted, items)


def test_digits_that_nothing_accounts_for_are_counted_by_cause(vanish: ModuleType) -> None:
    lines = [[(20, 20, 20, 30), (60, 20, 20, 30)], [(20, 80, 20, 30)]]
    image = np.full((140, 120), 230, np.uint8)
    for x, y, width, height in (box for boxes in lines for box in boxes):
        image[y : y + height, x : x + width : 3] = 40
    whole = PageReading(120, 140, (row(lines[0]), row(lines[1])))
    assert vanish.vanished(image, whole, lines) == []
    without = replace(whole, lines=(row(lines[0][:1]),))
    assert vanish.vanished(image, without, lines) == [(0, 1, "skipped"), (1, 0, "no row")]
    over_both = replace(whole, lines=(row([(18, 18, 64, 34)]), row(lines[1])))
    assert vanish.vanished(image, over_both, lines) == [(0, 1, "swallowed")]
    told = replace(without, left_out=(LeftOut(lines[0][1], "mark"), LeftOut(lines[1][0], "text")))
    assert vanish.vanished(image, told, lines) == []
    rejected = replace(whole, lines=(row(lines[0][:1], accepted=False), row(lines[1])))
    assert vanish.vanished(image, rejected, lines) == []
