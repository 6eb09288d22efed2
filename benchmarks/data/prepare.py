"""Turn downloads of public handwriting into the evaluation sets that the benchmarks read.

    python benchmarks/data/prepare.py SET --source DOWNLOAD --output FOLDER

DOWNLOAD is the folder (or file) that docs/data.md names for the set; FOLDER is the `DATA` of the benchmarks. A set of
single digits becomes `digits/SET.npz` (x uint8 (N, H, W), light ink on dark; y int64 (N,)), one of things that are no
digits `not-digits/SET.npz` (x alone); cells and pages become folders of pictures with a truth.json. Nothing
of it belongs into this repository, and no weight that ships may learn from it.
"""

import argparse
import csv
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inkdigits.data.idx import read_idx_file
from inkdigits.errors import DataError, InkdigitsError
from inkdigits.files.images import read_image

Images = NDArray[np.uint8]  # (N, H, W), light ink on dark
Labels = NDArray[np.int64]
Labelled = dict[str, tuple[Path, object]]  # name in the output -> where the picture is, its ground truth

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HERC_PX = 240
GRID_PX = 64
# A component of a scanned grid is a digit from this share of the page's height on; smaller ones are specks.
GRID_LEAST = 0.02
# A page of the grids holds a hundred digits; a file with fewer components than this is something else (one is a strip).
GRID_DIGITS_LEAST = 50
PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=sorted({*DIGITS, *NOT_DIGITS, *FOLDERS}))
    parser.add_argument("--source", type=Path, required=True, help="the download")
    parser.add_argument("--output", type=Path, required=True, help="the folder of all evaluation sets")
    given = parser.parse_args()
    try:
        print(prepare(given.set, given.source, given.output))
    except (InkdigitsError, OSError) as error:
        raise SystemExit(f"error: {error}") from None


def prepare(name: str, source: Path, output: Path) -> Path:
    """Convert one set and return what was written.

    Raises:
        DataError: the download does not hold what it should.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder; docs/data.md says where {name} comes from")
    if name in FOLDERS:
        return _written(FOLDERS[name](source), source, output / name)
    if name in NOT_DIGITS:
        arrays = {"x": _checked(NOT_DIGITS[name](source), source)}
        path = output / "not-digits" / f"{name}.npz"
    else:
        images, labels = DIGITS[name](source)
        arrays = {"x": _checked(images, source), "y": _checked_labels(labels, images, source)}
        path = output / "digits" / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


# --------------------------------------------------------------------------------------------------- single digits


def hwd1000(source: Path) -> tuple[Images, Labels]:
    """The folder of HwD-1000: dataset.csv names each picture (black on white, 28 x 28) and its digit."""
    rows = _rows(source / "dataset.csv", ",")
    rows = [row for row in rows if len(row) == 2 and row[1].strip().isdigit()]  # without a header
    return np.stack([255 - read_image(source / name) for name, _ in rows]), _integers(label for _, label in rows)


def optdigits32(source: Path) -> tuple[Images, Labels]:
    """The folder with optdigits-orig.*: after a header 33 lines a digit, 32 of them 32 characters 0 or 1."""
    images, labels = [], []
    for path in sorted(source.glob("optdigits-orig.*")):
        lines = path.read_text(encoding="ascii").splitlines()
        start = next((i for i, line in enumerate(lines) if len(line) == 32 and set(line) <= {"0", "1"}), len(lines))
        for i in range(start, len(lines) - 32, 33):
            images.append([[int(pixel) for pixel in line] for line in lines[i : i + 32]])
            labels.append(int(lines[i + 32]))
    return np.array(images, np.uint8) * 255, np.array(labels, np.int64)


def semeion(source: Path) -> tuple[Images, Labels]:
    """semeion.data: 256 pixels 0 or 1, then ten columns of which one is 1."""
    table = np.loadtxt(source / "semeion.data" if source.is_dir() else source)
    return (table[:, :256].reshape(-1, 16, 16) * 255).astype(np.uint8), table[:, 256:266].argmax(axis=1)


def nsysu(source: Path) -> tuple[Images, Labels]:
    """The folder nsysu-digits: X.csv with the pixels of a square picture a line, y.csv with the digits."""
    table = np.loadtxt(source / "X.csv", delimiter=",", ndmin=2)
    side = round(table.shape[1] ** 0.5)
    images = _on_dark(_to_bytes(table.reshape(-1, side, side)))
    return images, np.loadtxt(source / "y.csv", delimiter=",").astype(np.int64).ravel()


def ardis(source: Path) -> tuple[Images, Labels]:
    """The unpacked ARDIS_DATASET_IV: 784 pixels a line, and labels as ten columns of which one is 1."""
    parts = [
        [np.loadtxt(source / f"ARDIS_{part}_{what}.csv", ndmin=2) for what in ("2828", "labels")]
        for part in ("train", "test")
    ]
    images = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 28, 28)
    return _on_dark(_to_bytes(images)), np.concatenate([labels for _, labels in parts]).argmax(axis=1)


def herc(source: Path) -> tuple[Images, Labels]:
    """The folder herc-data: a folder of pictures (black on white) for each digit, zero to nine."""
    images, labels = [], []
    for digit, name in enumerate(NAMES):
        for path in _pictures(source / name):
            images.append(_padded(255 - read_image(path), HERC_PX))
            labels.append(digit)
    return np.stack(images) if images else np.zeros((0, HERC_PX, HERC_PX), np.uint8), np.array(labels, np.int64)


def gridpage64(source: Path) -> tuple[Images, Labels]:
    """The folder "10 x 10 grids": each page, named "DIGIT (n).jpg", holds one digit a hundred times, black on white."""
    images, labels = [], []
    for digit, _, found in _grids(source):
        images += found
        labels += [int(digit)] * len(found)
    return np.stack(images) if images else np.zeros((0, GRID_PX, GRID_PX), np.uint8), np.array(labels, np.int64)


def _grids(source: Path) -> Iterator[tuple[str, Path, list[Images]]]:
    """Return each page of a hundred equal digits: the digit, the file, the digits cut out of it."""
    for path in _pictures(source):
        if path.stem[:1].isdigit():
            found = _components(255 - read_image(path))
            if len(found) >= GRID_DIGITS_LEAST:
                yield path.stem[0], path, found


def _components(page: Images) -> list[Images]:
    """Return each connected component of a page (light ink) that is as large as a digit, GRID_PX square."""
    _, ink = cv2.threshold(page, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    _, _, boxes, _ = cv2.connectedComponentsWithStats(ink)
    large = [box[:4] for box in boxes[1:] if box[3] >= GRID_LEAST * page.shape[0]]
    digits = []
    for x, y, width, height in large:
        side = round(1.25 * max(width, height))
        square = _padded(page[y : y + height, x : x + width], side)
        digits.append(cv2.resize(square, (GRID_PX, GRID_PX), interpolation=cv2.INTER_AREA))
    return digits


# -------------------------------------------------------------------------------------------- what is not a digit


def omniglot105(source: Path) -> Images:
    """The folder with images_background_small1 and 2: 105 x 105, black on white; 1,600 of them, evenly spread."""
    paths = sorted(path for folder in source.glob("images_background_small*") for path in folder.rglob("*.png"))
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, min(1600, len(paths))).astype(int)]
    return np.stack([255 - read_image(path) for path in chosen]) if chosen else np.zeros((0, 105, 105), np.uint8)


def fashion28(source: Path) -> Images:
    """The folder with Fashion-MNIST's t10k-images-idx3-ubyte(.gz): its first 2,000 pictures."""
    path = next(iter(sorted(source.glob("t10k-images-idx3-ubyte*"))), source / "t10k-images-idx3-ubyte")
    return np.asarray(read_idx_file(path)[:2000])


# ----------------------------------------------------------------------------------------------- folders of pictures


def cells(source: Path) -> Labelled:
    """The folder cell_images: pictures in training_set, their values in training_set_values.txt."""
    rows = [row for row in _rows(source / "training_set_values.txt", ";") if len(row) == 2 and row[1].strip()]
    pictures = {name: (source / "training_set" / name, value) for name, value in rows}
    return {name: (path, value) for name, (path, value) in pictures.items() if path.is_file()}


def pages(source: Path) -> Labelled:
    """The folder "10 x 10 grids", whole pages: ten rows of ten equal digits each."""
    found: Labelled = {}
    for digit, path, _ in _grids(source):
        number = re.sub(r"\D", "", path.stem[1:])
        found[f"10x10_grids_{digit}_{number}{path.suffix.lower()}"] = (path, {"lines": [digit * 10] * 10})
    return found


def _written(pictures: Labelled, source: Path, output: Path) -> Path:
    """Copy pictures into a folder and write its truth.json."""
    if not pictures:
        raise DataError(f"{source}: holds none of the pictures that docs/data.md describes")
    output.mkdir(parents=True, exist_ok=True)
    for name, (path, _) in pictures.items():
        shutil.copyfile(path, output / name)
    truth = {name: value for name, (_, value) in pictures.items()}
    (output / "truth.json").write_text(json.dumps(truth, indent=0), encoding="utf-8")
    return output


# --------------------------------------------------------------------------------------------------------- helpers


def _rows(path: Path, delimiter: str) -> list[list[str]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file, delimiter=delimiter))


def _integers(values: Iterable[str]) -> Labels:
    return np.array([int(value) for value in values], np.int64)


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURES)


def _to_bytes(values: NDArray[np.floating]) -> Images:
    """Return pixels of 0 to 1 or of 0 to 255 as uint8."""
    return np.rint(values * (255 if values.max(initial=0) <= 1 else 1)).astype(np.uint8)


def _on_dark(images: Images) -> Images:
    """Return pictures with light ink on dark, whichever way they are: paper is what most pixels are."""
    return 255 - images if images.size and np.median(images) > 127 else images


def _padded(image: Images, side: int) -> Images:
    """Return a picture in the middle of a dark square, reduced first if it is larger."""
    scale = min(1.0, side / max(image.shape))
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:side, :side]
    top, left = (side - image.shape[0]) // 2, (side - image.shape[1]) // 2
    square = np.zeros((side, side), np.uint8)
    square[top : top + image.shape[0], left : left + image.shape[1]] = image
    return square


def _checked(images: Images, source: Path) -> Images:
    if not len(images):
        raise DataError(f"{source}: holds none of the pictures that docs/data.md describes")
    return images


def _checked_labels(labels: Labels, images: Images, source: Path) -> Labels:
    if len(labels) != len(images) or labels.min() < 0 or labels.max() > 9:
        raise DataError(
            f"{source}: {len(labels)} labels from {labels.min()} to {labels.max()} for {len(images)} pictures"
        )
    return labels


DIGITS: dict[str, Callable[[Path], tuple[Images, Labels]]] = {
    each.__name__: each for each in (hwd1000, optdigits32, semeion, nsysu, ardis, herc, gridpage64)
}
NOT_DIGITS: dict[str, Callable[[Path], Images]] = {each.__name__: each for each in (omniglot105, fashion28)}
FOLDERS: dict[str, Callable[[Path], Labelled]] = {each.__name__: each for each in (cells, pages)}


if __name__ == "__main__":
    main()
