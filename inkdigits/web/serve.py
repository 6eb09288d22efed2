"""`inkdigits serve`: the app on a socket, by uvicorn."""

import asyncio
import errno
import ipaddress
import logging
import re
import socket
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import uvicorn

from inkdigits.errors import InkdigitsError, reason
from inkdigits.reading.reader import Reader
from inkdigits.web.app import create_app
from inkdigits.web.internals import Protocol, Server
from inkdigits.web.settings import LOOPBACK_NAMES, Settings

if TYPE_CHECKING:
    from inkdigits.forms.job import Job

log = logging.getLogger(__name__)

FINISH_S = 20  # for requests in flight, after the signal to stop
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
    on_listening: Callable[[str], None] = lambda address: None,
    job: "Job | None" = None,
    forms: Path | None = None,
) -> None:
    """Serve the page and the API until Ctrl-C or SIGTERM; requests in flight are finished first.

    Args:
        model: a run or an ONNX file; the shipped networks where None.
        host: the address to bind to.
        port: 0 for any that is free.
        token: the bearer token asked for, None for none.
        allow_origins: origins of web pages that may ask too, such as "https://example.org".
        open_page: whether to open the page in the browser.
        on_listening: called with the page's address when the socket listens.
        job: filled forms; their review is the page then.
        forms: a folder of templates; their editor is the page then.

    Raises:
        ModelError: the model cannot be used.
        InkdigitsError: the address cannot be used, or the token or an origin is malformed.
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
        advice = "" if settings.token else "; require a token with --token"
        log.warning("anybody who reaches %s on the network can use this server%s", host, advice)
    address = f"http://{name}:{sock.getsockname()[1]}/" + ("review" if job else "forms" if forms else "")
    page = address + (f"#token={quote(settings.token)}" if settings.token else "")
    sys.setswitchinterval(SWITCH_S)
    # It warns of every byte of a damaged form: the client learns of it, the server's log need not.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        create_app(reader, settings, job, forms),
        http=Protocol,
        access_log=False,
        log_level="warning",
        server_header=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=FINISH_S,
        backlog=1024,
    )

    async def announce() -> None:
        on_listening(address)
        log.info("stop with Ctrl-C")
        if open_page:
            await asyncio.to_thread(webbrowser.open, page)

    with sock:
        Server(config, announce).run(sockets=[sock])


def _check(token: str | None, allow_origins: tuple[str, ...]) -> None:
    if token is not None and not re.fullmatch(r"[A-Za-z0-9._~+/=-]+", token):
        raise InkdigitsError("a token holds only letters, digits and . _ ~ + / = -")
    for origin in allow_origins:
        if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?", origin):
            raise InkdigitsError(f"{origin}: not an origin; write it as https://example.org, without a path")


def _warm(reader: Reader) -> None:
    """Load both networks now: the first request must not wait for them, and a broken model ends the start."""
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


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InkdigitsError(f"{host}: no such address ({reason(error)})") from None
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except (OSError, OverflowError) as error:
        sock.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise InkdigitsError(f"port {port} is taken; choose another with --port, or 0 for any") from None
        raise InkdigitsError(f"{host}:{port} cannot be used ({error})") from None
    return sock
