"""Folders of IDX files and .npz files in MNIST's format, checked on the way in."""

import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from inkdigits.arrays import Integers
from inkdigits.data.idx import idx_sha256, read_idx_file
from inkdigits.data.splits import DIGITS, MNIST_SHA256, Arrays, Split
from inkdigits.errors import DataError, reason


def read_path(path: Path) -> tuple[Arrays, tuple[str, ...]]:
    """Return the arrays and class names that a folder or a .npz file holds."""
    if path.is_dir():
        return read_folder(path), _class_names(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give a folder with MNIST's four IDX files, or an mnist.npz")
    if path.suffix != ".npz":
        raise DataError(f"{path}: neither a folder nor a .npz file; for IDX files, give the folder they lie in")
    return read_keras_npz(path)


def read_folder(folder: Path) -> Arrays:
    """Return the four arrays of a folder of IDX files."""
    found = {name: _find_idx(folder, name) for name in MNIST_SHA256}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise DataError(f"{folder}: lacks {', '.join(missing)} (plain or .gz)")
    return {name: read_idx_file(path) for name, path in found.items() if path is not None}


def _find_idx(folder: Path, name: str) -> Path | None:
    """Return the file that MNIST would call `name`, by any of the names in use (a prefix, "test", ".idx3")."""
    part, kind, _ = re.split(r"-(images|labels)", name)
    part = "(t10k|test)" if part == "t10k" else part
    pattern = re.compile(rf"(.*[-_.])?{part}-{kind}([-.]idx[13][-.]ubyte)?(\.gz)?")
    try:
        paths = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name) and path.is_file())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {reason(error)}") from error
    # A file and its own .gz are one; the plain one is quicker.
    names = {path.name.removesuffix(".gz"): path for path in reversed(paths)}
    if len(names) > 1:
        raise DataError(f"{folder}: holds several data sets ({', '.join(sorted(names))}); put each in its own folder")
    return next(iter(names.values()), None)


def _class_names(folder: Path) -> tuple[str, ...]:
    for path in (folder / "classes.txt", folder / "labels.txt"):
        if path.is_file():
            try:
                lines = path.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{path}: cannot be read as text in UTF-8") from error
            return _checked_names([line.strip() for line in lines if line.strip()], str(path))
    return DIGITS


def _checked_names(names: list[str], name: str) -> tuple[str, ...]:
    if not 2 <= len(names) <= 256:
        raise DataError(f"{name}: {len(names)} class names; a data set has 2 to 256, one a line")
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise DataError(f"{name}: the class name {twice!r} is there twice")
    return tuple(names)


def read_keras_npz(path: Path) -> tuple[Arrays, tuple[str, ...]]:
    """Return the arrays and class names of a .npz file as Keras keeps MNIST: x_train, y_train, x_test, y_test."""
    arrays = read_npz(path)
    keys = {"x_test": "t10k-images-idx3-ubyte", "y_test": "t10k-labels-idx1-ubyte"}
    keys |= {"x_train": "train-images-idx3-ubyte", "y_train": "train-labels-idx1-ubyte"}
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(arrays) or 'no arrays'}")
    for key in keys:
        if key.startswith("x") and arrays[key].dtype != np.uint8:
            raise DataError(f"{path}: {key} must be uint8 (N, 28, 28), but is {arrays[key].dtype} {arrays[key].shape}")
        if key.startswith("y"):
            arrays[key] = checked_labels(arrays[key], len(arrays[key.replace("y", "x")]), f"{path}: {key}").astype(
                np.uint8
            )
    names = arrays.get("class_names")
    class_names = DIGITS if names is None else _checked_names([str(one) for one in names.ravel()], str(path))
    return {name: arrays[key] for key, name in keys.items()}, class_names


def read_npz(path: Path) -> Arrays:
    """Return all arrays of a .npz file."""
    if not path.is_file():
        raise DataError(f"{path}: {'is a folder, not a .npz file' if path.is_dir() else 'no such file'}")
    what = "not a whole .npz file of plain arrays"
    try:
        with path.open("rb") as file:
            if file.read(64).lstrip().startswith(b"<"):
                what = "an HTML page in place of data"
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return dict(archive)
    # A damaged archive fails in any of these, according to the byte that is hit; a lone .npy is no archive at all.
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        KeyError,
        MemoryError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        cause = reason(error) if isinstance(error, OSError) and error.strerror else what
        raise DataError(f"{path}: cannot be read: {cause}") from error


def checked_labels(y: Integers, n: int, name: str) -> Integers:
    """Return labels (n,) of any integer type as they are, checked to lie in 0 to 255."""
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{name}: labels must be whole numbers (N,), but are {y.dtype} {y.shape}")
    if len(y) != n:
        raise DataError(f"{name}: {n:,} images but {len(y):,} labels")
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) <= 255:
        raise DataError(f"{name}: labels must lie in 0 to 255, but run from {y.min()} to {y.max()}")
    return y


def as_splits(arrays: Arrays, class_names: tuple[str, ...], source: str, name: str) -> tuple[Split, Split]:
    """Return the training and the test split of four arrays."""
    train, test = (
        as_split(arrays, prefix, part, class_names, source, name)
        for prefix, part in (("train", "train"), ("t10k", "test"))
    )
    return train, test


def as_split(
    arrays: Arrays, prefix: str, part: str, class_names: tuple[str, ...], source: str, name: str, verified: bool = False
) -> Split:
    """Return one split of a data set, its images and labels checked against each other."""
    images, labels = arrays[f"{prefix}-images-idx3-ubyte"], arrays[f"{prefix}-labels-idx1-ubyte"]
    where = f"{name}: {part} split"
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        size = " x ".join(map(str, images.shape[1:])) or "single numbers"
        raise DataError(f"{where}: images must be 28 x 28, but are {size}")
    checked_labels(labels, len(images), where)
    if labels.max() >= len(class_names):
        raise DataError(
            f"{where}: a label is {labels.max()}, but there are {len(class_names)} classes "
            f"(0 to {len(class_names) - 1}); other classes are named in a classes.txt, one a line"
        )
    sha256 = MNIST_SHA256[f"{prefix}-images-idx3-ubyte"] if verified else idx_sha256(images)
    images.flags.writeable = False
    return Split(images, labels.astype(np.int64), part, class_names, source, sha256)
