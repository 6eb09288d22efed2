"""Files here and in object stores alike: a path, or s3://bucket/key and gs://bucket/key through pyarrow.

A file is written whole or not at all: here beside its place and renamed, there as one object that appears when its
upload is complete. `AWS_ENDPOINT_URL` names another S3 server than Amazon's, as it does for other programs.
"""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from inkdigits.errors import ImageError, OutputError, naming_missing_extra

if TYPE_CHECKING:
    from types import ModuleType

    from pyarrow.fs import FileSystem


REMOTE = ("s3://", "gs://")


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is there: its path, and what tells whether it has changed since."""

    path: str
    size_bytes: int
    modified_ns: int


def is_remote(path: str) -> bool:
    """Say whether a path lies in an object store."""
    return path.startswith(REMOTE)


def load_pyarrow(module: str) -> "ModuleType":
    """Return a module of pyarrow, which comes with the extra `scale`.

    Raises:
        MissingExtraError: it is not installed.
    """
    from importlib import import_module

    with naming_missing_extra():
        return import_module(module)


@lru_cache
def _bucket(scheme: str, name: str) -> "FileSystem":
    """Return the file system of a bucket; asking for one costs a question to the store, so it is kept."""
    fs = load_pyarrow("pyarrow.fs")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    other = f"?endpoint_override={quote(endpoint, safe='')}" if scheme == "s3" and endpoint else ""
    file_system: FileSystem = fs.FileSystem.from_uri(f"{scheme}://{name}/{other}")[0]
    return file_system


def locate(path: str) -> tuple["FileSystem", str]:
    """Return the file system of a remote path, and the path as that file system calls it: bucket/key.

    Raises:
        ImageError: there is no bucket in it, or the store does not answer.
    """
    scheme, _, rest = path.partition("://")
    bucket = rest.partition("/")[0]
    if not bucket:
        raise ImageError(f"{path}: names no bucket; {scheme}://BUCKET/KEY does")
    try:
        return _bucket(scheme, bucket), rest.rstrip("/")
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be reached ({reason(error)})") from None


def reason(error: Exception) -> str:
    """Return what went wrong in some words: pyarrow's errors tell a request's whole story."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].split(" (Request ID")[0][:200]


def open_input(path: str) -> IO[bytes]:
    """Return a file for reading from its beginning, one that can seek.

    Raises:
        ImageError: it is missing or cannot be opened.
    """
    try:
        if not is_remote(path):
            return open(path, "rb")
        store, key = locate(path)
        file: IO[bytes] = store.open_input_file(key)
        return file
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be opened ({reason(error)})") from None


def read_remote(path: str, max_bytes: int) -> bytes:
    """Return a remote file's bytes, at most one more than `max_bytes`.

    Raises:
        ImageError: it is missing or cannot be read.
    """
    store, key = locate(path)
    try:
        with store.open_input_stream(key) as stream:
            data: bytes = stream.read(max_bytes + 1)
            return data
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be read ({reason(error)})") from None


def stat(path: str) -> Found | None:
    """Return what is known of a file; None where there is none."""
    try:
        if is_remote(path):
            store, key = locate(path)
            return _found(path, store.get_file_info([key])[0])
        known = os.stat(path)
    except (OSError, ValueError):
        return None
    return Found(path, known.st_size, known.st_mtime_ns)


def _found(path: str, info: Any) -> Found | None:
    return Found(path, info.size, info.mtime_ns or 0) if info.is_file else None


def walk(folder: str) -> Iterator[Found]:
    """Yield a folder's files at any depth, ordered by their whole paths, without holding more than a folder's names.

    Raises:
        ImageError: a store that does not answer.
    """
    if is_remote(folder):
        yield from _walk_remote(folder)
        return
    try:
        with os.scandir(folder) as entries:
            # A folder's name ends in a slash where whole paths are compared.
            inside = sorted((each.name + "/" * each.is_dir(follow_symlinks=False), each) for each in entries)
    except OSError as error:
        raise ImageError(f"{folder}: cannot be listed ({reason(error)})") from None
    for name, entry in inside:
        if name.endswith("/"):
            yield from walk(entry.path)
        elif entry.is_file():
            known = entry.stat()
            yield Found(entry.path, known.st_size, known.st_mtime_ns)
        elif entry.is_symlink() and not entry.is_dir():  # to nothing: reading it will say so
            yield Found(entry.path, 0, 0)


def _walk_remote(folder: str) -> Iterator[Found]:
    fs = load_pyarrow("pyarrow.fs")
    store, key = locate(folder)
    scheme = folder.partition("://")[0]
    try:
        infos = store.get_file_info(fs.FileSelector(key, recursive=True, allow_not_found=True))
    except OSError as error:
        raise ImageError(f"{folder}: cannot be listed ({reason(error)})") from None
    for info in sorted(infos, key=lambda each: str(each.path)):
        found = _found(f"{scheme}://{info.path}", info)
        if found is not None:
            yield found


def names_in(folder: str) -> list[str]:
    """Return the names of what lies in a folder, none where there is no folder."""
    if is_remote(folder):
        return [found.path.removeprefix(folder).lstrip("/") for found in _walk_remote(folder)]
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def make_folder(folder: str) -> None:
    """Make a folder, where such a thing exists.

    Raises:
        OutputError: it cannot be made.
    """
    if not is_remote(folder):
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from None


def remove(path: str) -> None:
    """Remove a file or a folder with all in it; what is not there is no concern."""
    if is_remote(path):
        store, key = locate(path)
        if store.get_file_info([key])[0].is_file:
            store.delete_file(key)
        else:
            for found in _walk_remote(path):
                store.delete_file(locate(found.path)[1])
    elif os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        Path(path).unlink(missing_ok=True)


def write_whole(path: str, write: Callable[[IO[bytes]], object], beside: str | None = None) -> None:
    """Write a file that is there as a whole or not at all.

    Args:
        path: where it will be.
        write: is handed the open file.
        beside: where it grows, on the same file system; beside its place where None.

    Raises:
        OutputError: it cannot be written: the disk is full, say. Nothing is left of it.
    """
    try:
        if is_remote(path):
            _write_remote(path, write)
        else:
            _write_local(path, write, beside or f"{path}.{os.getpid()}.part")
    except OSError as error:
        raise cannot_write(path, error) from None


def write_bytes(path: str, content: bytes) -> None:
    """Write a file of this content, whole or not at all; see `write_whole`."""
    write_whole(path, lambda file: shutil.copyfileobj(io.BytesIO(content), file))


def _write_local(path: str, write: Callable[[IO[bytes]], object], beside: str) -> None:
    try:
        with open(beside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave the name without the content
        os.replace(beside, path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _write_remote(path: str, write: Callable[[IO[bytes]], object]) -> None:
    store, key = locate(path)
    file = store.open_output_stream(key)
    try:
        write(file)
    except BaseException:
        file.close()  # completes the upload: pyarrow knows no way to abandon one
        store.delete_file(key)
        raise
    file.close()


def cannot_write(path: str, error: Exception) -> OutputError:
    """Return the error of an output that cannot be written, in one line."""
    return OutputError(f"{path}: cannot be written ({reason(error)}); free space there, or name another place")
