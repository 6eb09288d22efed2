"""HTTP's outermost edge: what is no request, or never becomes one, is refused here as everywhere."""

import asyncio

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from inkdigits.web.errors import error_json

HEAD_LIMIT_S = 20.0  # for the first request of a connection to begin
MAX_HEAD_BYTES = 1_000_000  # generous: a head may arrive together with a part of its body


class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Uvicorn's protocol, which by itself waits for ever, takes heads of any size, and refuses in plain text."""

    _in_head = False
    _n_head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the new connection some time to say what it wants."""
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
        """Refuse a head that does not end."""
        if self._in_head:
            self._n_head_bytes += len(data)
            if self._n_head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("the head is too large")
                return
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Say in the one shape that this was no request."""
        body = error_json("bad_request", msg.rstrip(".").lower())
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _hang_up_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.close()
