"""Decoding: CTC's sum over alignments against a slow oracle, places, views, calibration."""

import itertools

import numpy as np
import pytest

from inkdigits.reading.decoding import (
    OTHER,
    SPACE,
    align,
    beam_search,
    decode,
    decode_as,
    digits_of,
    readable,
    softmax,
    value_of,
)

ALPHABET = "0123456789.-"
WIDE = ALPHABET + SPACE + OTHER


def scores_of(path: str, sure: float = 12.0, alphabet: str = ALPHABET) -> np.ndarray:
    """One column a character; "_" is the blank."""
    scores = np.zeros((len(path), len(alphabet) + 1), np.float32)
    for column, char in zip(scores, path, strict=True):
        column[len(alphabet) if char == "_" else alphabet.index(char)] = sure
    return scores


@pytest.mark.parametrize(
    ("path", "text"), [("_1_2_", "12"), ("11_1", "11"), ("1122", "12"), ("_-4.5_", "-4.5"), ("____", "")]
)
def test_reads_a_clear_path(path: str, text: str) -> None:
    read = decode([scores_of(path)], ALPHABET)
    assert (read.text, read.digits) == (text, digits_of(text))
    assert read.probability > 0.95
    assert len(read.spans) == len(read.confidences) == len(read.alternatives) == len(read.digits)


def test_other_ink_stands_for_nothing_and_parts_numbers() -> None:
    read = decode([scores_of("__##_12__3 4_#", alphabet=WIDE)], WIDE)
    assert (read.text, read.digits) == ("123 4", "1234")
    assert len(read.others) == 2
    assert read.others[0][0] == 0
    assert decode([scores_of("1_#_2", alphabet=WIDE)], WIDE).text == "1 2"
    lone = decode([scores_of("_##_", alphabet=WIDE)], WIDE)
    assert (lone.text, lone.digits, lone.spans) == ("", "", ())
    assert readable("#-12.5 83#7##") == "-12.5 83 7"


def test_marks_have_spans_and_their_doubt_is_the_numbers() -> None:
    scores = scores_of("_1_.__5_")
    scores[3, len(ALPHABET)] = 12.0  # as likely a point as nothing
    read = decode([scores], ALPHABET)
    assert read.digits == "15"
    assert min(read.confidences) > 0.95
    assert 0.4 < read.probability < 0.6
    (mark,) = decode([scores_of("_1_.__5_")], ALPHABET).marks
    assert mark[0] == "."
    assert mark[1][0] <= 3 < mark[1][1]


def test_beam_search_sums_over_all_alignments() -> None:
    rng = np.random.default_rng(3)
    alphabet, columns = "12", 5
    probabilities = softmax(rng.normal(0, 1, (columns, 3)))
    exact: dict[str, float] = {}
    for path in itertools.product(range(3), repeat=columns):
        text = "".join(alphabet[k] for k, _ in itertools.groupby(path) if k != 2)
        exact[text] = exact.get(text, 0.0) + float(np.prod(probabilities[np.arange(columns), path]))
    found = beam_search(probabilities, alphabet, beam=1000)
    assert {text: p for text, p in found.items() if p} == pytest.approx(exact)
    assert next(iter(found)) == max(exact, key=lambda text: exact[text])


def test_places_lie_in_order_and_around_their_columns() -> None:
    read = decode([scores_of("__1___7__7_")], ALPHABET)
    assert read.digits == "177"
    for (start, end), column in zip(read.spans, (2, 6, 9), strict=True):
        assert start <= column < end
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(read.spans))


def test_align_refuses_a_text_that_does_not_fit() -> None:
    assert align(softmax(scores_of("1_1")), "11", ALPHABET) == [(0, 1), (2, 3)]
    with pytest.raises(ValueError, match="needs 3 columns"):
        align(softmax(scores_of("11")), "11", ALPHABET)


def test_views_outvote_one_and_alternatives_are_told() -> None:
    rejected = scores_of("_4_")
    rejected[1, 9] = 12.5
    read = decode([rejected, scores_of("_4_"), scores_of("_4_")], ALPHABET)
    assert read.digits == "4"
    assert read.alternatives[0][0][0] == 9
    assert 0.05 < read.alternatives[0][0][1] < 0.5 < read.confidences[0] < 1


def test_a_lower_temperature_is_surer() -> None:
    rejected = scores_of("_4_", 6.0)
    cool, warm = (decode([rejected], ALPHABET, t).probability for t in (0.5, 2.0))
    assert cool > warm


def test_no_view_is_refused() -> None:
    with pytest.raises(ValueError, match="no view"):
        decode([], ALPHABET)


def test_a_value_that_is_asked_for_is_found_with_its_probability_among_all_texts() -> None:
    scores = scores_of("_7_._5_", sure=6.0)
    scores[1, ALPHABET.index("1")] = 4.0  # a 7 that may be a 1
    own, asked = decode([scores], ALPHABET), decode_as([scores], ALPHABET, "1.5")
    assert own.text == "7.5"
    assert asked is not None
    assert (asked.text, asked.digits, len(asked.marks)) == ("1.5", "15", 1)
    assert asked.probability == pytest.approx(own.probability / np.exp(2.0), rel=0.1)
    assert asked.spans == own.spans
    assert decode_as([scores], ALPHABET, "99999999") is None


def test_a_value_has_points_for_commas_and_no_gaps() -> None:
    assert value_of(" -12,5# 8") == "-12.58"
    assert value_of("#") == ""
