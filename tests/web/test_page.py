"""The page as people use it: a real browser, the shipped networks, a server of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from web.page import (
    FOUR,
    LETTER,
    PIXEL,
    SCRIBBLE,
    SEVEN,
    STAR,
    TWO,
    Stroke,
    draw,
    expect_text,
    hand_over,
    needs_browser,
    overlap,
    sheet,
)

from inkdigits.data.corrections import Corrections

pytestmark = needs_browser


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
    assert page.locator(".digit:not(.rejected)").count() == 0
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


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_may_be_dropped_or_pasted(open_page: Callable[..., Any], tmp_path: Path, way: str) -> None:
    sheet(tmp_path / "sheet.jpg")
    page = open_page()
    hand_over(page, way, tmp_path / "sheet.jpg")
    expect_text(page, "427")
    assert page.locator("#pages").is_hidden()


def test_a_picture_pasted_right_after_a_stroke_is_not_lost(open_page: Callable[..., Any], tmp_path: Path) -> None:
    sheet(tmp_path / "sheet.jpg")
    page = open_page()
    page.clock.install(time=0)
    page.clock.pause_at(60_000)
    draw(page, SEVEN, 100, 100)  # is asked for after a pause, which has not begun to pass
    hand_over(page, "paste", tmp_path / "sheet.jpg")
    page.clock.run_for(1000)
    expect_text(page, "427")
    assert page.locator("#photo").is_visible()


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
    page.locator(".digit").nth(1).click()  # draws the page again
    page.wait_for_selector("#unshown:visible")
    assert page.locator("#photo").is_hidden()
    assert page.locator("#boxes rect").count() == 3


def test_numbers_of_one_row_stand_apart(open_page: Callable[..., Any]) -> None:
    page = open_page()
    answer = {
        "image": "-",
        "width": 300,
        "height": 100,
        "lines": [{"text": "7 7", "digits": "77", "confidence": 0.99, "accepted": True, "items": [], "marks": []}],
        "left_out": [{"box": [100, 20, 50, 60], "reason": "text"}],
    }
    item = {"digit": 7, "confidence": 0.99, "accepted": True, "alternatives": [], "framed": PIXEL}
    answer["lines"][0]["items"] = [item | {"box": [10, 10, 40, 80]}, item | {"box": [200, 10, 40, 80]}]
    page.route("**/v1/read*", lambda route: route.fulfill(json=answer))
    page.route("**/v1/explain*", lambda route: route.fulfill(json={"map": PIXEL}))
    draw(page, SEVEN, 100, 100)
    expect_text(page, "77")
    assert page.locator(".mark").bounding_box()["width"] > 8
    (left_out,) = page.locator("#boxes .left-out rect").all()
    assert left_out.evaluate("rect => getComputedStyle(rect).strokeDasharray") != "none"


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


def test_a_correction_reaches_the_file(open_page: Callable[..., Any], page_home: Path) -> None:
    before = len(Corrections(page_home / "corrections.sqlite3").all())
    page = open_page()
    draw(page, FOUR, 60, 60)
    draw(page, TWO, 190, 62)
    expect_text(page, "42")
    page.locator(".digit").nth(1).click()
    page.locator("#keys button").nth(3).click()
    expect_text(page, "43")
    assert page.locator(".digit.corrected").count() == 1
    kept = Corrections(page_home / "corrections.sqlite3").all()[before:]
    assert [(c.answer, c.truth) for c in kept] == [(2, 3)]
    assert kept[0].framed.max() > 200


def test_a_correction_says_not_a_digit_and_is_taken_back(open_page: Callable[..., Any], page_home: Path) -> None:
    store = Corrections(page_home / "corrections.sqlite3")
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
    for key in ("3", "5", "x"):
        page.keyboard.press(key)
    # The note said "undone" before these keys, so it cannot tell that the server has taken the last one back.
    page.wait_for_function("() => document.querySelector('#note').textContent !== 'undone'")
    page.keyboard.press("Backspace")
    page.wait_for_function("() => document.querySelector('#note').textContent === 'undone'")
    expect_text(page, "45")
    assert [c.truth for c in store.all()[before:]] == [3, 5]
    page.keyboard.press("Backspace")
    expect_text(page, "43")
    page.keyboard.press("Backspace")
    expect_text(page, "42")
    assert page.locator(".digit.corrected").count() == 0
    assert len(store.all()) == before
    store.close()
