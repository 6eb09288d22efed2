"""Who may ask: tokens, origins, hosts; what every answer carries."""

import re
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")

from fake_reader import FakeReader
from fastapi import FastAPI
from starlette.testclient import TestClient
from web.http import client_of, drawing, encoded, error_of

from inkdigits.reading.reader import Reader
from inkdigits.web import Settings, create_app


def test_a_token_is_asked_for(reader: Reader, tmp_path: Path) -> None:
    client = client_of(reader, Settings(token="open-sesame", corrections=tmp_path / "c"))
    data = encoded(drawing())
    for header in ("", "Bearer", "Bearer wrong", "Basic open-sesame", "Bearer öpen"):
        response = client.post("/v1/read", content=data, headers={"Authorization": header.encode()})
        assert error_of(response, 401) == "no_token"
        assert response.headers["www-authenticate"] == "Bearer"
    good = {"Authorization": "Bearer open-sesame"}
    assert client.post("/v1/read", content=data, headers=good).status_code == 200
    for path in ("/v1/model", "/metrics"):
        assert error_of(client.get(path), 401) == "no_token"
        assert client.get(path, headers=good).status_code == 200
    for path in ("/", "/docs", "/health", "/ready", "/openapi.json"):
        assert client.get(path).status_code == 200


def test_other_origins_are_rejected_unless_allowed(reader: Reader, tmp_path: Path) -> None:
    data = encoded(drawing())
    other = {"Origin": "https://example.org"}
    closed = client_of(reader, Settings(corrections=tmp_path / "c"))
    assert error_of(closed.post("/v1/read", content=data, headers=other), 403) == "foreign_origin"
    assert error_of(closed.post("/v1/read", content=data, headers={"Origin": "null"}), 403) == "foreign_origin"
    assert closed.post("/v1/read", content=data, headers={"Origin": "http://testserver"}).status_code == 200
    allowing = client_of(reader, Settings(allow_origins=("https://example.org",), corrections=tmp_path / "c"))
    response = allowing.post("/v1/read", content=data, headers=other)
    assert response.headers["access-control-allow-origin"] == "https://example.org"
    asked = other | {"Access-Control-Request-Method": "POST"}
    preflight = allowing.options("/v1/read", headers=asked)
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://example.org"
    assert "access-control-allow-origin" not in allowing.get("/health").headers
    assert "Origin" in allowing.get("/health").headers["vary"]
    asked = other | {"Access-Control-Request-Method": "PUT"}
    assert error_of(allowing.options("/v1/read", headers=asked), 400) == "bad_preflight"


def test_errors_can_be_read_by_pages_of_allowed_origins_too(tmp_path: Path) -> None:
    origin = "https://example.org"
    settings = Settings(allow_origins=(origin,), token="sesame", corrections=tmp_path / "c")
    client = client_of(FakeReader(), settings)
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    assert client.options("/v1/read", headers=asked).status_code == 204  # a preflight has no token
    response = client.post("/v1/read", content=b"", headers={"Origin": origin})
    assert error_of(response, 401) == "no_token"
    assert response.headers["access-control-allow-origin"] == origin
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_app_may_be_mounted_and_keeps_its_token(tmp_path: Path) -> None:
    outer = FastAPI()
    outer.mount("/ink", create_app(FakeReader(), Settings(token="sesame", corrections=tmp_path / "c")))  # type: ignore[arg-type]
    client = TestClient(outer)
    good = {"Authorization": "Bearer sesame"}
    for path in ("/ink/v1/read", "/ink/v1/read-many"):
        assert error_of(client.post(path, content=encoded(drawing())), 401) == "no_token"
    assert client.post("/ink/v1/read", content=encoded(drawing()), headers=good).json()["lines"]
    metrics = client.get("/ink/metrics", headers=good).text
    assert 'inkdigits_requests_total{route="/v1/read",status="200"} 1.0' in metrics
    page = client.get("/ink/").text
    linked = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert len(linked) > 3
    for link in linked:
        assert client.get(f"/ink/{link}").status_code == 200


def test_a_server_on_loopback_answers_to_its_own_names_alone(reader: Reader, tmp_path: Path) -> None:
    client = client_of(reader, Settings(hosts=("localhost", "127.0.0.1", "[::1]"), corrections=tmp_path / "c"))
    assert error_of(client.get("/health", headers={"Host": "evil.example"}), 421) == "unknown_host"
    assert error_of(client.get("/health", headers={"Host": "localhost.evil.example:8000"}), 421) == "unknown_host"
    for host in ("localhost", "localhost:8000", "127.0.0.1:1", "[::1]:8000"):
        assert client.get("/health", headers={"Host": host}).status_code == 200
