"""Pictures that show what was read: one for each input, with boxes, and one for each digit."""

import hashlib
import os
from pathlib import Path

from inkdigits.arrays import ColorImage
from inkdigits.files import storage
from inkdigits.files.images import LoadedImage
from inkdigits.reading.results import PageReading

# File systems allow 255 bytes; endings, and the name while the file is written, need some of them.
LONGEST_NAME_BYTES = 200


class Overlays:
    """Writes overlays into folders, under names that differ where those of the inputs do.

    Args:
        overlay_folder: for each input with its boxes and answers, if wanted.
        explain_folder: for a picture of each digit, if wanted.
    """

    def __init__(self, overlay_folder: Path | None, explain_folder: Path | None) -> None:
        self._overlay_folder, self._explain_folder = overlay_folder, explain_folder
        self._inputs: dict[str, str] = {}  # name of a file -> the input it is for

    def save(self, name: str, image: LoadedImage, page: PageReading) -> None:
        """Write the overlays of one input.

        Raises:
            OutputError: a folder cannot be made or a file not be written.
        """
        from inkdigits.reading.overlay import draw_explanation, draw_overlay

        stem = self._stem(name) if self._overlay_folder or self._explain_folder else ""
        if self._overlay_folder:
            _save(self._overlay_folder, stem, draw_overlay(image, page.lines, page.left_out))
        if self._explain_folder:
            for row, line in enumerate(page.lines, 1):
                for place, item in enumerate(line.items, 1):
                    _save(self._explain_folder, f"{stem}-{row:02}-{place:02}", draw_explanation(image, item))

    def _stem(self, name: str) -> str:
        """Return the input's path as one name; it ends in a checksum where it was too long or is another input's."""
        stem = _flat(name)
        if len(os.fsencode(stem)) <= LONGEST_NAME_BYTES and self._inputs.setdefault(stem, name) == name:
            return stem
        while len(os.fsencode(stem)) > LONGEST_NAME_BYTES:
            stem = stem[:-1]
        return f"{stem}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"


def _flat(name: str) -> str:
    if name == "-":
        return "stdin"
    path = name.replace("://", os.sep) if storage.is_remote(name) else os.path.relpath(name)
    return path.replace("..", "").strip(os.sep).replace(os.sep, "_")


def _save(folder: Path, stem: str, picture: ColorImage) -> None:
    from inkdigits.files.images import save_picture

    storage.make_folder(str(folder))
    save_picture(folder / f"{stem}.png", picture)
