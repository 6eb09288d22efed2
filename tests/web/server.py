"""A server of its own for a test, and a client that calls the app without one."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np


def start_server(home: Path, *arguments: str, command: Sequence[str] = ("serve",)) -> tuple[subprocess.Popen[str], str]:
    """Start `inkdigits serve`, or another command, on a free port of loopback; return the process and its address."""
    environment = os.environ | {"INKDIGITS_HOME": str(home)}
    words = [sys.executable, "-m", "inkdigits", *command, "--port", "0", *arguments]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


def stop(server: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> int:
    server.send_signal(how)
    server.communicate(timeout=60)
    return server.returncode


def port_of(address: str) -> int:
    return int(address.rstrip("/").rpartition(":")[2])


def line_drawing(shift: int = 0) -> bytes:
    """A vertical line as a PNG file."""
    image = np.full((100, 120), 255, np.uint8)
    cv2.line(image, (20 + shift, 20), (20 + shift, 80), 0, 5)
    return cv2.imencode(".png", image)[1].tobytes()


@dataclass(frozen=True)
class Response:
    status_code: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Post:
    path: str
    query: str = ""
    body: bytes = b""
    content_type: str = ""


class AsgiClient:
    """Calls an app in one event loop of its own: a tenth of what a TestClient costs, and many requests at once."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._loop = asyncio.new_event_loop()

    def post_all(self, posts: Sequence[Post]) -> list[Response]:
        async def ask() -> list[Response]:
            return await asyncio.gather(*(self._post(post) for post in posts))

        return self._loop.run_until_complete(ask())

    def close(self) -> None:
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _post(self, post: Post) -> Response:
        status, chunks = 0, []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": post.body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            chunks.append(message.get("body", b""))

        headers = [(b"host", b"testserver"), (b"content-length", str(len(post.body)).encode())]
        if post.content_type:
            headers.append((b"content-type", post.content_type.encode()))
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
        scope |= {"path": post.path, "raw_path": post.path.encode(), "root_path": "", "headers": headers}
        scope |= {"query_string": post.query.encode(), "client": ("testclient", 1), "server": ("testserver", 80)}
        await self._app(scope, receive, send)
        return Response(status, b"".join(chunks))
