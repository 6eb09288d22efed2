"""Why a network that is 99 % right on MNIST fails on a photograph: the same digits resized plainly, and normalised.

    python benchmarks/naive_resize.py [--n 1000] [--picture FILE] [--json FILE]

Digits that the network did not learn from (held out of the training images) are put on paper as a phone sees them: dark
ink, a shadow, noise, anywhere on the sheet, larger or smaller, thicker or thinner. Then the recipe `cnn` reads them
behind what tutorials do (invert, resize to 28 x 28) and behind `Reader.frame`. --picture draws a few of them.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from common import Table, percent, publish
from numpy.typing import NDArray

import inkdigits
from inkdigits import Reader
from inkdigits.data.splits import hold_out
from inkdigits.evaluation.figures import blank_figure, png_of

Picture = NDArray[np.uint8]
SHOWN = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--picture", type=Path, help="draw what the network sees, as PNG")
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    train, _ = inkdigits.load_mnist()
    with tempfile.TemporaryDirectory() as folder:
        run = inkdigits.train("cnn", runs_dir=folder, progress=False)
        network = Reader(run.path)
    held_out = hold_out(train, run.recipe.validation, run.seed)[1].take(given.n)
    rng = np.random.default_rng(0)
    photographs = [photograph(image, rng) for image in held_out.images]
    ways = {
        "MNIST's own images": list(held_out.images),
        "photographed, inverted and resized to 28 x 28": [resized(image) for image in photographs],
        "photographed, normalised by Reader.frame": [network.frame(image) for image in photographs],
    }
    answers = {way: network.classify(np.stack(images)) for way, images in ways.items()}
    right = {way: float((found.labels == held_out.labels).mean()) for way, found in answers.items()}
    sure = {way: float(found.confidence.mean()) for way, found in answers.items()}
    publish(
        "naive_resize",
        "The same digits, resized plainly and normalised",
        [
            Table(
                f"Recipe `cnn`, {len(held_out):,} held-out digits of MNIST",
                ("what the network sees", "right", "mean confidence"),
                [(way, percent(right[way], 1), percent(sure[way], 1)) for way in ways],
            )
        ],
        figures={"n": len(held_out), "right": right, "confidence": sure},
        path=given.json,
    )
    if given.picture:
        _, plain, normalised = ways.values()
        wrong = [i for i, found in enumerate(answers[list(ways)[1]].labels) if found != held_out.labels[i]]
        chosen = wrong[:SHOWN]
        rows = [[images[i] for i in chosen] for images in (photographs, plain, normalised)]
        read = [[str(found.labels[i]) for i in chosen] for found in list(answers.values())[1:]]
        given.picture.write_bytes(draw(rows, read))


def photograph(image: Picture, rng: np.random.Generator) -> Picture:
    """Return a digit of MNIST as dark ink on a sheet, uint8 (H, W)."""
    side = int(rng.integers(60, 200))
    ink = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    pen = int(rng.integers(1, 1 + side // 28))
    ink = cv2.erode(ink, np.ones((pen, pen)))
    height, width = (int(side + rng.integers(20, 160)) for _ in range(2))
    sheet = np.zeros((height, width), np.float32)
    top, left = int(rng.integers(0, height - side)), int(rng.integers(0, width - side))
    sheet[top : top + side, left : left + side] = ink
    falls = (
        np.linspace(*rng.uniform(0.5, 1.0, 2), width)[None] * np.linspace(*rng.uniform(0.7, 1.0, 2), height)[:, None]
    )
    paper = 235 * falls * (1 - rng.uniform(0.6, 0.9) * sheet) + rng.normal(0, 3, sheet.shape)
    return np.clip(paper, 0, 255).astype(np.uint8)


def resized(picture: Picture) -> Picture:
    """Return what tutorials feed their network: inverted, resized to 28 x 28."""
    return cv2.resize(255 - picture, (28, 28), interpolation=cv2.INTER_AREA)


def draw(rows: list[list[Picture]], read: list[list[str]]) -> bytes:
    """Return the figure as a PNG: photographs, plainly resized, normalised, each with the network's answer."""
    figure = blank_figure(9, 4.8)
    cells = figure.subplots(3, len(rows[0]))
    for i, (axes_of_row, images) in enumerate(zip(cells, rows, strict=True)):
        for j, (axes, image) in enumerate(zip(axes_of_row, images, strict=True)):
            axes.imshow(image, cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=(), yticks=())
            if i:
                axes.set_xlabel(f"read as {read[i - 1][j]}", fontsize=9)
    for axes, name in zip(cells[:, 0], ("photograph", "resized", "normalised"), strict=True):
        axes.set_ylabel(name, fontsize=10)
    return png_of(figure)


if __name__ == "__main__":
    main()
