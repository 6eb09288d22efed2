"""What may stand in a field, and how a search keeps to it."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkdigits.data.splits import Split
from inkdigits.forms.constraints import allowed_in
from inkdigits.forms.demo import Copy, compose_copy
from inkdigits.forms.fields import _checked
from inkdigits.forms.read import FormReader
from inkdigits.forms.template import Constraints, FormField, save_form
from inkdigits.reading.decoding import decode_allowed
from inkdigits.training.synthesis.styles import Digits

DIGITS = "0123456789"
FIELDS: list[dict[str, object]] = [
    {"type": "integer"},
    {"type": "integer", "constraints": {"minimum": -20, "maximum": 150}},
    {"type": "decimal", "decimals": 1, "constraints": {"minimum": -10, "maximum": 30}},
    {"type": "decimal", "decimals": 2, "constraints": {"enum": ["4.5", "12.25", "-3.00", "7"]}},
    {"type": "decimal", "constraints": {"maxLength": 4}},
    {"type": "date"},
    {"type": "digits", "constraints": {"minLength": 3, "maxLength": 4, "pattern": "[12].*"}},
    {"type": "digits", "check": "luhn", "constraints": {"enum": ["79927398713", "18"]}},
    {"type": "digits", "layout": "comb", "cells": 4},
]


def field_of(how: Mapping[str, object]) -> FormField:
    return FormField.model_validate({"name": "a", "box": (0, 0, 400, 50)} | how)


def texts_of(how: Mapping[str, object]) -> st.SearchStrategy[str]:
    """Texts as the network may read them, some of them allowed."""
    limits = how.get("constraints", {})
    assert isinstance(limits, dict)
    near = st.sampled_from([*limits.get("enum", ()), "31122024", "29022023", "12", "4,5", "45", " 1 2", "-0", "1 "])
    return near | near.map(lambda text: text.replace(".", "")) | st.text("0123456789.- #", max_size=9)


@pytest.mark.parametrize("how", FIELDS, ids=str)
def test_every_beginning_of_an_allowed_value_may_begin_it(how: dict[str, object]) -> None:
    allowed = allowed_in(field_of(how))
    n_allowed = 0

    @settings(max_examples=300, deadline=None)
    @given(texts_of(how))
    def holds(text: str) -> None:
        nonlocal n_allowed
        text = text.replace(",", ".")
        if how.get("layout") == "comb" and " " in text.strip():
            return
        if allowed.is_allowed(allowed.value_of(text)):
            n_allowed += 1
            assert all(allowed.may_begin(text[:n]) for n in range(len(text) + 1)), text

    holds()
    assert n_allowed > 0


@pytest.mark.parametrize(
    ("how", "starts"),
    [
        ({"type": "integer", "constraints": {"maximum": 150}}, ["151", "1.5", "12-"]),
        ({"type": "integer", "constraints": {"minimum": 0}}, ["-1"]),
        ({"type": "decimal", "decimals": 1, "constraints": {"maximum": 30}}, ["301", "31.", "1.2."]),
        ({"type": "date"}, ["4", "32", "3013", "3002", "010120245"]),
        ({"type": "digits", "constraints": {"maxLength": 2}}, ["123"]),
        ({"type": "integer", "constraints": {"enum": ["12", "345"]}}, ["2", "13", "35"]),
        ({"type": "digits", "layout": "comb", "cells": 4}, ["1 2"]),
    ],
)
def test_beginnings_that_no_allowed_value_has_are_turned_down(how: dict[str, object], starts: list[str]) -> None:
    allowed = allowed_in(field_of(how))
    assert not any(allowed.may_begin(start) for start in starts)


def columns_of(rows: list[dict[str, float]]) -> np.ndarray:
    """A column and a sure blank for each character."""
    columns = np.zeros((2 * len(rows), 11))
    columns[1::2, 10] = 1
    for i, row in enumerate(rows):
        for char, p in row.items():
            columns[2 * i, DIGITS.index(char)] = p
    return columns


def test_a_value_far_down_among_all_texts_is_found_with_its_own_probability() -> None:
    # 3 ** 6 texts are likelier than the one that is allowed: no list of the best would have it.
    rows = [{"1": 0.4, "2": 0.3, "3": 0.29, "7": 0.01} for _ in range(6)]
    field = field_of({"type": "digits", "constraints": {"enum": ["777777", "888888"]}})
    ((value, p),) = decode_allowed([columns_of(rows)], DIGITS, allowed_in(field))
    assert value == "777777"
    assert p == pytest.approx(0.01**6)


@pytest.mark.parametrize(
    ("how", "wanted"), [({"constraints": {"pattern": "4[0-9]"}}, "45"), ({"check": "luhn"}, "91")], ids=str
)
def test_a_pattern_and_a_check_digit_choose_among_whole_readings(how: dict[str, object], wanted: str) -> None:
    rows = [{"9": 0.6, "4": 0.4}, {"5": 0.9, "1": 0.1}]
    field = field_of({"type": "digits"} | how)
    assert decode_allowed([columns_of(rows)], DIGITS, allowed_in(field))[0][0] == wanted


def test_views_are_averaged_and_the_likeliest_stands_first() -> None:
    field = field_of({"type": "digits", "constraints": {"enum": ["15", "75"]}})
    views = [columns_of([{"4": 0.5, "1": 0.3, "7": 0.2}, {"5": 1.0}]), columns_of([{"4": 0.5, "7": 0.5}, {"5": 1.0}])]
    found = decode_allowed(views, DIGITS, allowed_in(field))
    assert found == (("75", pytest.approx(0.35)), ("15", pytest.approx(0.15)))


def test_a_length_is_met_by_a_box_that_looked_struck_out(mnist: tuple[Split, Split], reader: FormReader) -> None:
    """The line network takes the post's first digit for none; six boxes with a check digit say otherwise."""
    copy = compose_copy(np.random.default_rng((11, 1006)), Digits(mnist[1].images, mnist[1].labels), "scan")
    (post,) = [each for each in reader.read_page(copy.picture)[1] if each.name == "post"]
    assert post.text == copy.values["post"] == "512319"
    assert post.is_repaired
    assert not post.accepted
    assert 0.1 < post.confidence < 0.5  # its own, not what it is among the allowed ones


def test_a_right_check_digit_counts_for_a_reading(mnist: tuple[Split, Split], reader: FormReader) -> None:
    copy = compose_copy(np.random.default_rng((11, 27)), Digits(mnist[1].images, mnist[1].labels), "photo")
    (post,) = [each for each in reader.read_page(copy.picture)[1] if each.name == "post"]
    assert post.text == copy.values["post"] == "830133"
    assert post.accepted  # of its digits alone the reader thinks less than 0.95
    assert 0.98 < post.confidence < 0.999


def test_a_check_digit_leaves_the_doubt_about_other_readings_that_have_a_right_one() -> None:
    assert _checked(0.9, ()) == pytest.approx(0.9 / (0.9 + 0.1 * 0.1))
    assert _checked(0.9, (("18", 0.1),)) < 0.9
    assert _checked(0.0, ()) == 0.0
    assert _checked(1.0, ()) == 1.0


def test_a_value_of_another_length_is_found_among_those_allowed(
    copies: list[Copy], folder: Path, reader: FormReader, tmp_path: Path
) -> None:
    copy = copies[1]
    written = sorted({text for name, text in copy.values.items() if name.startswith("cases")} - {""})
    (table,) = [each for each in reader.form.fields if each.name == "cases"]
    listed = table.model_copy(update={"constraints": Constraints(enum=tuple(written))})
    fields = tuple(listed if each is table else each for each in reader.form.fields)
    shutil.copy(folder / "page-1.png", tmp_path)
    save_form(reader.form.model_copy(update={"fields": fields}), tmp_path / "form.json")
    plain = {each.name: each for each in reader.read_page(copy.picture)[1]}
    found = {each.name: each for each in FormReader(tmp_path).read_page(copy.picture)[1]}
    assert len(plain["cases_1_3"].text) == 3
    assert found["cases_1_3"].text == copy.values["cases_1_3"] == "14"
    assert found["cases_1_3"].is_repaired
    assert not found["cases_1_3"].accepted
    assert found["cases_1_3"].confidence < plain["cases_1_3"].confidence
    same = [name for name, each in plain.items() if not name.startswith("cases") or each.text in written]
    assert len(same) > 40
    assert all(
        (found[name].text, found[name].confidence) == (plain[name].text, plain[name].confidence) for name in same
    )
