"""Files of several pages: PDFs and TIFFs, page by page."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from inkdigits.arrays import GrayImage
from inkdigits.errors import ImageError, InputError, naming_missing_extra, reason
from inkdigits.files.images import MAX_BYTES, MAX_PIXELS, read_image
from inkdigits.files.storage import is_remote, read_remote

PDF_DPI = 200
LONGEST_PX = 8000  # of a rendered page: A0 at 200 dpi is 9,362
TIFF = (".tif", ".tiff")
DOCUMENTS = (".pdf", *TIFF)


@dataclass(frozen=True)
class DocumentPage:
    """A page of a file, not loaded yet.

    Attributes:
        source: the file, with #2 behind it for the second page of several.
        load: returns it, uint8 (H, W), while the file's pages are being walked through; raises ImageError.
        share: 0 to 1, how much of the file is before its end.
    """

    source: str
    load: Callable[[], GrayImage]
    share: float = 1.0


def pages_of(path: str) -> Iterator[DocumentPage]:
    """Yield the pages of a picture, a TIFF or a PDF, here or in an object store.

    Raises:
        ImageError: it cannot be read.
        MissingExtraError: a PDF, and the extra `forms` is not installed.
    """
    if path.lower().endswith(".pdf"):
        yield from _pdf_pages(path)
    elif path.lower().endswith(TIFF):
        yield from _tiff_pages(path)
    else:
        yield DocumentPage(path, lambda: read_image(path))


def _content(path: str) -> Any:
    """Return what a library opens: the path of a file here, the bytes of an object."""
    try:
        return BytesIO(read_remote(path, MAX_BYTES)) if is_remote(path) else path
    except InputError as error:
        raise ImageError(str(error)) from None


def _pdf_pages(path: str) -> Iterator[DocumentPage]:
    with naming_missing_extra():
        import pypdfium2 as pdfium
    try:
        document = pdfium.PdfDocument(_content(path))
    except (pdfium.PdfiumError, OSError) as error:
        cause = "it is encrypted" if "password" in str(error).lower() else reason(error)
        raise ImageError(f"{path}: not a PDF that can be read ({cause})") from None
    with closing(document):
        n = len(document)
        for number in range(n):
            name = f"{path}#{number + 1}" if n > 1 else path
            yield DocumentPage(name, _drawing(document, number, name), (number + 1) / n)


def _drawing(document: Any, number: int, name: str) -> Callable[[], GrayImage]:
    import pypdfium2 as pdfium

    def draw() -> GrayImage:
        try:
            page = document[number]
            scale = min(PDF_DPI / 72, LONGEST_PX / max(*page.get_size(), 1.0))
            grey = page.render(scale=scale, grayscale=True).to_numpy()
            return np.ascontiguousarray(grey.reshape(grey.shape[:2]), np.uint8)
        except (pdfium.PdfiumError, ValueError) as error:
            raise ImageError(f"{name}: cannot be drawn ({reason(error)})") from None

    return draw


def _tiff_pages(path: str) -> Iterator[DocumentPage]:
    whole = DocumentPage(path, lambda: read_image(path))
    try:
        picture = Image.open(_content(path), formats=("TIFF",))
    except (UnidentifiedImageError, OSError):  # another kind of picture, damaged or missing: reading it says what
        yield whole
        return
    with picture:
        n = getattr(picture, "n_frames", 1)
        if n == 1:
            yield whole
            return
        for number in range(n):
            name = f"{path}#{number + 1}"
            yield DocumentPage(name, _frame(picture, number, name), (number + 1) / n)


def _frame(picture: Image.Image, number: int, name: str) -> Callable[[], GrayImage]:
    def load() -> GrayImage:
        try:
            picture.seek(number)
            if picture.width * picture.height > MAX_PIXELS:
                raise ImageError(f"{name}: too many pixels (the limit is {MAX_PIXELS:,})")
            return read_image(picture.copy())
        except ImageError:
            raise
        except Exception as error:  # damaged files raise a dozen types
            raise ImageError(f"{name}: not an image that can be read ({reason(error)[:80]})") from None

    return load
