"""Which fields of an equation that does not hold are misread."""

from collections.abc import Callable

import pytest

from inkdigits.forms.culprits import MOST_PAIRED, Suspect, misread


def suspect(
    value: float,
    odds: float,
    *others: tuple[float, float],
    per_unit: float = -1.0,
    may_be: Callable[[float], bool] = lambda value: value >= 0,
) -> Suspect:
    return Suspect(value, odds, others, per_unit, may_be)


def test_a_field_whose_other_reading_makes_the_equation_hold_is_the_likeliest() -> None:
    # 45 == 16 + 28 was read, 45 == 17 + 28 written: the second cell is doubted more, but as nothing that helps.
    chances = misread(1.0, {"a": suspect(16, 0.2, (17, 0.2)), "b": suspect(28, 0.9, (23, 0.8))})
    assert chances["a"] > 0.8
    assert chances["b"] < 0.3


def test_two_fields_are_found_that_make_it_hold_together() -> None:
    parts = {
        "a": suspect(16, 0.2, (11, 0.2)),
        "b": suspect(28, 0.2, (29, 0.1), (23, 0.1)),
        "c": suspect(30, 0.2, (36, 0.2)),
        "total": suspect(74, 0.01, per_unit=1.0),
    }
    chances = misread(-10.0, parts)  # 11 + 23
    assert min(chances["a"], chances["b"]) > 0.5
    assert max(chances["c"], chances["total"]) < 0.4


@pytest.mark.parametrize(("gap", "likelier"), [(-9.0, "large"), (9.0, "small")])
def test_a_value_that_no_field_can_have_blames_none(gap: float, likelier: str) -> None:
    """The sum is 9 too small: the cell of 5 would be -4; too large: the cell of 95 would have three digits."""
    parts = {
        "small": suspect(5, 0.1, may_be=lambda value: 0 <= value < 100),
        "large": suspect(95, 0.1, may_be=lambda value: 0 <= value < 100),
    }
    chances = misread(gap, parts)
    assert max(chances, key=lambda name: chances[name]) == likelier


def test_what_is_known_or_does_not_count_is_not_misread() -> None:
    parts = {"known": suspect(3, 0.0), "other": suspect(4, 0.1), "idle": suspect(4, 0.1, per_unit=0.0)}
    chances = misread(1.0, parts)
    assert chances["known"] == 0
    assert chances["other"] > 0.9
    assert misread(1.0, {"known": suspect(3, 0.0)}) == {"known": 0.0}


def test_of_many_fields_each_is_a_suspect_alone() -> None:
    parts = {f"f{i}": suspect(50, 0.01) for i in range(3 * MOST_PAIRED)} | {"last": suspect(50, 0.005, (51, 0.005))}
    chances = misread(1.0, parts)
    assert max(chances, key=lambda name: chances[name]) == "last"
    assert min(chances.values()) > 0
