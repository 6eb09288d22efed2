"""A request's parameters, from its query or its form, each checked and named when wrong."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from inkdigits.web.refusals import Refusal

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
        raise Refusal(414, "query_too_long", f"a query holds {MAX_QUERY_BYTES:,} bytes at most")
    return dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))


def layout_of(parameters: Mapping[str, str]) -> str:
    """Return the layout asked for, "page" where none is."""
    layout = parameters.get("layout", "page")
    if layout not in LAYOUTS:
        raise Refusal(422, "unknown_layout", "layout is digit, number or page")
    return layout


def flag_of(parameters: Mapping[str, str], name: str) -> bool:
    """Return whether a parameter says yes; where it is missing it says no."""
    value = parameters.get(name, "false").lower()
    if value not in ("true", "false", "1", "0"):
        raise Refusal(422, f"bad_{name}", f"{name} is true or false")
    return value in ("true", "1")


def digit_of(parameters: Mapping[str, str], name: str) -> int | None:
    """Return a parameter that is one digit, None where it is missing."""
    value = parameters.get(name)
    if value is None:
        return None
    if len(value) != 1 or value not in "0123456789":
        raise Refusal(422, f"bad_{name}", f"{name} is one digit, 0 to 9")
    return int(value)


def box_of(parameters: Mapping[str, str]) -> tuple[int, int, int, int] | None:
    """Return the box "x,y,width,height" in pixels, None where it is missing."""
    value = parameters.get("box")
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6}){3}", value):
        raise Refusal(422, "bad_box", "box is x,y,width,height: four whole numbers of pixels")
    x, y, width, height = map(int, value.split(","))
    if width == 0 or height == 0:
        raise Refusal(422, "bad_box", "box is empty")
    return x, y, width, height
