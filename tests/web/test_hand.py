"""The page learns the hand that corrected: through HTTP, and in a browser."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")

from starlette.testclient import TestClient
from web.page import FOUR, SEVEN, WAIT_MS, Stroke, draw, needs_browser
from web.server import start_server, stop

from inkdigits.data import corrections
from inkdigits.personal.hands import hand_path
from inkdigits.reading.adapted import newest
from inkdigits.reading.reader import Reader
from inkdigits.web import Settings, create_app


def turned(strokes: list[Stroke], degrees: float) -> list[Stroke]:
    matrix = cv2.getRotationMatrix2D((35, 55), degrees, 1.0)
    return [[tuple((matrix @ (x, y, 1)).tolist()) for x, y in stroke] for stroke in strokes]


# So turned, the networks that ship read the one as a 1 and the other as an 8.
THEIR_SEVEN, THEIR_FOUR = turned(SEVEN, 60), turned(FOUR, -50)


def drawing(strokes: list[Stroke], wobble: np.random.Generator) -> bytes:
    image = np.full((240, 260), 255, np.uint8)
    for stroke in strokes:
        points = np.array(stroke) + np.array((90, 60)) + wobble.normal(0, 2, (len(stroke), 2))
        cv2.polylines(image, [np.rint(points).astype(np.int32)], False, 0, 10, cv2.LINE_AA)
    return cv2.imencode(".png", image)[1].tobytes()


@pytest.fixture
def client(home: Path) -> TestClient:
    return TestClient(create_app(Reader(), Settings(patience_ms=0)))


def correct(client: TestClient, n: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for i in range(n):
        truth, strokes = ((7, THEIR_SEVEN), (4, THEIR_FOUR))[i % 2]
        assert client.post(f"/v1/corrections?layout=digit&truth={truth}", content=drawing(strokes, rng)).is_success


def digit_of(client: TestClient, strokes: list[Stroke]) -> int:
    picture = drawing(strokes, np.random.default_rng(99))
    return int(client.post("/v1/read?layout=digit", content=picture).json()["lines"][0]["items"][0]["digit"])


def test_a_hand_is_learned_used_at_once_and_forgotten(client: TestClient, home: Path) -> None:
    correct(client, 24)
    before = client.get("/v1/hand").json()
    assert before == {"hand": "me", "corrections": 24, "needed": 20, "can_learn": True, "learned": None}
    wrong = [digit_of(client, strokes) for strokes in (THEIR_SEVEN, THEIR_FOUR)]
    model = client.get("/v1/model").json()
    answer = client.post("/v1/hand").json()
    assert answer["kept"], answer
    assert str(home) not in json.dumps(answer)
    assert answer["digits"]["errors_after"] < answer["digits"]["errors_before"]
    assert [digit_of(client, strokes) for strokes in (THEIR_SEVEN, THEIR_FOUR)] == [7, 4] != wrong
    assert client.get("/v1/hand").json()["learned"]["n"] == 24
    correct(client, 1, seed=1)
    assert client.get("/v1/hand").json()["corrections"] == 25
    assert client.get("/v1/model").json()["name"] == "me-0001"
    assert newest(home / "hands" / "me") is not None
    assert client.delete("/v1/hand").json()["learned"] is None
    nothing = client.delete("/v1/hand")
    assert (nothing.status_code, nothing.json()["error"]["message"]) == (409, "nothing was learned yet")
    assert client.get("/v1/model").json() == model


def test_each_hand_has_corrections_of_its_own(client: TestClient, home: Path) -> None:
    correct(client, 24)
    assert client.post("/v1/hand").json()["kept"]
    (home / "hands" / "me").rename(home / "hands" / "anna")
    as_anna = TestClient(create_app(Reader(home / "hands" / "anna"), Settings(patience_ms=0)))
    assert as_anna.get("/v1/hand").json() | {"learned": None} == {
        "hand": "anna", "corrections": 0, "needed": 20, "can_learn": True, "learned": None
    }  # fmt: skip
    correct(as_anna, 2, seed=1)
    assert as_anna.get("/v1/hand").json()["corrections"] == 2
    assert as_anna.post("/v1/hand").json()["error"]["message"].startswith("2 examples of the hand")
    assert client.get("/v1/hand").json()["corrections"] == 24


def test_a_home_that_may_only_be_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is read; what would be written is one clear line."""
    correct(client, 24)
    assert client.post("/v1/hand").json()["kept"]

    def forbidden(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(corrections, "open_database", forbidden)
    monkeypatch.setattr(Path, "rename", forbidden)
    other = TestClient(create_app(Reader(hand_path("me")), Settings(patience_ms=0)))
    state = other.get("/v1/hand")
    assert (state.status_code, state.json()["corrections"]) == (200, 24)
    answer = other.delete("/v1/hand")
    assert answer.status_code == 507
    assert "cannot be written (Permission denied)" in answer.json()["error"]["message"]
    assert len(corrections.load_corrections()) == 24


def test_too_few_corrections_are_an_error(client: TestClient) -> None:
    correct(client, 3)
    answer = client.post("/v1/hand")
    assert answer.status_code == 409, answer.text
    assert answer.json()["error"]["message"] == "3 examples of the hand: at least 20 are needed"


def test_a_model_of_ones_own_learns_no_hand(home: Path, tiny_model: Path) -> None:
    client = TestClient(create_app(Reader(tiny_model), Settings(patience_ms=0)))
    assert client.get("/v1/hand").json()["can_learn"] is False
    assert client.post("/v1/hand").status_code == 409


@needs_browser
def test_25_corrections_in_the_browser_and_the_figure(browser: Any, tmp_path: Path) -> None:
    server, address = start_server(tmp_path / "home")
    try:
        page = browser.new_page(viewport={"width": 1180, "height": 760})
        page.set_default_timeout(WAIT_MS)
        page.goto(address)
        assert page.locator("#hand").is_hidden()
        rng = np.random.default_rng(1)
        for i in range(25):
            truth, strokes = ((7, THEIR_SEVEN), (4, THEIR_FOUR))[i % 2]
            wobbly = [[(x + rng.normal(0, 2), y + rng.normal(0, 2)) for x, y in stroke] for stroke in strokes]
            draw(page, wobbly, 120 + 8 * i, 120)
            page.wait_for_selector("#lines:not([aria-busy=true]) .digit")
            page.click(f"#keys button:nth-child({truth + 1})")
            page.wait_for_function(
                "n => document.querySelector('#hand-state').textContent.startsWith(n)", arg=f"{i + 1} "
            )
            assert page.locator("#learn").is_enabled() == (i >= 19)
            page.click("#clear")
        page.click("#learn")
        page.wait_for_function("() => document.querySelector('#hand-state').textContent.startsWith('Learned from 25')")
        assert "errors on held-out ones. · 25 corrections" in page.locator("#hand-state").inner_text()
        page.screenshot(path=tmp_path / "hand.png")
        draw(page, THEIR_FOUR, 200, 120)
        page.wait_for_selector("#lines:not([aria-busy=true]) .digit")
        page.click("#forget")
        page.wait_for_function("() => document.querySelector('#hand-state').textContent === 'reads as before'")
        page.close()
    finally:
        stop(server)


def test_a_learned_hand_is_served_after_a_restart(client: TestClient, home: Path) -> None:
    correct(client, 24)
    assert client.post("/v1/hand").json()["kept"]
    server, _ = start_server(home)
    server.terminate()
    _, said = server.communicate(timeout=60)
    assert "reads as it learned from your corrections (hand 'me')" in said
