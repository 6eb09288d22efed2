"""Files here and in object stores alike: a path, or s3://bucket/key and gs://bucket/key through pyarrow.

Every file of inkdigits is written here, whole or not at all: on a disk beside its place and renamed, in a store as one
object that appears when its upload is complete. `AWS_ENDPOINT_URL` names another S3 server than Amazon's, as it does
for other programs.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from inkdigits.errors import InputError, OutputError, naming_missing_extra, reason

if TYPE_CHECKING:
    from types import ModuleType

    from pyarrow.fs import FileSystem


REMOTE = ("s3://", "gs://")
NAMED = 3  # of the files that are passed over


@dataclass(frozen=True, slots=True)
class Found:
    """A file among the inputs.

    Attributes:
        path: as it was named, or as its folder gives it.
        size_bytes: 0 where it is missing.
        modified_ns: time of its last change; with the size it shows whether the file has changed since.
        error: in one line why a folder could not be listed, of which nothing more is known.
    """

    path: str
    size_bytes: int = 0
    modified_ns: int = 0
    error: str | None = None


class PassedOver:
    """Counts the files of folders that are not read, since they are no pictures, and keeps the first few names."""

    def __init__(self) -> None:
        self.n = 0
        self._names: list[str] = []

    def add(self, path: str) -> None:
        """Note a file."""
        self.n += 1
        if len(self._names) < NAMED:
            self._names.append(os.path.basename(path))

    def __str__(self) -> str:
        more = ", ..." if self.n > len(self._names) else ""
        return f"{self.n:,} file{'s' * (self.n != 1)} passed over, no pictures: {', '.join(self._names)}{more}"


def is_remote(path: str) -> bool:
    """Say whether a path is in an object store."""
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
        InputError: there is no bucket in it, or the store does not answer.
    """
    scheme, _, rest = path.partition("://")
    bucket = rest.partition("/")[0]
    if not bucket:
        raise InputError(f"{path}: names no bucket; {scheme}://BUCKET/KEY does")
    try:
        return _bucket(scheme, bucket), rest.rstrip("/")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be reached ({reason(error)})") from None


def open_input(path: str) -> IO[bytes]:
    """Return a file for reading from its beginning, one that can seek.

    Raises:
        InputError: it is missing or cannot be opened.
    """
    try:
        if not is_remote(path):
            return open(path, "rb")
        store, key = locate(path)
        file: IO[bytes] = store.open_input_file(key)
        return file
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be opened ({reason(error)})") from None


def read_remote(path: str, max_bytes: int) -> bytes:
    """Return a remote file's bytes, at most one more than `max_bytes`.

    Raises:
        InputError: it is missing or cannot be read.
    """
    store, key = locate(path)
    try:
        with store.open_input_stream(key) as stream:
            data: bytes = stream.read(max_bytes + 1)
            return data
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)})") from None


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

    Hidden files and folders, whose names begin with a dot, are passed over. A subfolder that cannot be listed is
    yielded with its error; a link that leads nowhere, with size 0: reading it gives the error.

    Raises:
        InputError: the folder itself cannot be listed, or a store does not answer.
    """
    if is_remote(folder):
        inside = f"{folder.rstrip('/')}/"
        yield from (found for found in _walk_remote(folder) if not is_hidden(found.path.removeprefix(inside)))
        return
    try:
        entries = _entries(folder)
    except OSError as error:
        raise InputError(_not_listed(folder, error)) from None
    yield from _walk_local(entries)


def is_hidden(path: str) -> bool:
    """Say whether a file, or a folder on the way to it, has a name that begins with a dot."""
    return any(name.startswith(".") and name not in (".", "..") for name in path.split("/"))


def _entries(folder: str) -> list[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder) as entries:
        # A folder's name ends in a slash where whole paths are compared.
        named = [(each.name + "/" * each.is_dir(follow_symlinks=False), each) for each in entries]
    return sorted((each for each in named if not each[0].startswith(".")), key=lambda each: each[0])


def _walk_local(entries: list[tuple[str, os.DirEntry[str]]]) -> Iterator[Found]:
    for name, entry in entries:
        if name.endswith("/"):
            try:
                inside = _entries(entry.path)
            except OSError as error:
                yield Found(entry.path, error=_not_listed(entry.path, error))
            else:
                yield from _walk_local(inside)
        elif found := _file_of(entry):
            yield found


def _file_of(entry: os.DirEntry[str]) -> Found | None:
    """Return a file, or a link to none; None for a link to a folder, a socket and the like."""
    try:
        if entry.is_file():
            known = entry.stat()
            return Found(entry.path, known.st_size, known.st_mtime_ns)
        return Found(entry.path) if entry.is_symlink() and not entry.is_dir() else None
    except OSError:  # a circle of links, or removed just now: reading it will say so
        return Found(entry.path)


def _not_listed(folder: str, error: Exception) -> str:
    return f"{folder}: cannot be listed ({reason(error)})"


def _walk_remote(folder: str) -> Iterator[Found]:
    fs = load_pyarrow("pyarrow.fs")
    store, key = locate(folder)
    scheme = folder.partition("://")[0]
    try:
        infos = store.get_file_info(fs.FileSelector(key, recursive=True, allow_not_found=True))
    except OSError as error:
        raise InputError(_not_listed(folder, error)) from None
    for info in sorted(infos, key=lambda each: str(each.path)):
        found = _found(f"{scheme}://{info.path}", info)
        if found is not None:
            yield found


def names_in(folder: str) -> list[str]:
    """Return the names of what lies in a folder, hidden ones too; none where there is no folder.

    Raises:
        InputError: it cannot be listed.
    """
    if is_remote(folder):
        return [found.path.removeprefix(folder).lstrip("/") for found in _walk_remote(folder)]
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(_not_listed(folder, error)) from None


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
    """Remove a file, or a folder with all it holds, if it is there."""
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


@contextmanager
def whole_file(path: str | os.PathLike[str], beside: str | None = None) -> Iterator[IO[bytes]]:
    """Open a file on a disk that appears when the block ends without an error: whole or not at all.

    Whatever stood there stays until then. A kill leaves at most a file `.part` beside it, an error nothing.

    Args:
        path: where it will be.
        beside: where it grows, on the same file system; beside its place where None.

    Raises:
        OSError: it cannot be written. `write_whole` turns this into an OutputError.
    """
    beside = beside or f"{os.fspath(path)}.{os.getpid()}.part"
    try:
        with open(beside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave the name without the content
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Make a folder that appears when the block ends without an error: whole or not at all.

    Yields:
        The folder to fill, through `whole_file`; it takes its own name at the end.

    Raises:
        OSError: it cannot be written, or `path` is a folder with something in it.
    """
    beside = path.with_name(f".{path.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)  # left behind by a kill
    beside.mkdir(parents=True)
    try:
        yield beside
        beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def write_whole(path: str | os.PathLike[str], write: Callable[[IO[bytes]], object], beside: str | None = None) -> None:
    """Write a file that is there as a whole or not at all, on a disk or in a store.

    Args:
        path: where it will be.
        write: is handed the open file.
        beside: as for `whole_file`; a store needs none.

    Raises:
        OutputError: it cannot be written, because the disk is full, say. Nothing is left of it.
    """
    path = os.fspath(path)
    try:
        if is_remote(path):
            _write_remote(path, write)
        else:
            with whole_file(path, beside) as file:
                write(file)
    except OSError as error:
        raise cannot_write(path, error) from None


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file of this content, whole or not at all; see `write_whole`."""
    write_whole(path, lambda file: file.write(content))


def _write_remote(path: str, write: Callable[[IO[bytes]], object]) -> None:
    try:
        store, key = locate(path)
    except InputError as error:
        raise OutputError(str(error)) from None
    file = store.open_output_stream(key)
    try:
        write(file)
    except BaseException:
        file.close()  # completes the upload: pyarrow knows no way to abandon one
        store.delete_file(key)
        raise
    file.close()


def cannot_write(path: str | os.PathLike[str], error: Exception) -> OutputError:
    """Return the error of an output that cannot be written, in one line."""
    return OutputError(f"{path}: cannot be written ({reason(error)}); free space there, or name another place")
