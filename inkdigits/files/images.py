"""Any picture in, one grey array out, as the eye sees it: EXIF turn, alpha, palettes, colour, 16 bit.

Limits on bytes and pixels are checked from the header, before anything is decoded.
"""

import io
import os
import warnings
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from inkdigits.errors import ImageError

MAX_PIXELS = 50_000_000
MAX_BYTES = 200_000_000
# Pillow knows some forty formats; one of them (EPS) starts another program, and nobody scans digits to the rest.
# Importing a plugin registers its formats; Pillow itself would import all forty.
PLUGINS = (
    PngImagePlugin,
    JpegImagePlugin,
    WebPImagePlugin,
    BmpImagePlugin,
    TiffImagePlugin,
    GifImagePlugin,
    PpmImagePlugin,
)
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM")
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".pbm", ".pgm", ".ppm"}
ORIENTATION = 0x0112

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | np.ndarray

# Pillow warns at a limit of its own, above ours; ours is an error with a name.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_image(
    source: ImageSource, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES, name: str | None = None
) -> np.ndarray:
    """Return a picture as grey levels, its polarity untouched.

    Args:
        source: a path; the bytes of a PNG, JPEG, WebP, BMP, TIFF, GIF (first frame) or PNM file; a PIL image; or an
            array (H, W), (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGBA of dtype bool,
            uint8, uint16, another integer type holding 0 to 255, or floats 0 to 1.
        max_pixels: the most pixels that are decoded.
        max_bytes: the most bytes that are read.
        name: what to call the picture in an error; a path's own name where None.

    Returns:
        uint8 (H, W), 0 = black, 255 = white; alpha is laid on white and the EXIF orientation applied.

    Raises:
        ImageError: the picture is missing, a folder, empty, truncated, not an image, too large or zero-sized.
    """
    if isinstance(source, np.ndarray):
        return _grey_of_array(source, name or "the array", max_pixels)
    if isinstance(source, Image.Image):
        return _grey_of_pil(source, name or "the PIL image", max_pixels)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(bytes(source), name or "the bytes", max_pixels, max_bytes)
    if isinstance(source, (str, os.PathLike)):
        return _decode(_read_file(source, max_bytes), name or str(source), max_pixels, max_bytes)
    raise ImageError(f"{name or type(source).__name__}: a picture is a path, bytes, a PIL image or a NumPy array")


def _read_file(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    try:
        with open(path, "rb") as file:
            # One byte more than allowed tells "too large", also for a pipe, which has no size.
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: a folder, not a picture") from None
    except (OSError, ValueError) as error:
        if os.path.isdir(path):  # Windows answers "permission denied" for a folder
            raise ImageError(f"{path}: a folder, not a picture") from None
        raise ImageError(f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error})") from None


def _decode(data: bytes, name: str, max_pixels: int, max_bytes: int) -> np.ndarray:
    if not data:
        raise ImageError(f"{name}: empty (0 bytes)")
    if len(data) > max_bytes:
        raise ImageError(f"{name}: more than {max_bytes:,} bytes; the limit is max_bytes")
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: too many pixels (the limit is {max_pixels:,}); make it smaller") from None
    except Exception as error:  # damaged headers raise a dozen types, from struct.error to SyntaxError
        raise ImageError(f"{name}: not an image that can be read ({_cause(error, data)})") from None
    with picture:
        picture.draft("L", picture.size)  # lets a JPEG skip its colour planes
        return _grey_of_pil(picture, name, max_pixels)


def _cause(error: Exception, data: bytes) -> str:
    if data.lstrip()[:1] == b"<":
        return "it holds HTML or XML text"
    if isinstance(error, UnidentifiedImageError):
        return "PNG, JPEG, WebP, BMP, TIFF and GIF are"
    return str(error).splitlines()[0][:80] if str(error) else type(error).__name__


def _grey_of_pil(picture: Image.Image, name: str, max_pixels: int) -> np.ndarray:
    _check_size(picture.size[1], picture.size[0], name, max_pixels)
    try:
        picture.load()
        grey = _grey_of_modes(picture)
    except Exception as error:  # decoders of damaged data raise a dozen types
        cause = str(error).splitlines()[0][:80] if str(error) else type(error).__name__
        raise ImageError(f"{name}: truncated or damaged ({cause})") from None
    _check_size(grey.shape[0], grey.shape[1], name, max_pixels)
    return _turned(grey, _orientation(picture))


def _check_size(height: int, width: int, name: str, max_pixels: int) -> None:
    if height == 0 or width == 0:
        raise ImageError(f"{name}: zero-sized ({width} x {height} pixels)")
    if height * width > max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} pixels are too many (the limit is {max_pixels:,}); make it smaller"
        )


def _grey_of_modes(picture: Image.Image) -> np.ndarray:
    mode = picture.mode
    if mode.startswith("I;16"):
        return _eight_bit(np.asarray(picture).astype(np.uint16), "")
    if mode in ("I", "F"):
        return _grey_of_wide(np.asarray(picture))
    if mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        layered = picture.convert("RGBA")
        return _laid_on_white(np.asarray(layered.convert("L")), np.asarray(layered.getchannel("A")))
    if mode in ("LAB", "HSV"):  # Pillow converts these to RGB alone
        picture = picture.convert("RGB")
    return np.array(picture.convert("L"))


def _grey_of_wide(values: np.ndarray) -> np.ndarray:
    """Return grey levels of 32 bit integers or floats, whose range a file does not tell: 1, 255 or 65535."""
    values = np.nan_to_num(values.astype(np.float64), nan=255.0, posinf=65535.0, neginf=0.0)
    high = values.max()
    scale = 255 / 65535 if high > 255 else 1.0 if high > 1 else 255.0
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


def _laid_on_white(grey: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    opacity = alpha.astype(np.float32) / 255
    return np.rint(255 + (grey.astype(np.float32) - 255) * opacity).astype(np.uint8)


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # a damaged EXIF block is no reason to refuse good pixels
        return 1


def _turned(grey: np.ndarray, orientation: int) -> np.ndarray:
    """Return the picture as it is meant to be seen (EXIF 2.32, section 4.6.5, tag 274)."""
    if orientation in (5, 6, 7, 8):
        grey = grey.T
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    return np.ascontiguousarray(grey)


def _grey_of_array(array: np.ndarray, name: str, max_pixels: int) -> np.ndarray:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise ImageError(f"{name}: shape {array.shape} is no picture; give (H, W), (H, W, 3) RGB or (H, W, 4) RGBA")
    _check_size(array.shape[0], array.shape[1], name, max_pixels)
    levels = np.ascontiguousarray(_eight_bit(array, name))
    if levels.ndim == 2:
        return levels.copy() if levels is array else levels
    channels = levels.shape[2]
    # cv2 takes the array's order as it is: its "RGB2GRAY" weighs the first channel as red.
    grey = cv2.cvtColor(levels[..., :3], cv2.COLOR_RGB2GRAY) if channels >= 3 else levels[..., 0].copy()
    return _laid_on_white(grey, levels[..., -1]) if channels in (2, 4) else np.asarray(grey)


def _eight_bit(array: np.ndarray, name: str) -> np.ndarray:
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return array
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind not in "iuf":
        raise ImageError(f"{name}: dtype {array.dtype} is no picture; give uint8, uint16, bool or floats 0 to 1")
    low, high, top = array.min(), array.max(), 1 if kind == "f" else 255
    if not (low >= 0 and high <= top):  # also true of NaN
        raise ImageError(f"{name}: values {low:g} to {high:g} of dtype {array.dtype} lie outside 0 to {top}")
    return np.rint(array * 255.0).astype(np.uint8) if kind == "f" else array.astype(np.uint8)


def save_picture(path: Path, picture: np.ndarray) -> None:
    """Save a picture whole or not at all.

    Args:
        path: where; its suffix says the format (.png, .jpg, .webp).
        picture: uint8 (H, W) or (H, W, 3), BGR.

    Raises:
        ImageError: no such format, or the file cannot be written.
    """
    if not cv2.haveImageWriter(path.name):
        raise ImageError(f"{path}: no known format of pictures; end the name in .png, .jpg or .webp")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ImageError(f"{path}: cannot be written: {error.strerror}") from error
