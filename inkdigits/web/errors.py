"""How a request ends in an error: one exception, one JSON form `{"error": {"code", "message"}}`."""

import json
from collections.abc import Mapping

from starlette.responses import Response

from inkdigits.errors import DataError, FormError, InkdigitsError


class RequestError(Exception):
    """A request that is answered with an error.

    Args:
        status: the HTTP status, 4xx, 500, 503 or 507.
        code: a word for programs, which never changes.
        message: a line for people: what was wrong and what to do.
        headers: further headers of the answer.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer."""
        return Response(error_json(self.code, self.message), self.status, self.headers, "application/json")


def busy(what: str) -> RequestError:
    """Return the error of a server that has enough to do."""
    return RequestError(503, "busy", f"too many {what} at the moment; try again in a second", {"Retry-After": "1"})


def error_json(code: str, message: str) -> bytes:
    """Return the body of every error."""
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def as_request_error(error: RequestError | InkdigitsError) -> RequestError:
    """Return the error that a client sees for one of the library's."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, DataError):
        return RequestError(507, "not_kept", "the server could not keep it; its disk may be full")
    if isinstance(error, FormError):
        return RequestError(422, "bad_form_data", str(error))
    return RequestError(422, "unreadable_picture", str(error))
