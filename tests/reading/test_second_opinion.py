"""Numbers read by the line network and, as the extra `pages` has it, PP-OCR's recogniser: the likelier answer stays."""

from collections.abc import Sequence

import numpy as np
import pytest
from reading.test_pages import a_sheet

from inkdigits.data.splits import Split
from inkdigits.errors import MissingExtraError
from inkdigits.reading.line_reader import Crop
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Item, NumberReading
from inkdigits.reading.second_opinion import ACCEPT_FROM, TEMPERATURE, Opinion, TextRecogniser, with_opinions

CROP: Crop = (np.full((40, 120), 255, np.uint8), np.eye(3))


def reading(text: str, confidence: float) -> NumberReading:
    digits = "".join(filter(str.isdigit, text))
    framed = np.zeros((28, 28), np.uint8)
    items = tuple(Item(int(d), (1 + confidence) / 2, confidence > 0.5, (0, 0, 1, 1), (), framed) for d in digits)
    return NumberReading(text, digits, confidence, bool(items) and confidence > 0.5, items)


class Says:
    """A recogniser, and a line network that finds its value this likely."""

    def __init__(self, text: str, score: float, likely: float | None = None) -> None:
        self.opinion, self.likely = Opinion(text, score), likely

    def read(self, crops: Sequence[np.ndarray]) -> list[Opinion]:
        return [self.opinion] * len(crops)

    def read_as(self, crops: Sequence[Crop], values: Sequence[str]) -> list[NumberReading | None]:
        return [None if self.likely is None else reading(value, self.likely) for value in values]


def answer(own: NumberReading, says: Says) -> NumberReading:
    ((found, opinion),) = with_opinions(says, says, [CROP], [own])  # type: ignore[arg-type]
    assert opinion is says.opinion
    return found


def cooled(probability: float) -> float:
    odds = (probability / (1 - probability)) ** (1 / TEMPERATURE)
    return float(odds / (1 + odds))


def test_an_opinion_has_a_value_and_letters() -> None:
    assert Opinion("x = -12,5 kg", 0.9).value == "-12.5"
    assert Opinion("-.,", 0.9).value == Opinion("Zoë", 0.9).value == ""
    assert Opinion("² 7", 0.9).value == "7"
    assert Opinion("7 kg", 0.9).share_of_letters == pytest.approx(2 / 3)
    assert Opinion("", 0.0).share_of_letters == Opinion("3 -1.5", 0.0).share_of_letters == 0
    assert Opinion("7", 0.0).weight == 1 < Opinion("7", 0.9).weight < Opinion("7", 1.0).weight < 1000


def test_where_both_agree_the_answer_is_surer() -> None:
    own = reading("12.5", 0.6)
    found = answer(own, Says("12,5", 0.99))
    assert (found.text, found.accepted) == ("12.5", True)
    assert all(item.accepted and item.confidence >= found.confidence > 0.9 for item in found.items)
    unsure = answer(own, Says("12.5", 0.3))
    assert cooled(0.6) < unsure.confidence < ACCEPT_FROM
    assert not unsure.accepted


def test_a_surer_opinion_wins_where_the_line_network_can_see_it() -> None:
    found = answer(reading("71", 0.6), Says("11", 0.99, likely=0.3))
    assert found.text == "11"
    assert cooled(0.8) < found.confidence < 1
    assert answer(reading("71", 0.6), Says("11", 0.99, likely=1e-5)).text == "71"
    unseen = answer(reading("71", 0.6), Says("11", 0.99, likely=None))
    assert (unseen.text, unseen.accepted) == ("71", False)
    assert unseen.confidence == pytest.approx(cooled(0.6))


def test_a_separator_that_only_one_sees_makes_an_answer_less_sure() -> None:
    found = answer(reading("125", 0.8), Says("12.5", 0.8, likely=0.15))
    assert found.text == "125"
    assert not found.accepted
    assert found.confidence < 0.7


def test_a_weaker_opinion_takes_confidence_away() -> None:
    found = answer(reading("71", 0.9), Says("11", 0.6, likely=0.08))
    assert (found.text, found.accepted) == ("71", False)
    assert found.confidence < 0.9
    own = reading("71", 0.9).items
    assert all(item.confidence < before.confidence for item, before in zip(found.items, own, strict=True))


@pytest.mark.parametrize("text", ["", "Zoë"])
def test_words_and_nothing_change_no_number(text: str) -> None:
    found = answer(reading("71", 0.95), Says(text, 0.99))
    assert (found.text, found.accepted) == ("71", True)
    assert found.confidence == pytest.approx(cooled(0.95))
    assert answer(reading("", 0.9), Says(text, 0.99)).digits == ""


def test_a_reader_with_a_second_opinion_is_another_reader(mnist: tuple[Split, Split]) -> None:
    sheet, texts, boxes = a_sheet(mnist[0], 3, 4, seed=5, gap=14)
    tops, bottoms = (np.array([f(b) for b in boxes]).reshape(3, 4) for f in (lambda b: b[1], lambda b: b[1] + b[3]))
    rows = [sheet[a - 8 : b + 8] for a, b in zip(tops.min(axis=1), bottoms.max(axis=1), strict=True)]
    plain, both = Reader(text_detector=False), Reader(text_detector=False, second_opinion=True)
    found, alone = ([reader.read_number(row) for row in rows] for reader in (both, plain))
    assert sum(each.digits == text for each, text in zip(found, texts, strict=True)) >= 2
    assert [each.confidence for each in found] != [each.confidence for each in alone]
    assert both.read_regions(sheet, [(0, 0, 5, 5)])[0].digits == ""
    assert both.networks().keys() - plain.networks().keys() == {"second_opinion"}
    assert both.fingerprint != plain.fingerprint


def test_who_asks_for_it_without_the_extra_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inkdigits.errors.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"inkdigits\[pages\]"):
        Reader(second_opinion=True)


def test_crops_of_any_shape_are_read() -> None:
    crops = [np.full(shape, 200, np.uint8) for shape in [(1, 1), (1, 300), (300, 1), (20, 4000), (5, 5)]]
    assert [each.value for each in TextRecogniser(1).read(crops)] == [""] * 5
