"""The template editor: from a blank page to a saved form, in a real browser; its endpoints against bad requests."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from web.page import PHONE, needs_browser, violations
from web.server import start_server, stop

pytest.importorskip("fastapi", reason="the extra `web` is not installed")
pytest.importorskip("stdnum", reason="the extra `forms` is not installed")

from PIL import Image

from inkdigits.forms.blank import new_form
from inkdigits.forms.demo import blank_form
from inkdigits.forms.template import load_form
from inkdigits.reading.reader import Reader
from inkdigits.web import Settings, create_app


@pytest.fixture
def forms(tmp_path: Path) -> Path:
    blank, _, _ = blank_form()
    Image.fromarray(blank).save(tmp_path / "blank.png")
    (tmp_path / "forms").mkdir()
    new_form(tmp_path / "forms" / "tally", [tmp_path / "blank.png"])
    return tmp_path / "forms"


@pytest.fixture
def open_editor(browser: Any, forms: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    server, address = start_server(tmp_path / "home", "--forms", str(forms))
    problems: list[str] = []
    contexts = []

    def open_(**options: Any) -> Any:
        contexts.append(browser.new_context(locale="en-GB", **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        page.wait_for_function("() => document.querySelector('#picture').naturalWidth > 0")
        return page

    yield open_
    for context in contexts:
        context.close()
    stop(server)
    assert problems == []


def save(page: Any) -> str:
    page.click("#save")
    page.wait_for_function("() => document.querySelector('#status').textContent !== ''")
    return str(page.locator("#status").inner_text())


@needs_browser
def test_from_a_blank_page_to_a_form(open_editor: Callable[..., Any], forms: Path) -> None:
    page = open_editor(viewport={"width": 1280, "height": 1600})
    assert page.locator("#hint").inner_text().startswith("6 proposed")
    page.click("#all")
    page.locator("#list button", has_text="field3").click()
    page.fill("#name", "total")
    page.keyboard.press("Tab")
    page.fill("#rules", "total == sum(cases)")
    page.click("#title")
    assert save(page) == "rules[0]: 'total == sum(cases)': sum takes the name of a table"
    assert load_form(forms / "tally").fields == ()
    page.locator("#list button", has_text="table1").click()
    page.fill("#name", "cases")
    page.fill("#maximum", "999")
    page.keyboard.press("Tab")
    page.locator("#status").evaluate("element => element.textContent = ''")
    assert save(page) == "Saved: 6 fields, 1 rules."
    form = load_form(forms / "tally")
    cases = next(field for field in form.fields if field.name == "cases")
    assert (cases.layout, cases.rows, cases.columns, cases.constraints.maximum) == ("table", 10, 4, 999)
    assert form.rules == ("total == sum(cases)",)
    wanted = {field.name: field.box for field in blank_form()[1]}
    assert max(abs(a - b) for a, b in zip(cases.box, wanted["cases"], strict=True)) <= 8


@needs_browser
def test_drawing_a_table_in_three_clicks_moving_and_undoing(open_editor: Callable[..., Any], forms: Path) -> None:
    page = open_editor(viewport={"width": 1280, "height": 1600})
    box = page.locator("#picture").bounding_box()
    scale = box["width"] / 1654

    def at(x: float, y: float) -> tuple[float, float]:
        return box["x"] + scale * x, box["y"] + scale * y

    page.click("#table")
    for point in ((520, 700), (770, 810), (1520, 1800)):  # first cell's corners, and the last one's
        page.mouse.click(*at(*point))
    page.mouse.move(*at(525, 1850))
    page.mouse.down()
    page.mouse.move(*at(910, 1930), steps=4)
    page.mouse.up()
    page.wait_for_selector("#list button:nth-child(1)")
    page.focus("#stage")
    for keys in ("ArrowRight", "Shift+ArrowDown", "Control+z", "Control+z", "Control+y"):
        page.keyboard.press(keys)
    assert save(page).startswith("Saved: 2 fields")
    table, drawn = load_form(forms / "tally").fields
    assert (table.rows, table.columns) == (9, 4) or (table.rows, table.columns) == (10, 4)
    assert drawn.box[0] == pytest.approx(526, abs=3)
    assert drawn.box[3] == pytest.approx(80, abs=3)
    page.focus("#stage")
    page.keyboard.press("Delete")
    assert page.locator("#list button").count() == 1
    page.click("#undo")
    assert page.locator("#list button").count() == 2


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1180, "height": 760}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(open_editor: Callable[..., Any], axe: str, viewport: dict[str, int], scheme: str) -> None:
    page = open_editor(viewport=viewport, color_scheme=scheme)
    assert violations(page, axe) == []
    page.click("#all")
    page.locator("#list button").first.click()
    assert violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def client(forms: Path, reader: Reader, tmp_path: Path) -> Iterator[Any]:
    from starlette.testclient import TestClient

    settings = Settings(corrections=tmp_path / "corrections.sqlite3", patience_ms=0)
    with TestClient(create_app(reader, settings, forms=forms)) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "", None, 200),
        ("GET", "/tally", None, 200),
        ("GET", "/tally/pages/0", None, 200),
        ("GET", "/tally/pages/1", None, 404),
        ("GET", "/nothing", None, 404),
        ("GET", "/..%2Ftally", None, 404),
        ("GET", "/.hidden", None, 422),
        ("PUT", "/nothing", {"fields": []}, 404),
        ("PUT", "/tally", {}, 422),
        ("PUT", "/tally", [], 422),
        ("PUT", "/tally", {"fields": [{"name": "a"}]}, 422),
        ("PUT", "/tally", {"fields": [{"name": "a", "box": [0, 0, 99_999, 20]}]}, 422),
        ("PUT", "/tally", {"fields": [{"name": "a", "box": [0, 0, 20, 20], "constraints": {"pattern": "("}}]}, 422),
        ("PUT", "/tally", {"fields": [{"name": "a", "box": [0, 0, 20, 20]}], "rules": ["__import__('os')"]}, 422),
        ("PUT", "/tally", {"fields": [{"name": "a", "box": [0, 0, 20, 20]}], "rules": ["9**9**9**9"]}, 422),
        ("PUT", "/tally", {"fields": [{"name": "a", "box": [0, 0, 20, 20]}], "pages": []}, 200),
    ],
)
def test_requests_that_make_no_sense_change_nothing(
    client: Any, forms: Path, method: str, path: str, body: object, status: int
) -> None:
    before = load_form(forms / "tally")
    answer = client.request(method, f"/v1/forms{path}", content=None if body is None else json.dumps(body))
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.json()["error"]["message"]
        assert load_form(forms / "tally") == before
    assert load_form(forms / "tally").pages == before.pages


def test_a_form_that_is_broken_is_named(client: Any, forms: Path) -> None:
    (forms / "broken").mkdir()
    (forms / "broken" / "form.json").write_text("{}")
    listed = client.get("/v1/forms").json()["forms"]
    assert [(each["name"], bool(each["problem"])) for each in listed] == [("broken", True), ("tally", False)]
