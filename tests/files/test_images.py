import contextlib
import errno
import io
import os
import sys
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from inkdigits.errors import ImageError, OutputError
from inkdigits.files import images
from inkdigits.files.images import load_image, read_image, save_picture

GREY = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=file_format, **options)
    return buffer.getvalue()


PNG = encoded(Image.fromarray(GREY), "PNG")
JPEG = encoded(Image.fromarray(np.repeat(GREY[..., None], 3, axis=2)), "JPEG", quality=95)


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("GIF", {}), ("PPM", {}), ("WEBP", {"lossless": True})],
)
def test_lossless_formats_come_back_exactly(file_format: str, options: dict[str, object]) -> None:
    picture = Image.fromarray(GREY)
    image = read_image(encoded(picture.convert("RGB") if file_format == "WEBP" else picture, file_format, **options))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, GREY)


def test_jpeg_comes_back_nearly() -> None:
    assert np.abs(read_image(JPEG).astype(int) - GREY).mean() < 4


def test_path_bytes_pil_and_array_give_one_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    for source in (path, str(path), PNG, Image.fromarray(GREY), GREY):
        np.testing.assert_array_equal(read_image(source), GREY)


def test_files_opened_in_binary_mode_are_read_from_where_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"head" + PNG)
    with path.open("rb") as file, path.open("rb", buffering=0) as raw:
        for source in (file, raw):
            source.seek(4)
            np.testing.assert_array_equal(read_image(source), GREY)
    np.testing.assert_array_equal(read_image(io.BytesIO(PNG)), GREY)
    np.testing.assert_array_equal(read_image(Trickle(PNG)), GREY)


class Trickle:
    """A file that returns less than it is asked for, as sockets do."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, 7))


def test_files_that_are_no_pictures_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"no picture")
    with path.open("rb") as file, pytest.raises(ImageError, match=r"a\.png: not an image"):
        read_image(file)
    with path.open() as text, pytest.raises(ImageError, match=r"a\.png: not opened in binary mode"):
        read_image(text)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"the file: cannot be read .*closed"):
        read_image(closed())
    with pytest.raises(ImageError, match="the upload: empty"):
        read_image(io.BytesIO(), name="the upload")
    with pytest.raises(ImageError, match="more than 50 bytes"):
        read_image(io.BytesIO(PNG), max_bytes=50)


def closed() -> io.BytesIO:
    file = io.BytesIO(PNG)
    file.close()
    return file


def test_an_array_is_copied() -> None:
    image = read_image(GREY)
    image[:] = 7
    assert GREY[0, 1] == 1


@pytest.mark.parametrize(
    "array",
    [
        GREY[..., None],
        np.repeat(GREY[..., None], 3, axis=2),
        np.dstack([GREY, GREY, GREY, np.full_like(GREY, 255)]),
        np.dstack([GREY, np.full_like(GREY, 255)]),
        GREY.astype(np.uint16) * 257,
        GREY.astype(np.int64),
        GREY / 255.0,
        (GREY / 255.0).astype(np.float32),
    ],
    ids=["HW1", "RGB", "RGBA", "LA", "uint16", "int64", "float64", "float32"],
)
def test_arrays_of_every_kind_give_the_same_grey(array: np.ndarray) -> None:
    np.testing.assert_array_equal(read_image(array), GREY)


def test_bool_array_is_black_and_white() -> None:
    np.testing.assert_array_equal(read_image(np.array([[True, False]])), [[255, 0]])


def test_colours_are_weighed_as_luminance() -> None:
    red_green_blue = np.eye(3, dtype=np.uint8)[None] * 255
    np.testing.assert_allclose(read_image(red_green_blue)[0].astype(int), [76, 150, 29], atol=1)
    np.testing.assert_allclose(read_image(encoded(Image.fromarray(red_green_blue), "PNG"))[0], [76, 150, 29], atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(GREY), "PNG", exif=exif)
    expected = {
        1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1],
        5: GREY.T, 6: np.rot90(GREY, -1), 7: GREY[::-1, ::-1].T, 8: np.rot90(GREY),
    }[orientation]  # fmt: skip
    np.testing.assert_array_equal(read_image(data), expected)


def test_alpha_is_laid_on_white() -> None:
    layered = np.zeros((1, 3, 4), np.uint8)  # black ink, transparent to opaque
    layered[0, :, 3] = [0, 128, 255]
    for source in (layered, encoded(Image.fromarray(layered), "PNG")):
        np.testing.assert_array_equal(read_image(source), [[255, 127, 0]])


def test_transparent_palette_is_laid_on_white() -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), mode=None).convert("P")
    picture.putpalette([0, 0, 0, 200, 200, 200])
    np.testing.assert_array_equal(read_image(encoded(picture, "PNG", transparency=0)), [[255, 200]])


def test_cmyk_and_one_bit_files() -> None:
    cmyk = Image.new("CMYK", (4, 3), (0, 0, 0, 0))
    assert read_image(encoded(cmyk, "TIFF")).min() == 255
    one_bit = Image.fromarray(np.array([[True, False]]))
    np.testing.assert_array_equal(read_image(encoded(one_bit, "PNG")), [[255, 0]])


def test_sixteen_bit_files() -> None:
    wide = GREY.astype(np.uint16) * 257
    for file_format in ("PNG", "TIFF"):
        np.testing.assert_array_equal(read_image(encoded(Image.fromarray(wide), file_format)), GREY)


@pytest.mark.parametrize("scale", [1.0, 255.0, 65535.0])
def test_float_files_of_any_range(scale: float) -> None:
    values = (GREY / 255.0 * scale).astype(np.float32)
    assert np.abs(read_image(encoded(Image.fromarray(values), "TIFF")).astype(int) - GREY).max() <= GREY.max() * 0.1 + 1


def test_the_first_frame_of_a_moving_picture() -> None:
    frames = [Image.fromarray(np.full((5, 6), level, np.uint8)) for level in (10, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(data), np.full((5, 6), 10))


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"<html><body>404</body></html>", "HTML"),
        (PNG[:50], "truncated|not an image"),
        (JPEG[: len(JPEG) // 2], "truncated|not an image"),
        (JPEG[:-30], "truncated"),
    ],
)
def test_bad_files_are_named_with_their_cause(tmp_path: Path, data: bytes, cause: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=cause) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match="folder"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image("a\0b")


def test_limits_are_checked_before_decoding() -> None:
    # A header that promises 60,000 x 60,000 pixels, and no pixels.
    header = bytearray(PNG)
    header[16:24] = (60_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    with pytest.raises(ImageError, match="too many"):
        read_image(bytes(header))
    with pytest.raises(ImageError, match="too many"):
        read_image(PNG, max_pixels=200)
    with pytest.raises(ImageError, match="too many"):
        read_image(GREY, max_pixels=200)
    with pytest.raises(ImageError, match="bytes"):
        read_image(PNG, max_bytes=50)


BUMPY = cv2.resize(np.random.default_rng(0).integers(0, 256, (7, 9), dtype=np.uint8), (117, 83))


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pictures of more than 2,500 pixels reduced, in bands of three rows or so."""
    monkeypatch.setattr(images, "FULL_PIXELS", 2_500)
    monkeypatch.setattr(images, "BAND_PIXELS", 400)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "I;16", "CMYK", "1", "PNG", "JPEG", "array", "floats"])
def test_large_pictures_are_read_reduced(mode: str) -> None:
    picture = Image.fromarray(BUMPY)
    source: object = picture
    if mode in ("PNG", "JPEG"):
        source = encoded(picture.convert("RGB"), mode)
    elif mode == "array":
        source = np.dstack([BUMPY] * 3)
    elif mode == "floats":
        source = BUMPY / 255
    elif mode == "I;16":
        source = Image.fromarray(BUMPY.astype(np.uint16) * 257)
    elif mode != "L":
        source = picture.convert(mode)
    found = load_image(source)  # type: ignore[arg-type]
    assert (found.width, found.height, found.reduction) == (117, 83, 2)
    padded = np.pad(BUMPY if mode != "1" else np.asarray(picture.convert("1").convert("L")), ((0, 1), (0, 1)), "edge")
    means = padded.reshape(42, 2, 59, 2).mean(axis=(1, 3))
    assert found.pixels.shape == means.shape
    loss = np.abs(found.pixels - means)
    assert loss.max() <= (12 if mode in ("JPEG", "P") else 1.5)
    assert found.to_stored((1, 2, 3, 4)) == (2, 4, 6, 8)
    assert found.to_stored((50, 40, 9, 2)) == (100, 80, 17, 3)  # no further than the picture
    assert found.from_stored((3, 4, 4, 4)) == (1, 2, 3, 2)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_large_picture_has_the_size_that_is_seen(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = load_image(encoded(Image.fromarray(BUMPY), "JPEG", exif=exif))
    width, height = (83, 117) if orientation >= 5 else (117, 83)
    assert (found.width, found.height) == (width, height)
    assert found.pixels.shape == (-(-height // 2), -(-width // 2))


@pytest.mark.usefixtures("small_limits")
def test_large_pictures_of_32_bits_are_named() -> None:
    with pytest.raises(ImageError, match="32 bits"):
        read_image(encoded(Image.fromarray(BUMPY.astype(np.float32)), "TIFF"))


def test_a_hundred_megapixels_are_read_without_a_warning_or_a_filter() -> None:
    filters = list(warnings.filters)
    found = load_image(encoded(Image.new("1", (10_000, 10_000), 1), "PNG"))
    assert (found.width, found.reduction, found.pixels.shape) == (10_000, 2, (5_000, 5_000))
    assert found.pixels.min() == 255
    assert warnings.filters == filters


def test_small_pictures_are_read_as_they_are() -> None:
    found = load_image(PNG)
    assert (found.width, found.height, found.reduction) == (20, 12, 1)
    assert found.to_stored((1, 2, 99, 99)) == (1, 2, 99, 99)
    assert load_image(found) is found


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 5), np.uint8), np.zeros((5, 0, 3), np.uint8), np.zeros(5, np.uint8), np.zeros((2, 2, 5), np.uint8),
        np.zeros((2, 2, 2, 2), np.uint8), np.full((2, 2), np.nan), np.full((2, 2), 1.5), np.full((2, 2), -1),
        np.full((2, 2), 300), np.array([["a"]]), np.zeros((2, 2), complex), np.array([[None]]),
    ],
    ids=str,
)  # fmt: skip
def test_arrays_that_are_no_pictures(array: np.ndarray) -> None:
    with pytest.raises(ImageError):
        read_image(array)


def test_other_types_are_refused() -> None:
    with pytest.raises(ImageError, match="a picture is"):
        read_image(42)  # type: ignore[arg-type]


WHOLE = [
    encoded(Image.fromarray(GREY).convert(mode), file_format)
    for mode, file_format in [("L", "PNG"), ("P", "GIF"), ("L", "BMP"), ("L", "TIFF"), ("RGB", "WEBP"), ("L", "PPM")]
] + [JPEG]


@settings(max_examples=1000, deadline=None)
@given(data=st.data())
def test_damaged_files_raise_nothing_but_image_error(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(WHOLE)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)))]
    try:
        image = read_image(bytes(content), max_pixels=100_000)
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert 0 < image.size <= 100_000


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_image_error(content: bytes) -> None:
    with contextlib.suppress(ImageError):
        read_image(content, max_pixels=100_000)


@settings(max_examples=300, deadline=None)
@given(
    array=arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.bool_, np.float32, np.int64]),
        arrays.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9),
    )
)
def test_odd_arrays_raise_nothing_but_image_error(array: np.ndarray) -> None:
    try:
        image = read_image(array)
    except ImageError:
        return
    assert image.shape == array.shape[:2]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".PNG"])
def test_pictures_are_saved_whole(tmp_path: Path, suffix: str) -> None:
    save_picture(tmp_path / f"a{suffix}", BUMPY)
    assert np.abs(read_image(tmp_path / f"a{suffix}").astype(int) - BUMPY).mean() < 4
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.skipif(sys.platform == "darwin", reason="file names there are UTF-8")
def test_a_name_that_is_not_utf8_is_saved_and_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    save_picture(path, GREY)
    np.testing.assert_array_equal(read_image(path), GREY)
    with pytest.raises(OutputError, match="no known format"):
        save_picture(tmp_path / os.fsdecode(b"a.pn\xe9"), GREY)


def test_pictures_that_cannot_be_saved_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match=r"a\.txt: no known format"):
        save_picture(tmp_path / "a.txt", GREY)
    with pytest.raises(OutputError, match=r"17000 x 3 pixels cannot be saved as \.webp"):
        save_picture(tmp_path / "a.webp", np.zeros((3, 17_000), np.uint8))
    with pytest.raises(OutputError, match="cannot be written"):
        save_picture(tmp_path / "none" / "a.png", GREY)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        save_picture(tmp_path / "a.png", GREY)
    assert not list(tmp_path.iterdir())


def test_a_heic_photograph_is_turned_as_it_is_meant(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra `heic` is not installed")
    pixels = np.full((96, 128, 3), 255, np.uint8)
    pixels[:, :40] = 0
    picture = heif.from_pillow(Image.fromarray(pixels))
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn clockwise
    picture.save(tmp_path / "a.heic", exif=turned.tobytes())
    image = read_image(tmp_path / "a.heic")
    assert image.shape in ((128, 96), (96, 128))
    dark = image < 100
    assert dark.mean() == pytest.approx(40 / 128, abs=0.03)
    if image.shape == (128, 96):
        assert dark[:30].all()


def test_a_heic_photograph_without_its_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pillow_heif is missing: `pip install 'inkdigits\[heic\]'`"):
        read_image(b"\0\0\0\x18ftypheic" + bytes(40))
