"""Requests' bodies, read under limits of size, time and memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from inkdigits.web.refusals import Refusal, busy
from inkdigits.web.settings import Settings

NO_NAME = "-"  # what `inkdigits read` calls a picture from stdin
MAX_FIELDS = 20


@dataclass(frozen=True)
class Upload:
    """What a request carries: pictures with their names, and the form's other fields."""

    pictures: list[tuple[str, bytes]]
    fields: dict[str, str]


class _Parser(MultiPartParser):
    # A body is in memory already, and pictures are never written to a disk.
    spool_max_size = 1 << 40


class Bodies:
    """Reads bodies, and knows how many bytes of them are held at the moment."""

    def __init__(self, settings: Settings) -> None:
        self._max_body_bytes = settings.max_body_bytes
        self._max_held_bytes = settings.max_held_bytes
        self._limit_s = settings.body_limit_s
        self._max_files = settings.max_files
        self.n_held_bytes = 0

    @asynccontextmanager
    async def held(self, request: Request) -> AsyncIterator[bytes]:
        """Give the body, which counts as held until the block ends.

        Raises:
            Refusal: 413, it is too large; 408, it came too slowly; 503, too much is held.
        """
        self._check_length(request)
        chunks: list[bytes] = []
        n_bytes = 0
        try:
            async with asyncio.timeout(self._limit_s):
                more = True
                while more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "hung_up", "the connection ended before the body did")
                    chunk = message.get("body", b"")
                    chunks.append(chunk)
                    n_bytes += len(chunk)
                    self.n_held_bytes += len(chunk)
                    if n_bytes > self._max_body_bytes:
                        raise self._too_large()
                    if self.n_held_bytes > self._max_held_bytes:
                        raise busy("bytes")
                    more = message.get("more_body", False)
            yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except TimeoutError:
            message_408 = f"the body took longer than {self._limit_s:g} s"
            raise Refusal(408, "body_too_slow", message_408, {"Connection": "close"}) from None
        finally:
            self.n_held_bytes -= n_bytes

    async def upload(self, request: Request, body: bytes) -> Upload:
        """Return the pictures of a body: the body itself, or a multipart form's files.

        Raises:
            Refusal: 400, the form is damaged; 413, it holds too many files.
        """
        content_type = request.headers.get("content-type", "")
        if not content_type.lower().startswith("multipart/form-data"):
            return Upload([(NO_NAME, body)], {})
        form = await self._form(request, body)
        pictures, fields = [], {}
        try:
            for key, value in form.multi_items():
                if isinstance(value, UploadFile):
                    pictures.append((value.filename or NO_NAME, await value.read()))
                else:
                    fields[key] = value
        finally:
            await form.close()
        return Upload(pictures, fields)

    async def _form(self, request: Request, body: bytes) -> FormData:
        async def stream() -> AsyncIterator[bytes]:
            yield body

        _, options = parse_options_header(request.headers["content-type"])
        if not options.get(b"boundary"):
            raise Refusal(400, "bad_form", "the form's content type names no boundary")
        try:
            parser = _Parser(
                request.headers,
                stream(),  # type: ignore[arg-type]
                max_files=self._max_files,
                max_fields=MAX_FIELDS,
                max_part_size=self._max_body_bytes,
            )
            return await parser.parse()
        except MultiPartException as error:
            if "Too many" in error.message:
                raise Refusal(413, "too_many_files", f"a request holds {self._max_files} files at most") from None
            raise Refusal(400, "bad_form", f"the form is damaged ({error.message})") from None
        except Exception as error:  # the parser's own errors share no public base class
            raise Refusal(400, "bad_form", f"the form is damaged ({type(error).__name__})") from None

    def _check_length(self, request: Request) -> None:
        length = request.headers.get("content-length")
        if length is not None and length.isdecimal() and int(length[:20]) > self._max_body_bytes:
            raise self._too_large()

    def _too_large(self) -> Refusal:
        return Refusal(413, "too_large", f"a request holds {self._max_body_bytes:,} bytes at most")
