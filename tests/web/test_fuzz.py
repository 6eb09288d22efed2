"""Ten thousand bad requests: no answer is 5xx, every error has the one form, memory stays flat."""

import gc
import io
import os
import random
import resource
import string
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

pytest.importorskip("stdnum", reason="the extra `forms` is not installed")

from forms.made import page_of  # noqa: E402
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from PIL import Image  # noqa: E402
from web.server import AsgiClient, Post, Response  # noqa: E402

from inkdigits.forms.demo import save_demo_form  # noqa: E402
from inkdigits.forms.job import Job  # noqa: E402
from inkdigits.forms.read import FormAnswer  # noqa: E402
from inkdigits.reading.reader import Reader  # noqa: E402
from inkdigits.web import Settings, create_app  # noqa: E402

# More where time allows: INKDIGITS_FUZZ=10 runs ten times as many.
MORE = float(os.environ.get("INKDIGITS_FUZZ", "1"))
MOST_GROWTH_BYTES = 150_000_000
AT_ONCE = 10  # requests under way together, so that a bad picture stands among others in one call of the model


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("fuzz")
    settings = Settings(corrections=home / "corrections.sqlite3", patience_ms=0, max_pixels=2_000_000)
    (home / "forms" / "1").mkdir(parents=True)
    save_demo_form(home / "forms" / "1")
    job = Job.begin(home / "job", home / "forms" / "1")
    job.add(page_of(job.form, "a.png", {"total": ("3", 0.5)}))
    job.add(FormAnswer(["b.png"], problem="a fold", scan=np.full((90, 70), 240, np.uint8), digest="b" * 64))
    app = create_app(Reader(), settings, job, home / "forms")
    yield app
    app.state.api.close()
    job.close()


@pytest.fixture(scope="module")
def client(app: Any) -> Iterator[AsgiClient]:
    client = AsgiClient(app)
    yield client
    client.close()


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
LAYOUTS = ("digit", "number", "page", "NaN", "", "PAGE", "digit\0")
FORM = "multipart/form-data"
TYPES = ("image/png", "text/html", "", FORM, f"{FORM}; boundary=x", "a/b/c")
PATHS = ("/v1/read", "/v1/corrections", "/v1/explain", "/v1/read-many")
NAMES = ("layout", "framed", "truth", "answer", "box", "digit", "x")
VALUES = ("", "0", "1", "9", "10", "-1", "true", "none", "page", "digit", "1,2,3,4", "0,0,20,24", "NaN", "inf", "1e99")


def damaged_picture(rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randrange(7)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    cut = rng.randrange(len(data) + 1) if rng.random() < 0.5 else len(data)
    return bytes(data[:cut]) + rng.randbytes(rng.randrange(21))


def any_text(rng: random.Random, longest: int) -> str:
    alphabet = string.printable + "\0²½٣७Åß→\U0001f58a"
    return "".join(rng.choices(alphabet, k=rng.randrange(longest)))


def any_form(rng: random.Random) -> bytes:
    """The body of a form with boundary x, mostly well-formed."""
    parts = []
    for _ in range(rng.randrange(6)):
        name, file_name = any_text(rng, 8).replace("\n", ""), any_text(rng, 30).replace("\n", "")
        head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n\r\n'
        parts.append(head.encode() + damaged_picture(rng) + b"\r\n")
    return b"".join(parts) + (b"--x--\r\n" if rng.random() < 0.9 else b"")


def check(post: Post, response: Response) -> None:
    assert response.status_code in (200, 400, 413, 414, 415, 422), (post, response)
    body = response.json()
    if response.status_code != 200:
        assert set(body) == {"error"}, post
        assert set(body["error"]) == {"code", "message"}, post


def check_all(client: AsgiClient, posts: list[Post]) -> set[int]:
    """Send all; return the statuses that came."""
    statuses = set()
    for i in range(0, len(posts), AT_ONCE):
        together = posts[i : i + AT_ONCE]
        for post, response in zip(together, client.post_all(together), strict=True):
            check(post, response)
            statuses.add(response.status_code)
    return statuses


def resident_bytes() -> int:
    gc.collect()
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_damaged_pictures_never_break_the_server_nor_fill_its_memory(client: AsgiClient) -> None:
    rng = random.Random(0)

    def posts(n: int) -> list[Post]:
        return [
            Post("/v1/read", urlencode({"layout": rng.choice(LAYOUTS)}), damaged_picture(rng), rng.choice(TYPES))
            for _ in range(n)
        ]

    check_all(client, posts(int(500 * MORE)))  # warm up
    before = resident_bytes()
    assert check_all(client, posts(int(7_000 * MORE))) >= {200, 400, 415, 422}
    assert resident_bytes() - before < MOST_GROWTH_BYTES


def test_parameters_of_every_kind(client: AsgiClient) -> None:
    rng = random.Random(1)

    def query() -> str:
        names = rng.sample(NAMES, rng.randrange(len(NAMES)))
        return urlencode({name: rng.choice((rng.choice(VALUES), any_text(rng, 20))) for name in names})

    posts = [Post(rng.choice(PATHS), query(), SEEDS[0]) for _ in range(int(1_000 * MORE))]
    assert check_all(client, posts) >= {200, 422}


def test_forms_of_every_kind(client: AsgiClient) -> None:
    rng = random.Random(2)
    paths = ("/v1/read", "/v1/read-many", "/v1/corrections")
    posts = [Post(rng.choice(paths), "", any_form(rng), f"{FORM}; boundary=x") for _ in range(int(500 * MORE))]
    assert check_all(client, posts) >= {200, 400, 422}


def test_the_openapi_document_is_kept(app: Any) -> None:
    """Schemathesis: whatever the document allows or forbids, answers are as it says, and never 5xx."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.checks.status_code_conformance,
        schemathesis.checks.content_type_conformance,
        schemathesis.checks.response_schema_conformance,
    ]
    tried: dict[str, int] = {}
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=int(60 * MORE),
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
            phases=[Phase.generate],
        )
        @given(operation.as_strategy())
        def fuzz(case: Any) -> None:
            tried[case.operation.label] = tried.get(case.operation.label, 0) + 1
            case.validate_response(case.call(), checks=checks)

        fuzz()
    assert len(tried) == 29
    assert sum(tried.values()) >= 200 * min(MORE, 1)
