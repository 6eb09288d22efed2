"""What every request passes: who may ask, the headers that keep a browser safe, one shape for errors, counting."""

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inkdigits.errors import DataError, InkdigitsError
from inkdigits.web.errors import RequestError
from inkdigits.web.metrics import Telemetry
from inkdigits.web.settings import Settings

log = logging.getLogger("inkdigits.web")

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


class Door:
    """The outermost layer of the app.

    Args:
        app: what lies behind.
        settings: who may ask.
        telemetry: is told of each request.
        paths: the app's own paths, by which requests are counted.
        direct: endpoints that are called at once, without the router: where answers are fast, routing is not.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        telemetry: Telemetry,
        paths: frozenset[str],
        direct: Mapping[tuple[str, str], Endpoint],
    ) -> None:
        self._app = app
        self._settings = settings
        self._telemetry = telemetry
        self._paths = paths
        self._direct = direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 0
        headers = Headers(scope=scope)
        extra = SAFE_HEADERS + self._cors(headers.get("origin"))

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            response = await self._respond(scope, headers, receive, send_safely)
            if response is not None:
                await response(scope, receive, send_safely)
        except Exception:
            log.exception("a request to %s failed", scope["path"])
            if not status:
                await RequestError(500, "internal", "an error of the server's; its log says more").response()(
                    scope, receive, send_safely
                )
        path = scope["path"] if scope["path"] in self._paths else "other"
        self._telemetry.count_request(path, status, time.perf_counter() - started)

    async def _respond(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> Response | None:
        try:
            self._admit(scope, headers)
            endpoint = self._direct.get((scope["method"], scope["path"]))
            if endpoint is not None:
                return await endpoint(Request(scope, receive))
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                return self._preflight()
            await self._app(scope, receive, send)
        except (RequestError, InkdigitsError) as error:
            return as_request_error(error).response()
        return None

    def _admit(self, scope: Scope, headers: Headers) -> None:
        """Let a request in.

        Raises:
            Refusal: 421, the server has another name; 403, it comes from a page of another origin; 401, the token is
                missing or wrong.
        """
        hosts = self._settings.hosts
        if hosts is not None and _name_of(headers.get("host", "")) not in hosts:
            raise RequestError(421, "unknown_host", "the server is not called so")
        origin = headers.get("origin")
        if origin is not None and not self._is_known(origin, headers):
            raise RequestError(403, "foreign_origin", "pages of other origins may not ask; see --allow-origin")
        if self._settings.token is not None and scope["path"].startswith(("/v1/", "/metrics")):
            preflight = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
            if not preflight and not self._is_token(headers.get("authorization", "")):
                raise RequestError(401, "no_token", "say `Authorization: Bearer TOKEN`", {"WWW-Authenticate": "Bearer"})

    def _is_known(self, origin: str, headers: Headers) -> bool:
        return origin in self._settings.allow_origins or origin.partition("://")[2] == headers.get("host")

    def _is_token(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        right = (self._settings.token or "").encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), right)

    def _cors(self, origin: str | None) -> list[tuple[bytes, bytes]]:
        if not self._settings.allow_origins:
            return []
        allowed = [(b"vary", b"Origin")]
        if origin in self._settings.allow_origins:
            allowed.append((b"access-control-allow-origin", origin.encode("latin-1")))
        return allowed

    def _preflight(self) -> Response:
        if not self._settings.allow_origins:
            raise RequestError(405, "method_not_allowed", "OPTIONS is not answered here", {"Allow": "GET, POST"})
        allowed = {
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "Authorization, Content-Type",
            "Access-Control-Max-Age": "600",
        }
        return Response(status_code=204, headers=allowed)


def _name_of(host: str) -> str:
    """Return a Host header without its port."""
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]


def as_request_error(error: Exception) -> RequestError:
    """Return how an error of ours is told to the client."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, DataError):
        return RequestError(507, "not_kept", "the server could not keep it; its disk may be full")
    return RequestError(422, "unreadable_picture", str(error))
