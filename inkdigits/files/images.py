"""Any picture in, one grey array out, as the eye sees it: EXIF turn, alpha, palettes, colour, 16 bit.

Limits on bytes and pixels are checked from the header, before anything is decoded.
"""

import io
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from inkdigits.arrays import AnyImage, Box, ColorImage, GrayImage, NDArray
from inkdigits.errors import ImageError, OutputError, naming_missing_extra, reason
from inkdigits.files import storage

# Phones take 200 megapixels, an A3 sheet at 1,200 dpi has 278; what promises more is a mistake or a bomb: a PNG of 1 MB
# may hold a gigapixel of one colour. Decoding takes at most 4 bytes a pixel at this size: 1.2 GB.
MAX_PIXELS = 300_000_000
# Pictures with more pixels are read reduced to a half or a quarter of their width and height: beyond A4 at 800 dpi, no
# stroke of a pen gets clearer.
FULL_PIXELS = 50_000_000
MAX_BYTES = 200_000_000
BAND_PIXELS = 4_000_000  # large pictures are made grey and reduced by bands of rows of about this size
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
SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".pbm", ".pgm", ".ppm", ".heic", ".heif"),
}
# What the header of an iPhone's photograph names.
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
ORIENTATION = 0x0112


class BinaryFile(Protocol):
    """A file opened in binary mode, or anything with its `read`."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """A picture as it was read.

    Attributes:
        pixels: uint8 (H, W), 0 = black, 255 = white; reduced where the picture is very large.
        width: of the picture as it is stored, after its EXIF turn, in pixels.
        height: the same.
        reduction: how many stored pixels one of `pixels` is wide and high: 1, 2, 4, ...
    """

    pixels: GrayImage
    width: int
    height: int
    reduction: int = 1

    def to_stored(self, box: Box) -> Box:
        """Return a box in `pixels` as one in the stored picture, exact to `reduction` pixels."""
        if self.reduction == 1:
            return box
        x, y, width, height = (self.reduction * side for side in box)
        return x, y, min(width, self.width - x), min(height, self.height - y)

    def from_stored(self, box: Box) -> Box:
        """Return the smallest box in `pixels` around a box in the stored picture."""
        x, y, width, height = box
        left, top = x // self.reduction, y // self.reduction
        return left, top, -(-(x + width) // self.reduction) - left, -(-(y + height) // self.reduction) - top


ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image | NDArray[Any] | LoadedImage
)


def read_image(
    source: ImageSource, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES, name: str | None = None
) -> GrayImage:
    """Return a picture as grey levels, its polarity untouched; one of more than 50 megapixels comes back reduced.

    Args:
        source: a path; the bytes of a PNG, JPEG, WebP, BMP, TIFF, GIF (first frame), PNM or, with the extra `heic`,
            HEIC file; a file opened in binary mode, which is read from where it stands to its end; a PIL image; an
            array (H, W), (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGBA of dtype bool,
            uint8, uint16, another integer type holding 0 to 255, or floats 0 to 1; or what `load_image` returned.
        max_pixels: the most pixels that a picture may have.
        max_bytes: the most bytes that are read.
        name: what to call the picture in an error; a path's own name where None.

    Returns:
        uint8 (H, W), 0 = black, 255 = white; alpha is laid on white and the EXIF orientation applied.

    Raises:
        ImageError: the picture is missing, a folder, empty, truncated, not an image, too large or zero-sized.
    """
    return load_image(source, max_pixels, max_bytes, name).pixels


def load_image(
    source: ImageSource, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES, name: str | None = None
) -> LoadedImage:
    """Return what `read_image` does, with the size of the picture as it is stored."""
    if isinstance(source, LoadedImage):
        return source
    if isinstance(source, np.ndarray):
        return _load_array(source, name or "the array", max_pixels)
    if isinstance(source, Image.Image):
        return _load_pil(source, source.size, name or "the PIL image", max_pixels)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(bytes(source), name or "the bytes", max_pixels, max_bytes)
    if isinstance(source, (str, os.PathLike)):
        return _decode(_read_path(source, max_bytes), name or str(source), max_pixels, max_bytes)
    if hasattr(source, "read"):
        called = getattr(source, "name", None)
        name = name or (called if isinstance(called, str) else "the file")
        return _decode(_read_file(source, name, max_bytes), name, max_pixels, max_bytes)
    raise ImageError(
        f"{name or type(source).__name__}: a picture is a path, bytes, a file opened in binary mode, a PIL image or a "
        "NumPy array"
    )


def _read_path(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    try:
        with open(path, "rb") as file:  # not through Path, which would call http://x http:/x in errors
            # One byte more than allowed tells "too large", also for a pipe, which has no size.
            return file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ImageError(f"{path}: a folder, not a picture") from None
    except (OSError, ValueError) as error:
        if os.path.isdir(path):  # Windows answers "permission denied" for a folder
            raise ImageError(f"{path}: a folder, not a picture") from None
        raise ImageError(f"{path}: cannot be opened ({reason(error)})") from None


def _read_file(file: BinaryFile, name: str, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    left = max_bytes + 1
    try:
        while left > 0:
            part: Any = file.read(left)  # a raw file or a socket may return less than there is
            if not part:
                break
            if not isinstance(part, (bytes, bytearray, memoryview)):
                raise ImageError(f"{name}: not opened in binary mode; open it with the mode 'rb'")
            parts.append(bytes(part))
            left -= len(part)
    except (OSError, ValueError, TypeError) as error:
        raise ImageError(f"{name}: cannot be read ({reason(error)})") from None
    return b"".join(parts)


def _decode(data: bytes, name: str, max_pixels: int, max_bytes: int) -> LoadedImage:
    if not data:
        raise ImageError(f"{name}: empty (0 bytes)")
    if len(data) > max_bytes:
        raise ImageError(f"{name}: more than {max_bytes:,} bytes; the limit is max_bytes")
    try:
        picture = _open(data)
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: too many pixels (the limit is {max_pixels:,}); make it smaller") from None
    except Exception as error:  # damaged headers raise a dozen types, from struct.error to SyntaxError
        raise ImageError(f"{name}: not an image that can be read ({reason(error)[:80]})") from None
    if picture is None:
        cause = "it holds HTML or XML text" if data.lstrip()[:1] == b"<" else "PNG, JPEG, WebP, BMP, TIFF and GIF are"
        raise ImageError(f"{name}: not an image that can be read ({cause})")
    with picture:
        stored = picture.size
        _check_size(*stored, name, max_pixels)
        reduction = _reduction_of(*stored)
        # Lets a JPEG skip its colour planes, and decode a large picture at a half, a quarter or an eighth.
        picture.draft("L", (stored[0] // reduction, stored[1] // reduction))
        return _load_pil(picture, stored, name, max_pixels)


def _open(data: bytes) -> ImageFile.ImageFile | None:
    """Return the picture with its header read; None where no format that we read knows it.

    `PIL.Image.open` does the same, but warns of pictures over 89 megapixels and raises an error over 179, by limits
    that hold for the whole process.
    """
    if data[4:8] == b"ftyp" and data[8:12] in HEIC_BRANDS:
        return _open_heic(data)
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        accepted = accepts is None or accepts(data[:16])
        if not accepted or isinstance(accepted, str):  # a word says that Pillow was built without the format
            continue
        try:
            return factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # how a plugin says that it is not its format
            continue
    return None


def _open_heic(data: bytes) -> ImageFile.ImageFile:
    """Return a HEIC picture, turned as it is meant to be seen.

    Raises:
        MissingExtraError: the extra `heic` is not installed.
    """
    with naming_missing_extra():
        import pillow_heif
    pillow_heif.register_heif_opener()
    return Image.OPEN["HEIF"][0](io.BytesIO(data), "")


def _load_pil(picture: Image.Image, stored: tuple[int, int], name: str, max_pixels: int) -> LoadedImage:
    """Return a picture whose file says that it is `stored` (width, height) pixels large."""
    _check_size(*stored, name, max_pixels)
    reduction = _reduction_of(*stored)
    try:
        picture.load()
        drafted = max(1, round(stored[0] / picture.width))
        left_to_do = max(1, reduction // drafted)
        if picture.mode in ("I", "F") and left_to_do > 1:
            # Their range is only known when all is decoded, and takes 20 bytes a pixel.
            raise ImageError(f"{name}: {stored[0]} x {stored[1]} pixels of 32 bits are too many; save it with 8 or 16")
        grey = _reduced(picture.size, left_to_do, lambda low, high: _grey_of_modes(_rows_of(picture, low, high)))
    except ImageError:
        raise
    except Exception as error:  # decoders of damaged data raise a dozen types
        raise ImageError(f"{name}: truncated or damaged ({reason(error)[:80]})") from None
    _check_size(grey.shape[1], grey.shape[0], name, max_pixels)
    orientation = _orientation(picture)
    width, height = stored if reduction > 1 else picture.size
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return LoadedImage(_turned(grey, orientation), width, height, reduction)


def _rows_of(picture: Image.Image, low: int, high: int) -> Image.Image:
    return picture if high - low == picture.height else picture.crop((0, low, picture.width, high))


def _check_size(width: int, height: int, name: str, max_pixels: int) -> None:
    if height == 0 or width == 0:
        raise ImageError(f"{name}: zero-sized ({width} x {height} pixels)")
    if height * width > max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} pixels are too many (the limit is {max_pixels:,}); make it smaller"
        )


def _reduction_of(width: int, height: int) -> int:
    """Return by which power of two a picture's width and height are divided when it is read."""
    reduction = 1
    while width * height > FULL_PIXELS * reduction**2:
        reduction *= 2
    return reduction


def _reduced(size: tuple[int, int], reduction: int, grey_of: Callable[[int, int], GrayImage]) -> GrayImage:
    """Return grey levels reduced: each pixel is the mean of `reduction` x `reduction` ones.

    Args:
        size: width and height before.
        reduction: at least 1.
        grey_of: returns the grey levels of the rows from the first number to before the second. It is asked for bands
            of rows, so that what it needs for them does not add up.
    """
    width, height = size
    if reduction == 1:
        return grey_of(0, height)
    rows = reduction * max(1, BAND_PIXELS // (reduction * width))
    bands = []
    for low in range(0, height, rows):
        grey = grey_of(low, min(low + rows, height))
        grey = np.pad(grey, [(0, -side % reduction) for side in grey.shape], mode="edge")
        target = grey.shape[1] // reduction, grey.shape[0] // reduction
        bands.append(np.asarray(cv2.resize(grey, target, interpolation=cv2.INTER_AREA), np.uint8))
    return np.concatenate(bands)


def _grey_of_modes(picture: Image.Image) -> GrayImage:
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


def _grey_of_wide(values: AnyImage) -> GrayImage:
    """Return grey levels of 32 bit integers or floats, whose range the file does not state: 1, 255 or 65535."""
    values = np.nan_to_num(values.astype(np.float64), nan=255.0, posinf=65535.0, neginf=0.0)
    high = values.max()
    scale = 255 / 65535 if high > 255 else 1.0 if high > 1 else 255.0
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)


def _laid_on_white(grey: GrayImage, alpha: GrayImage) -> GrayImage:
    opacity = alpha.astype(np.float32) / 255
    return np.rint(255 + (grey.astype(np.float32) - 255) * opacity).astype(np.uint8)


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # the pixels are good even where the EXIF block is damaged
        return 1


def _turned(grey: GrayImage, orientation: int) -> GrayImage:
    """Return the picture as it is meant to be seen (EXIF 2.32, section 4.6.5, tag 274)."""
    if orientation in (5, 6, 7, 8):
        grey = grey.T
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    return np.ascontiguousarray(grey)


def _load_array(array: NDArray[Any], name: str, max_pixels: int) -> LoadedImage:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise ImageError(f"{name}: shape {array.shape} is no picture; give (H, W), (H, W, 3) RGB or (H, W, 4) RGBA")
    height, width = array.shape[:2]
    _check_size(width, height, name, max_pixels)
    reduction = _reduction_of(width, height)
    pixels = _reduced((width, height), reduction, lambda low, high: _grey_of_array(array[low:high], name))
    return LoadedImage(pixels, width, height, reduction)


def _grey_of_array(array: NDArray[Any], name: str) -> GrayImage:
    levels = np.ascontiguousarray(_eight_bit(array, name))
    if levels.ndim == 2:
        return levels.copy() if np.may_share_memory(levels, array) else levels
    channels = levels.shape[2]
    # cv2 takes the array's order as it is: its "RGB2GRAY" weighs the first channel as red.
    grey = cv2.cvtColor(levels[..., :3], cv2.COLOR_RGB2GRAY) if channels >= 3 else levels[..., 0].copy()
    grey = np.asarray(grey, np.uint8)
    return _laid_on_white(grey, levels[..., -1]) if channels in (2, 4) else grey


def _eight_bit(array: NDArray[Any], name: str) -> NDArray[np.uint8]:
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


def save_picture(path: Path, picture: GrayImage | ColorImage) -> None:
    """Save a picture whole or not at all.

    Args:
        path: where; its suffix says the format (.png, .jpg, .webp).
        picture: uint8 (H, W) or (H, W, 3), BGR.

    Raises:
        OutputError: no such format, a picture too large for it, or a file that cannot be written (a full disk, say).
    """
    # OpenCV is asked with the suffix alone: on a name that is not UTF-8 it crashes.
    if not path.suffix.isascii() or not cv2.haveImageWriter(f"picture{path.suffix}"):
        raise OutputError(f"{path}: no known format of pictures; end the name in .png, .jpg or .webp")
    try:
        done, data = cv2.imencode(path.suffix, picture)
    except cv2.error:
        done = False
    if not done:
        height, width = picture.shape[:2]
        raise OutputError(f"{path}: a picture of {width} x {height} pixels cannot be saved as {path.suffix}")
    storage.write_bytes(str(path), data.tobytes())
