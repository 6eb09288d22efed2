"""The page for everybody: keyboard, phone, languages, tokens, no connection, screen readers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from web.page import (
    DESKTOP,
    FOUR,
    PHONE,
    SEVEN,
    STAR,
    TWO,
    draw,
    expect_note,
    expect_text,
    needs_browser,
    sheet,
    violations,
)
from web.server import start_server, stop

from inkdigits.data.corrections import Corrections

pytestmark = needs_browser


def test_the_keyboard_alone_is_enough(open_page: Callable[..., Any], page_home: Path) -> None:
    before = len(Corrections(page_home / "corrections.sqlite3").all())
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
    kept = Corrections(page_home / "corrections.sqlite3").all()[before:]
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
    assert small == 0, "buttons that a finger cannot hit"


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


def test_a_stroke_goes_on_when_the_token_is_asked_for_within_it(browser: Any, tmp_path: Path) -> None:
    server, address = start_server(tmp_path, "--token", "sesame")
    try:
        page = browser.new_context(viewport=DESKTOP, locale="en-GB").new_page()
        page.goto(address)
        box, (start, *rest) = page.locator("#pad").bounding_box(), SEVEN[0]
        page.mouse.move(box["x"] + 100 + start[0], box["y"] + 100 + start[1])
        page.mouse.down()
        expect_note(page, "asks for a token")
        for x, y in rest:
            page.mouse.move(box["x"] + 100 + x, box["y"] + 100 + y, steps=5)
        page.mouse.up()
        page.fill("#token", "sesame")
        page.keyboard.press("Enter")
        expect_text(page, "7")
        page.context.close()
    finally:
        stop(server)


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
        stop(server)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing(
    open_page: Callable[..., Any], axe: str, tmp_path: Path, viewport: dict[str, int], scheme: str
) -> None:
    page = open_page(viewport, color_scheme=scheme)
    assert violations(page, axe) == []
    draw(page, FOUR, 60, 60)
    draw(page, STAR, 190, 62)
    page.wait_for_selector(".digit")
    page.wait_for_function("() => document.querySelector('#map').naturalWidth === 280")
    assert violations(page, axe) == []
    sheet(tmp_path / "sheet.jpg")
    page.set_input_files("#file", tmp_path / "sheet.jpg")
    expect_text(page, "427")
    page.locator("#keys button").nth(3).click()
    page.wait_for_selector(".digit.corrected")
    page.locator(".digit").nth(1).click()
    page.click("#not-digit")
    page.wait_for_selector(".digit.removed")
    page.click("#larger")
    assert violations(page, axe) == []
    documents = open_page(viewport, "docs", color_scheme=scheme)
    documents.wait_for_selector("details")
    documents.locator("summary").first.click()
    assert violations(documents, axe) == []


def test_nothing_moves_for_those_who_asked_so(open_page: Callable[..., Any]) -> None:
    page = open_page(reduced_motion="reduce")
    moving = page.evaluate(
        """[...document.querySelectorAll("*")]
            .filter((e) => !/^0s(, 0s)*$/.test(getComputedStyle(e).transitionDuration)).length"""
    )
    assert moving == 0
    assert re.search("prefers-reduced-motion", page.evaluate("fetch('/static/style.css').then((r) => r.text())"))
