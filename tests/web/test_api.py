"""The HTTP API, in process: answers and bad input."""

import asyncio
import base64
import io
import json
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")

from fake_reader import FakeReader
from PIL import Image
from starlette.testclient import TestClient
from web.http import client_of, drawing, encoded, error_of

from inkdigits.files.images import read_image
from inkdigits.reading.explain import occlusion_map
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading
from inkdigits.web import Settings, create_app
from inkdigits.web.decoder import Decoder
from inkdigits.web.errors import RequestError


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# ------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize("layout", ["digit", "number", "page"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tiff"])
def test_library_command_line_and_api_answer_alike_to_the_bit(
    client: TestClient, reader: Reader, tmp_path: Path, layout: str, suffix: str
) -> None:
    data = encoded(drawing(), suffix)
    (tmp_path / f"seven{suffix}").write_bytes(data)
    answer = client.post(f"/v1/read?layout={layout}", content=data).json()
    assert answer == {"image": "-"} | json.loads(json.dumps(reader.read(data, layout).to_dict()))
    assert answer["lines"][0]["text"] == "7"
    if suffix == ".png":
        command = [sys.executable, "-m", "inkdigits", "read", str(tmp_path / "seven.png"), "--json"]
        done = subprocess.run([*command, "--layout", layout], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["lines"] == answer["lines"]


def test_the_page_is_the_default_layout(client: TestClient) -> None:
    data = encoded(drawing())
    assert client.post("/v1/read", content=data).json() == client.post("/v1/read?layout=page", content=data).json()


def test_a_form_is_read_like_a_body_and_keeps_the_name(client: TestClient) -> None:
    data = encoded(drawing())
    answer = client.post("/v1/read", files={"image": ("seven.png", data)}, data={"layout": "digit"}).json()
    assert answer == client.post("/v1/read?layout=digit", content=data).json() | {"image": "seven.png"}


def test_framed_pictures_come_on_request(client: TestClient, reader: Reader) -> None:
    data = encoded(drawing())
    plain = client.post("/v1/read", content=data).json()
    answer = client.post("/v1/read?framed=true", content=data).json()
    framed = answer["lines"][0]["items"][0].pop("framed")
    assert answer == plain
    image = read_image(base64.b64decode(framed))
    assert np.array_equal(image, reader.read(data).lines[0].items[0].framed)


def test_a_blank_picture_has_no_lines(client: TestClient) -> None:
    answer = client.post("/v1/read", content=encoded(np.full((50, 60), 255, np.uint8))).json()
    assert answer == {"image": "-", "width": 60, "height": 50, "lines": [], "left_out": []}


def test_many_pictures_answer_in_order_and_a_bad_one_stops_no_other(client: TestClient) -> None:
    good = encoded(drawing())
    files = [("images", ("a.png", good)), ("images", ("b.txt", b"hello")), ("images", ("c.png", good))]
    pictures = client.post("/v1/read-many", files=files).json()["pictures"]
    assert [picture["image"] for picture in pictures] == ["a.png", "b.txt", "c.png"]
    assert "error" in pictures[1]
    assert pictures[0] == client.post("/v1/read", files={"image": ("a.png", good)}).json()


def test_an_explanation_names_the_ink_that_mattered(client: TestClient) -> None:
    answer = client.post("/v1/read?framed=true&layout=digit", content=encoded(drawing())).json()
    item = answer["lines"][0]["items"][0]
    why = client.post("/v1/explain", content=base64.b64decode(item["framed"])).json()
    assert why["digit"] == 7
    assert why["confidence"] == pytest.approx(item["confidence"], abs=1e-6)
    importance = np.array(why["importance"])
    framed = read_image(base64.b64decode(item["framed"]))
    assert importance.shape == (28, 28)
    assert importance.max() > 0.02
    assert not importance[framed == 0].any()
    assert read_image(base64.b64decode(why["map"])).shape == (280, 280)


def test_the_occlusion_map_is_the_mean_loss_over_the_patches_that_cover_a_pixel() -> None:
    framed = FakeReader().frame(np.zeros((1, 1), np.uint8))
    importance = occlusion_map(FakeReader(), framed, 7)  # type: ignore[arg-type]
    slow = np.zeros((28, 28))
    covers = np.zeros((28, 28))
    for y in range(-4, 28, 2):
        for x in range(-4, 28, 2):
            covered = framed.copy()
            covered[max(0, y) : y + 5, max(0, x) : x + 5] = 0
            before, after = (float(FakeReader().classify(i[None]).probabilities[0, 7]) for i in (framed, covered))
            slow[max(0, y) : y + 5, max(0, x) : x + 5] += before - after
            covers[max(0, y) : y + 5, max(0, x) : x + 5] += 1
    ink = framed > 0
    # Patches over bare paper lose nothing, so leaving them out changes the mean only where there is no ink.
    assert np.allclose(importance[ink], (slow / covers)[ink], atol=1e-6)


def test_model_health_ready_and_metrics(client: TestClient, reader: Reader) -> None:
    client.post("/v1/read", content=encoded(drawing()))
    client.post("/v1/read", content=b"nothing")
    assert client.get("/v1/model").json() == reader.card | {"fingerprint": client.app.state.api.model}
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready"}
    text = client.get("/metrics").text
    assert 'inkdigits_requests_total{route="/v1/read",status="200"} 1.0' in text
    assert 'inkdigits_requests_total{route="/v1/read",status="415"} 1.0' in text
    assert 'inkdigits_digits_total{digit="7"} 1.0' in text
    assert "inkdigits_digits_rejected_total 0.0" in text
    assert "inkdigits_digit_confidence_bucket" in text
    assert 'inkdigits_request_seconds_count{route="/v1/read"} 2.0' in text


def test_metrics_know_no_paths_but_our_own(client: TestClient) -> None:
    for i in range(20):
        error_of(client.get(f"/nowhere/{i}"), 404)
    text = client.get("/metrics").text
    assert "nowhere" not in text
    assert 'route="other",status="404"} 20.0' in text


@pytest.mark.parametrize("path", ["/", "/docs", "/static/app.js", "/static/style.css"])
def test_pages_name_no_outside_address_and_are_not_sent_twice(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    assert "http://" not in response.text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in response.text
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert client.get(path, headers={"If-None-Match": response.headers["etag"]}).status_code == 304
    assert client.head(path).status_code == 200


def test_the_document_describes_every_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    expected = {"/v1/read", "/v1/read-many", "/v1/explain", "/v1/corrections", "/v1/corrections/{number}", "/v1/model"}
    expected |= {"/v1/hand"}
    assert set(document["paths"]) == expected | {"/health", "/ready", "/metrics"}


# ------------------------------------------------------------------------------------------------ bad input


def png_claiming(width: int, height: int) -> bytes:
    """A valid head of a PNG of any size, with next to no pixels behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "empty"),
        (b"hello", 415, "unknown_format"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "unknown_format"),
        (b"P5 1 1 255 \0", 415, "unknown_format"),
        (b"%PDF-1.4", 415, "unknown_format"),
        (encoded(drawing())[:200], 422, "unreadable_picture"),
        (encoded(drawing(), ".jpg")[:300], 422, "unreadable_picture"),
        (b"\x89PNG\r\n\x1a\n", 422, "unreadable_picture"),
        (png_claiming(60_000, 60_000), 422, "unreadable_picture"),
        (png_claiming(0, 10), 422, "unreadable_picture"),
        (png_claiming(2**31 - 1, 2**31 - 1), 422, "unreadable_picture"),
        (b"GIF89a" + b"\xff" * 50, 422, "unreadable_picture"),
        (b"RIFF\xff\xff\xff\xffWEBPVP8 ", 422, "unreadable_picture"),
        (b"II*\0" + b"\xff" * 20, 422, "unreadable_picture"),
    ],
)
@pytest.mark.parametrize("layout", ["digit", "page"])
def test_bad_pictures(client: TestClient, data: bytes, status: int, code: str, layout: str) -> None:
    assert error_of(client.post(f"/v1/read?layout={layout}", content=data), status) == code


def test_unusual_pictures_are_read(client: TestClient) -> None:
    grey = Image.fromarray(drawing())
    frames = [grey, Image.new("L", grey.size, 255)]
    unusual = {
        "CMYK": saved(grey.convert("CMYK"), "JPEG"),
        "16 bit": encoded(drawing().astype(np.uint16) * 257),
        "animated GIF": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "animated WebP": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "palette": saved(grey.convert("P"), "PNG"),
        "progressive": saved(grey, "JPEG", progressive=True),
        "EXIF": saved(grey, "JPEG", exif=Image.Exif()),
    }
    for name, data in unusual.items():
        lines = client.post("/v1/read", content=data).json()["lines"]
        assert [line["text"] for line in lines] == ["7"], name


def test_a_strip_of_100_000_pixels_is_answered(client: TestClient) -> None:
    strip = np.full((1, 100_000), 255, np.uint8)
    for layout in ("digit", "number", "page"):
        for image in (strip, np.ascontiguousarray(strip.T)):
            response = client.post(f"/v1/read?layout={layout}", content=encoded(image))
            assert response.json()["lines"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("layout=sideways", "unknown_layout"),
        ("layout=", "unknown_layout"),
        ("layout=NaN", "unknown_layout"),
        ("framed=perhaps", "bad_framed"),
        ("framed=NaN", "bad_framed"),
    ],
)
def test_bad_parameters(client: TestClient, query: str, code: str) -> None:
    assert error_of(client.post(f"/v1/read?{query}", content=encoded(drawing())), 422) == code


def test_a_query_of_a_megabyte_is_rejected(client: TestClient) -> None:
    # Through the app, not the test client's URL parser, which has a limit of its own.
    assert error_of(client.post("/v1/read?" + "a=1&" * 5_000, content=encoded(drawing())), 414) == "query_too_long"


def test_bodies_over_the_limit_are_rejected_by_their_head_and_while_they_come(reader: Reader, tmp_path: Path) -> None:
    client = client_of(reader, Settings(corrections=tmp_path / "c", max_body_bytes=1_000))
    assert error_of(client.post("/v1/read", content=b"x" * 1_001), 413) == "too_large"
    sent: list[int] = []

    def endless() -> Iterator[bytes]:
        for i in range(1_000):
            sent.append(i)
            yield b"x" * 100

    assert error_of(client.post("/v1/read", content=endless()), 413) == "too_large"
    assert client.app.state.api.bodies.n_held_bytes == 0


def test_a_body_that_never_ends_is_given_up(settings: Settings) -> None:
    from dataclasses import replace

    app = create_app(FakeReader(), replace(settings, body_limit_s=0.1))  # type: ignore[arg-type]
    answer: list[dict[str, Any]] = []

    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            await asyncio.sleep(60)
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            answer.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/read", "headers": [], "query_string": b""}
        await app(scope, receive, send)  # type: ignore[arg-type]

    asyncio.run(ask())
    assert answer[0]["status"] == 408
    assert (b"connection", b"close") in answer[0]["headers"]


def test_too_many_bytes_at_once_are_rejected(settings: Settings) -> None:
    from dataclasses import replace

    client = client_of(FakeReader(), replace(settings, max_held_bytes=100))
    response = client.post("/v1/read", content=encoded(drawing()))
    assert error_of(response, 503) == "busy"
    assert response.headers["retry-after"] == "1"


def test_forms(client: TestClient) -> None:
    data = encoded(drawing())
    assert error_of(client.post("/v1/read", files=[("a", data), ("b", data)]), 400) == "not_one_picture"
    assert error_of(client.post("/v1/read", files=[("a", b"")]), 400) == "empty"
    form = {"Content-Type": "multipart/form-data"}
    assert error_of(client.post("/v1/read", content=b"x", headers=form), 400) == "bad_form"
    form = {"Content-Type": "multipart/form-data; boundary=abc"}
    for body in (b"", b"x", b"--abc", b"--abc\r\n\r\n", b"--abc\r\nContent-Disposition: form-data\r\n\r\nx\r\n--abc--"):
        assert error_of(client.post("/v1/read-many", content=body, headers=form), 400)
    assert error_of(client.post("/v1/read-many", content=b""), 400) == "empty"
    head = b'--abc\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    cut_short = head + data + b"\r\n" + head + data[:50]
    assert error_of(client.post("/v1/read-many", content=cut_short, headers=form), 400) == "bad_form"
    many = [("images", (f"{i}.png", b"x")) for i in range(10_000)]
    assert error_of(client.post("/v1/read-many", files=many), 413) == "too_many_files"


def test_other_methods_and_paths_have_the_same_shape(client: TestClient) -> None:
    assert error_of(client.get("/v1/read"), 405) == "method_not_allowed"
    assert error_of(client.get("/v1/nothing"), 404) == "not_found"
    assert error_of(client.get("/static/../app.py"), 404) == "not_found"
    assert error_of(client.get("/static/%2e%2e/app.py"), 404) == "not_found"


def test_an_error_of_ours_says_nothing_of_the_inside(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeReader):
        def read_many(self, images: Any, layout: str) -> list[PageReading]:
            raise RuntimeError("secret")

    response = client_of(Broken(), settings).post("/v1/read", content=encoded(drawing()))
    assert error_of(response, 500) == "internal"
    assert "secret" not in response.text
    assert "secret" in caplog.text


def test_a_decoder_that_takes_too_long_is_killed_and_the_next_picture_is_read() -> None:
    # Each scan of a progressive JPEG is a pass over all its pixels; a few bytes a scan are enough.
    picture = saved(Image.new("L", (6_000, 6_000), 255), "JPEG", progressive=True)
    start = picture.rindex(b"\xff\xda")
    bomb = picture[:start] + picture[start:-2] * 2_000 + b"\xff\xd9"
    decoder = Decoder(1, 1, 1.0)
    try:
        asyncio.run(decoder.decode(encoded(drawing(), ".jpg"), 50_000_000))  # starts the process
        (process,) = decoder._free
        with pytest.raises(RequestError, match="longer than 1 s"):
            asyncio.run(decoder.decode(bomb, 50_000_000))
        assert process.returncode == -signal.SIGKILL
        data = encoded(drawing(), ".jpg")
        assert np.array_equal(asyncio.run(decoder.decode(data, 50_000_000)), read_image(data))
    finally:
        decoder.close()
