"""Pictures in requests and answers: which format a request's bytes are in, by the bytes alone."""

import struct

import cv2
import numpy as np
from starlette.responses import Response

from inkdigits.arrays import NDArray
from inkdigits.web.errors import RequestError

SMALL_PIXELS = 1_000_000
SMALL_BYTES = 64_000
PNG = b"\x89PNG\r\n\x1a\n"
# Chunks whose contents are packed a second time: a small file may hide much work in them.
PACKED_CHUNKS = (b"iCCP", b"zTXt", b"iTXt")
NAMES = "PNG, JPEG, WebP, BMP, GIF and TIFF"


class Png(Response):
    """An answer that is a PNG."""

    media_type = "image/png"


class Jpeg(Response):
    """An answer that is a JPEG."""

    media_type = "image/jpeg"


def check_format(data: bytes) -> None:
    """Pass a picture of a format that is read, by its first bytes, never by its name or type.

    Raises:
        RequestError: 400, nothing was sent; 415, it is something else.
    """
    if not data:
        raise RequestError(400, "empty", "the request holds no picture; send its bytes as the body")
    if data.startswith((PNG, b"\xff\xd8\xff", b"BM", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")):
        return
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return
    raise RequestError(415, "unknown_format", f"not a picture of a format that is read: {NAMES} are")


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a small, plain PNG, and None for anything else.

    Such a picture is decoded in place: what it costs is bounded by its size. All others go to the decoder process.
    """
    if len(data) > SMALL_BYTES or len(data) < 24 or not data.startswith(PNG) or data[12:16] != b"IHDR":
        return None
    if any(chunk in data for chunk in PACKED_CHUNKS):
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return (width, height) if width * height <= SMALL_PIXELS else None


def as_png(image: NDArray[np.uint8]) -> bytes:
    """Return uint8 (H, W) or (H, W, 4) BGRA as a PNG file."""
    done, data = cv2.imencode(".png", image)
    assert done
    return data.tobytes()
