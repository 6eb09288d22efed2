"""IDX, the format of MNIST's own files: reading, writing, checksums."""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from inkdigits.arrays import Bytes
from inkdigits.data.splits import Arrays, Split
from inkdigits.errors import DataError, OutputError, reason
from inkdigits.files import storage

GZIP = b"\x1f\x8b"


def idx_sha256(array: Bytes) -> str:
    """Return the SHA-256 of an array's raw IDX file, as `sha256sum` prints it."""
    digest = hashlib.sha256(_idx_head(array))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def read_idx(data: bytes | Bytes, name: str = "IDX data") -> Bytes:
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
    expected = math.prod(shape)
    if len(body) != expected:
        kind = "truncated" if len(body) < expected else "over-long"
        raise DataError(
            f"{name}: {kind}: its header says {' x '.join(map(str, shape))} = {expected:,} bytes, "
            f"but there are {'more' if kind == 'over-long' else f'{len(body):,}'}; fetch it again"
        )
    return body.reshape(shape)


def write_idx(array: Bytes) -> bytes:
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
        OutputError: the folder exists, or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise OutputError(f"{folder}: exists already; choose another folder")
    arrays = {
        f"{prefix}-{kind}": array.astype(np.uint8, copy=False)
        for prefix, split in (("train", train), ("t10k", test))
        for kind, array in (("images-idx3-ubyte", split.images), ("labels-idx1-ubyte", split.labels))
    }
    write_folder(folder, arrays, {"classes.txt": "".join(f"{name}\n" for name in train.class_names)})


def _idx_head(array: Bytes) -> bytes:
    if array.dtype != np.uint8 or not 1 <= array.ndim <= 3 or array.size == 0:
        raise ValueError(f"IDX here holds uint8 with one to three dimensions, not {array.dtype} {array.shape}")
    return bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)


def _idx_shape(head: bytes, name: str) -> tuple[int, ...]:
    """Return the shape that the first 16 bytes of a file give."""
    if head.lstrip().startswith(b"<"):
        raise DataError(f"{name}: is an HTML page, not data: a notice of a server or a proxy, saved in its place")
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


def read_idx_file(path: Path, name: str | None = None) -> Bytes:
    """Return the array of an IDX file, plain (memory-mapped) or compressed with gzip.

    Args:
        path: the file.
        name: what to call it in errors; its path where None.

    Raises:
        DataError: it is missing, damaged or not IDX.
    """
    name = name or str(path)
    try:
        with path.open("rb") as file:
            head = file.read(2)
        if head == GZIP:
            with gzip.open(path) as stream:
                return read_idx_stream(stream, name)
        if not head:
            raise DataError(f"{name}: is empty; fetch it again")
        # As a plain array: what np.memmap adds makes every slice slower.
        return np.asarray(read_idx(np.asarray(np.memmap(path, np.uint8, "r")), name))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{name}: truncated or damaged gzip file; fetch it again") from error
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {reason(error)}") from error


def read_idx_stream(stream: IO[bytes] | gzip.GzipFile, name: str) -> Bytes:
    """Return the array of an IDX stream; read as much as its header says, and one byte to see whether there is more."""
    head = stream.read(16)
    if len(head) < 16:
        return read_idx(head, name)
    shape = _idx_shape(head, name)
    return read_idx(head + stream.read(math.prod(shape) + 4 * len(shape) + 4 - 16 + 1), name)


def write_folder(folder: Path, arrays: Arrays, texts: dict[str, str]) -> None:
    """Write IDX files and texts in UTF-8 as a folder that is complete or absent.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with storage.whole_folder(folder) as partial:
            for name, array in arrays.items():
                with storage.whole_file(partial / name) as file:
                    file.write(write_idx(array))
            for name, text in texts.items():
                with storage.whole_file(partial / name) as file:
                    file.write(text.encode())
    except OSError as error:
        raise storage.cannot_write(folder, error) from None
