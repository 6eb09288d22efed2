"""Jinja2 templates -> one HTML page that needs no other file: style sheet and pictures are inside."""

import base64
import io
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from inkdigits.arrays import DigitImage
from inkdigits.evaluation.text import p_in_words, percent
from inkdigits.files.storage import make_folder, write_bytes

OWN = "inkdigits.evaluation"


def render(template: str, package: str = OWN, **values: Any) -> str:
    """Return a page.

    Args:
        template: a file in the `templates` folder of `package`. It may extend and import those of this package.
        package: which has the template, such as "inkdigits.sweep".
        values: what the template shows.
    """
    return _environment(package).get_template(template).render(values)


def save_page(path: Path, page: bytes) -> Path:
    """Write a page, and its folder where that is missing; return its path.

    Raises:
        OutputError: it cannot be written. Nothing is left of it.
    """
    make_folder(str(path.parent))
    write_bytes(str(path), page)
    return path


@cache
def _environment(package: str) -> Environment:
    loaders = [PackageLoader(name) for name in dict.fromkeys((package, OWN))]
    environment = Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"zip": zip}
    environment.filters |= {
        "digit_uri": _digit_uri,
        "headings": _headings,
        "p_in_words": p_in_words,
        "percent": percent,
        "png_uri": _png_uri,
        "setting": _setting,
        "slug": _slug,
        "thousands": "{:,}".format,
    }
    return environment


def _png_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _digit_uri(image: DigitImage) -> str:
    """Return a digit as dark ink on white."""
    buffer = io.BytesIO()
    Image.fromarray(255 - image).save(buffer, "PNG", optimize=True)
    return _png_uri(buffer.getvalue())


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def _headings(html: str) -> list[tuple[str, Markup]]:
    """Return the sections of a page: (id, title)."""
    return [(name, Markup(title)) for name, title in re.findall(r'<h2 id="(.*?)">(.*?)</h2>', html)]


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "default" if value is None else str(value)
