"""`create_app(reader)`: the page, the API and its documents as one ASGI app."""

import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from inkdigits.data.corrections import Corrections, default_path
from inkdigits.errors import InkdigitsError
from inkdigits.reading.reader import Reader
from inkdigits.web import schemas
from inkdigits.web.api import Api
from inkdigits.web.errors import RequestError, as_request_error
from inkdigits.web.metrics import Metrics
from inkdigits.web.middleware import (
    AnswerCrashes,
    BearerToken,
    Cors,
    CountRequests,
    Endpoint,
    FastPath,
    KnownOrigins,
    SecurityHeaders,
    TrustedHosts,
    needs_token,
)
from inkdigits.web.settings import Settings

if TYPE_CHECKING:
    from inkdigits.forms.job import Job

STATIC = Path(__file__).parent / "static"
PAGES = {"/": "index.html", "/docs": "docs.html"}
REVIEW_PAGE = {"/review": "review.html"}
FORMS_PAGE = {"/forms": "forms.html"}
CODES = {404: "not_found", 405: "method_not_allowed"}
TYPES = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml"}
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": schemas.ErrorAnswer, "description": "The request cannot be answered."},
    "503": {"model": schemas.ErrorAnswer, "description": "Too much to do; see Retry-After."},
}
LARGEST_ID = 2**63 - 1  # SQLite's
NOT_KEPT: dict[int | str, dict[str, Any]] = {"507": {"model": schemas.ErrorAnswer, "description": "The disk is full."}}


def create_app(
    reader: Reader, settings: Settings | None = None, job: "Job | None" = None, forms: Path | None = None
) -> FastAPI:
    """Return the ASGI app around a reader, to be run or mounted in another app.

    Args:
        reader: answers every request.
        settings: limits, and who may ask; the safe ones where None.
        job: filled forms to review, at /review; none where None.
        forms: a folder of templates to edit, at /forms; none where None.
    """
    settings = settings or Settings()
    metrics = Metrics()
    corrections = Corrections(settings.corrections or default_path(), settings.max_corrections_bytes)
    api = Api(reader, settings, metrics, corrections)

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
        middleware=_middleware(settings, api),
    )
    app.state.api = api
    _add_api(app, api, with_token=settings.token is not None)
    if job is not None:
        from inkdigits.web.review import Review, routes  # it needs the extra `forms`

        app.include_router(routes(Review(job, reader, api.bodies)), responses=ERRORS)
    if forms is not None:
        from inkdigits.web import editor

        app.include_router(editor.routes(editor.Editor(forms, api.bodies)), responses=ERRORS)
    shown = PAGES | (REVIEW_PAGE if job else {}) | (FORMS_PAGE if forms else {})
    static = _add_pages(app, shown)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(RequestError, _answer_error)
    app.add_exception_handler(InkdigitsError, _answer_error)
    paths = {getattr(route, "path", "") for route in app.routes} | static
    app.add_middleware(CountRequests, metrics=metrics, paths=frozenset(paths))
    return app


def _middleware(settings: Settings, api: Api) -> list[Middleware]:
    """Return what a request passes after it is counted, the outermost first."""
    layers = [Middleware(SecurityHeaders)]
    if settings.hosts is not None:
        layers.append(Middleware(TrustedHosts, hosts=settings.hosts))
    layers.append(Middleware(KnownOrigins, allow_origins=settings.allow_origins))
    if settings.allow_origins:
        methods, headers = ("GET", "POST", "DELETE"), ("Authorization", "Content-Type")
        layers.append(
            Middleware(Cors, allow_origins=settings.allow_origins, allow_methods=methods, allow_headers=headers)
        )
    layers.append(Middleware(AnswerCrashes))
    if settings.token is not None:
        layers.append(Middleware(BearerToken, token=settings.token))
    layers.append(Middleware(FastPath, endpoints={("POST", "/v1/read"): api.read}))
    return layers


def _add_api(app: FastAPI, api: Api, with_token: bool) -> None:
    def add(
        method: str,
        path: str,
        endpoint: Callable[..., Awaitable[Response]],
        summary: str,
        model: Any,
        parameters: type[schemas.Parameters] | None = None,
        body: dict[str, Any] | None = None,
        errors: dict[int | str, dict[str, Any]] = ERRORS,
    ) -> None:
        extra: dict[str, Any] = {"parameters": parameters.document()} if parameters else {}
        extra |= {"requestBody": body} if body else {}
        if with_token and needs_token(path):
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

    async def take_back(
        number: Annotated[int, PathParameter(ge=1, le=LARGEST_ID, description="the correction's id")],
    ) -> Response:
        return await api.take_back(number)

    one, many = schemas.picture_body(), schemas.picture_body(many=True)
    to_read, to_correct = schemas.ReadParameters, schemas.CorrectionParameters
    kept, removed, kept_errors = schemas.CorrectionAnswer, schemas.RemovedAnswer, ERRORS | NOT_KEPT
    add("POST", "/v1/read", api.read, "Read a picture", schemas.PictureAnswer, to_read, one)
    add("POST", "/v1/read-many", api.read_many, "Read many pictures", schemas.ManyAnswer, to_read, many)
    why = "Why a digit was read so"
    add("POST", "/v1/explain", api.explain, why, schemas.ExplanationAnswer, schemas.ExplainParameters, one)
    add("POST", "/v1/corrections", api.correct, "Correct a digit", kept, to_correct, one, kept_errors)
    add("DELETE", "/v1/corrections/{number}", take_back, "Take a correction back", removed, errors=kept_errors)
    state, learned = schemas.HandAnswer, schemas.LearnedAnswer
    add("GET", "/v1/hand", api.hand.state, "What was learned of a hand", state)
    add("POST", "/v1/hand", api.hand.learn, "Learn a hand from the corrections", learned, errors=kept_errors)
    add("DELETE", "/v1/hand", api.hand.forget, "Forget what was learned last", state, errors=kept_errors)
    add("GET", "/v1/model", api.card, "The network's card", dict[str, Any])
    add("GET", "/health", api.health, "The process answers", schemas.StatusAnswer)
    add("GET", "/ready", api.ready, "The next picture would be read", schemas.StatusAnswer)
    add("GET", "/metrics", api.metrics, "Prometheus's text", None)
    if with_token:
        _describe_token(app)


def _describe_token(app: FastAPI) -> None:
    plain = app.openapi

    def with_bearer() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        return document

    app.openapi = with_bearer  # type: ignore[method-assign]


def _add_pages(app: FastAPI, pages: Mapping[str, str]) -> set[str]:
    """Serve the static files from memory; return their paths."""
    files = {f"/static/{path.name}": path for path in STATIC.iterdir() if path.is_file()}
    files |= {path: STATIC / name for path, name in pages.items()}
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


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, (RequestError, InkdigitsError))
    return as_request_error(error).response()


async def _answer_invalid(request: Request, error: Exception) -> Response:
    return RequestError(422, "bad_path", "a part of the path or of the query is not what it must be").response()


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "rejected")
    return RequestError(error.status_code, code, error.detail.lower(), error.headers).response()
