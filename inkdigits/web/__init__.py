"""The web page and the HTTP API: `create_app(reader)` is an ASGI app, `serve` runs it."""

from inkdigits.web.app import create_app
from inkdigits.web.settings import Settings

__all__ = ["Settings", "create_app"]
