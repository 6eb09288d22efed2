"""The template editor: from a blank page to a saved form, in a real browser; its endpoints against bad requests."""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from web.page import PHONE, needs_browser, violations
from web.server import start_server, stop

pytest.importorskip("fastapi", reason="the extra `web` is not installed")
pytest.importorskip("stdnum", reason="the extra `forms` is not installed")

from PIL import Image, ImageDraw, ImageFont

from inkdigits.forms.blank import new_form
from inkdigits.forms.demo import blank_form
from inkdigits.forms.export import write_answers
from inkdigits.forms.job import Job
from inkdigits.forms.read import FormReader
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


def second_page() -> Image.Image:
    """Return the blank form's second page: a signature's line, a comb of four boxes, a value's box."""
    page = Image.new("L", (1654, 2339), 255)
    draw = ImageDraw.Draw(page)
    for place, text in (
        (90, "Stock of vaccines, in doses"),
        (560, "Doses left"),
        (1500, "Signature of who counted them"),
    ):
        draw.text((90, place), text, 40, ImageFont.load_default(52))
    for i in range(4):
        draw.rectangle((700 + 62 * i, 300, 700 + 62 * (i + 1), 378), outline=40, width=2)
    draw.rectangle((700, 540, 1100, 640), outline=40, width=3)
    draw.rectangle((90, 1600, 1560, 1900), outline=40, width=3)
    return page


@pytest.fixture
def two_pages(forms: Path, tmp_path: Path) -> Path:
    """A form of two pages, from a PDF as a word processor writes it."""
    Image.fromarray(blank_form()[0]).save(
        tmp_path / "two.pdf", save_all=True, append_images=[second_page()], resolution=200
    )
    new_form(forms / "a-pair", [tmp_path / "two.pdf"])
    return forms / "a-pair"


def wait_for_page(page: Any, label: str) -> None:
    page.wait_for_function("label => document.querySelector('#stage').ariaLabel === label", arg=label)


@needs_browser
def test_fields_on_every_page_of_a_form(two_pages: Path, open_editor: Callable[..., Any]) -> None:
    page = open_editor(viewport={"width": 1280, "height": 1600})
    first, second = "Page 1 of 2 with its fields", "Page 2 of 2 with its fields"
    wait_for_page(page, first)
    assert page.locator("#before").is_disabled()
    assert page.locator("#hint").inner_text().endswith("3 on other pages.")
    page.focus("#stage")
    page.keyboard.press("Enter")  # takes the first proposed one of this page
    page.focus("#stage")
    page.keyboard.press("PageDown")
    wait_for_page(page, second)
    assert page.locator("#field").is_hidden()  # it stands on the other page
    assert page.locator("#after").is_disabled()
    page.keyboard.press("Enter")
    assert page.locator("#list button").all_inner_texts() == ["field1 · page 1", "field2 · page 2"]
    page.get_by_role("button", name="Previous page").click()
    wait_for_page(page, first)
    page.focus("#stage")
    page.keyboard.press("n")
    page.keyboard.press("n")  # the next field stands on the next page
    wait_for_page(page, second)
    assert page.input_value("#name") == "field2"
    page.keyboard.press("Delete")
    page.select_option("#page", "0")
    wait_for_page(page, first)
    page.click("#undo")  # shows what it brings back
    wait_for_page(page, second)
    assert page.input_value("#name") == "field2"
    assert save(page) == "Saved: 2 fields, 0 rules."
    assert [field.page for field in load_form(two_pages).fields] == [0, 1]
    page.reload()
    wait_for_page(page, first)
    page.locator("#list button", has_text="field2").click()
    wait_for_page(page, second)
    assert page.locator("#boxes g.chosen").count() == 1


def save(page: Any) -> str:
    page.click("#save")
    page.wait_for_function("() => document.querySelector('#status').textContent !== ''")
    return str(page.locator("#status").inner_text())


@needs_browser
def test_from_a_blank_page_to_a_form(open_editor: Callable[..., Any], forms: Path) -> None:
    page = open_editor(viewport={"width": 1280, "height": 1600})
    assert page.locator("#hint").inner_text().startswith("6 proposed")
    page.click("#all")
    # Names stand inside their fields: above them there often is a printed heading.
    assert page.evaluate(
        """() => [...document.querySelectorAll("#boxes g.field, #boxes g.chosen")].every((group) => {
            const [box, name] = ["rect", "text"].map((kind) => group.querySelector(kind).getBoundingClientRect());
            return name.left >= box.left && name.top >= box.top - 2;
        })"""
    )
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


def titled(page: Any, title: str) -> None:
    page.wait_for_function("title => document.querySelector('#title').value === title", arg=title)


@needs_browser
def test_unsaved_changes_are_not_dropped_without_asking(
    two_pages: Path, open_editor: Callable[..., Any], forms: Path
) -> None:
    page = open_editor(viewport={"width": 1280, "height": 1600})
    asked: list[str] = []
    answers = iter([False, True, False])

    def on_dialog(dialog: Any) -> None:
        asked.append(f"{dialog.type}: {dialog.message}")
        dialog.accept() if next(answers) else dialog.dismiss()

    page.on("dialog", on_dialog)
    titled(page, two_pages.name)
    page.select_option("#form", "tally")  # nothing is changed yet: no question
    titled(page, "tally")
    assert asked == []
    page.click("#all")
    page.focus("#form")
    page.keyboard.press("ArrowUp")  # no
    question = "confirm: Changes to “tally” are not saved. Discard them?"
    page.wait_for_function("() => document.querySelector('#form').value === 'tally'")
    assert asked == [question]
    assert page.locator("#list button").count() == 6
    page.keyboard.press("ArrowUp")  # yes
    titled(page, two_pages.name)
    assert asked == [question] * 2
    assert page.locator("#list button").count() == 0
    page.fill("#title", "Half typ")
    with pytest.raises(Exception, match=r"interrupted|aborted|ERR_ABORTED"):  # no: the page stays
        page.goto("about:blank", timeout=5_000)
    assert asked[2:] == ["beforeunload: "]
    assert page.input_value("#title") == "Half typ"
    assert save(page) == "Saved: 0 fields, 0 rules."
    assert load_form(two_pages).title == "Half typ"
    assert load_form(forms / "tally").title == "tally"
    page.goto("about:blank")  # all is saved: no question
    assert len(asked) == 3


@needs_browser
def test_a_form_that_cannot_be_opened_leaves_the_other_in_place(
    two_pages: Path, open_editor: Callable[..., Any], forms: Path
) -> None:
    page = open_editor(viewport={"width": 1280, "height": 1600})
    titled(page, two_pages.name)
    (forms / "tally" / "form.json").write_text("{}")
    page.select_option("#form", "tally")
    page.wait_for_function("() => document.querySelector('#status').classList.contains('bad')")
    assert page.input_value("#form") == two_pages.name
    page.click("#all")
    assert save(page) != ""
    page.wait_for_function("() => document.querySelector('#status').textContent.startsWith('Saved')")
    assert len(load_form(two_pages).fields) > 0
    assert (forms / "tally" / "form.json").read_text() == "{}"


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


@needs_browser
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 760}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_on_a_form_of_two_pages(
    two_pages: Path, open_editor: Callable[..., Any], axe: str, viewport: dict[str, int]
) -> None:
    page = open_editor(viewport=viewport)
    page.click("#all")
    page.click("#after")
    wait_for_page(page, "Page 2 of 2 with its fields")
    page.locator("#list button").last.click()
    assert violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert two_pages.is_dir()


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


WRITTEN = [
    {"total": "1374", "stock": "2085", "left": "37"},
    {"total": "952", "stock": "4163", "left": "708"},
]  # on two forms


def filled(blank: Image.Image, boxes: dict[str, tuple[int, int]], values: dict[str, str], turn: float) -> Image.Image:
    """Return a page with digits in boxes of a height that start at (x, y), scanned a little askew."""
    page = np.array(blank)
    for name, (x, y) in boxes.items():
        for i, char in enumerate(values[name]):
            place = (x + 12 + 62 * i, y + 62)
            cv2.putText(page, char, place, cv2.FONT_HERSHEY_SIMPLEX, 1.7, 30, 5, cv2.LINE_AA)
    height, width = page.shape
    askew = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 0.98)
    return Image.fromarray(cv2.warpAffine(page, askew, (width, height), borderValue=255))


def test_two_pages_from_the_blank_pdf_to_one_row_a_form(
    client: Any, two_pages: Path, reader: Reader, tmp_path: Path
) -> None:
    opened = client.get("/v1/forms/a-pair").json()
    assert len(opened["form"]["pages"]) == 2
    assert {each.get("page", 0) for each in opened["proposals"]} == {0, 1}
    scale = opened["form"]["pages"][0]["width"] / 1654

    def box(*values: int) -> list[int]:
        return [round(scale * value) for value in values]

    fields = [
        {"name": "total", "box": box(520, 1840, 400, 100)},
        {"name": "stock", "page": 1, "box": box(700, 300, 248, 78), "layout": "comb", "cells": 4, "type": "digits"},
        {"name": "left", "page": 1, "box": box(700, 540, 400, 100)},
    ]
    body = {"title": "Two pages", "fields": fields, "rules": ["left <= total"]}
    assert client.put("/v1/forms/a-pair", content=json.dumps(body)).status_code == 200
    assert client.get("/v1/forms/a-pair/pages/1").status_code == 200
    wrong = body | {"fields": [fields[0] | {"page": 2}]}
    rejected = client.put("/v1/forms/a-pair", content=json.dumps(wrong)).json()["error"]["message"]
    assert rejected == "fields[total]: there is no page 2; the first is 0"

    blanks = [Image.fromarray(blank_form()[0]), second_page()]
    places = [{"total": (530, 1850)}, {"stock": (700, 302), "left": (710, 550)}]
    scans = [
        filled(blanks[number], places[number], WRITTEN[copy], turn)
        for copy, number, turn in ((0, 1, 0.6), (0, 0, -0.4), (1, 0, 0.3), (1, 1, -0.7))
    ]
    scans[0].save(tmp_path / "scans.pdf", save_all=True, append_images=scans[1:], resolution=200)
    form = FormReader(two_pages, reader)
    with closing(Job.begin(tmp_path / "answers.job", two_pages)) as job:
        for answer in form.read([tmp_path / "scans.pdf"]):
            job.add(answer)
        cut_outs = {}
        while tasks := job.tasks("reviewer", 1):
            (task,) = tasks
            cut_outs[task.name] = job.cut_out(task.field, 0.1)
            job.key(task.field, WRITTEN[task.form - 1][task.name], "reviewer")
        assert cut_outs
        assert all(each.startswith(b"\x89PNG") for each in cut_outs.values())
        write_answers(tmp_path / "answers.csv", job.form, job.answers())
    with (tmp_path / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{name: row[name] for name in WRITTEN[0]} for row in rows] == WRITTEN
    assert [row["problem"] for row in rows] == ["", ""]
    sources = [[int(source.rsplit("#", 1)[1]) for source in row["source"].split(" ") if "#" in source] for row in rows]
    assert sources == [[2, 1], [3, 4]]
