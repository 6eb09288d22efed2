"""A reader for all, a client for each test; one server and one browser for all tests of the page."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from web.page import BROWSER, DESKTOP, FLAGS, WAIT_MS
from web.server import start_server, stop

from inkdigits.reading.reader import Reader
from inkdigits.web import Settings


@pytest.fixture(scope="session")
def reader() -> Reader:
    return Reader()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(corrections=tmp_path / "corrections.sqlite3", patience_ms=0)


@pytest.fixture
def client(reader: Reader, settings: Settings) -> Iterator[Any]:
    from starlette.testclient import TestClient

    from inkdigits.web import create_app

    with TestClient(create_app(reader, settings)) as client:
        yield client


@pytest.fixture(scope="session")
def page_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def address(page_home: Path) -> Iterator[str]:
    pytest.importorskip("fastapi", reason="the extra `web` is not installed")
    server, address = start_server(page_home)
    yield address
    stop(server)


@pytest.fixture(scope="module")  # as long as it lives, no other test of its process can run an event loop
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
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


@pytest.fixture(scope="session")
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
