"""`inkdigits serve`: the app on a socket, by uvicorn."""

import asyncio
import errno
import ipaddress
import re
import socket
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import uvicorn

from inkdigits.errors import InkdigitsError
from inkdigits.reading.reader import Reader
from inkdigits.web.app import create_app
from inkdigits.web.protocol import Protocol
from inkdigits.web.settings import LOOPBACK_NAMES, Settings

FINISH_S = 20  # for requests in flight, once told to stop
KEEP_ALIVE_S = 30
# A thread that reads pictures gives the event loop its turn after this long, in place of Python's 5 ms.
SWITCH_S = 0.0005


def serve(
    model: str | Path | None,
    host: str,
    port: int,
    token: str | None = None,
    allow_origins: tuple[str, ...] = (),
    open_page: bool = False,
) -> None:
    """Serve the page and the API until Ctrl-C or SIGTERM; requests in flight are finished first.

    Args:
        model: a run or an ONNX file; the shipped nets where None.
        host: the address to bind to.
        port: 0 for any that is free.
        token: the bearer token asked for, None for none.
        allow_origins: origins of web pages that may ask too, such as "https://example.org".
        open_page: whether to open the page in the browser.

    Raises:
        ModelError: the model cannot be used.
        InkdigitsError: the address cannot be had, or the token or an origin makes no sense.
    """
    _check(token, allow_origins)
    settings = Settings(token=token, allow_origins=allow_origins)
    reader = Reader(model)
    local = is_loopback(host)
    sock = _bind(host, port)
    _warm(reader)
    name = f"[{host}]" if ":" in host else host
    if local:
        settings = replace(settings, hosts=tuple(dict.fromkeys((*LOOPBACK_NAMES, name))))
    else:
        advice = "" if settings.token else "; ask for a token with --token"
        print(f"warning: anybody who reaches {host} on the network may read pictures here{advice}", file=sys.stderr)
    address = f"http://{name}:{sock.getsockname()[1]}/"
    page = address + (f"#token={quote(settings.token)}" if settings.token else "")
    sys.setswitchinterval(SWITCH_S)
    config = uvicorn.Config(
        create_app(reader, settings),
        http=Protocol,
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=FINISH_S,
        backlog=1024,
    )
    server = _Server(config, address, page if open_page else None)
    with sock:
        server.run(sockets=[sock])


def _check(token: str | None, allow_origins: tuple[str, ...]) -> None:
    if token is not None and not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
        raise InkdigitsError("a token is made of letters, digits and . _ ~ + / = - alone")
    for origin in allow_origins:
        if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?", origin):
            raise InkdigitsError(f"{origin}: no origin; say it as https://example.org, without a path")


def _warm(reader: Reader) -> None:
    """Open both nets now: the first request shall not wait for them, and a broken model ends the start."""
    image = np.full((40, 40), 255, np.uint8)
    image[8:32, 18:22] = 0
    reader.read(image, "digit")
    reader.read(image, "page")


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, address: str, page: str | None) -> None:
        super().__init__(config)
        self._address = address
        self._page = page

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # Printed when the socket listens, so that a script may wait for the line.
        print(self._address, flush=True)
        print("stop with Ctrl-C", file=sys.stderr)
        if self._page is not None:
            await asyncio.to_thread(webbrowser.open, self._page)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InkdigitsError(f"{host}: no such address ({error.strerror})") from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except (OSError, OverflowError) as error:
        sock.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise InkdigitsError(f"port {port} is taken; choose another with --port, or 0 for any") from None
        raise InkdigitsError(f"{host}:{port} cannot be had ({error})") from None
    return sock
