"""Files of scans -> the pictures of their pages: pictures, TIFFs of several pages, PDFs."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
from PIL import Image, UnidentifiedImageError

from inkdigits.arrays import GrayImage
from inkdigits.errors import ImageError, InputError, reason
from inkdigits.files.images import MAX_PIXELS, SUFFIXES, read_image
from inkdigits.files.storage import is_hidden, walk

PDF_DPI = 200
LONGEST_PX = 8000  # of a rendered page: A0 at 200 dpi is 9,362
DOCUMENTS = SUFFIXES | {".pdf"}


@dataclass(frozen=True)
class ScannedPage:
    """A page of a file.

    Attributes:
        source: the file, with #2 behind it for the second page of a PDF or TIFF.
        image: uint8 (H, W), or None where it cannot be read.
        problem: in one line why not.
    """

    source: str
    image: GrayImage | None
    problem: str = ""


def documents_in(paths: Iterable[str | Path]) -> list[Path]:
    """Return the files to read among files and folders, those of a folder by name.

    Raises:
        InputError: there is no such file or folder, or none holds a picture or a PDF.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            names = sorted(each.path for each in walk(str(path)) if not is_hidden(each.path))
            found += [Path(name) for name in names if Path(name).suffix.lower() in DOCUMENTS]
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: no pictures and no PDFs in it")
    return list(dict.fromkeys(found))


def pages_of(path: Path, known: Container[str] = ()) -> Iterator[ScannedPage]:
    """Yield the pages of a file, those whose source is known passed over.

    One that cannot be read is a page with a problem.
    """
    if str(path) in known:
        return
    try:
        if path.suffix.lower() == ".pdf":
            yield from _pdf_pages(path, known)
        elif path.suffix.lower() in (".tif", ".tiff"):
            yield from _tiff_pages(path, known)
        else:
            yield ScannedPage(str(path), read_image(path))
    except ImageError as error:
        yield ScannedPage(str(path), None, str(error))


def _pdf_pages(path: Path, known: Container[str]) -> Iterator[ScannedPage]:
    try:
        document = pdfium.PdfDocument(path)
    except (pdfium.PdfiumError, OSError) as error:
        cause = "it is encrypted" if "password" in str(error).lower() else reason(error)
        raise ImageError(f"{path}: not a PDF that can be read ({cause})") from None
    with document:
        for number in range(len(document)):
            name = f"{path}#{number + 1}" if len(document) > 1 else str(path)
            if name in known:
                continue
            try:
                page = document[number]
                scale = min(PDF_DPI / 72, LONGEST_PX / max(*page.get_size(), 1.0))
                grey = page.render(scale=scale, grayscale=True).to_numpy()
                yield ScannedPage(name, np.ascontiguousarray(grey.reshape(grey.shape[:2]), np.uint8))
            except (pdfium.PdfiumError, ValueError) as error:
                yield ScannedPage(name, None, f"{name}: cannot be drawn ({reason(error)})")


def _tiff_pages(path: Path, known: Container[str]) -> Iterator[ScannedPage]:
    try:
        with Image.open(path, formats=("TIFF",)) as picture:
            n = getattr(picture, "n_frames", 1)
            if n == 1:
                yield ScannedPage(str(path), read_image(path))
                return
            for number in range(n):
                if f"{path}#{number + 1}" in known:
                    continue
                picture.seek(number)
                if picture.width * picture.height > MAX_PIXELS:
                    raise ImageError(f"{path}#{number + 1}: too many pixels (the limit is {MAX_PIXELS:,})")
                yield ScannedPage(f"{path}#{number + 1}", read_image(picture.copy()))
    except ImageError:
        raise
    except UnidentifiedImageError:  # another kind of picture, or none
        yield ScannedPage(str(path), read_image(path))
    except Exception as error:  # damaged files raise a dozen types
        raise ImageError(f"{path}: not an image that can be read ({reason(error)[:80]})") from None
