"""Pictures of every kind, whole and damaged: only answers that hold together, or the errors that are documented."""

import io
import json
import os
import random
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from PIL import Image

from inkdigits.errors import ImageError
from inkdigits.files.images import load_image
from inkdigits.forms.tables import read_tables
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import NumberReading, PageReading

# More where time allows: INKDIGITS_FUZZ=21 tries 5,040.
CASES = int(240 * float(os.environ.get("INKDIGITS_FUZZ", "1")))
BATCHES = 4
LAYOUTS = ("digit", "number", "page", "table")
SHAPES = ((1, 1), (1, 900), (700, 1), (2, 3), (3, 2000), (1500, 4), (28, 28), (34, 60), (110, 150), (230, 420))
DTYPES = (bool, np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint64, np.float16, np.float32, np.float64)
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16")
FORMATS = (
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True, "quality": 5}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "jpeg"}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("GIF", {}),
    ("PPM", {}),
)


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(text_detector=False)


def a_shape(rng: random.Random) -> tuple[int, int]:
    if rng.random() < 0.5:
        return rng.choice(SHAPES)
    return max(1, int(10 ** rng.uniform(0, 2.5))), max(1, int(10 ** rng.uniform(0, 2.7)))


def constant(rng: random.Random, shape: tuple[int, int]) -> np.ndarray:
    return np.full(shape, rng.choice((0, 1, 127, 254, 255)), np.uint8)


def noise(rng: random.Random, shape: tuple[int, int]) -> np.ndarray:
    noisy = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, shape, dtype=np.uint8)
    return cv2.GaussianBlur(noisy, (0, 0), rng.uniform(0.5, 4)) if rng.random() < 0.5 else noisy


def specks(rng: random.Random, shape: tuple[int, int]) -> np.ndarray:
    grains = np.random.default_rng(rng.getrandbits(32)).random(shape) < rng.uniform(0.001, 0.5)
    return np.where(grains, rng.choice((0, 90, 254)), 255).astype(np.uint8)


def lines(rng: random.Random, shape: tuple[int, int]) -> np.ndarray:
    """Ruled and squared paper, tables and scribbles."""
    paper = np.full(shape, rng.randrange(150, 256), np.uint8)
    step, ink, pen = rng.randrange(3, 60), rng.randrange(120), rng.randrange(1, 6)
    for at in range(step, max(shape), step):
        cv2.line(paper, (0, at), (shape[1], at + rng.randrange(3)), ink, pen)
        if step % 2:
            cv2.line(paper, (at, 0), (at, shape[0]), ink, pen)
    for _ in range(rng.randrange(4)):
        ends = [(rng.randrange(shape[1]), rng.randrange(shape[0])) for _ in range(2)]
        cv2.line(paper, *ends, rng.randrange(256), rng.randrange(1, 20))
    return paper


def writing(rng: random.Random, shape: tuple[int, int]) -> np.ndarray:
    """Rows of printed digits and words, some of which reach over the edge."""
    paper = np.full(shape, rng.randrange(150, 256), np.uint8)
    for _ in range(rng.randrange(1, 8)):
        text = rng.choice((str(rng.getrandbits(rng.randrange(1, 40))), "-3,5", "Hospital", "8+3", "il1|"))
        place, size = (rng.randrange(shape[1]), rng.randrange(shape[0] + 20)), rng.uniform(0.2, 3)
        cv2.putText(paper, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, rng.randrange(130), rng.randrange(1, 6))
    paper = lines(rng, shape) & paper if rng.random() < 0.3 else paper
    return 255 - paper if rng.random() < 0.3 else paper


KINDS: tuple[Callable[[random.Random, tuple[int, int]], np.ndarray], ...] = (
    *(constant, noise, specks, lines),
    *[writing] * 3,
)


def as_array(rng: random.Random, pixels: np.ndarray) -> np.ndarray:
    """The same picture as an array of any dtype and number of channels that may be given, or may not."""
    dtype = rng.choice(DTYPES)
    if dtype is bool:
        array = pixels > 127
    elif np.issubdtype(dtype, np.floating):
        array = (pixels / 255 * rng.choice((1, 1, 1, 255))).astype(dtype)
        if rng.random() < 0.2:
            array.flat[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -np.inf, -1e-9))
    else:
        array = (pixels.astype(np.int64) * (257 if dtype == np.uint16 else 1)).astype(dtype)
    channels = rng.choice((0, 0, 0, 1, 2, 3, 4, 5))
    if channels:
        array = np.repeat(array[..., None], channels, axis=2)
    views = (lambda a: a, np.asfortranarray, lambda a: a[::-1], lambda a: a[:0], lambda a: a[None], lambda a: a[0])
    return rng.choices(views, (6, 1, 1, 0.2, 0.2, 0.2))[0](array)


def as_bytes(rng: random.Random, pixels: np.ndarray) -> bytes:
    """The same picture as a file, which is mostly damaged."""
    file = io.BytesIO()
    kind, options = rng.choice(FORMATS)
    Image.fromarray(pixels).convert(rng.choice(("L", "RGB"))).save(file, kind, **options)
    data = bytearray(file.getvalue())
    for _ in range(rng.choice((0, 1, 3, 20))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    cut = rng.randrange(len(data) + 1) if rng.random() < 0.3 else len(data)
    return bytes(data[:cut]) + rng.randbytes(rng.choice((0, 0, 7)))


def as_pil(rng: random.Random, pixels: np.ndarray) -> Image.Image:
    mode, image = rng.choice(MODES), Image.fromarray(pixels)
    if mode == "I;16":
        return Image.fromarray(pixels.astype(np.uint16) * 257)
    return image.convert("RGB").convert(mode) if mode in ("HSV", "YCbCr", "CMYK") else in_mode(image, mode)


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    return Image.merge("LAB", [image] * 3) if mode == "LAB" else image.convert(mode)


FORMS = (as_array, as_bytes, as_pil, lambda rng, pixels: pixels)


def cases(batch: int) -> Iterator[tuple[int, random.Random, object]]:
    """Yield seeds, their generators and pictures of any kind; the same for a batch each time."""
    for seed in range(batch, CASES, BATCHES):
        rng = random.Random(seed)
        pixels = rng.choice(KINDS)(rng, a_shape(rng))
        yield seed, rng, rng.choice(FORMS)(rng, pixels)


def check_row(row: NumberReading, width: int, height: int) -> None:
    assert row.digits == "".join(str(item.digit) for item in row.items) == "".join(filter(str.isdecimal, row.text))
    assert 0 <= row.confidence <= 1
    assert not row.accepted or (row.items and all(item.accepted for item in row.items))
    for item in row.items:
        assert 0 <= item.confidence <= 1
        assert item.framed.shape == (28, 28)
        assert all(0 <= probability <= 1 for _, probability in item.alternatives)
    for part in (*row.items, *row.marks, *row.left_out):
        check_box(part.box, width, height)
    json.dumps(row.to_dict(), allow_nan=False)


def check_box(box: tuple[int, ...], width: int, height: int) -> None:
    x, y, wide, tall = box
    assert 0 <= x < x + wide <= width
    assert 0 <= y < y + tall <= height


def check_page(page: PageReading) -> None:
    for row in page.lines:
        assert row.digits
        check_row(row, page.width, page.height)
    for ink in page.left_out:
        check_box(ink.box, page.width, page.height)
    json.dumps(page.to_dict(), allow_nan=False)


def boxes_in(rng: random.Random, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Boxes that lie in the picture, and now and then beyond it or without area."""
    stray = rng.choice((0, 0, 5))
    return [
        (
            rng.randint(-stray, width + stray),
            rng.randint(-stray, height + stray),
            rng.randint(1 - bool(stray), width + stray),
            rng.randint(1 - bool(stray), height + stray),
        )
        for _ in range(rng.randrange(4))
    ]


def check_case(reader: Reader, rng: random.Random, picture: object) -> str:
    """Read a picture in some way and hold the answer to what is documented; return what came of it."""
    layout, way = rng.choice(LAYOUTS), rng.choice(("read", "regions", "alone"))
    try:
        loaded = load_image(picture)  # type: ignore[arg-type]
    except ImageError:
        with pytest.raises(ImageError):
            reader.read_page(picture)  # type: ignore[arg-type]
        return "error"
    if layout == "table":
        grids = read_tables(loaded.pixels, reader)
        assert all(0 <= cell.confidence <= 1 for grid in grids for row in grid for cell in row)
        assert all(len({len(row) for row in grid}) == 1 for grid in grids)
    elif way == "regions" and layout != "page":
        boxes = boxes_in(rng, loaded.width, loaded.height)
        outside = [box for box in boxes if not is_inside(box, loaded.width, loaded.height)]
        if outside:
            with pytest.raises(ValueError, match="box"):
                reader.read_regions(picture, boxes, layout)  # type: ignore[arg-type]
            return "box outside"
        rows = reader.read_regions(picture, boxes, layout)  # type: ignore[arg-type]
        assert len(rows) == len(boxes)
        for row in rows:
            check_row(row, loaded.width, loaded.height)
    elif way == "alone" and layout == "digit":
        reading = reader.read_digit(picture)  # type: ignore[arg-type]
        assert 0 <= reading.confidence <= 1
        json.dumps(reading.to_dict(), allow_nan=False)
    elif way == "alone" and layout == "number":
        check_row(reader.read_number(picture), loaded.width, loaded.height)  # type: ignore[arg-type]
    else:
        page = reader.read(picture, layout)  # type: ignore[arg-type]
        assert (page.width, page.height) == (loaded.width, loaded.height)
        check_page(page)
    return layout


def is_inside(box: tuple[int, int, int, int], width: int, height: int) -> bool:
    x, y, wide, tall = box
    return wide > 0 and tall > 0 and x < width and y < height and x + wide > 0 and y + tall > 0


@pytest.mark.parametrize("batch", range(BATCHES))
def test_any_picture_gives_an_answer_that_holds_together_or_a_documented_error(reader: Reader, batch: int) -> None:
    seen: dict[str, int] = {}
    for seed, rng, picture in cases(batch):
        try:
            with np.errstate(all="raise", under="ignore"):
                kind = check_case(reader, rng, picture)
        except Exception as error:
            error.add_note(f"the picture of seed {seed}")
            raise
        seen[kind] = seen.get(kind, 0) + 1
    assert set(seen) >= {"error", "box outside", *LAYOUTS}
