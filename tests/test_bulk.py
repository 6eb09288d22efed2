import numpy as np

from inkdigits import bulk
from inkdigits.reader import Item, NumberReading, PageReading


def line(text: str, accepted: list[bool]) -> NumberReading:
    digits = [character for character in text if character.isdigit()]
    items = tuple(
        Item(int(d), 0.9, ok, (0, 0, 5, 5), (), np.zeros((28, 28), np.uint8))
        for d, ok in zip(digits, accepted, strict=True)
    )
    return NumberReading(text, "".join(digits), 0.9, all(accepted), items)


def test_doubtful_digits_are_marked_and_counted() -> None:
    page = PageReading(50, 50, (line("-12.5", [True, False, True]), line("7", [False])))
    answer = bulk.Answer("a.png", page)
    assert bulk.as_text(answer) == "a.png: -12?.5\na.png: 7?"
    assert bulk.count_doubtful(answer) == 2
    assert bulk.as_text(bulk.Answer("b.png", PageReading(5, 5, ()))) == "b.png: "


def test_an_error_takes_the_place_of_the_lines() -> None:
    assert bulk.Answer("x", error="x: empty").to_dict() == {"image": "x", "error": "x: empty"}
