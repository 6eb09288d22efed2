"""One self-contained HTML file: sections, tiles, tables, pictures."""

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from inkdigits.errors import RunError

CSS = """
:root { color-scheme: light dark; --ink: #1c1917; --soft: #57534e; --paper: #fafaf9; --card: #fff; --line: #e7e5e4;
  --mark: #1d4ed8; --bad: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #f5f5f4; --soft: #a8a29e; --paper: #1c1917; --card: #292524;
  --line: #44403c; --mark: #93c5fd; --bad: #fca5a5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 66rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 3rem 0 .75rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p, li { max-width: 46rem; } .lead, .soft { color: var(--soft); } nav a { margin-right: 1rem; } a { color: var(--mark); }
code, pre { font: .9em ui-monospace, monospace; }
pre { overflow-x: auto; padding: .8rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: .9rem 1rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--soft); font-size: .85rem; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; max-width: 46rem; }
figure img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: .75rem;
  padding: .5rem; }
@media (max-width: 44rem) { figure .scroll img { max-width: none; width: 44rem; } }
.note { border-left: 4px solid var(--mark); background: var(--card); padding: .7rem 1rem; max-width: 48rem;
  border-radius: 0 .5rem .5rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .8rem; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; font-size: .85rem; } th:first-child, td:first-child { text-align: left; }
th, td { white-space: nowrap; }
table.facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.digits { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.3rem, 1fr)); gap: .75rem; padding: 0;
  margin: 1rem 0; list-style: none; }
.digits.wide { grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
@media (max-width: 30rem) { .digits, .digits.wide { grid-template-columns: repeat(2, 1fr); } }
.digits li { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: .6rem;
  text-align: center; font-size: .9rem; line-height: 1.35; }
.digits img { width: 100%; max-width: 7rem; image-rendering: pixelated; border-radius: .4rem; background: #fff; }
.digits .marked { border: 2px solid var(--bad); }
.pair { display: flex; gap: .4rem; } .pair img { width: 50%; }
.digits .wrong { color: var(--bad); font-weight: 600; }
.bars { display: flex; align-items: flex-end; gap: 2px; height: 3.2rem; margin-top: .5rem; }
.bars span { flex: 1; background: var(--line); border-radius: 2px 2px 0 0; min-height: 2px; }
.bars span.answer { background: var(--mark); }
.ticks { display: flex; gap: 2px; font-size: .68rem; color: var(--soft); } .ticks span { flex: 1; overflow: hidden; }
@media print { body { max-width: none; } h2 { break-after: avoid; } figure, .digits li { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: its heading, plain text.
        body: HTML.
    """

    title: str
    body: str


def document(title: str, lead: str, sections: Sequence[Section], head: str = "") -> str:
    """Return a whole HTML page.

    Args:
        title: plain text.
        lead: one sentence below the title, plain text.
        sections: what follows.
        head: HTML between the lead and the first section.
    """
    links = "".join(f'<a href="#s{i}">{escape(section.title)}</a>' for i, section in enumerate(sections))
    body = "".join(f'<h2 id="s{i}">{escape(s.title)}</h2>\n{s.body}\n' for i, s in enumerate(sections))
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n"
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>\n'
        f'<nav aria-label="Sections">{links}</nav>\n<main>\n{head}{body}</main>\n</html>\n'
    )


def picture(png: bytes, alt: str, caption: str = "") -> str:
    """Return a figure as HTML with its bytes inside.

    Args:
        png: the file.
        alt: what it shows, for those who do not see it; plain text.
        caption: HTML below it.
    """
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    image = f'<img alt="{escape(alt)}" src="{_data_of(png)}">'
    return f'<figure><div class="scroll">{image}</div>{below}</figure>'


def tiles(figures: Sequence[tuple[str, str, str]]) -> str:
    """Return chief figures as cards: (what it is, the figure, what to add below it), plain text."""
    cards = (
        f'<div class="tile"><span>{escape(what)}</span><b>{escape(figure)}</b><span>{escape(below)}</span></div>'
        for what, figure, below in figures
    )
    return f'<div class="tiles">{"".join(cards)}</div>\n'.replace(" %", "&nbsp;%")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Return a table of plain text; `kind` is a class of the style sheet."""
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    thead = f"<thead><tr>{heads}</tr></thead>" if head else ""
    return f'<div class="scroll"><table class="{kind}">{thead}<tbody>{body}</tbody></table></div>'


def _data_of(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def digit_picture(image: np.ndarray, alt: str) -> str:
    """Return an image uint8 (28, 28) as HTML: dark ink on white."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(255 - image).save(buffer, "PNG", optimize=True)
    return f'<img alt="{escape(alt)}" src="{_data_of(buffer.getvalue())}">'


def save_page(path: Path, content: bytes) -> Path:
    """Write a file whole, beside it first, with its folder where that is missing, and return its path.

    Raises:
        RunError: it cannot be written.
    """
    beside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError as error:
        raise RunError(f"{path}: cannot write the report ({error.strerror})") from None
    return path
