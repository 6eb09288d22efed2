"""Corrections through HTTP."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")

from fake_reader import FakeReader
from starlette.testclient import TestClient
from web.server import line_drawing

from inkdigits.data.corrections import Corrections
from inkdigits.web import Settings, create_app


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    settings = Settings(corrections=tmp_path / "c.sqlite3", patience_ms=0)
    return TestClient(create_app(FakeReader(), settings))  # type: ignore[arg-type]


def test_a_corrected_digit_is_kept_with_its_framed_picture(client: TestClient, tmp_path: Path) -> None:
    item = client.post("/v1/read", content=line_drawing()).json()["lines"][0]["items"][0]
    box = ",".join(map(str, item["box"]))
    answer = client.post(f"/v1/corrections?truth=1&answer=7&box={box}", content=line_drawing())
    assert answer.json() == {"id": 1, "truth": 1, "answer": 7, "box": item["box"]}
    (kept,) = Corrections(tmp_path / "c.sqlite3").all()
    assert (kept.truth, kept.answer, kept.confidence, kept.box) == (1, 7, 0.99, tuple(item["box"]))
    assert np.array_equal(kept.framed, FakeReader().frame(np.zeros((28, 28), np.uint8)))


def test_a_digit_that_was_overlooked_can_be_corrected_too(client: TestClient) -> None:
    answer = client.post("/v1/corrections?truth=3&box=50,50,20,30", content=line_drawing())
    assert answer.json() == {"id": 1, "truth": 3, "answer": None, "box": [50, 50, 20, 30]}


def test_it_can_be_said_that_it_is_not_a_digit(client: TestClient, tmp_path: Path) -> None:
    answer = client.post("/v1/corrections?truth=none&answer=7", content=line_drawing())
    assert answer.json() == {"id": 1, "truth": None, "answer": 7, "box": [17, 17, 7, 67]}
    assert [c.truth for c in Corrections(tmp_path / "c.sqlite3").all()] == [None]


def test_a_correction_is_taken_back_by_its_number(client: TestClient, tmp_path: Path) -> None:
    number = client.post("/v1/corrections?truth=1", content=line_drawing()).json()["id"]
    assert client.delete(f"/v1/corrections/{number}").json() == {"id": number}
    assert Corrections(tmp_path / "c.sqlite3").all() == []
    for path, status, code in ((number, 404, "no_correction"), ("x", 422, "bad_path"), (2**63, 422, "bad_path")):
        response = client.delete(f"/v1/corrections/{path}")
        assert (response.status_code, response.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "query",
    [
        *(
            "",
            "truth=10",
            "truth=-1",
            "truth=NaN",
            "truth=",
            "truth=²",
            "truth=7&answer=x",
            "truth=7&answer=none",
            "truth=None",
            "truth=7&box=1,2,3",
        ),
        *("truth=7&box=a,b,c,d", "truth=7&box=NaN,0,1,1", "truth=7&box=0,0,0,5", "truth=7&box=900,900,5,5"),
    ],
)
def test_bad_corrections_are_rejected_and_not_kept(client: TestClient, tmp_path: Path, query: str) -> None:
    response = client.post(f"/v1/corrections?{query}", content=line_drawing())
    assert response.status_code == 422
    assert set(response.json()["error"]) == {"code", "message"}
    assert Corrections(tmp_path / "c.sqlite3").all() == []


def test_a_store_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(corrections=tmp_path / "file" / "c.sqlite3", patience_ms=0)
    client = TestClient(create_app(FakeReader(), settings))  # type: ignore[arg-type]
    response = client.post("/v1/corrections?truth=1", content=line_drawing())
    assert response.status_code == 507
    assert response.json()["error"]["code"] == "not_kept"
    assert str(tmp_path) not in response.text
