"""Files in, answers out: what `inkdigits read` does with names, folders, globs and stdin."""

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.errors import ImageError
from inkdigits.images import read_image
from inkdigits.reader import NumberReading, PageReading, Reader

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".pbm", ".pgm", ".ppm"}


@dataclass(frozen=True)
class Answer:
    """What came of one file: its page, or an error in one line."""

    name: str
    page: PageReading | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of `inkdigits read --json`."""
        return {"image": self.name} | (self.page.to_dict() if self.page else {"error": self.error})


def find_files(names: Sequence[str]) -> Iterator[str]:
    """Yield the pictures that names mean: a file as it is, a folder's pictures at any depth, a glob's matches, "-".

    Raises:
        ImageError: a folder or a glob without any picture.
    """
    for name in names:
        if name == "-" or os.path.isfile(name):
            yield name
        elif os.path.isdir(name):
            yield from _in_folder(name)
        elif glob.has_magic(name):
            found = sorted(glob.glob(name, recursive=True))
            if not found:
                raise ImageError(f"{name}: matches no file")
            yield from found
        else:
            yield name  # reading it says what is wrong


def _in_folder(folder: str) -> list[str]:
    found = sorted(str(p) for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise ImageError(f"{folder}: no pictures in this folder ({', '.join(sorted(SUFFIXES))})")
    return found


def read_files(
    names: Sequence[str],
    layout: str = "page",
    model: str | Path | None = None,
    overlay_folder: Path | None = None,
    explain_folder: Path | None = None,
) -> Iterator[Answer]:
    """Yield an answer for each picture, in order; a picture that cannot be read does not stop the others.

    Args:
        names: files, folders, globs, or "-" for one picture on stdin.
        layout: "digit", "number" or "page".
        model: a run or an ONNX file; the shipped nets where None.
        overlay_folder: where to write each picture with its boxes, if anywhere.
        explain_folder: where to write a picture for each digit, if anywhere.

    Raises:
        ImageError: a folder or a glob without any picture, or a folder that cannot be written to.
        ModelError: the model cannot be used.
    """
    files = list(find_files(names))
    reader = Reader(model)
    for name in files:
        try:
            image = read_image(sys.stdin.buffer.read(), name="stdin") if name == "-" else read_image(name)
        except ImageError as error:
            yield Answer(name, error=str(error))
            continue
        page = reader.read(image, layout)
        if overlay_folder:
            _save_overlay(overlay_folder, name, image, page)
        if explain_folder:
            _save_explanations(explain_folder, name, image, page)
        yield Answer(name, page)


def _save_overlay(folder: Path, name: str, image: np.ndarray, page: PageReading) -> None:
    from inkdigits.drawing import draw_overlay

    _save(folder / f"{_flat(name)}.png", draw_overlay(image, page.lines))


def _save_explanations(folder: Path, name: str, image: np.ndarray, page: PageReading) -> None:
    from inkdigits.drawing import draw_explanation

    for row, line in enumerate(page.lines, 1):
        for place, item in enumerate(line.items, 1):
            _save(folder / f"{_flat(name)}-{row:02}-{place:02}.png", draw_explanation(image, item))


def _flat(name: str) -> str:
    """Return a file name that tells pictures of the same name in different folders apart."""
    return "stdin" if name == "-" else os.path.relpath(name).replace("..", "").strip(os.sep).replace(os.sep, "_")


def _save(path: Path, picture: np.ndarray) -> None:
    from inkdigits.drawing import save_picture

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{path.parent}: cannot be made ({error.strerror})") from None
    save_picture(path, picture)


def count_doubtful(answer: Answer) -> int:
    """Return how many digits of an answer are not accepted."""
    return sum(not item.accepted for line in answer.page.lines for item in line.items) if answer.page else 0


def as_text(answer: Answer) -> str:
    """Return an answer as `inkdigits read` prints it: the name, then a line a row, doubtful digits marked `?`."""
    rows = [marked(line) for line in answer.page.lines] if answer.page else []
    return "\n".join(f"{answer.name}: {row}" for row in rows or [""])


def marked(line: NumberReading) -> str:
    """Return a line's text with a question mark behind each doubtful digit."""
    items = iter(line.items)
    return "".join(
        character + ("?" if character.isdigit() and not next(items).accepted else "") for character in line.text
    )
