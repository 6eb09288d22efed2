"""The page as people use it: a real browser, the shipped networks, a server of its own."""

import base64
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from web.server import start_server, stop  # noqa: E402

from inkdigits.data.corrections import Corrections  # noqa: E402

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium: apt-get install chromium, or set CHROME")

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
DESKTOP = {"width": 1180, "height": 760}
PHONE = {"width": 390, "height": 844}
WAIT_MS = 30_000

Stroke = list[tuple[float, float]]
SEVEN: list[Stroke] = [[(0, 4), (60, 0), (56, 12), (24, 100)]]
FOUR: list[Stroke] = [[(40, 0), (0, 60), (70, 60)], [(50, 30), (50, 110)]]
TWO: list[Stroke] = [[(0, 25), (15, 5), (35, 0), (55, 10), (58, 32), (40, 60), (0, 105), (65, 103)]]
# Not digits.
SCRIBBLE: list[Stroke] = [[(i * 9, (i % 2) * 90 + (i * 37) % 50) for i in range(24)]]
LETTER: list[Stroke] = [[(0, 110), (0, 0), (55, 5), (60, 40), (0, 55), (65, 110)]]
STAR: list[Stroke] = [[(0, 50), (110, 50)], [(55, 0), (55, 110)], [(10, 10), (100, 100)], [(100, 10), (10, 100)]]


# A picture of one pixel, as the server sends pictures.
PIXEL = base64.b64encode(cv2.imencode(".png", np.zeros((1, 1), np.uint8))[1].tobytes()).decode()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    server, address = start_server(home)
    yield address
    stop(server, signal.SIGTERM)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Open the page; when the test ends, nothing may have failed in it, and nothing been asked of another host."""
    problems: list[str] = []
    contexts = []

    def open_(viewport: dict[str, int] = DESKTOP, path: str = "", **options: Any) -> Any:
        context = browser.new_context(viewport=viewport, locale="en-GB", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: check(request.url))
        page.goto(address + path)
        return page

    def check(url: str) -> None:
        if not url.startswith((address, "blob:", "data:")):
            problems.append(f"asked {url}")

    yield open_
    for context in contexts:
        context.close()
    # What the browser itself logs of what these tests do on purpose.
    meant = re.compile("ERR_INTERNET_DISCONNECTED|status of (401|415)")
    assert [problem for problem in problems if not meant.search(problem)] == []


def draw(page: Any, strokes: list[Stroke], left: float, top: float, scale: float = 1.0) -> None:
    box = page.locator("#pad").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + left + scale * x, box["y"] + top + scale * y) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=5)
        page.mouse.up()


def expect_text(page: Any, text: str) -> None:
    """Wait until the answer, without marks, is this."""
    page.wait_for_function(
        "text => [...document.querySelectorAll('#lines .digit')].map((d) => d.firstChild.data).join('') === text",
        arg=text,
    )


def expect_note(page: Any, word: str) -> None:
    page.wait_for_function("word => document.querySelector('#note').textContent.includes(word)", arg=word)


def sheet(path: Path) -> list[tuple[int, int, int, int]]:
    """Write a photograph-like sheet with 4 2 over 7; return the digits' boxes."""
    light = np.linspace(150, 235, 900)[None, :] * np.ones((600, 1))
    image = light.astype(np.uint8)
    boxes = []
    for strokes, x, y in ((FOUR, 200, 80), (TWO, 420, 85), (SEVEN, 300, 350)):
        points = [np.array(stroke) * 1.4 + (x, y) for stroke in strokes]
        for line in points:
            cv2.polylines(image, [np.rint(line).astype(np.int32)], False, 40, 9, cv2.LINE_AA)
        every = np.concatenate(points)
        low, high = every.min(axis=0) - 4, every.max(axis=0) + 4
        boxes.append((*low.astype(int).tolist(), *(high - low).astype(int).tolist()))
    cv2.imwrite(str(path), cv2.GaussianBlur(image, (0, 0), 1.2))
    return boxes


def overlap(a: Any, b: Any) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(0, width) * max(0, height)
    return float(both / (a[2] * a[3] + b[2] * b[3] - both))


@pytest.mark.parametrize("corner", [(6, 6), (560, 6), (6, 380), (560, 380)])
def test_a_seven_in_a_corner(open_page: Callable[..., Any], corner: tuple[float, float]) -> None:
    page = open_page()
    draw(page, SEVEN, *corner)
    expect_text(page, "7")
    page.wait_for_function("() => document.querySelector('#map').naturalWidth === 280")
    assert page.locator("#saw").evaluate("image => image.naturalWidth") == 28
    assert page.locator("#bars li").count() == 10
    assert page.locator("#bars li.top").inner_text().startswith("7")


def test_several_digits_are_one_number_and_undo_and_clear_take_back(open_page: Callable[..., Any]) -> None:
    page = open_page()
    draw(page, FOUR, 60, 60)
    draw(page, TWO, 190, 62)
    expect_text(page, "42")
    assert page.locator("#status").inner_text() == "42"
    page.click("#undo")
    expect_text(page, "4")
    page.click("#clear")
    expect_text(page, "")
    assert page.locator("#hint").is_visible()
    assert page.locator("#undo").is_disabled()


@pytest.mark.parametrize("strokes", [SCRIBBLE, LETTER, STAR], ids=["scribble", "letter", "star"])
def test_what_is_not_a_digit_is_marked_so(open_page: Callable[..., Any], strokes: list[Stroke]) -> None:
    page = open_page()
    draw(page, strokes, 150, 100)
    page.wait_for_function("() => document.querySelector('#note').textContent === 'no digit'")
    assert page.locator(".digit:not(.doubtful)").count() == 0
    assert page.locator("#status").inner_text() == "no digit"


def test_a_photo_gets_boxes_in_the_right_places_and_text_to_take(open_page: Callable[..., Any], tmp_path: Path) -> None:
    truth = sheet(tmp_path / "sheet.jpg")
    page = open_page(accept_downloads=True)
    page.set_input_files("#file", tmp_path / "sheet.jpg")
    expect_text(page, "427")
    drawn = page.locator("#boxes rect").evaluate_all(
        "all => all.map((r) => ['x', 'y', 'width', 'height'].map((name) => Number(r.getAttribute(name))))"
    )
    assert len(drawn) == 3
    assert min(overlap(a, b) for a, b in zip(drawn, truth, strict=True)) > 0.6
    assert page.locator("#photo").is_visible()
    with page.expect_download() as saved:
        page.click("#csv")
    rows = Path(saved.value.path()).read_text().splitlines()
    assert rows[0] == "line,position,digit,confidence,accepted,corrected,x,y,width,height"
    assert [row.split(",")[:3] for row in rows[1:]] == [["1", "1", "4"], ["1", "2", "2"], ["2", "1", "7"]]
    with page.expect_download() as saved:
        page.click("#json")
    assert '"text": "42"' in Path(saved.value.path()).read_text()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#copy")
    page.wait_for_function("() => document.querySelector('#note').textContent === 'copied'")
    assert page.evaluate("navigator.clipboard.readText()") == "42\n7"
    page.click("#clear")
    assert page.locator("#pad").is_visible()


def hand_over(page: Any, way: str, *paths: Path) -> None:
    """Drop files on the page, or paste them."""
    page.evaluate(
        """([files, way]) => {
            const data = new DataTransfer();
            for (const [name, bytes] of files) {
                data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
            }
            const event = way === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
                                         : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
            document.querySelector("#stage").dispatchEvent(event);
        }""",
        [[[path.name, list(path.read_bytes())] for path in paths], way],
    )


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted(open_page: Callable[..., Any], tmp_path: Path, way: str) -> None:
    sheet(tmp_path / "sheet.jpg")
    page = open_page()
    hand_over(page, way, tmp_path / "sheet.jpg")
    expect_text(page, "427")
    assert page.locator("#pages").is_hidden()


def test_of_several_dropped_pictures_each_is_read(open_page: Callable[..., Any], tmp_path: Path) -> None:
    sheet(tmp_path / "sheet.jpg")
    seven = np.full((300, 300), 255, np.uint8)
    cv2.polylines(seven, [np.array(SEVEN[0], np.int32) * 2 + 50], False, 0, 12, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "seven.png"), seven)
    page = open_page()
    hand_over(page, "drop", tmp_path / "sheet.jpg", tmp_path / "seven.png")
    expect_text(page, "427")
    assert page.locator("#page").inner_text() == "1 / 2 · sheet.jpg"
    page.locator(".digit").nth(0).click()
    page.locator("#keys button").nth(9).click()
    expect_text(page, "927")
    page.click("#next")
    expect_text(page, "7")
    assert page.locator("#page").inner_text() == "2 / 2 · seven.png"
    assert page.locator("#next").is_disabled()
    page.click("#previous")
    expect_text(page, "927")  # with what was corrected
    page.click("#clear")
    assert page.locator("#pages").is_hidden()


def test_what_the_browser_cannot_show_has_boxes_and_a_word_but_no_broken_icon(
    open_page: Callable[..., Any], tmp_path: Path
) -> None:
    sheet(tmp_path / "sheet.tiff")
    page = open_page()
    page.set_input_files("#file", tmp_path / "sheet.tiff")
    expect_text(page, "427")
    page.locator(".digit").nth(1).click()  # draws the page anew
    page.wait_for_selector("#unshown:visible")
    assert page.locator("#photo").is_hidden()
    assert page.locator("#boxes rect").count() == 3


def test_numbers_of_one_row_stand_apart(open_page: Callable[..., Any]) -> None:
    page = open_page()
    answer = {
        "image": "-",
        "width": 300,
        "height": 100,
        "lines": [{"text": "7 7", "digits": "77", "confidence": 0.99, "accepted": True, "items": []}],
    }
    item = {"digit": 7, "confidence": 0.99, "accepted": True, "alternatives": [], "framed": PIXEL}
    answer["lines"][0]["items"] = [item | {"box": [10, 10, 40, 80]}, item | {"box": [200, 10, 40, 80]}]
    page.route("**/v1/read*", lambda route: route.fulfill(json=answer))
    page.route("**/v1/explain*", lambda route: route.fulfill(json={"map": PIXEL}))
    draw(page, SEVEN, 100, 100)
    expect_text(page, "77")
    assert page.locator(".mark").bounding_box()["width"] > 8


def test_a_large_picture_can_be_enlarged_and_moved(open_page: Callable[..., Any], tmp_path: Path) -> None:
    sheet(tmp_path / "sheet.jpg")
    page = open_page()
    assert page.locator("#zoom").is_hidden()
    page.set_input_files("#file", tmp_path / "sheet.jpg")
    expect_text(page, "427")
    rect = page.locator("#boxes rect").first
    before = rect.bounding_box()
    letters = page.locator("#boxes text").first.bounding_box()["height"]
    for _ in range(3):
        page.click("#larger")
    assert page.locator("#zoom-level").inner_text() == "300 %"
    after = rect.bounding_box()
    assert after["width"] == pytest.approx(3 * before["width"], rel=0.1)
    assert page.locator("#boxes text").first.bounding_box()["height"] < 1.6 * letters
    page.locator(".digit").last.click()  # is brought into sight
    frame, chosen = page.locator("#stage").bounding_box(), page.locator("#boxes .chosen rect").bounding_box()
    assert frame["x"] <= chosen["x"] <= frame["x"] + frame["width"] - chosen["width"]
    assert frame["y"] <= chosen["y"] <= frame["y"] + frame["height"] - chosen["height"]
    page.focus("#stage")
    left = page.evaluate("document.querySelector('#stage').scrollLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("left => document.querySelector('#stage').scrollLeft < left", arg=left)
    page.mouse.move(frame["x"] + 200, frame["y"] + 200)
    page.keyboard.down("Control")
    page.mouse.wheel(0, 100)
    page.keyboard.up("Control")
    page.wait_for_function("() => document.querySelector('#zoom-level').textContent === '200 %'")
    page.click("#clear")
    assert page.locator("#pad").bounding_box()["width"] <= frame["width"]


def test_the_server_gets_the_very_bytes_of_the_file(open_page: Callable[..., Any], tmp_path: Path) -> None:
    sheet(tmp_path / "sheet.jpg")
    page = open_page()
    with page.expect_request("**/v1/read*") as sent:
        page.set_input_files("#file", tmp_path / "sheet.jpg")
    assert sent.value.header_value("content-length") == str((tmp_path / "sheet.jpg").stat().st_size)
    expect_text(page, "427")


def test_a_file_that_is_not_a_picture_is_an_error(open_page: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_bytes(b"hello")
    page = open_page()
    page.set_input_files("#file", tmp_path / "letter.png")
    page.wait_for_function("() => document.querySelector('#note').textContent.startsWith('not a picture')")


def test_a_correction_reaches_the_file(open_page: Callable[..., Any], home: Path) -> None:
    before = len(Corrections(home / "corrections.sqlite3").all())
    page = open_page()
    draw(page, FOUR, 60, 60)
    draw(page, TWO, 190, 62)
    expect_text(page, "42")
    page.locator(".digit").nth(1).click()
    page.locator("#keys button").nth(3).click()
    expect_text(page, "43")
    assert page.locator(".digit.corrected").count() == 1
    kept = Corrections(home / "corrections.sqlite3").all()[before:]
    assert [(c.answer, c.truth) for c in kept] == [(2, 3)]
    assert kept[0].framed.max() > 200


def test_a_correction_says_not_a_digit_and_is_taken_back(open_page: Callable[..., Any], home: Path) -> None:
    store = Corrections(home / "corrections.sqlite3")
    before = len(store.all())
    page = open_page()
    draw(page, FOUR, 60, 60)
    draw(page, TWO, 190, 62)
    expect_text(page, "42")
    page.locator(".digit").nth(1).click()
    assert page.locator("#take-back").is_disabled()
    page.click("#not-digit")
    page.wait_for_selector(".digit.removed")
    assert [c.truth for c in store.all()[before:]] == [None]
    with page.expect_download() as saved:
        page.click("#csv")
    rows = Path(saved.value.path()).read_text().splitlines()
    assert [row.split(",")[2] for row in rows[1:]] == ["4", ""]
    page.click("#take-back")
    page.wait_for_selector(".digit.removed", state="detached")
    expect_text(page, "42")
    assert len(store.all()) == before
    # The same by keys: wrong once, then right, then neither.
    page.locator(".digit").nth(1).focus()
    for key in ("3", "5", "x", "Backspace"):
        page.keyboard.press(key)
    page.wait_for_function("() => document.querySelector('#note').textContent === 'taken back'")
    expect_text(page, "45")
    assert [c.truth for c in store.all()[before:]] == [3, 5]
    page.keyboard.press("Backspace")
    expect_text(page, "43")
    page.keyboard.press("Backspace")
    expect_text(page, "42")
    assert page.locator(".digit.corrected").count() == 0
    assert len(store.all()) == before
    store.close()


def test_the_keyboard_alone_is_enough(open_page: Callable[..., Any], home: Path) -> None:
    before = len(Corrections(home / "corrections.sqlite3").all())
    page = open_page()
    press = page.keyboard.press
    for _ in range(10):
        press("Tab")
        if page.evaluate("document.activeElement.id") == "pad":
            break
    assert page.evaluate("document.activeElement.id") == "pad"
    press(" ")
    for _ in range(12):
        press("ArrowDown")
    press(" ")
    expect_text(page, "1")
    for _ in range(10):
        press("Tab")
        if page.evaluate("document.activeElement.classList.contains('digit')"):
            break
    press("7")
    expect_text(page, "7")
    assert page.evaluate("document.activeElement.classList.contains('digit')"), "the focus got lost"
    kept = Corrections(home / "corrections.sqlite3").all()[before:]
    assert [(c.answer, c.truth) for c in kept] == [(1, 7)]


def test_a_phone(open_page: Callable[..., Any]) -> None:
    page = open_page(PHONE, has_touch=True, is_mobile=True)
    draw(page, FOUR, 30, 40)
    draw(page, TWO, 150, 42)
    expect_text(page, "42")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    small = page.locator("button:visible, .button:visible").evaluate_all(
        "all => all.map((b) => b.getBoundingClientRect()).filter((r) => r.height < 44 || r.width < 44).length"
    )
    assert small == 0, "buttons that a finger misses"


def test_without_a_connection_the_page_stays_and_reads_again_later(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.context.set_offline(True)
    draw(page, SEVEN, 100, 100)
    page.wait_for_function("() => document.querySelector('#note').textContent === 'server not reached'")
    page.context.set_offline(False)
    expect_text(page, "7")


@pytest.mark.parametrize(("locale", "word"), [("de-DE", "Löschen"), ("fr-FR", "Effacer"), ("hi-IN", "मिटाएँ")])
def test_languages(browser: Any, address: str, locale: str, word: str) -> None:
    context = browser.new_context(locale=locale)
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("word => document.querySelector('#clear').textContent.includes(word)", arg=word)
    assert page.evaluate("document.documentElement.lang") == locale[:2]
    context.close()


def test_a_token_comes_with_the_address_or_is_asked_for(browser: Any, tmp_path: Path) -> None:
    server, address = start_server(tmp_path, "--token", "sesame")
    try:
        for path in ("#token=sesame", "", "#token=wrong"):
            context = browser.new_context(viewport=DESKTOP, locale="en-GB")
            page = context.new_page()
            page.goto(address + path)
            draw(page, SEVEN, 100, 100)
            if path != "#token=sesame":
                expect_note(page, "wrong" if path else "asks for a token")
                assert page.evaluate("document.activeElement.id") == "token"
                for token in ("still wrong", "sesame"):
                    page.fill("#token", token)
                    page.keyboard.press("Enter")
                    if token != "sesame":
                        expect_note(page, "wrong")
                        page.wait_for_function("() => document.querySelector('#token').value === ''")
            expect_text(page, "7")
            assert page.locator("#key").is_hidden()
            assert "sesame" not in page.url
            context.close()
    finally:
        stop(server, signal.SIGTERM)


@pytest.fixture(scope="module")
def axe() -> str:
    """axe-core's source: AXE names the file, or npm fetches it into a temporary folder."""
    if chosen := os.environ.get("AXE"):
        return Path(chosen).read_text()
    if shutil.which("npm") is None:
        pytest.skip("no npm to fetch axe-core with, and AXE names no file")
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "axe-core@4"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        source = Path(folder) / "node_modules" / "axe-core" / "axe.min.js"
        if not source.is_file():
            pytest.skip(f"npm could not fetch axe-core (exit code {done.returncode})")
        return source.read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(
    open_page: Callable[..., Any], axe: str, tmp_path: Path, viewport: dict[str, int], scheme: str
) -> None:
    def violations(page: Any) -> list[str]:
        if page.evaluate("!window.axe"):
            page.evaluate(axe)
        found = page.evaluate("axe.run().then((result) => result.violations)")
        return [f"{rule['id']}: {node['target']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]

    page = open_page(viewport, color_scheme=scheme)
    assert violations(page) == []
    draw(page, FOUR, 60, 60)
    draw(page, STAR, 190, 62)
    page.wait_for_selector(".digit")
    page.wait_for_function("() => document.querySelector('#map').naturalWidth === 280")
    assert violations(page) == []
    sheet(tmp_path / "sheet.jpg")
    page.set_input_files("#file", tmp_path / "sheet.jpg")
    expect_text(page, "427")
    page.locator("#keys button").nth(3).click()
    page.wait_for_selector(".digit.corrected")
    page.locator(".digit").nth(1).click()
    page.click("#not-digit")
    page.wait_for_selector(".digit.removed")
    page.click("#larger")
    assert violations(page) == []
    documents = open_page(viewport, "docs", color_scheme=scheme)
    documents.wait_for_selector("details")
    documents.locator("summary").first.click()
    assert violations(documents) == []


def test_nothing_moves_for_those_who_asked_so(open_page: Callable[..., Any]) -> None:
    page = open_page(reduced_motion="reduce")
    moving = page.evaluate(
        """[...document.querySelectorAll("*")]
            .filter((e) => !/^0s(, 0s)*$/.test(getComputedStyle(e).transitionDuration)).length"""
    )
    assert moving == 0
    assert re.search("prefers-reduced-motion", page.evaluate("fetch('/static/style.css').then((r) => r.text())"))
