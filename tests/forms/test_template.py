"""Templates: what is rejected when a form is saved, and rules."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from inkdigits.errors import FormError, ImageError
from inkdigits.forms import rules
from inkdigits.forms.constraints import problem_of
from inkdigits.forms.demo import save_demo_form
from inkdigits.forms.template import FormField, load_form, load_picture, schema

TABLES = {"t": (2, 3)}
NAMES = {"a", "b", "total"} | {f"t_{i}_{j}" for i in (1, 2) for j in (1, 2, 3)}


def test_the_demo_form_is_written_and_read_back(tmp_path: Path) -> None:
    form = save_demo_form(tmp_path)
    assert load_form(tmp_path) == load_form(tmp_path / "form.json") == form
    assert len(form.parts()) == 45
    assert load_picture(form, tmp_path, 0).shape == (2339, 1654)
    assert (tmp_path / "form.pdf").read_bytes().startswith(b"%PDF")
    cell = next(part for part in form.parts() if part.name == "cases_10_4")
    assert cell.box == (1270, 1690, 250, 110)


def changed(folder: Path, **changes: object) -> Path:
    save_demo_form(folder)
    path = folder / "form.json"
    stored = json.loads(path.read_text())
    for key, value in changes.items():
        if key.startswith("field_"):
            stored["fields"][0] |= {key.removeprefix("field_"): value}
        else:
            stored[key] = value
    path.write_text(json.dumps(stored))
    return path


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"version": 2}, "version"),
        ({"rules": ["total == nobody"]}, r"rules\[0\].*no field nobody"),
        ({"rules": ["total =="]}, "no expression"),
        ({"rules": ["row(cases, 11) == 1"]}, "10 rows"),
        ({"rules": ["().__class__ == 1"]}, "not allowed"),
        ({"rules": ["9**9**9 == 1"]}, "not allowed"),
        ({"rules": ["total"]}, "does not compare"),
        ({"rules": ["f'{total:>9}' == 1"]}, "not allowed"),
        ({"rules": ["total == (lambda: 1)()"]}, "not allowed"),
        ({"rules": ["total == [1][0]"]}, "not allowed"),
        ({"rules": ["1" * 600]}, "longer"),
        ({"surprise": 1}, "surprise"),
        ({"field_box": [0, 0, 5000, 10]}, "outside page 0"),
        ({"field_name": "date"}, "two fields"),
        ({"field_name": "../x"}, "name"),
        ({"field_name": "DATE"}, "two fields"),
        ({"field_layout": "table", "field_rows": 40, "field_columns": 2}, "4 pixels"),
        ({"field_layout": "table", "field_rows": 2, "field_columns": 2, "field_name": "Fields"}, "table's name"),
        ({"field_layout": "table", "field_rows": 2, "field_columns": 2, "field_name": "t" * 32}, "table's name"),
        ({"field_cells": 30, "field_box": [0, 0, 100, 40]}, "4 pixels"),
        ({"field_page": 1}, "no page 1"),
        ({"field_check": "no.such"}, "python-stdnum"),
        ({"field_constraints": {"minimum": 3, "maximum": 2}}, "no value can meet both"),
        ({"field_constraints": {"pattern": "(a"}}, "regular expression"),
        ({"field_constraints": {"pattern": r"(a)\1"}}, "regular expression"),
        ({"pages": [{"picture": "../../etc/passwd", "width": 100, "height": 100, "sha256": "0" * 64}]}, "picture"),
    ],
)
def test_a_template_that_contradicts_itself_is_refused_with_the_place(
    tmp_path: Path, changes: dict[str, object], part: str
) -> None:
    path = changed(tmp_path, **changes)
    with pytest.raises(FormError, match=part) as caught:
        load_form(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_very_many_cells_are_rejected_at_once(tmp_path: Path) -> None:
    table = {"box": [0, 0, 1600, 2300], "layout": "table", "rows": 500, "columns": 100}
    path = changed(tmp_path, fields=[{"name": f"t{i}"} | table for i in range(2000)])
    with pytest.raises(FormError, match="more than 5,000 fields"):
        load_form(path)


def test_files_that_are_no_template_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"[", b"[]", b"\xff\xfe", b"[" * 100_000):
        (tmp_path / "form.json").write_bytes(content)
        with pytest.raises(FormError, match=r"form\.json"):
            load_form(tmp_path)
    with pytest.raises(FormError, match="no such form"):
        load_form(tmp_path / "elsewhere.json")


def test_a_picture_that_changed_is_refused(tmp_path: Path) -> None:
    form = save_demo_form(tmp_path)
    with (tmp_path / "page-1.png").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(FormError, match="sha256"):
        load_picture(form, tmp_path, 0)
    (tmp_path / "page-1.png").unlink()
    with pytest.raises(ImageError):
        load_picture(form, tmp_path, 0)


def test_a_hostile_pattern_takes_no_time() -> None:
    field = FormField(name="a", box=(0, 0, 10, 10), type="digits", constraints={"pattern": "(1+)+2"})  # type: ignore[arg-type]
    assert problem_of(field, "1" * 5000) == "does not match (1+)+2"


def test_rules_hold_or_not_or_wait_for_a_value() -> None:
    values = {"a": 2, "b": 3.5, "total": 5.5} | {f"t_{i}_{j}": i * j for i in (1, 2) for j in (1, 2, 3)}
    for rule, outcome in {
        "total == a + b": True,
        "0.1 + 0.2 == 0.3": True,
        "0.3 >= 0.1 + 0.2": True,
        "0.3 < 0.1 + 0.2": False,
        "a >= b": False,
        "sum(t) == 18": True,
        "row(t, 2) == 12 and column(t, 1) == 3": True,
        "abs(a - b) < 1": False,
        "0 < a < b": True,
        "a / 0 == 1": None,
    }.items():
        rules.check(rule, TABLES, NAMES)
        assert rules.holds(rule, TABLES, values) is outcome, rule
    assert rules.holds("total == a + b", TABLES, values | {"b": None}) is None
    assert rules.holds("sum(t) == 16", TABLES, values | {"t_1_2": None}) is True  # an empty cell counts as nothing
    assert rules.names_in("row(t, 1) == a", TABLES) == {"t_1_1", "t_1_2", "t_1_3", "a"}
    assert rules.is_equation("a == b")
    assert not rules.is_equation("a >= b")


def test_how_much_an_equation_lacks() -> None:
    values = {"a": 2, "b": 3.5, "total": 6} | {f"t_{i}_{j}": i * j for i in (1, 2) for j in (1, 2, 3)}
    assert rules.gap("total == a + b", TABLES, values) == 0.5
    assert rules.gap("sum(t) == total - a", TABLES, values) == 14
    for rule in ("total >= a", "a == b == total", "a == b or a == total", "a / 0 == 1"):
        assert rules.gap(rule, TABLES, values) is None, rule
    assert rules.gap("total == a + b", TABLES, values | {"b": None}) is None


@pytest.mark.parametrize(
    ("how", "text", "problem"),
    [
        ({"type": "integer"}, "12", ""),
        ({"type": "integer"}, "1.5", "no whole number"),
        ({"type": "integer"}, "-", "no number"),
        ({"type": "integer", "constraints": {"required": True}}, "", "required"),
        ({"type": "integer"}, "", ""),
        ({"type": "decimal", "constraints": {"maximum": 3}}, "3.5", "above 3"),
        ({"type": "decimal", "constraints": {"minimum": 3}}, "2.5", "below 3"),
        ({"type": "date"}, "29022024", ""),
        ({"type": "date"}, "29022023", "no date"),
        ({"type": "digits", "check": "luhn"}, "79927398713", ""),
        ({"type": "digits", "check": "luhn"}, "79927398710", "check digit"),
        ({"type": "digits", "constraints": {"minLength": 3}}, "12", "fewer"),
        ({"type": "digits", "constraints": {"maxLength": 1}}, "12", "more"),
        ({"type": "digits", "constraints": {"enum": ["1", "3"]}}, "2", "not among"),
    ],
)
def test_constraints(how: dict[str, object], text: str, problem: str) -> None:
    found = problem_of(FormField.model_validate({"name": "a", "box": (0, 0, 10, 10)} | how), text)
    assert found == problem if not problem else problem in found


def test_the_schema_names_the_constraints() -> None:
    described = json.dumps(schema())
    assert all(name in described for name in ("minLength", "pattern", "required", "rules", "decimals"))


def test_a_template_damaged_anyhow_is_one_clear_error(tmp_path: Path) -> None:
    """A thousand forms, each with some value replaced, removed or moved: loaded, or rejected in one line."""
    save_demo_form(tmp_path)
    whole = json.loads((tmp_path / "form.json").read_text())
    values = [None, -1, 0, 1e308, 2**70, "", "x" * 5000, "(" * 500, "a" * 64, [], {}, [[]], True, "9**9**9", "sum(sum)"]
    rng = random.Random(3)
    rejections: list[str] = []
    for _ in range(1000):
        form = copy.deepcopy(whole)
        for _ in range(rng.randrange(1, 4)):
            place: Any = form
            while isinstance(place, (dict, list)) and place:
                key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
                if rng.random() < 0.4 or not isinstance(place[key], (dict, list)):
                    if rng.random() < 0.2:
                        del place[key]
                    else:
                        place[key] = rng.choice(values)
                    break
                place = place[key]
        (tmp_path / "form.json").write_text(json.dumps(form))
        try:
            load_form(tmp_path)
        except FormError as error:
            rejections.append(str(error))
    assert len(rejections) > 500
    assert all("\n" not in each and str(tmp_path) in each for each in rejections)
