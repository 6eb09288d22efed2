"""Ten thousand bad requests: no answer is 5xx, every refusal has the one shape, memory stays flat."""

import gc
import io
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from PIL import Image  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from inkdigits.reading.reader import Reader  # noqa: E402
from inkdigits.web import Settings, create_app  # noqa: E402

# More where time allows: INKDIGITS_FUZZ=10 runs ten times as many.
MORE = float(os.environ.get("INKDIGITS_FUZZ", "1"))
MOST_GROWTH_BYTES = 150_000_000
QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None, "derandomize": True}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("fuzz") / "corrections.sqlite3"
    return create_app(Reader(), Settings(corrections=path, patience_ms=0, max_pixels=2_000_000))


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def seeds() -> list[bytes]:
    """One small picture of every format, to be damaged."""
    pixels = np.full((24, 20), 240, np.uint8)
    pixels[4:20, 9:12] = 20
    made = []
    for kind, options in (
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        made.append(file.getvalue())
    return made


SEEDS = seeds()


@st.composite
def damaged_pictures(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.none(), st.integers(0, len(data))))
    return bytes(data[:cut]) + draw(st.binary(max_size=20))


BODIES = st.one_of(damaged_pictures(), damaged_pictures(), st.binary(max_size=200))
LAYOUTS = st.sampled_from(["digit", "number", "page", "NaN", "", "PAGE", "digit\0"])
FORM = "multipart/form-data"
TYPES = st.sampled_from(["image/png", "text/html", "", FORM, f"{FORM}; boundary=x", "a/b/c"])


def check(response: Any) -> None:
    assert response.status_code in (200, 400, 413, 414, 415, 422), (response.status_code, response.text)
    body = response.json()
    if response.status_code != 200:
        assert set(body) == {"error"}
        assert set(body["error"]) == {"code", "message"}


def resident_bytes() -> int:
    gc.collect()
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_damaged_pictures_never_break_the_server_nor_fill_its_memory(client: TestClient) -> None:
    @settings(max_examples=int(500 * MORE), **QUIET)
    @given(BODIES, LAYOUTS, TYPES)
    def warm_up(body: bytes, layout: str, kind: str) -> None:
        check(client.post("/v1/read", params={"layout": layout}, content=body, headers={"Content-Type": kind}))

    @settings(max_examples=int(7_000 * MORE), **QUIET)
    @given(BODIES, LAYOUTS, TYPES)
    def fuzz(body: bytes, layout: str, kind: str) -> None:
        check(client.post("/v1/read", params={"layout": layout}, content=body, headers={"Content-Type": kind}))

    warm_up()
    before = resident_bytes()
    fuzz()
    assert resident_bytes() - before < MOST_GROWTH_BYTES


def test_parameters_of_every_kind(client: TestClient) -> None:
    picture = SEEDS[0]
    values = st.one_of(st.text(max_size=20), st.integers().map(str), st.floats().map(str))

    @settings(max_examples=int(1_000 * MORE), **QUIET)
    @given(st.sampled_from(["/v1/read", "/v1/corrections", "/v1/explain", "/v1/read-many"]), st.data())
    def fuzz(path: str, data: st.DataObject) -> None:
        names = ["layout", "framed", "truth", "answer", "box", "digit", "x"]
        parameters = data.draw(st.dictionaries(st.sampled_from(names), values))
        check(client.post(path, params=parameters, content=picture))

    fuzz()


def test_forms_of_every_kind(client: TestClient) -> None:
    files = st.lists(st.tuples(st.text(max_size=8), st.tuples(st.text(max_size=30), BODIES)), max_size=5)

    @settings(max_examples=int(500 * MORE), **QUIET)
    @given(st.sampled_from(["/v1/read", "/v1/read-many", "/v1/corrections"]), files)
    def fuzz(path: str, parts: Any) -> None:
        check(client.post(path, files=parts))

    fuzz()


def test_the_openapi_document_is_kept(app: Any) -> None:
    """Schemathesis: whatever the document allows or forbids, answers are as it says, and never 5xx."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.checks.status_code_conformance,
        schemathesis.checks.content_type_conformance,
        schemathesis.checks.response_schema_conformance,
    ]
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=int(400 * MORE), **QUIET)
        @given(operation.as_strategy())
        def fuzz(case: Any) -> None:
            nonlocal tried
            tried += 1
            response = case.call()
            case.validate_response(response, checks=checks)

        fuzz()
    assert tried >= 1_000 * min(MORE, 1)
