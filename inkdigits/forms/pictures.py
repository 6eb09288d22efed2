"""The pictures of a job's pages, and what is cut out of them."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from inkdigits.arrays import Box, GrayImage
from inkdigits.errors import FormError, reason
from inkdigits.files.storage import write_bytes
from inkdigits.forms import groups

JPEG_QUALITY = 80


class PageStore:
    """The pictures in a job's folder, JPEGs that are named by what they show.

    Args:
        folder: of the job.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last: tuple[str, GrayImage] | None = None  # that was cut from: the next field is mostly of the same page

    def keep(self, digest: str, picture: GrayImage) -> str:
        """Write a picture uint8 (H, W) of this digest; return its name.

        Raises:
            OutputError: it cannot be written.
        """
        name = f"pages/{digest[:32]}.jpg"
        done, stored = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        assert done
        write_bytes(self._folder / name, stored.tobytes())
        return name

    def read(self, name: str) -> bytes:
        """Return a picture, a JPEG.

        Raises:
            FormError: there is none, or it cannot be read.
        """
        if not name:
            raise FormError(f"{self._folder}: the job has no such picture")
        try:
            return (self._folder / name).read_bytes()
        except OSError as error:
            raise FormError(f"{self._folder / name}: cannot be read ({reason(error)})") from None

    def decoded(self, name: str) -> GrayImage:
        """Return a picture as uint8 (H, W); see `read`."""
        stored = np.frombuffer(self.read(name), np.uint8)
        return np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), np.uint8)

    def cut_out(self, name: str, box: Box, room: float) -> bytes:
        """Return a box of a page, a PNG, with a frame around it where much of the page is shown.

        Args:
            name: of the page's picture.
            box: of a field.
            room: how much of the page around it is shown, as a share of its height.

        Raises:
            FormError: there is no such picture.
        """
        last = self._last
        if last is None or last[0] != name:
            self._last = last = name, self.decoded(name)
        page = last[1]
        x, y, width, height = box
        margin = round(room * height)
        if room >= 1:
            page = np.asarray(cv2.rectangle(page.copy(), (x - 3, y - 3, width + 6, height + 6), 0, 2), np.uint8)
        return _png(page[max(0, y - margin) : y + height + margin, max(0, x - 3 * margin) : x + width + 3 * margin])

    def sheet(self, cuts: Iterable[tuple[int, str, Box]]) -> bytes:
        """Return the cut-outs of a group screen as one PNG.

        Args:
            cuts: of each its position, its page's picture and its box; those of one page side by side.

        Raises:
            FormError: a page has no picture.
        """
        width, height = groups.TILE
        made = np.full((groups.CUTS // groups.COLUMNS * height, groups.COLUMNS * width), 255, np.uint8)
        shown, page = "", np.zeros((1, 1), np.uint8)
        for position, name, box in cuts:
            if name != shown:
                shown, page = name, self.decoded(name)
            y, x = position // groups.COLUMNS * height, position % groups.COLUMNS * width
            made[y : y + height, x : x + width] = groups.tile(page, box)
        return _png(made)


def _png(picture: GrayImage) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1].tobytes())
