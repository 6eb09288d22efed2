"""Pages for the finder's network: which are composed for an epoch, and the batches they are learned in.

An epoch shows some new pages and those of the epochs before it, in another light each time: composing a page takes
about as long as learning from it once.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from inkdigits.arrays import DigitImages, GrayImage, GrayImages, Labels, NDArray, Rng
from inkdigits.training.recipes import FinderRecipe
from inkdigits.training.synthesis.page_maps import STRIDE_PX, PageMaps
from inkdigits.training.synthesis.pages import PAGE_STYLES, compose_page
from inkdigits.training.synthesis.styles import Digits

# Shapes of pages, height and width in pixels, and each one's share: pages, slips, cells, and what the finder sees of a
# large picture on the small copies of its pyramid.
SHAPES: dict[tuple[int, int], float] = {
    (448, 448): 0.2,
    (384, 512): 0.16,
    (512, 384): 0.16,
    (640, 512): 0.1,
    (512, 640): 0.1,
    (256, 256): 0.08,
    (192, 256): 0.06,
    (256, 192): 0.05,
    (128, 384): 0.05,
    (192, 512): 0.04,
}
USUAL_PX = 448 * 448  # of this size are the pages that `Recipe.batch_size` counts
CHUNK = 16  # pages that one process composes at a time

Pages = NDArray[np.object_]  # (N,), pictures uint8 (H, W) each
AllMaps = NDArray[np.object_]  # (N,), their maps uint8 (H / 4, W / 4, 6) each


def jobs_of_part(recipe: FinderRecipe, seed: int, number: int) -> list[tuple[Any, ...]]:
    """Return calls of `compose_pages` for processes to make: the pages that are new in epoch `number`.

    Parts 0, -1, ... fill up the first epochs; none is made after the last epoch.
    """
    if number > recipe.epochs:
        return []
    n = pages_of_part(recipe)
    return [(compose_pages, (seed, number + recipe.uses, start), min(CHUNK, n - start)) for start in range(0, n, CHUNK)]


def pages_of_part(recipe: FinderRecipe) -> int:
    """Return how many pages are new in an epoch."""
    return max(1, recipe.composed // recipe.uses)


_digits: list[Digits] = []  # of a composing process; sent once, for they are large


def start_process(images: DigitImages, labels: Labels) -> None:
    """Make a process of a pool ready for `compose_pages`: MNIST's images and labels."""
    cv2.setNumThreads(1)
    _digits[:] = [Digits(images, labels)]


def compose_pages(seed: tuple[int, ...], n: int) -> tuple[Pages, AllMaps]:
    """Return n pages and their maps, of the digits that the process was started with; the seed fixes all."""
    rng = np.random.default_rng(seed)
    shapes = list(SHAPES)
    chosen = rng.choice(len(shapes), n, p=list(SHAPES.values()))
    made = [compose_page(rng, _digits[0], shapes[i], PAGE_STYLES["train"]) for i in chosen]
    return as_array([page.image for page in made]), as_array([page.maps for page in made])


def as_array(pictures: list[NDArray[np.uint8]]) -> Pages:
    """Return pictures of different sizes as one array of objects."""
    return np.fromiter(pictures, dtype=object, count=len(pictures))


# -------------------------------------------------------------------------------------------------------------- batches


def plan_batches(pages: Pages, recipe: FinderRecipe, rng: Rng) -> list[NDArray[np.intp]]:
    """Return an epoch's batches, which pages each holds, in random order: pages of one shape together, each page once.

    All batches of one shape are equally long: the last one is filled up with pages used once more.
    """
    plan: list[NDArray[np.intp]] = []
    shapes = np.array([page.shape for page in pages])
    for shape in np.unique(shapes, axis=0):
        members = np.flatnonzero((shapes == shape).all(axis=1))
        size = max(1, round(recipe.batch_size * USUAL_PX / int(np.prod(shape))))
        n_batches = -(-len(members) // size)
        order = np.resize(rng.permutation(members), n_batches * size)
        plan += [order[k * size : (k + 1) * size] for k in range(n_batches)]
    return [plan[k] for k in rng.permutation(len(plan))]


def batches(
    pages: Pages, maps: AllMaps, plan: list[NDArray[np.intp]], rng: Rng
) -> Iterator[tuple[GrayImages, NDArray[np.uint8]]]:
    """Yield the batches of a plan: uint8 (n, H, W) and uint8 (n, H / 4, W / 4, 6), each page in another light."""
    for chosen in plan:
        changed = [changed_page(rng, pages[i], maps[i]) for i in chosen]
        yield np.stack([page for page, _ in changed]), np.stack([targets for _, targets in changed])


def changed_page(rng: Rng, page: GrayImage, maps: PageMaps) -> tuple[GrayImage, PageMaps]:
    """Return a page darker or lighter, now and then inverted or upside down, moved by some pixels, and its maps."""
    grey = np.arange(256, dtype=np.float32)
    middle = float(page[::8, ::8].mean())
    grey = (grey - middle) * np.exp(rng.normal(0, 0.25)) + middle + rng.normal(0, 15)
    table = np.clip(255 - grey if rng.random() < 0.1 else grey, 0, 255).astype(np.uint8)
    page = np.asarray(cv2.LUT(page, table), np.uint8)
    if rng.random() < 0.25:
        page, maps = page[::-1, ::-1], maps[::-1, ::-1]  # an axis stays an axis
    down, right = (int(v) for v in rng.integers(-6, 7, 2))
    maps = _moved(maps, down, right)
    maps[: max(down, 0), :, -1] = maps[len(maps) + min(down, 0) :, :, -1] = 0
    maps[:, : max(right, 0), -1] = maps[:, maps.shape[1] + min(right, 0) :, -1] = 0
    return _moved(page, down * STRIDE_PX, right * STRIDE_PX), maps


def _moved(layer: NDArray[np.uint8], down: int, right: int) -> NDArray[np.uint8]:
    """Return a layer moved, its first or last rows and columns repeated where nothing is left."""
    ys = np.clip(np.arange(len(layer)) - down, 0, len(layer) - 1)
    xs = np.clip(np.arange(layer.shape[1]) - right, 0, layer.shape[1] - 1)
    return layer[ys[:, None], xs[None]]
