"""What every request passes, one concern a class: counting, safe headers, hosts, origins, crashes, token, fast path."""

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkdigits.errors import InkdigitsError
from inkdigits.web.errors import RequestError, as_request_error
from inkdigits.web.metrics import Metrics

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE_HEADERS = [
    (b"content-security-policy", CSP.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"geolocation=(), microphone=()"),
]


def _path_in_app(scope: Scope) -> str:
    """Return a request's path within this app, which may be mounted in another one."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


class CountRequests:
    """Counts every request by its route and status.

    Args:
        app: the next layer.
        metrics: the counters.
        paths: the app's own paths; all others count as "other", so that nobody can grow the table.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count it when it is answered."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.perf_counter()
        status = 0

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, noting_status)
        path = getattr(scope.get("route"), "path", _path_in_app(scope))
        route = path if path in self._paths else "other"
        self._metrics.count_request(route, status, time.perf_counter() - started)


class SecurityHeaders:
    """Adds to every answer the headers that keep a browser safe."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer with the headers."""

        async def adding_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SAFE_HEADERS]
            await send(message)

        await self._app(scope, receive, adding_headers)


class TrustedHosts:
    """Starlette's check of the Host header. Its own answer would be plain text; here it is 421 `unknown_host`.

    Args:
        app: the next layer.
        hosts: names by which the server may be called.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._check = TrustedHostMiddleware(_mark_as_trusted, hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it calls the server by a known name."""
        await self._check(scope, receive, _discard)
        if scope["type"] != "http" or scope.pop("inkdigits.trusted", False):
            return await self._app(scope, receive, send)
        error = RequestError(421, "unknown_host", "unknown Host header")
        await error.response()(scope, receive, send)


async def _mark_as_trusted(scope: Scope, receive: Receive, send: Send) -> None:
    scope["inkdigits.trusted"] = True


async def _discard(message: Message) -> None:
    pass


class KnownOrigins:
    """Rejects what a page of another origin asks (403 `foreign_origin`): CORS hides answers, but lets requests through.

    Args:
        app: the next layer.
        allow_origins: origins that may ask, besides the server's own.
    """

    def __init__(self, app: ASGIApp, allow_origins: Sequence[str]) -> None:
        self._app = app
        self._allow_origins = frozenset(allow_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if no browser sent it, or one that shows a page of a known origin."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            own = origin is None or origin.partition("://")[2] == headers.get("host")
            if not own and origin not in self._allow_origins:
                error = RequestError(403, "foreign_origin", "pages of other origins may not ask; see --allow-origin")
                return await error.response()(scope, receive, send)
        await self._app(scope, receive, send)


class Cors(CORSMiddleware):
    """Starlette's, whose preflight answers are in the API's form: 204 without a body, or a JSON error."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the answer to a browser that asks whether it may ask."""
        response = super().preflight_response(request_headers)
        headers = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        if response.status_code == 200:
            return Response(status_code=204, headers=headers)
        message = bytes(response.body).decode().lower()
        return RequestError(response.status_code, "bad_preflight", message, headers).response()


class AnswerCrashes:
    """Answers what nobody expected with 500 `internal`, and logs it: the client sees nothing of the inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and catch what it raises."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        has_begun = False

        async def noting_begin(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting_begin)
        except Exception:
            log.exception("a request to %s failed", scope["path"])
            if not has_begun:
                error = RequestError(500, "internal", "an error inside the server; its log says more")
                await error.response()(scope, receive, send)


class BearerToken:
    """Asks for `Authorization: Bearer TOKEN` (401 `no_token`) where pictures, corrections or metrics are at stake.

    Args:
        app: the next layer.
        token: the only right one.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on if it needs no token or has the right one."""
        if scope["type"] == "http" and needs_token(_path_in_app(scope)):
            scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), self._token):
                error = RequestError(
                    401, "no_token", "say `Authorization: Bearer TOKEN`", {"WWW-Authenticate": "Bearer"}
                )
                return await error.response()(scope, receive, send)
        await self._app(scope, receive, send)


def needs_token(path: str) -> bool:
    """Return whether a path is behind the token, where there is one."""
    return path.startswith(("/v1/", "/metrics"))


class FastPath:
    """Calls some endpoints without FastAPI's router and parameters.

    Those cost 105 us of processor time a request, this and a pydantic model 11 us (FastAPI 0.165, Starlette 1.10),
    while a digit in MNIST's form takes the whole server 340 us.

    Args:
        app: the next layer.
        endpoints: by method and path.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for one of the endpoints; pass others on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        endpoint = self._endpoints.get((scope["method"], _path_in_app(scope)))
        if endpoint is None:
            return await self._app(scope, receive, send)
        try:
            response = await endpoint(Request(scope, receive))
        except (RequestError, InkdigitsError) as error:
            response = as_request_error(error).response()
        await response(scope, receive, send)
