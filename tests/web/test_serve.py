"""`inkdigits serve` as a process: killed, stopped, asked nonsense, started with settings that make no sense."""

import concurrent.futures
import contextlib
import json
import signal
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra `web` is not installed")

from web.server import line_drawing, port_of, start_server, stop

from inkdigits.data.corrections import Corrections
from inkdigits.errors import InkdigitsError
from inkdigits.web.serve import is_loopback, serve


def test_kill_9_loses_no_correction_that_was_answered(tmp_path: Path) -> None:
    server, address = start_server(tmp_path)
    answered: list[int] = []
    enough = 1_000

    def correct(i: int) -> None:
        url = f"{address}v1/corrections?layout=digit&truth={i % 10}"
        with urllib.request.urlopen(urllib.request.Request(url, data=line_drawing(i % 60)), timeout=60) as response:
            answered.append(json.load(response)["id"])
        if len(answered) == enough // 3:
            server.kill()

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        outcomes = [threads.submit(correct, i) for i in range(enough)]
        failed = sum(outcome.exception() is not None for outcome in outcomes)
    server.communicate()
    assert len(answered) >= enough // 3
    assert len(answered) + failed == enough
    assert failed  # it died while corrections were under way
    kept = {correction.id for correction in Corrections(tmp_path / "corrections.sqlite3").all()}
    assert set(answered) <= kept
    # What was on its way may have been kept without an answer: one for each sender at most.
    assert len(kept) - len(answered) <= 4


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_server_stops_cleanly_and_finishes_what_is_in_flight(tmp_path: Path, how: signal.Signals) -> None:
    server, address = start_server(tmp_path)
    head = "POST /v1/read HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    head += f"Content-Length: {len(line_drawing())}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port_of(address)), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100")  # the app waits for the picture
        server.send_signal(how)
        connection.sendall(line_drawing())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["lines"]
    server.communicate(timeout=60)
    assert server.returncode in (0, -how, 128 + how)


def test_what_is_no_request_is_answered_in_the_one_form(tmp_path: Path) -> None:
    server, address = start_server(tmp_path)
    port = port_of(address)
    endless = b"GET / HTTP/1.1\r\n" + b"X-Header: " + b"x" * 3_000_000
    for sent in (b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100, endless):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            with contextlib.suppress(ConnectionError):  # the server may hang up before all is sent
                connection.sendall(sent)
            answer = b""
            with contextlib.suppress(ConnectionError):
                while part := connection.recv(65_536):
                    answer += part
        if answer:
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert set(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]) == {"code", "message"}
        assert answer or sent is endless
    with urllib.request.urlopen(f"{address}health", timeout=30) as response:
        assert json.load(response) == {"status": "ok"}
    assert stop(server) in (0, -signal.SIGTERM)


@pytest.fixture
def serve_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """`serve` in this process: it does all but answer."""
    monkeypatch.setattr("inkdigits.web.serve.Server.run", lambda *_, **__: None)
    monkeypatch.setattr(sys, "setswitchinterval", lambda _: None)


@pytest.mark.usefixtures("serve_at_once")
@pytest.mark.parametrize(
    ("host", "token", "warned"), [("0.0.0.0", None, "--token"), ("0.0.0.0", "a", "anybody"), ("127.0.0.1", None, "")]
)
def test_the_server_warns_when_it_is_open_to_the_network(
    host: str, token: str | None, warned: str, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    serve(None, host, 0, token)
    assert warned in caplog.text
    assert bool(caplog.records) == bool(warned)


@pytest.mark.usefixtures("serve_at_once")
def test_a_taken_port_is_an_error(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(InkdigitsError, match="is taken"):
        serve(None, "127.0.0.1", other.getsockname()[1])


@pytest.mark.usefixtures("serve_at_once")
@pytest.mark.parametrize(
    "settings",
    [{"token": "a b"}, {"allow_origins": ("*",)}, {"model": "missing.onnx"}, {"host": "no.such.host.invalid"}],
)
def test_senseless_settings_are_errors_of_one_line(settings: dict[str, Any], home: Path) -> None:
    with pytest.raises(InkdigitsError) as error:
        serve(**{"model": None, "host": "127.0.0.1", "port": 0} | settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_not_loopback(address: str) -> None:
    assert not is_loopback(address)
