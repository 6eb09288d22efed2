"""The web page and the HTTP API: `create_app(reader)` is an ASGI app, `serve` runs it.

`create_app` is loaded on first use: the decoder's processes live in this package and must not wait for FastAPI.
"""

from typing import TYPE_CHECKING

from inkdigits.web.settings import Settings

__all__ = ["Settings", "create_app"]

if TYPE_CHECKING:
    from inkdigits.web.app import create_app
else:  # out of type checkers' sight, to which a module with __getattr__ has every name

    def __getattr__(name: str) -> object:
        if name == "create_app":
            from inkdigits.web.app import create_app

            return create_app
        raise AttributeError(f"module 'inkdigits.web' has no attribute {name!r}")
