"""What a request holds: its body's pictures, and its parameters from the query or the form.

FastAPI's own `File`, `Form` and `Query` stay out: they read a body before its size, its time and the bytes that all
requests hold can be limited, and a parameter may stand in the query or in the form.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import ValidationError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from inkdigits.web.errors import RequestError, busy
from inkdigits.web.internals import MultiPartException, parse_form
from inkdigits.web.schemas import Parameters
from inkdigits.web.settings import Settings

NO_NAME = "-"  # what `inkdigits read` calls a picture from stdin
MAX_FIELDS = 20
MAX_QUERY_BYTES = 2_000

P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Upload:
    """What a request carries.

    Attributes:
        pictures: name and bytes of each.
        fields: parameters of the query and of the form; the form's take precedence.
        body_is_empty: whether nothing was sent at all.
    """

    pictures: list[tuple[str, bytes]]
    fields: dict[str, str]
    body_is_empty: bool

    def picture(self) -> tuple[str, bytes]:
        """Return name and bytes of the only picture.

        Raises:
            RequestError: 400, there are none or several.
        """
        if len(self.pictures) != 1:
            message = f"send one picture, not {len(self.pictures)}; see /v1/read-many"
            raise RequestError(400, "not_one_picture", message)
        return self.pictures[0]

    def parameters(self, model: type[P]) -> P:
        """Return the parameters, checked.

        Raises:
            RequestError: 422, one is missing or makes no sense.
        """
        try:
            return model.model_validate(self.fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise RequestError(422, *model.problem(str(first["loc"][0]), first["type"] == "missing")) from None


class BodyReader:
    """Reads bodies within limits, and counts the bytes of them that are held at the moment."""

    def __init__(self, settings: Settings) -> None:
        self._max_body_bytes = settings.max_body_bytes
        self._max_held_bytes = settings.max_held_bytes
        self._limit_s = settings.body_limit_s
        self._max_files = settings.max_files
        self.n_held_bytes = 0

    @asynccontextmanager
    async def upload(self, request: Request) -> AsyncIterator[Upload]:
        """Give what a request carries; its body counts as held until the block ends.

        Raises:
            RequestError: 414, the query is too long; 413, the body is too large or holds too many files; 408, it came
                too slowly; 503, too much is held; 400, its form is damaged.
        """
        query = _query_parameters(request.scope["query_string"])
        self._check_length(request)
        chunks: list[bytes] = []
        try:
            await self._receive(request, chunks)
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            content_type = request.headers.get("content-type", "")
            if content_type.lower().startswith("multipart/form-data"):
                pictures, fields = await self._form(request, body)
            else:
                pictures, fields = [(NO_NAME, body)], {}
            yield Upload(pictures, query | fields, not body)
        finally:
            self.n_held_bytes -= sum(map(len, chunks))

    async def _receive(self, request: Request, chunks: list[bytes]) -> None:
        """Receive a body within the limits, chunk by chunk; all that came is in `chunks`, whatever happens."""
        n_bytes = 0
        try:
            async with asyncio.timeout(self._limit_s):
                more = True
                while more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError(400, "hung_up", "the connection ended before the body did")
                    chunk = message.get("body", b"")
                    chunks.append(chunk)
                    n_bytes += len(chunk)
                    self.n_held_bytes += len(chunk)
                    if n_bytes > self._max_body_bytes:
                        raise self._too_large()
                    if self.n_held_bytes > self._max_held_bytes:
                        raise busy("bytes")
                    more = message.get("more_body", False)
        except TimeoutError:
            message_408 = f"the body took longer than {self._limit_s:g} s"
            raise RequestError(408, "body_too_slow", message_408, {"Connection": "close"}) from None

    async def _form(self, request: Request, body: bytes) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
        _, options = parse_options_header(request.headers["content-type"])
        if not options.get(b"boundary"):
            raise RequestError(400, "bad_form", "the form's content type names no boundary")
        try:
            files, fields = await parse_form(request.headers, body, self._max_files, MAX_FIELDS)
        except MultiPartException as error:
            if "Too many" in error.message:
                raise RequestError(413, "too_many_files", f"a request holds {self._max_files} files at most") from None
            raise RequestError(400, "bad_form", f"the form is damaged ({error.message})") from None
        except Exception as error:  # see `parse_form`
            raise RequestError(400, "bad_form", f"the form is damaged ({type(error).__name__})") from None
        return [(name or NO_NAME, data) for name, data in files], fields

    def _check_length(self, request: Request) -> None:
        length = request.headers.get("content-length")
        if length is not None and length.isdecimal() and int(length[:20]) > self._max_body_bytes:
            raise self._too_large()

    def _too_large(self) -> RequestError:
        return RequestError(413, "too_large", f"a request holds {self._max_body_bytes:,} bytes at most")


def _query_parameters(query_string: bytes) -> dict[str, str]:
    """Return a query's parameters; of a name that stands there twice, the last."""
    if not query_string:
        return {}
    if len(query_string) > MAX_QUERY_BYTES:
        raise RequestError(414, "query_too_long", f"a query holds {MAX_QUERY_BYTES:,} bytes at most")
    return dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
