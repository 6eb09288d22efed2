"""A reader for all, and a client for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")

from starlette.testclient import TestClient

from inkdigits.reading.reader import Reader
from inkdigits.web import Settings, create_app


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(corrections=tmp_path / "corrections.sqlite3", patience_ms=0)


@pytest.fixture
def client(reader: Reader, settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(reader, settings)) as client:
        yield client
