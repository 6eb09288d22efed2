"""What a request holds: its body's pictures, its query's parameters."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from inkdigits.web.errors import RequestError, busy
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
            yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except TimeoutError:
            message_408 = f"the body took longer than {self._limit_s:g} s"
            raise RequestError(408, "body_too_slow", message_408, {"Connection": "close"}) from None
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
            raise RequestError(400, "bad_form", "the form's content type names no boundary")
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
                raise RequestError(413, "too_many_files", f"a request holds {self._max_files} files at most") from None
            raise RequestError(400, "bad_form", f"the form is damaged ({error.message})") from None
        except Exception as error:  # the parser's own errors share no public base class
            raise RequestError(400, "bad_form", f"the form is damaged ({type(error).__name__})") from None

    def _check_length(self, request: Request) -> None:
        length = request.headers.get("content-length")
        if length is not None and length.isdecimal() and int(length[:20]) > self._max_body_bytes:
            raise self._too_large()

    def _too_large(self) -> RequestError:
        return RequestError(413, "too_large", f"a request holds {self._max_body_bytes:,} bytes at most")


LAYOUTS = ("digit", "number", "page")
MAX_QUERY_BYTES = 2_000


def parameters_of(query_string: bytes) -> dict[str, str]:
    """Return a query's parameters; of a name that stands there twice, the last.

    Raises:
        Refusal: 414, the query is too long.
    """
    if not query_string:
        return {}
    if len(query_string) > MAX_QUERY_BYTES:
        raise RequestError(414, "query_too_long", f"a query holds {MAX_QUERY_BYTES:,} bytes at most")
    return dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))


def layout_of(parameters: Mapping[str, str]) -> str:
    """Return the layout asked for, "page" where none is."""
    layout = parameters.get("layout", "page")
    if layout not in LAYOUTS:
        raise RequestError(422, "unknown_layout", "layout is digit, number or page")
    return layout


def flag_of(parameters: Mapping[str, str], name: str) -> bool:
    """Return whether a parameter says yes; where it is missing it says no."""
    value = parameters.get(name, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise RequestError(422, f"bad_{name}", f"{name} is true or false")
    return value in ("true", "1")


def digit_of(parameters: Mapping[str, str], name: str) -> int | None:
    """Return a parameter that is one digit, None where it is missing."""
    value = parameters.get(name)
    if value is None:
        return None
    if len(value) != 1 or value not in "0123456789":
        raise RequestError(422, f"bad_{name}", f"{name} is one digit, 0 to 9")
    return int(value)


def box_of(parameters: Mapping[str, str]) -> tuple[int, int, int, int] | None:
    """Return the box "x,y,width,height" in pixels, None where it is missing."""
    value = parameters.get("box")
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6}){3}", value):
        raise RequestError(422, "bad_box", "box is x,y,width,height: four whole numbers of pixels")
    x, y, width, height = map(int, value.split(","))
    if width == 0 or height == 0:
        raise RequestError(422, "bad_box", "box is empty")
    return x, y, width, height
