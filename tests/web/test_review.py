"""The review page, from the first key to the export, in a real browser; and its endpoints against bad requests."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from web.page import PHONE, needs_browser, violations
from web.server import start_server, stop

pytest.importorskip("fastapi", reason="the extra `web` is not installed")
pytest.importorskip("stdnum", reason="the extra `forms` is not installed")

from forms.made import page_of, with_digits

from inkdigits.data.splits import Split
from inkdigits.forms.demo import KINDS, Copy, compose_copy, save_demo_form
from inkdigits.forms.export import write_answers
from inkdigits.forms.job import Job
from inkdigits.forms.read import Basis, FormAnswer
from inkdigits.reading.reader import Reader
from inkdigits.training.synthesis.styles import Digits
from inkdigits.web import Settings, create_app

# What is written on two forms; what the reader made of it and how sure it was stands in `job`.
WRITTEN = [{"cases_1_1": "12", "cases_3_1": "30", "total": "42"}, {"cases_1_1": "7", "fridge": "4.5", "total": "7"}]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    (tmp_path / "tally").mkdir()
    save_demo_form(tmp_path / "tally")
    job = Job.begin(tmp_path / "answers.job", tmp_path / "tally")
    # A sum that does not hold: 36 should be 30. Then a value in doubt, and one that is right and sure.
    job.add(page_of(job.form, "a.png", {"cases_1_1": ("12", 0.99), "cases_3_1": ("36", 0.6), "total": ("42", 0.98)}))
    job.add(page_of(job.form, "b.png", {"cases_1_1": ("7", 0.99), "fridge": ("4.6", 0.7), "total": ("7", 0.99)}))
    yield job
    job.close()


@pytest.fixture
def open_review(browser: Any, job: Job, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    server, address = start_server(tmp_path / "home", command=("form", "review", str(job.folder)))
    problems: list[str] = []
    contexts = []

    def open_(**options: Any) -> Any:
        contexts.append(browser.new_context(locale="en-GB", **options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    stop(server)
    assert problems == []


def wait_for(page: Any, selector: str, text: str) -> None:
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector).textContent.includes(text)", arg=[selector, text]
    )


def key(page: Any, keys: str) -> None:
    """Key a value as people do, once the field's picture is there."""
    page.wait_for_function("() => document.querySelector('#cut').naturalWidth > 0")
    for each in keys:
        page.keyboard.press({"\n": "Enter"}.get(each, each))


@needs_browser
def test_from_the_first_key_to_the_export(open_review: Callable[..., Any], job: Job) -> None:
    page = open_review()
    wait_for(page, "#place", "Form 1: cases, row 3, column 1")
    assert page.locator("#problem").inner_text() == "total == sum(cases) does not hold"
    assert "36" not in page.locator("main").inner_text()  # the guess is hidden
    key(page, "30\n")
    wait_for(page, "#outcome", "You keyed 30, read was 36")
    assert page.locator("#context").get_attribute("aria-pressed") == "true"
    key(page, "30\n")
    wait_for(page, "#place", "Form 2: fridge")  # the sum holds now: the rest of form 1 stands
    key(page, "-")
    wait_for(page, "#place", "Form 1: cases, row 3, column 1")
    key(page, "30\n")
    wait_for(page, "#place", "Form 2: fridge")
    key(page, ".+")  # later: the only one left comes again; the next key waits for it
    page.wait_for_selector("#context[aria-pressed=true]")
    key(page, "+45\n")  # the form prints the point
    wait_for(page, "#outcome", "You keyed 45, read was 4.6")
    key(page, "4,5\n")
    page.wait_for_selector("#done:not([hidden])")
    write_answers(job.folder / "a.csv", job.form, job.answers())
    rows = list(csv.DictReader((job.folder / "a.csv").read_text().splitlines()))
    for row, written in zip(rows, WRITTEN, strict=True):
        assert row["review"] == ""
        assert {name: row[name] for name in written} == written


@needs_browser
def test_keys_faster_than_the_server_are_not_lost(open_review: Callable[..., Any], job: Job) -> None:
    page = open_review()
    wait_for(page, "#place", "Form 1: cases, row 3, column 1")
    page.route("**/v1/review/keys", lambda route: (page.wait_for_timeout(300), route.continue_()))
    key(page, "36\n12\n")  # the first is as read; the second is another field's
    wait_for(page, "#outcome", "You keyed 12")
    assert [each["text"] for each in job.history()] == ["36", "12"]


@needs_browser
def test_two_people_at_once_get_different_fields(open_review: Callable[..., Any]) -> None:
    ann, ben = open_review(), open_review()
    for each in (ann, ben):  # so far of one name; before a page is there it would take back the name that is typed
        wait_for(each, "#place", "cases, row 3, column 1")
    ben.fill("#reviewer", "ben")
    ben.keyboard.press("Tab")
    ben.reload()
    ben.wait_for_function(
        "() => document.querySelector('#place').textContent || !document.querySelector('#done').hidden"
    )
    assert "row 3, column 1" not in ben.locator("#place").inner_text()


@needs_browser
def test_a_page_is_aligned_by_four_clicks(
    open_review: Callable[..., Any], job: Job, mnist: tuple[Split, Split]
) -> None:
    digits = Digits(mnist[1].images, mnist[1].labels)
    copy: Copy = compose_copy(np.random.default_rng(5), digits, KINDS[0])
    job.add(FormAnswer(["c.png"], problem="a fold", scan=copy.picture, digest="c" * 64))
    from inkdigits.forms.read import FormReader

    places = copy.place(FormReader(job.folder / "form").anchors(0))
    page = open_review(viewport={"width": 1280, "height": 1600})
    wait_for(page, "#page-title", "c.png")
    wait_for(page, "#page-outcome", "Place 1 of 4")
    assert (page.locator("#counts").inner_text(), page.locator("#bar").is_visible()) == ("1 page to align", False)
    form = page.locator("#template").bounding_box()
    numbers = [each.bounding_box() for each in page.locator("#template-marks text").all()]
    assert len(numbers) == 4
    assert max(each["y"] + each["height"] for each in numbers) <= form["y"] + form["height"]  # none is cut off
    box = page.locator("#scan").bounding_box()
    scale = box["width"] / copy.picture.shape[1]
    for x, y in places:
        page.mouse.click(box["x"] + scale * x, box["y"] + scale * y)
    page.click("#align")
    page.wait_for_selector("#fields:not([hidden])")
    assert job.progress().forms == 3
    assert job.progress().pages_left == 0


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1180, "height": 760}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(
    open_review: Callable[..., Any], job: Job, axe: str, viewport: dict[str, int], scheme: str
) -> None:
    job.add(FormAnswer(["c.png"], problem="a fold", scan=np.full((900, 700), 240, np.uint8), digest="c" * 64))
    page = open_review(viewport=viewport, color_scheme=scheme)
    wait_for(page, "#page-outcome", "Place 1 of 4")
    assert violations(page, axe) == []
    page.click("#skip")
    wait_for(page, "#place", "Form 1")
    key(page, "9\n")
    wait_for(page, "#outcome", "You keyed 9")
    assert violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@needs_browser
def test_the_page_says_what_is_promised_and_what_is_wrong_with_it(open_review: Callable[..., Any], job: Job) -> None:
    while tasks := job.tasks("ben", 1):
        job.key(tasks[0].field, "", "ben")
    job.draw_audit(2, 0.5)
    page = open_review()
    wait_for(page, "#promise", "cannot promise yet: 2 checked fields to key, each twice")
    key(page, "//")
    page.wait_for_selector("#done:not([hidden])")
    assert page.locator("#outcome").text_content() == ""  # a checked field tells nothing
    assert page.locator("#waiting").inner_text().startswith("2 checked fields wait to be keyed once more")
    job.draw_audit(5, 0.5)
    while tasks := job.tasks("ben", 1):
        job.key(tasks[0].field, "", "ben")
    while tasks := job.tasks("cid", 1):
        job.key(tasks[0].field, "", "cid")
    job.keep_promise(job.promise(0.5))
    page.reload()
    wait_for(page, "#promise", "promise: at most 50 % wrong (95 % sure) at threshold")
    assert page.locator("#alarm").is_hidden()
    job.add(page_of(job.form, "z.png", {}), Basis("other weights", "", ""))
    page.reload()
    wait_for(page, "#alarm", "withdrawn: other weights")


@pytest.fixture
def known(job: Job) -> Job:
    """Thirty forms more with a date each, of one of which people keyed that it is another; nothing else is to do."""
    for number in range(30):
        dates = {"date": ("17012026", 0.5 if number == 3 else 1.0)}
        job.add(with_digits(page_of(job.form, f"{number}.png", dates), job.form))
    while tasks := job.tasks("ben", 1):
        job.key(tasks[0].field, "11012026" if tasks[0].name == "date" else "", "ben")
    return job


@needs_browser
def test_group_screens_are_looked_through_by_keys_alone(open_review: Callable[..., Any], known: Job) -> None:
    page = open_review()
    page.wait_for_selector("#done:not([hidden]) #look:focus")
    page.keyboard.press("Enter")
    wait_for(page, "#group-title", "All of these were read as 0")
    page.wait_for_selector(".tile:focus")
    assert page.locator(".tile").count() == 40
    for pressed in ("+", "+", "ArrowRight", "-", "ArrowDown", "4"):
        page.keyboard.press(pressed)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Cut-out 11 of 40: rather 4"
    assert page.locator("#group-outcome").inner_text() == "1 marked"
    page.keyboard.press("0")  # it is what it was read as
    assert page.locator("#group-outcome").inner_text() == ""
    page.keyboard.press("Home")
    for control in controls_of(known):
        if control:
            page.keyboard.press(control)
        page.keyboard.press("+")
    page.keyboard.press("Enter")
    wait_for(page, "#counts", "found 2 of 2 controls")
    # An exception becomes a field to key, which comes first.
    page.wait_for_selector(".tile:focus")
    for _ in range(controls_of(known).index(None)):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("9")
    page.keyboard.press("Enter")
    wait_for(page, "#place", "date")
    assert page.locator("#problem").inner_text() == "keyed otherwise than read"
    key(page, "17012026\n")
    page.wait_for_selector("#done:not([hidden]) #look:focus")
    page.keyboard.press("Enter")
    page.wait_for_selector(".tile:focus")
    page.keyboard.press(".")
    page.wait_for_selector("#done:not([hidden])")
    assert {each["how"].rstrip("0123456789") for each in known.history()} == {
        *("keyed", "accepted in group ", "marked in group "),
    }


def controls_of(job: Job) -> list[str | None]:
    """Return, by position, the digit that a cut-out of the first open screen is known to be, None for the others."""
    query = "SELECT control FROM cuts WHERE screen = (SELECT min(id) FROM screens WHERE time IS NULL) ORDER BY position"
    with job._session() as connection:
        return [row[0] for row in connection.execute(query)]


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 900}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_on_a_group_screen(
    open_review: Callable[..., Any], known: Job, axe: str, viewport: dict[str, int], scheme: str
) -> None:
    page = open_review(viewport=viewport, color_scheme=scheme)
    page.wait_for_selector("#look:focus")
    assert violations(page, axe) == []
    page.click("#look")
    page.wait_for_selector(".tile:focus")
    page.click("#marks button[value='4']")
    assert violations(page, axe) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/groups-{viewport['width']}-{scheme}.png", full_page=True)


@pytest.fixture
def client(job: Job, reader: Reader, tmp_path: Path) -> Iterator[Any]:
    from starlette.testclient import TestClient

    settings = Settings(corrections=tmp_path / "corrections.sqlite3", patience_ms=0)
    with TestClient(create_app(reader, settings, job)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("next", {"reviewer": "ann"}, 200),
        ("next", {}, 422),
        ("next", {"reviewer": ""}, 422),
        ("next", {"reviewer": "a" * 65}, 422),
        ("next", [1], 422),
        ("keys", {"reviewer": "ann", "field": 99_999, "text": "1"}, 422),
        ("keys", {"reviewer": "ann", "field": 2**70, "text": "1"}, 422),
        ("keys", {"reviewer": "ann", "field": 1, "text": "drop table"}, 422),
        ("keys", {"reviewer": "ann", "field": 1, "text": "1" * 41}, 422),
        ("later", {"reviewer": "ann", "field": 99_999}, 200),
        ("undo", {"reviewer": "nobody"}, 200),
        ("pages/1", {"anchors": [[0, 0]] * 4}, 422),
        ("pages/1", {"anchors": [[0, 0]] * 3}, 422),
        ("pages/1", {"anchors": [[1e9, 0]] * 4}, 422),
        ("pages/1", {"anchors": [["nan", 0]] * 4}, 422),
        ("pages/99999", {"anchors": None}, 200),
        ("screens", {"reviewer": "ann"}, 200),
        ("screens", {}, 422),
        ("screens/1", {"reviewer": "ann"}, 422),
        ("screens/1", {"reviewer": "ann", "marked": {"40": "1"}}, 422),
        ("screens/1", {"reviewer": "ann", "marked": {"0": "12"}}, 422),
        ("screens/0", {"reviewer": "ann"}, 422),
        ("pages/0", {}, 422),
        ("pages/1", {"number": 7}, 422),
    ],
)
def test_requests_that_make_no_sense_change_nothing(
    client: Any, job: Job, path: str, body: object, status: int
) -> None:
    before = [answer.readings for answer in job.answers()]
    answer = client.post(f"/v1/review/{path}", content=json.dumps(body))
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.json()["error"]["message"]
    assert [answer.readings for answer in job.answers()] == before


def test_pictures_and_the_documents_of_the_endpoints(client: Any) -> None:
    (task, *_) = client.post("/v1/review/next", content=json.dumps({"reviewer": "ann"})).json()["tasks"]
    close = client.get(f"/v1/review/fields/{task['field']}")
    wide = client.get(f"/v1/review/fields/{task['field']}?wide=true")
    sizes = [cv2.imdecode(np.frombuffer(each.content, np.uint8), 0).size for each in (close, wide)]  # type: ignore[union-attr]
    assert sizes[0] < sizes[1]
    for path, status in (
        ("template/0", 200),
        ("template/7", 404),
        ("fields/99999", 422),
        ("fields/x", 422),
        ("pages/1", 200),
        ("screens/1", 422),
        ("promise", 200),
    ):
        assert client.get(f"/v1/review/{path}").status_code == status
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/review/keys", "/v1/review/next"} <= paths.keys()
    assert client.get("/review").status_code == 200
