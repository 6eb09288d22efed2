"""The demo form: a clinic's tally sheet that the project draws itself, and copies of it filled by MNIST's hands."""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from stdnum import luhn

from inkdigits.arrays import Floats, GrayImage, Rng
from inkdigits.files.storage import write_bytes
from inkdigits.forms.template import Constraints, Form, FormField, Page, save_form
from inkdigits.reading.geometry import rotation, translation
from inkdigits.training.synthesis.lines import write_character
from inkdigits.training.synthesis.pages import View
from inkdigits.training.synthesis.styles import PEN_PX, STYLES, Digits, Hand, random_hand
from inkdigits.training.synthesis.surfaces import desk, smooth_noise

DPI = 200
WIDTH, HEIGHT = 1654, 2339  # A4
TITLE = "Daily tally sheet"
ROWS = ("Consultations", "New cases", "Fever", "Malaria tests", "Malaria positive", "Diarrhoea", "Cough", "Injuries",
        "Antenatal visits", "Vaccinations")  # fmt: skip
COLUMNS = ("0-4 years", "5-14 years", "15-49 years", "50 and over")
TABLE = (520, 700, 1000, 1100)  # x, y, width, height of the cells that are filled in
ROW_PX, COLUMN_PX = TABLE[3] // len(ROWS), TABLE[2] // len(COLUMNS)
BOX_PX = 62  # a box of a comb
PAPER, PRINT = 255, 40
KINDS = ("scan", "photo")


@dataclass(frozen=True)
class Copy:
    """A filled copy.

    Attributes:
        picture: uint8 (H, W), as a scanner or a phone has it.
        values: field -> what is written there, "" for nothing.
        place: takes points (n, 2) of the blank form to the picture's pixels.
    """

    picture: GrayImage
    values: dict[str, str]
    view: View

    def place(self, points: Floats) -> Floats:
        """Return points (n, 2) of the blank form where the picture shows them."""
        return self.view.place(points + 0.5) - 0.5  # a view counts from the edges of pixels, not from their middles


def blank_form() -> tuple[GrayImage, tuple[FormField, ...], tuple[str, ...]]:
    """Return the blank page uint8 (2339, 1654), its fields and its rules."""
    page = Image.new("L", (WIDTH, HEIGHT), PAPER)
    draw = ImageDraw.Draw(page)
    _write(draw, (90, 90), TITLE, 64)
    _write(draw, (90, 180), "One sheet a day. Write one digit in each box, and numbers clearly within their cells.", 28)
    _write(draw, (90, 282), "Health post", 36)
    _write(draw, (90, 412), "Date (day month year)", 36)
    _comb(draw, (520, 270), 6)
    _comb(draw, (520, 400), 8)
    x, y, width, height = TABLE
    for j, name in enumerate(COLUMNS):
        _write(draw, (x + j * COLUMN_PX + 16, y - 56), name, 30)
    for i, name in enumerate(ROWS):
        _write(draw, (110, y + i * ROW_PX + 34), name, 34)
    draw.line((90, y, 90, y + height), PRINT, 3)
    for i in range(len(ROWS) + 1):
        draw.line((90, y + i * ROW_PX, x + width, y + i * ROW_PX), PRINT, 3 if i in (0, len(ROWS)) else 2)
    for j in range(len(COLUMNS) + 1):
        draw.line((x + j * COLUMN_PX, y - 70, x + j * COLUMN_PX, y + height), PRINT, 2)
    draw.line((x, y - 70, x + width, y - 70), PRINT, 3)
    _write(draw, (110, 1868), "Total of all cells", 36)
    draw.rectangle((520, 1840, 920, 1940), outline=PRINT, width=3)
    _write(draw, (110, 1998), "Temperature of the fridge", 36)
    draw.rectangle((620, 1970, 920, 2070), outline=PRINT, width=3)
    _write(draw, (940, 1998), "degrees, such as 4.5", 30)
    _write(draw, (110, 2128), "Stock was counted", 36)
    draw.rectangle((520, 2110, 590, 2180), outline=PRINT, width=3)
    _write(draw, (90, 2250), "inkdigits demo form, version 1. Keep for ten years.", 26)
    fields = (
        FormField(
            name="post", box=(520, 270, 6 * BOX_PX, BOX_PX + 16), layout="comb", cells=6, type="digits", check="luhn",
            constraints=Constraints(required=True, minLength=6, maxLength=6),
        ),
        FormField(
            name="date", box=(520, 400, 8 * BOX_PX, BOX_PX + 16), layout="comb", cells=8, type="date",
            constraints=Constraints(required=True),
        ),
        FormField(
            name="cases", box=TABLE, layout="table", rows=len(ROWS), columns=len(COLUMNS),
            constraints=Constraints(minimum=0, maximum=9999),
        ),
        FormField(name="total", box=(520, 1840, 400, 100), constraints=Constraints(required=True, minimum=0)),
        FormField(
            name="fridge", box=(620, 1970, 300, 100), type="decimal", decimals=1,
            constraints=Constraints(minimum=-10, maximum=30),
        ),
        FormField(name="stock_counted", box=(520, 2110, 70, 70), type="mark"),
    )  # fmt: skip
    rules = ("total == sum(cases)", "row(cases, 5) <= row(cases, 4)", "row(cases, 2) <= row(cases, 1)")
    return np.asarray(page, np.uint8), fields, rules


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int) -> None:
    draw.text(place, text, fill=PRINT, font=ImageFont.load_default(size))


def _comb(draw: ImageDraw.ImageDraw, place: tuple[int, int], n: int) -> None:
    x, y = place
    for i in range(n):
        draw.rectangle((x + i * BOX_PX, y, x + (i + 1) * BOX_PX, y + BOX_PX + 16), outline=PRINT, width=2)


def save_demo_form(folder: Path) -> Form:
    """Write form.json, the blank page and a PDF to print into a folder, and return the template.

    Raises:
        OutputError: they cannot be written.
    """
    blank, fields, rules = blank_form()
    stored = io.BytesIO()
    Image.fromarray(blank).save(stored, "PNG", optimize=True)
    page = Page(picture="page-1.png", width=WIDTH, height=HEIGHT, sha256=hashlib.sha256(stored.getvalue()).hexdigest())
    form = Form(title=TITLE, pages=(page,), fields=fields, rules=rules)
    write_bytes(folder / page.picture, stored.getvalue())
    printable = io.BytesIO()
    Image.fromarray(blank).save(printable, "PDF", resolution=DPI)
    write_bytes(folder / "form.pdf", printable.getvalue())
    save_form(form, folder / "form.json")
    return form


def save_demo_copies(folder: Path, digits: Digits, n: int, seed: int = 0) -> None:
    """Write n filled copies, scans and photographs in turn, and truth.json with what is written on each.

    Raises:
        OutputError: they cannot be written.
    """
    truth: dict[str, dict[str, str]] = {}
    for number in range(n):
        copy = compose_copy(np.random.default_rng((seed, number)), digits, KINDS[number % 2])
        name = f"{KINDS[number % 2]}-{number + 1:03}.jpg"
        stored = cv2.imencode(".jpg", copy.picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
        write_bytes(folder / name, stored.tobytes())
        truth[name] = copy.values
    write_bytes(folder / "truth.json", json.dumps(truth, indent=1).encode() + b"\n")


# ------------------------------------------------------------------------------------------------------- filled copies


def compose_copy(rng: Rng, digits: Digits, kind: str) -> Copy:
    """Return a filled copy of the demo form.

    Args:
        rng: fixes all.
        digits: whose hands it is filled with.
        kind: "scan" or "photo".
    """
    blank, _, _ = blank_form()
    values = random_values(rng)
    ink = _filled(rng, digits, values)
    sheet = blank.astype(np.float32) * (1 - rng.uniform(0.55, 0.9) / 255 * ink)
    view = _scanned_view(rng) if kind == "scan" else _photographed_view(rng)
    seen = view.seen(np.clip(sheet, 0, 255).astype(np.uint8)).astype(np.float32)
    if kind == "scan":
        picture = seen + rng.uniform(1, 5) * rng.standard_normal(view.shape, np.float32)
    else:
        picture = _lit(rng, seen, view)
    return Copy(np.clip(picture, 0, 255).astype(np.uint8), values, view)


def random_values(rng: Rng) -> dict[str, str]:
    """Return what a clerk might have written: all rules hold, some cells are empty."""
    number = "".join(map(str, rng.integers(0, 10, 5)))
    cases = rng.negative_binomial(1, 0.03, (len(ROWS), len(COLUMNS)))
    cases[1] = np.minimum(cases[1], cases[0])
    cases[4] = np.minimum(cases[4], cases[3])
    written = {
        f"cases_{i + 1}_{j + 1}": "" if cases[i, j] == 0 and rng.random() < 0.7 else str(cases[i, j])
        for i in range(len(ROWS))
        for j in range(len(COLUMNS))
    }
    return {
        "post": number + luhn.calc_check_digit(number),
        "date": f"{rng.integers(1, 29):02}{rng.integers(1, 13):02}{rng.integers(2019, 2027)}",
        **written,
        "total": str(cases.sum()),
        "fridge": f"{rng.integers(15, 90) / 10:.1f}",
        "stock_counted": "x" if rng.random() < 0.6 else "",
    }


def _filled(rng: Rng, digits: Digits, values: dict[str, str]) -> GrayImage:
    """Return the ink of a copy, uint8 (HEIGHT, WIDTH)."""
    ink = np.zeros((HEIGHT, WIDTH), np.uint8)
    hand = random_hand(rng, STYLES["page"])
    _, fields, _ = blank_form()
    for field in fields:
        for part in field.parts():
            x, y, width, height = part.box
            text = values[part.name]
            if part.layout == "comb":
                tall = rng.uniform(0.6, 0.75) * height
                for i, digit in enumerate(text):
                    middle = x + (i + 0.5) * BOX_PX + rng.normal(0, 3)
                    _place(rng, digits, ink, digit, hand, middle, y + 0.86 * height, tall, is_middle=True)
            elif part.type == "mark":
                if text:
                    ends = np.array([[x + 12, y + 12], [x + width - 12, y + height - 12]]) + rng.normal(0, 5, (2, 2))
                    (a, b), (c, d) = ends.round().astype(int).tolist()
                    for start, end in (((a, b), (c, d)), ((a, d), (c, b))):
                        cv2.line(ink, start, end, 255, 5, cv2.LINE_AA)
            else:
                tall = rng.uniform(0.42, 0.6) * min(height, 110)
                left = x + rng.uniform(0.08, 0.3) * width
                for char in text:
                    left = _place(rng, digits, ink, char, hand, left, y + rng.uniform(0.76, 0.82) * height, tall)
    return ink


def _place(
    rng: Rng, digits: Digits, ink: GrayImage, char: str, hand: Hand, x: float, base: float, tall: float,
    is_middle: bool = False,
) -> float:  # fmt: skip
    """Write a character on a base line, in place, and return where the next one may begin."""
    share = tall / PEN_PX
    piece, top = write_character(rng, digits, char, hand)
    size = max(2, round(piece.shape[1] * share)), max(2, round(piece.shape[0] * share))
    piece = cv2.resize(piece, size, interpolation=cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC)
    left, upper = round(x - size[0] / 2 if is_middle else x), round(base + top * share)
    room = ink[upper : upper + size[1], left : left + size[0]]
    np.maximum(room, piece[: room.shape[0], : room.shape[1]], out=room)
    return float(left + size[0] + max(0.06, hand.gap * 0.6 + 0.08) * tall)


def _scanned_view(rng: Rng) -> View:
    """A flatbed's: turned by up to two degrees, sometimes upside down, pulled by up to three percent."""
    scale = float(np.exp(rng.uniform(np.log(100 / DPI), np.log(300 / DPI))))
    stretch = rng.uniform(0.97, 1.03, 2) * scale
    shape = _multiple(HEIGHT * scale), _multiple(WIDTH * scale)
    turn = rotation(np.deg2rad(rng.normal(0, 0.8) + 180 * (rng.random() < 0.15)))
    shift = rng.normal(0, 8, 2) * scale
    middle = translation(shape[1] / 2 + shift[0], shape[0] / 2 + shift[1])
    to_picture = middle @ turn @ np.diag([*stretch, 1.0]) @ translation(-WIDTH / 2, -HEIGHT / 2)
    return View(shape, to_picture, np.zeros((0, 4)), (0.0, 0.0))


def _photographed_view(rng: Rng) -> View:
    """A phone's: in perspective, turned, the paper a little bent or with a fold."""
    shape = (_multiple(rng.uniform(1900, 2600)), _multiple(rng.uniform(1500, 1900)))
    size = np.array([WIDTH, HEIGHT], float)
    corners = (np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]) - 0.5) * size
    angle = rng.normal(0, 4) + 90 * (rng.choice([0, 0, 0, 0, 1, 2, 3]))
    turned = (corners + rng.normal(0, 0.02, (4, 2)) * size) @ rotation(np.deg2rad(angle))[:2, :2].T
    if round(angle / 90) % 2:
        shape = shape[1], shape[0]
    fit = min(np.array([shape[1], shape[0]]) / 2 / np.abs(turned).max(axis=0)) * rng.uniform(0.88, 0.98)
    placed = turned * fit + np.array([shape[1], shape[0]]) / 2
    flat = (corners + size / 2).astype(np.float32)
    to_picture = np.asarray(cv2.getPerspectiveTransform(flat, placed.astype(np.float32)), float)
    waves, fold = np.zeros((0, 4)), (0.0, 0.0)
    if rng.random() < 0.5:
        frequency = 2 * np.pi / (HEIGHT * rng.uniform(0.8, 2.0))
        waves = np.array([[rng.uniform(2, 9), frequency, rng.uniform(0, 6.28), rng.integers(0, 2)]])
    if rng.random() < 0.3:
        fold = (float(rng.uniform(0.3, 0.7) * WIDTH), float(rng.normal(0, 0.006)))
    return View(shape, to_picture, waves, fold)


def _multiple(length: float) -> int:
    return 16 * max(1, round(length / 16))


def _lit(rng: Rng, seen: Floats, view: View) -> Floats:
    """Return the sheet on a desk under a lamp, its shadow, blur and noise."""
    shape = view.shape
    inside = view.seen(np.full((HEIGHT, WIDTH), 255, np.uint8), cv2.BORDER_CONSTANT).astype(np.float32) / 255
    small = (shape[0] // 4, shape[1] // 4)
    around = cv2.resize(desk(rng, small, "wood"), shape[::-1], interpolation=cv2.INTER_CUBIC)
    picture = rng.uniform(0.7, 0.95) * seen * inside + around * (1 - inside)
    light = cv2.resize(smooth_noise(rng, small, small), shape[::-1], interpolation=cv2.INTER_LINEAR)
    picture = picture * np.clip(1 + rng.uniform(0.03, 0.2) * light, 0.4, 1.5)
    if rng.random() < 0.5:
        shadow = np.zeros(small, np.uint8)
        points = rng.uniform(-0.2, 1.2, (4, 2)) * small[::-1]
        cv2.fillConvexPoly(shadow, cv2.convexHull(points.astype(np.int32)), 255)
        soft = cv2.resize(cv2.blur(shadow, (15, 15)), shape[::-1]).astype(np.float32)
        picture = picture * (1 - rng.uniform(0.1, 0.5) / 255 * soft)
    picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.1)))
    return np.asarray(picture + rng.uniform(1, 5) * rng.standard_normal(shape, np.float32))
