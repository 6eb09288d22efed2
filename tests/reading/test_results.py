import json
from dataclasses import replace

import numpy as np
import pytest

from inkdigits.reading.results import Classified, Item, Mark, NumberReading, PageReading, Reading

FRAMED = np.arange(784, dtype=np.uint8).reshape(28, 28)
PROBABILITIES = np.full(10, 0.1, np.float32)


def reading() -> Reading:
    return Reading(3, 0.9, True, PROBABILITIES.copy(), FRAMED.copy())


def item(x: int = 1) -> Item:
    return Item(3, 0.9, True, (x, 2, 3, 4), ((8, 0.05),), FRAMED.copy())


def number() -> NumberReading:
    return NumberReading("3", "3", 0.9, True, (item(),))


def classified() -> Classified:
    return Classified(np.array([3]), PROBABILITIES[None].copy(), np.array([0.9], np.float32), np.array([True]))


@pytest.mark.parametrize("make", [reading, item, number, classified, lambda: PageReading(9, 8, (number(),))])
def test_results_are_compared_by_value(make: type) -> None:
    one, other = make(), make()
    assert one == other
    assert one != "3"
    assert [one] == [other]


def test_a_difference_anywhere_counts() -> None:
    assert reading() != replace(reading(), probabilities=PROBABILITIES * 2)
    assert reading() != replace(reading(), probabilities=PROBABILITIES[:9])
    assert reading() != replace(reading(), framed=255 - FRAMED)
    assert reading() != replace(reading(), digit=4)
    assert item() != replace(item(), framed=255 - FRAMED)
    assert number() != replace(number(), items=(item(2),))
    assert PageReading(9, 8, (number(),)) != PageReading(9, 8, ())
    assert reading() != item()


def test_a_reading_becomes_json() -> None:
    answer = json.loads(json.dumps(reading().to_dict()))
    assert {name: answer[name] for name in ("digit", "confidence", "accepted")} == {
        "digit": 3,
        "confidence": 0.9,
        "accepted": True,
    }
    assert np.float32(answer["probabilities"]).tolist() == PROBABILITIES.tolist()


def test_boxes_are_moved_and_nothing_else() -> None:
    moved = number().with_boxes(lambda box: (box[0] + 10, *box[1:]))
    assert moved == replace(number(), items=(item(11),))


def test_the_numbers_of_a_row_have_their_boxes() -> None:
    row = NumberReading("-3.3 33", "3333", 0.9, True, (item(10), item(20), item(50), item(60)))
    row = replace(row, marks=(Mark("-", (1, 3, 6, 1)), Mark(".", (15, 5, 1, 2))))
    assert [(number.text, number.box) for number in row.numbers] == [("-3.3", (1, 2, 22, 5)), ("33", (50, 2, 13, 4))]
    assert row.to_dict()["numbers"][1] == {"text": "33", "box": [50, 2, 13, 4]}
    assert NumberReading("", "", 0.0, False, ()).numbers == ()
