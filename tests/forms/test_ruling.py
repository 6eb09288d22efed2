"""Pages of one dense table, alike in nothing but their ruling: laid by their lines, never a row or column off."""

import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from inkdigits.arrays import Floats, GrayImage
from inkdigits.errors import FormError
from inkdigits.forms.alignment import Aligner, AlignmentError
from inkdigits.forms.blank import new_form
from inkdigits.forms.ruling import flattening_of, straight_table
from inkdigits.forms.template import load_picture
from inkdigits.reading.geometry import map_points

SIZE = (1700, 1300)
ROW = 45
XS = [70, 190, *range(265, 1200, 75)]
BANDS = [
    *range(90, 316, ROW),
    390,
    *range(435, 660, ROW),
    735,
    *range(780, 1050, ROW),
    1100,
    1170,
    *range(1215, 1600, ROW),
]
HEADED = [60, *range(150, 1600, ROW)]
EVEN = [*range(100, 1600, ROW)]
EVEN_XS = [*range(100, 1200, 75)]

Place = Callable[[Floats], Floats]


def filled(ys: list[int], xs: list[int], seed: int) -> GrayImage:
    """Return a ruled table with scribbles in nearly all cells, other ones for each seed."""
    rng = np.random.default_rng(seed)
    page = np.full(SIZE, 250, np.uint8)
    for y in ys:
        cv2.line(page, (xs[0], y), (xs[-1], y), 40, 2)
    for x in xs:
        cv2.line(page, (x, ys[0]), (x, ys[-1]), 40, 2)
    for top, bottom in itertools.pairwise(ys):
        for left in xs[:-1]:
            text, font = str(rng.integers(0, 1000)), int(rng.choice([0, 2, 4, 5]))
            at = (left + int(rng.integers(2, 10)), bottom - int(rng.integers(3, 9)))
            size = min(1.0, (bottom - top) / 60 * rng.uniform(0.8, 1.1))
            if rng.random() < 0.95:
                cv2.putText(page, text, at, font, size, 30, int(rng.integers(2, 4)), cv2.LINE_AA)
    return page


def copied(
    page: GrayImage, down: int = 0, turn_deg: float = 0.0, curl_px: float = 0.0, top: int = 0
) -> tuple[GrayImage, Place]:
    """Return a page moved down, turned, curled and cut off at the top, and where its points then lie."""
    height, width = page.shape
    turn = np.vstack([cv2.getRotationMatrix2D((width / 2, height / 2), turn_deg, 0.97 if turn_deg else 1), [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, 1, down], [0, 0, 1]])

    def bend(points: Floats) -> Floats:
        x, y = points.T
        return curl_px * np.stack([0.3 * np.sin(3 * y / height), np.sin(3.3 * x / width + y / height)], axis=-1)

    def place(points: Floats) -> Floats:
        turned = map_points(turn, points)
        return np.asarray(turned + bend(turned) - (0, top))

    at = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2).astype(float)
    turned = at.copy()
    for _ in range(5 if curl_px else 0):
        turned = at - bend(turned)
    source = map_points(np.linalg.inv(turn), turned).astype(np.float32).reshape(height, width, 2)
    moved = cv2.remap(page, source, None, cv2.INTER_LINEAR, borderValue=235)
    return np.ascontiguousarray(moved[top:], np.uint8), place


def template_of(page: GrayImage) -> tuple[Aligner, Place]:
    """Return a template made from one filled page, and where the page's points lie on it."""
    table = straight_table(page)
    assert table is not None
    share = 1600 / max(page.shape)
    small = cv2.resize(page, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    flattening = flattening_of(np.asarray(small, np.uint8))

    def place(points: Floats) -> Floats:
        flat = flattening.flat(map_points(flattening.turn, (points + 0.5) * share - 0.5))
        return np.asarray((flat + 0.5) / share - 0.5)

    return Aligner(table, []), place


def corners(ys: list[int], xs: list[int]) -> Floats:
    return np.array([(x, y) for x in xs for y in ys], float)


@pytest.fixture(scope="module", params=["bands", "headed"])
def table(request: pytest.FixtureRequest) -> tuple[list[int], Aligner, Place]:
    ys = BANDS if request.param == "bands" else HEADED
    return ys, *template_of(copied(filled(ys, XS, 1), turn_deg=0.5, curl_px=4)[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"down": ROW},
        {"down": -ROW, "turn_deg": 2.0},
        {"curl_px": 12.0},
        {"turn_deg": 180.0},
    ],
    ids=str,
)
def test_a_table_is_laid_by_its_lines_within_two_pixels(
    table: tuple[list[int], Aligner, Place], changes: dict[str, float]
) -> None:
    ys, aligner, on_template = table
    _, on_page = copied(np.zeros(SIZE, np.uint8), turn_deg=0.5, curl_px=4)
    scan, place = copied(filled(ys, XS, 2), **changes)  # type: ignore[arg-type]
    found = aligner.align(scan)
    points = corners(ys, XS)
    off = np.hypot(*(found.place(on_template(on_page(points)), aligner.size) - place(points)).T)
    assert off.max() < 2.0


def test_a_table_that_lacks_a_row_is_rejected(table: tuple[list[int], Aligner, Place]) -> None:
    ys, aligner, _ = table
    whole = filled(ys, XS, 3)
    lacking, _ = copied(whole, top=ys[1] + 5)
    hidden = np.vstack([whole[: ys[-6]], whole[ys[-4] :]])  # two rows lie under a fold
    for scan in (lacking, hidden, np.full(SIZE, 250, np.uint8)):
        with pytest.raises(AlignmentError):
            aligner.align(scan)


def test_squared_paper_and_a_table_that_is_the_same_upside_down_are_rejected() -> None:
    aligner, _ = template_of(filled(EVEN, EVEN_XS, 1))
    squared = np.full(SIZE, 250, np.uint8)
    squared[::15] = squared[:, ::15] = 90
    with pytest.raises(AlignmentError):
        aligner.align(squared)
    with pytest.raises(AlignmentError, match="upside down"):
        aligner.align(filled(EVEN, EVEN_XS, 2)[::-1, ::-1].copy())


def test_one_filled_table_makes_a_template_of_its_lines(tmp_path: Path) -> None:
    Image.fromarray(filled(BANDS, XS, 1)).save(tmp_path / "filled.png")
    form = new_form(tmp_path / "form", [tmp_path / "filled.png"], filled=True)
    dark = load_picture(form, tmp_path / "form", 0) < 128
    assert dark[:, 400:500].all(axis=1).any()
    inside = [dark[t + 8 : b - 8, left + 8 : left + 60] for t, b in itertools.pairwise(BANDS) for left in XS[:-1]]
    assert not any(cell.any() for cell in inside)
    Image.fromarray(np.full(SIZE, 250, np.uint8)).save(tmp_path / "empty.png")
    with pytest.raises(FormError, match="ruled table"):
        new_form(tmp_path / "none", [tmp_path / "empty.png"], filled=True)
    assert not (tmp_path / "none").exists()
