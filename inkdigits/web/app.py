"""`create_app(reader)`: the page, the API and its documents as one ASGI app."""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from inkdigits.data.corrections import Corrections, default_path
from inkdigits.errors import InkdigitsError
from inkdigits.reading.reader import Reader
from inkdigits.web import schemas
from inkdigits.web.api import Api
from inkdigits.web.errors import RequestError
from inkdigits.web.metrics import Telemetry
from inkdigits.web.middleware import Door, Endpoint, as_request_error
from inkdigits.web.settings import Settings

STATIC = Path(__file__).parent / "static"
PAGES = {"/": "index.html", "/docs": "docs.html"}
CODES = {404: "not_found", 405: "method_not_allowed"}
TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml"}
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": schemas.ErrorAnswer, "description": "The request is refused."},
    "503": {"model": schemas.ErrorAnswer, "description": "Too much to do; see Retry-After."},
}
NOT_KEPT: dict[int | str, dict[str, Any]] = {"507": {"model": schemas.ErrorAnswer, "description": "The disk is full."}}


def create_app(reader: Reader, settings: Settings | None = None) -> FastAPI:
    """Return the ASGI app around a reader.

    Args:
        reader: answers every request.
        settings: limits and doors; the safe ones where None.
    """
    settings = settings or Settings()
    telemetry = Telemetry()
    corrections = Corrections(settings.corrections or default_path(), settings.max_corrections_bytes)
    api = Api(reader, settings, telemetry, corrections)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        api.is_closing = True
        api.close()

    app = FastAPI(
        title="inkdigits",
        version=version("inkdigits"),
        description="Reads handwritten digits and numbers in pictures.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.api = api
    _add_api(app, api, with_token=settings.token is not None)
    static = _add_pages(app)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(RequestError, _refuse)
    app.add_exception_handler(InkdigitsError, _refuse)
    paths = {getattr(route, "path", "") for route in app.routes} | static
    direct: dict[tuple[str, str], Endpoint] = {("POST", "/v1/read"): api.read}
    app.add_middleware(Door, settings=settings, telemetry=telemetry, paths=frozenset(paths), direct=direct)
    return app


def _add_api(app: FastAPI, api: Api, with_token: bool) -> None:
    def add(
        method: str,
        path: str,
        endpoint: Endpoint,
        summary: str,
        model: Any,
        parameters: list[Any] | None = None,
        body: dict[str, Any] | None = None,
        errors: dict[int | str, dict[str, Any]] = ERRORS,
    ) -> None:
        extra: dict[str, Any] = {"parameters": parameters or []} | ({"requestBody": body} if body else {})
        if with_token and path.startswith(("/v1/", "/metrics")):
            extra["security"] = [{"bearer": []}]
        app.add_api_route(
            path,
            endpoint,
            methods=[method],
            summary=summary,
            response_model=None,
            responses={**({200: {"model": model}} if model else {}), **errors},
            openapi_extra=extra,
            response_class=PlainTextResponse if model is None else JSONResponse,
        )

    one, many = schemas.picture_body(), schemas.picture_body(many=True)
    to_read = [schemas.LAYOUT, schemas.FRAMED]
    add("POST", "/v1/read", api.read, "Read a picture", schemas.PictureAnswer, to_read, one)
    add("POST", "/v1/read-many", api.read_many, "Read many pictures", schemas.ManyAnswer, to_read, many)
    which = [schemas.digit_parameter("digit", "the answer to explain; without it the most probable")]
    add("POST", "/v1/explain", api.explain, "Why a digit was read so", schemas.ExplanationAnswer, which, one)
    truth = schemas.digit_parameter("truth", "the right digit", required=True)
    answer = schemas.digit_parameter("answer", "what was read; without it, what is read now")
    told = [truth, answer, schemas.BOX, schemas.LAYOUT]
    kept = schemas.CorrectionAnswer
    add("POST", "/v1/corrections", api.correct, "Correct a digit", kept, told, one, errors=ERRORS | NOT_KEPT)
    add("GET", "/v1/model", api.card, "The net's card", dict[str, Any])
    add("GET", "/health", api.health, "The process answers", schemas.StatusAnswer)
    add("GET", "/ready", api.ready, "The next picture would be read", schemas.StatusAnswer)
    add("GET", "/metrics", api.metrics, "Prometheus's text", None)
    if with_token:
        _ask_for_token(app)


def _ask_for_token(app: FastAPI) -> None:
    plain = app.openapi

    def with_bearer() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        return document

    app.openapi = with_bearer  # type: ignore[method-assign]


def _add_pages(app: FastAPI) -> set[str]:
    """Serve the static files from memory; return their paths."""
    files = {f"/static/{path.name}": path for path in STATIC.iterdir() if path.is_file()}
    files |= {path: STATIC / name for path, name in PAGES.items()}
    for path, file in files.items():
        app.add_route(path, _page(file), methods=["GET", "HEAD"], include_in_schema=False)
    return set(files)


def _page(file: Path) -> Endpoint:
    content = file.read_bytes()
    kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    tag = f'"{sha256(content).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    return answer


async def _refuse(request: Request, error: Exception) -> Response:
    return as_request_error(error).response()


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "refused")
    return RequestError(error.status_code, code, error.detail.lower(), error.headers).response()
