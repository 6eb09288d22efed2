"""The web page and the HTTP API: `create_app(reader)` is an ASGI app, `serve` runs it.

Names are loaded on first use: the decoder's processes live in this package and must not wait for FastAPI.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inkdigits.web.app import create_app
    from inkdigits.web.settings import Settings

__all__ = ["Settings", "create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from inkdigits.web.app import create_app

        return create_app
    if name == "Settings":
        from inkdigits.web.settings import Settings

        return Settings
    raise AttributeError(f"module 'inkdigits.web' has no attribute {name!r}")
