"""Synthetic photographs and scans of whole pages, with the maps that the finder learns."""

from dataclasses import dataclass

import cv2
import numpy as np

from inkdigits.arrays import AnyImage, Floats, GrayImage, Rng, Transform
from inkdigits.reading.geometry import map_points, rotation, translation
from inkdigits.training.synthesis.page_layouts import fill_sheet
from inkdigits.training.synthesis.page_maps import PageMaps, draw_maps
from inkdigits.training.synthesis.page_rows import PENS, Sheet
from inkdigits.training.synthesis.papers import PAPERS, printed_paper
from inkdigits.training.synthesis.styles import Digits
from inkdigits.training.synthesis.surfaces import DESKS, Shape, desk, log_uniform, smooth_noise, white_noise

CELL_PX = 16  # a page's bend is computed on a mesh as wide as this


@dataclass(frozen=True)
class PageStyle:
    """What pages are made of: names in `PAPERS`, `DESKS` and `PENS`."""

    papers: tuple[str, ...]
    desks: tuple[str, ...]
    pens: tuple[str, ...]


_HELD_OUT = PageStyle(papers=("graph", "hatched"), desks=("marble", "woven"), pens=("crayon",))
PAGE_STYLES = {
    "train": PageStyle(
        papers=tuple(each for each in PAPERS if each not in _HELD_OUT.papers),
        desks=tuple(each for each in DESKS if each not in _HELD_OUT.desks),
        pens=tuple(each for each in PENS if each not in _HELD_OUT.pens),
    ),
    # Never learned from: what is measured on it is how far a network goes beyond the synthesis that it has seen.
    "held_out": _HELD_OUT,
}


@dataclass(frozen=True)
class Page:
    """A picture and what is on it.

    Attributes:
        image: uint8 (H, W).
        maps: uint8 (H / 4, W / 4, 6), what the finder learns (see `page_maps`).
        rows: float64 (2, n, 2) each: points along a row's upper and lower edge in the picture's pixels, in the
            direction of reading.
        texts: what each row says, its digits and marks, a space between two numbers.
        other: polygons float64 (n, 2) around other writing.
        unsure: the same, in which a row may be found or not.
    """

    image: GrayImage
    maps: PageMaps
    rows: list[Floats]
    texts: list[str]
    other: list[Floats]
    unsure: list[Floats]


def compose_page(rng: Rng, digits: Digits, shape: Shape, style: PageStyle) -> Page:
    """Return a synthetic picture of a page.

    Args:
        rng: fixes all.
        digits: what is written with.
        shape: of the picture, height and width: multiples of 64 up to 1024.
        style: papers, desks and pens to choose from.
    """
    kind = str(rng.choice(["desk", "paper", "scan"], p=[0.42, 0.43, 0.15]))
    turns = int(rng.choice(4, p=[0.55, 0.15, 0.15, 0.15]))
    sheet = _sheet(rng, shape if turns % 2 == 0 else (shape[1], shape[0]), kind)
    fill_sheet(rng, digits, sheet, style.pens)
    view = _random_view(rng, sheet.ink.shape[:2], shape, kind, turns)
    picture = _scanned(rng, sheet, view) if kind == "scan" else _photographed(rng, sheet, view, kind, style)
    image = _developed(rng, picture, kind)
    rows, other, unsure = _placed(view, sheet.rows, sheet.other, sheet.unsure)
    return Page(image, draw_maps(shape, rows, other, unsure), rows, sheet.texts, other, unsure)


def _placed(view: "View", *groups: list[Floats]) -> list[list[Floats]]:
    """Return groups of point sets of the flat sheet where the picture shows them, all moved at once."""
    sets = [each for group in groups for each in group]
    if not sets:
        return [[] for _ in groups]
    flat = np.concatenate([each.reshape(-1, 2) for each in sets])
    moved = iter(np.split(view.place(flat), np.cumsum([each.size // 2 for each in sets])[:-1]))
    return [[next(moved).reshape(each.shape) for each in group] for group in groups]


def _sheet(rng: Rng, shape: Shape, kind: str) -> Sheet:
    shares = rng.uniform(0.4, 1.0, 2) if kind == "desk" else np.ones(2)
    height, width = (max(64, int(share * side)) for share, side in zip(shares, shape, strict=True))
    return Sheet(np.zeros((height, width), np.uint8))


# ------------------------------------------------------------------------------------------------- where it lies


class View:
    """How a flat sheet lies in the picture: bent or folded, then seen in perspective.

    Args:
        shape: of the picture.
        to_picture: (3, 3), takes the sheet's pixels to the picture's.
        waves: float (n, 4): of each wave of the paper its height in pixels, its frequency and phase along the sheet in
            radians, and 0 where it runs along x, 1 along y.
        fold: where a fold crosses the sheet in pixels of x, and how steeply the paper falls on either side of it.
    """

    def __init__(self, shape: Shape, to_picture: Transform, waves: Floats, fold: tuple[float, float]) -> None:
        self.shape, self._to_picture, self._waves, self._fold = shape, to_picture, waves, fold
        ys, xs = (CELL_PX * (np.arange(-1, side // CELL_PX + 1) + 0.5) for side in shape)
        mesh = np.stack(np.meshgrid(xs, ys), axis=-1)
        bent = map_points(np.linalg.inv(to_picture), mesh.reshape(-1, 2))
        flat = (bent - self._bend(bent)).reshape(*mesh.shape).astype(np.float32)
        size = CELL_PX * mesh.shape[1], CELL_PX * mesh.shape[0]
        full = cv2.resize(flat, size, interpolation=cv2.INTER_LINEAR)[CELL_PX:-CELL_PX, CELL_PX:-CELL_PX] - 0.5
        self._x, self._y = np.ascontiguousarray(full[..., 0]), np.ascontiguousarray(full[..., 1])

    def _bend(self, points: Floats) -> Floats:
        """Return by how many pixels the bent paper is off the flat sheet at points (n, 2)."""
        moves = np.zeros(points.shape)
        for height, frequency, phase, axis in self._waves:
            moves[:, 1 - int(axis)] += height * np.sin(frequency * points[:, int(axis)] + phase)
        moves[:, 1] += self._fold[1] * np.abs(points[:, 0] - self._fold[0])
        return moves

    def place(self, points: Floats) -> Floats:
        """Return points (..., 2) of the flat sheet where the picture shows them."""
        flat = points.reshape(-1, 2)
        bent = flat
        for _ in range(4):
            bent = flat + self._bend(bent)
        return map_points(self._to_picture, bent).reshape(points.shape)

    @property
    def is_bent(self) -> bool:
        """Say whether the paper is bent or folded at all."""
        return bool(len(self._waves)) or bool(self._fold[1])

    def seen(self, sheet: AnyImage, border: int = cv2.BORDER_REPLICATE) -> AnyImage:
        """Return a layer (h, w) of the sheet as the picture (H, W) shows it."""
        return np.asarray(cv2.remap(sheet, self._x, self._y, cv2.INTER_LINEAR, borderMode=border))

    def slope(self) -> Floats:
        """Return float32 (H, W), how much the paper rises or falls, for its shading."""
        slope = np.zeros(self.shape, np.float32)
        for height, frequency, phase, axis in self._waves:
            along = self._y if axis else self._x
            slope += np.float32(height * frequency) * np.cos(np.float32(frequency) * along + np.float32(phase))
        if self._fold[1]:
            slope += np.float32(self._fold[1]) * np.sign(self._x - np.float32(self._fold[0]))
        return slope


def _random_view(rng: Rng, sheet: Shape, shape: Shape, kind: str, turns: int) -> View:
    height, width = shape
    size = np.array([sheet[1], sheet[0]], float)
    corners = (np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]) - 0.5) * size
    skew = {"scan": 0.0, "paper": 0.02, "desk": 0.035}[kind]
    angle = rng.normal(0, 4) if rng.random() < 0.75 else rng.uniform(-20, 20)
    angle = np.clip(rng.normal(0, 1.5) if kind == "scan" else angle, -20, 20)
    turned = map_points(rotation(np.deg2rad(90 * turns + angle)), corners + rng.normal(0, skew, (4, 2)) * size)
    reach = np.abs(turned).max(axis=0)
    fit = min(1.0, width / 2 / reach[0], height / 2 / reach[1])
    if kind == "paper":  # it fills the picture, nearly always all of it
        fit = fit if rng.random() < 0.5 else rng.uniform(1.0, 1.15)
    elif kind == "desk":
        fit *= rng.uniform(0.8, 1.0) if rng.random() < 0.75 else 1.2
    turned = turned * fit
    slack = np.maximum(0, np.array([width, height]) / 2 - np.abs(turned).max(axis=0))
    placed = turned + np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * slack
    flat = map_points(translation(*(size / 2)), corners).astype(np.float32)
    to_picture = np.asarray(cv2.getPerspectiveTransform(flat, placed.astype(np.float32)), np.float64)
    waves, fold = np.zeros((0, 4)), (0.0, 0.0)
    if kind != "scan" and rng.random() < 0.35:
        axes = rng.integers(0, 2, int(rng.integers(1, 3)))
        waves = np.array([_wave(rng, sheet[0] if axis else sheet[1], int(axis)) for axis in axes])
    if kind != "scan" and rng.random() < 0.12:
        fold = (float(rng.uniform(0.2, 0.8) * sheet[1]), float(rng.normal(0, 0.05)))
    return View(shape, to_picture, waves, fold)


def _wave(rng: Rng, length: int, axis: int) -> tuple[float, float, float, float]:
    frequency = 2 * np.pi / (length * rng.uniform(0.6, 2.5))
    # So steep that rows bend clearly, and never so that the paper would cover itself.
    return float(rng.uniform(0.02, 0.12) / frequency), float(frequency), float(rng.uniform(0, 6.283)), float(axis)


# ------------------------------------------------------------------------------------------------- what a camera sees


def _scanned(rng: Rng, sheet: Sheet, view: View) -> Floats:
    """Return a scan or a screen's picture: even paper, firm ink, sometimes light on dark."""
    paper = rng.uniform(225, 255) if rng.random() < 0.7 else rng.uniform(110, 255)
    ink = view.seen(sheet.ink, cv2.BORDER_CONSTANT).astype(np.float32)
    flat: Floats = paper * (1 - rng.uniform(0.4, 0.98) / 255 * ink)
    if rng.random() < 0.3:  # what a scanner's sensor adds
        flat = flat + rng.uniform(0.5, 6) * white_noise(rng, view.shape)
    return 255 - flat if rng.random() < 0.25 else flat


def _photographed(rng: Rng, sheet: Sheet, view: View, kind: str, style: PageStyle) -> Floats:
    """Return the lit sheet, on a desk where it does not fill the picture."""
    flat = _inked_paper(rng, sheet, style)
    picture: Floats = view.seen(flat).astype(np.float32)
    if view.is_bent:
        picture = picture * np.clip(1 + rng.uniform(0.3, 2.5) * view.slope(), 0.4, 1.5)
    inside = view.seen(np.full(flat.shape, 255, np.uint8), cv2.BORDER_CONSTANT)
    if inside.min() < 255:
        around = _around(rng, inside, flat, kind, style)
        share = inside.astype(np.float32) / 255
        picture = picture * share + around * (1 - share)
    return _lit(rng, picture)


def _inked_paper(rng: Rng, sheet: Sheet, style: PageStyle) -> GrayImage:
    """Return the flat sheet in even light: paper with its grain and lines, ink, bleed-through, stains."""
    shape = (sheet.ink.shape[0], sheet.ink.shape[1])
    printed = printed_paper(rng, shape, str(rng.choice(style.papers)), sheet.ruling)
    contrast = rng.uniform(0.2, 0.5) if rng.random() < 0.3 else rng.uniform(0.45, 0.95)
    grain = rng.uniform(0, 0.03) * white_noise(rng, shape) + rng.uniform(0, 0.05) * smooth_noise(rng, shape, (25, 25))
    ink, lines = sheet.ink.astype(np.float32) / 255, printed.astype(np.float32) / 255
    if rng.random() < 0.1:  # a blackboard, dark card
        paper = rng.uniform(15, 90)
        flat = paper * (1 + grain) * (1 + 0.6 * lines) + ink * rng.uniform(80, 250 - paper)
        return np.clip(flat, 0, 255).astype(np.uint8)
    paper = rng.uniform(90, 250)
    flat = paper * (1 + grain) * (1 - 0.6 * lines) * (1 - contrast * ink)
    if rng.random() < 0.2:  # ink of the other side
        flat *= 1 - rng.uniform(0.03, 0.14) * cv2.blur(ink[:, ::-1], (3, 3))
    for _ in range(int(rng.integers(1, 5)) if rng.random() < 0.2 else 0):
        flat *= 1 - _stain(rng, shape)
    return np.clip(flat, 0, 255).astype(np.uint8)


def _stain(rng: Rng, shape: Shape) -> Floats:
    """Coffee, a hole, a smudge: float32 (h, w), 0 to 0.8."""
    layer = np.zeros(shape, np.float32)
    radius = int(log_uniform(rng, 2, 0.15 * shape[0] + 3))
    centre = int(rng.uniform(0, shape[1])), int(rng.uniform(0, shape[0]))
    cv2.circle(layer, centre, radius, float(rng.uniform(0.05, 0.8)), -1 if rng.random() < 0.7 else max(1, radius // 6))
    soft = int(log_uniform(rng, 1, radius + 2)) | 1
    return np.asarray(cv2.blur(layer, (soft, soft)), np.float32)


def _around(rng: Rng, inside: GrayImage, flat: GrayImage, kind: str, style: PageStyle) -> Floats:
    """Return what the picture shows beside the sheet, which throws a shadow on it."""
    shape = (inside.shape[0], inside.shape[1])
    if kind == "paper" and rng.random() < 0.5:  # more of the same paper
        return float(np.median(flat[::7, ::7])) * (1 + 0.02 * smooth_noise(rng, shape, (30, 30)))
    around = desk(rng, shape, str(rng.choice(style.desks)))
    if rng.random() < 0.6:
        right, down = rng.normal(0, 6, 2)
        soft = int(log_uniform(rng, 1, 30)) | 1
        moved = cv2.warpAffine(inside, np.array([[1, 0, right], [0, 1, down]]), (shape[1], shape[0]))
        around = around * (1 - rng.uniform(0, 0.7) / 255 * cv2.blur(moved, (soft, soft)).astype(np.float32))
    return around


def _lit(rng: Rng, picture: Floats) -> Floats:
    """Return the picture under a lamp: uneven light, a vignette, shadows."""
    height, width = shape = (picture.shape[0], picture.shape[1])
    if rng.random() < 0.7:
        picture = picture * np.clip(1 + rng.uniform(0.03, 0.22) * smooth_noise(rng, shape, shape), 0.25, 1.8)
    if rng.random() < 0.25:
        y = (np.arange(height, dtype=np.float32)[:, None] / height - 0.5 - np.float32(rng.normal(0, 0.1))) ** 2
        x = (np.arange(width, dtype=np.float32)[None] / width - 0.5 - np.float32(rng.normal(0, 0.1))) ** 2
        picture = picture * (1 - np.float32(rng.uniform(0.2, 1.0)) * (x + y))
    for _ in range(int(rng.integers(1, 3)) if rng.random() < 0.3 else 0):
        n, soft = int(rng.integers(3, 8)), int(log_uniform(rng, 1, 80)) | 1
        angles, reach = np.sort(rng.uniform(0, 6.283, n)), rng.uniform(0.15, 0.8, n) * max(shape)
        centre = rng.uniform(-0.2, 1.2, 2) * (width, height)
        points = centre + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        shadow = np.zeros(shape, np.uint8)
        cv2.fillPoly(shadow, [points.astype(np.int32)], 255)
        picture = picture * (1 - rng.uniform(0.12, 0.65) / 255 * cv2.blur(shadow, (soft, soft)).astype(np.float32))
    return picture


def _developed(rng: Rng, picture: Floats, kind: str) -> GrayImage:
    """Return uint8 (H, W): blur, noise, contrast, and what storing it does."""
    shape = (picture.shape[0], picture.shape[1])
    if rng.random() < (0.55 if kind != "scan" else 0.25):
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 1.1))), np.float32)
    if rng.random() < 0.5 and kind != "scan":
        picture = picture + rng.uniform(0.5, 8) * white_noise(rng, shape)
    image = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        low, gamma = float(rng.uniform(0, 40) * (rng.random() < 0.3)), log_uniform(rng, 0.65, 1.6)
        table = low + (255 - low) * (np.arange(256) / 255) ** gamma
        image = np.asarray(cv2.LUT(image, table.astype(np.uint8)), np.uint8)
    return _stored(rng, image)


def _stored(rng: Rng, image: GrayImage) -> GrayImage:
    """Return a picture as it comes back from a file: reduced and enlarged, JPEG, inverted, or as it was."""
    if rng.random() < 0.1:
        share = rng.uniform(0.5, 0.9)
        small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    if rng.random() < 0.35:
        stored = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])[1]
        image = np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), np.uint8)
    return np.asarray(255 - image if rng.random() < 0.04 else image, np.uint8)
