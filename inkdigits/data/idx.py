"""IDX, the format of MNIST's own files: read, written, summed."""

import gzip
import hashlib
import shutil
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from inkdigits.data.splits import Arrays, Split
from inkdigits.errors import DataError


def idx_sha256(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's raw IDX file, as `sha256sum` prints it."""
    digest = hashlib.sha256(_idx_head(array))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


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
        write_folder(folder, arrays, {"classes.txt": "".join(f"{name}\n" for name in train.class_names)})
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


def read_idx_file(path: Path) -> np.ndarray:
    """Return the array of an IDX file, plain (memory-mapped) or .gz."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                return read_idx_stream(stream, str(path))
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is empty; fetch it again")
        # As a plain array: what np.memmap adds makes every slice slower.
        return np.asarray(read_idx(np.asarray(np.memmap(path, np.uint8, "r")), str(path)))
    except OSError as error:
        reason = error.strerror or _not_gzip(path)
        raise DataError(f"{path}: cannot be read: {reason}") from error
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: truncated or damaged gzip file; fetch it again") from error


def read_idx_stream(stream: IO[bytes] | gzip.GzipFile, name: str) -> np.ndarray:
    """Read no more than the header tells, and one byte to see whether there is more."""
    head = stream.read(16)
    if len(head) < 16:
        return read_idx(head, name)
    shape = _idx_shape(head, name)
    return read_idx(head + stream.read(_product(shape) + 4 * len(shape) + 4 - 16 + 1), name)


def _not_gzip(path: Path) -> str:
    start = path.read_bytes()[:64].lstrip()
    return "an HTML page in place of data" if start.startswith(b"<") else "not a gzip file"


def write_folder(folder: Path, arrays: Arrays, texts: dict[str, str]) -> None:
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
