"""The one place that depends on what uvicorn and Starlette do not document.

Tested with uvicorn 0.54.0, httptools 0.9.0 and Starlette 1.10.0; pyproject.toml bounds the first two by their next
release, Starlette by its next major one.

| used here | of | for |
|---|---|---|
| `HttpToolsProtocol.connection_made`, `data_received`, `on_message_begin`, `on_headers_complete` | uvicorn | limits of a request's head |
| `HttpToolsProtocol.send_400_response`, `cycle`, `transport` | uvicorn | errors in JSON; silent connections |
| `Server.startup` | uvicorn | to know when the socket listens |
| `MultiPartParser`, `spool_max_size`, `_files_to_close_on_error`, `MultiPartException.message` | Starlette | forms of a body that is in memory |
"""  # noqa: E501

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import uvicorn
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from inkdigits.web.errors import error_json

HEAD_LIMIT_S = 20.0  # for the first request of a connection to begin
MAX_HEAD_BYTES = 1_000_000  # generous: a head may arrive together with a part of its body

__all__ = ["MultiPartException", "Protocol", "Server", "parse_form"]


class Protocol(HttpToolsProtocol):
    """Uvicorn's protocol, which by itself waits for ever, takes heads of any size, and answers errors in plain text."""

    _in_head = False
    _n_head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the new connection some time to send a request."""
        super().connection_made(transport)
        asyncio.get_running_loop().call_later(HEAD_LIMIT_S, self._hang_up_if_silent)

    def on_message_begin(self) -> None:
        """Begin to count: a head is coming."""
        super().on_message_begin()
        self._in_head, self._n_head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """End to count: what follows is the body."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Reject a head that does not end."""
        if self._in_head:
            self._n_head_bytes += len(data)
            if self._n_head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("the head is too large")
                return
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answer in the API's form that this was no request."""
        body = error_json("bad_request", msg.rstrip(".").lower())
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _hang_up_if_silent(self) -> None:
        if getattr(self, "cycle", None) is None:
            self.transport.close()


class Server(uvicorn.Server):
    """Uvicorn's server, which says when its socket listens.

    Args:
        config: uvicorn's.
        on_listening: awaited then.
    """

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then call."""
        await super().startup(sockets)
        await self._on_listening()


class _InMemoryParser(MultiPartParser):
    # A body is in memory already, and pictures are never written to a disk.
    spool_max_size = 1 << 40


async def parse_form(
    headers: Headers, body: bytes, max_files: int, max_fields: int
) -> tuple[list[tuple[str | None, bytes]], dict[str, str]]:
    """Return the files of a multipart form, each with its name, and its other fields.

    Raises:
        MultiPartException: the form is damaged, cut short or holds too much; `message` says which.
        Exception: the form is damaged: the parser's own errors share no public base class.
    """

    async def stream() -> AsyncIterator[bytes]:
        yield body

    parser = _InMemoryParser(
        headers,
        stream(),  # type: ignore[arg-type]
        max_files=max_files,
        max_fields=max_fields,
        max_part_size=len(body),
    )
    files: list[tuple[str | None, bytes]] = []
    fields: dict[str, str] = {}
    try:
        for key, value in (await parser.parse()).multi_items():
            if isinstance(value, UploadFile):
                files.append((value.filename, await value.read()))
            else:
                fields[key] = value
        if len(files) < len(parser._files_to_close_on_error):
            raise MultiPartException("it ends within a file")  # which the parser leaves out without a word
    finally:
        for file in parser._files_to_close_on_error:
            file.close()
    return files, fields
