"""The pictures that names stand for, in order: files, folders, globs, lists, columns of tables, tar shards, stdin.

Names become sources (files and containers, spooled to disk, so that ten million need no memory), sources become
`Member`s (single pictures, not yet loaded), and members are grouped into `Chunk`s, always the same for the same inputs.
"""

import codecs
import glob
import hashlib
import itertools
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from fnmatch import fnmatchcase
from typing import IO

from inkdigits.bulk.containers import Member, Picture, is_container, loaded, members_of
from inkdigits.errors import InputError, OutputError, reason
from inkdigits.files import storage
from inkdigits.files.images import SUFFIXES

# Bytes out of a container travel to another process: a chunk ends before it would hold more.
CHUNK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive pictures, which are read and written together.

    Attributes:
        number: its place, from 0.
        pictures: empty where the chunk is done already.
        consumed: 0 to 1, the share of all inputs before its end.
    """

    number: int
    pictures: tuple[Picture, ...]
    consumed: float


def find_files(names: Sequence[str]) -> Iterator[str]:
    """Yield the files that names stand for: a file as it is, a folder's pictures at any depth, a glob's matches, "-".

    A folder stands for its pictures that are not hidden; shards (tar, Parquet, Arrow) are named one by one or by a
    glob.

    Raises:
        InputError: a folder or a glob without any picture.
    """
    return (found.path for found in find_sources(names))


def find_sources(names: Sequence[str], passed_over: storage.PassedOver | None = None) -> Iterator[storage.Found]:
    """Yield what `find_files` does, with each file's size and time of change (0 where it is missing or stdin).

    A subfolder that cannot be listed is yielded with its error. Of folders, other files are noted in `passed_over`.
    """
    for name in names:
        if name == "-" or (not storage.is_remote(name) and os.path.isfile(name)):
            yield _source(name)
        elif storage.is_remote(name) or os.path.isdir(name):
            is_remote = storage.is_remote(name)
            yield from _find_remote(name, passed_over) if is_remote else _in_folder(name, passed_over)
        elif glob.has_magic(name):
            found = sorted(glob.glob(name, recursive=True))
            if not found:
                raise InputError(f"{name}: matches no file")
            yield from map(_source, found)
        else:
            yield _source(name)  # reading it says what is wrong


def _source(name: str) -> storage.Found:
    return storage.stat(name) or storage.Found(name)


def _find_remote(name: str, passed_over: storage.PassedOver | None) -> Iterator[storage.Found]:
    """Yield an object, a glob's matches, or the pictures under a prefix."""
    if glob.has_magic(name):
        fixed = name[: next(i for i, character in enumerate(name) if character in "*?[")].rpartition("/")[0]
        # As in a local glob, a star stays within its folder; two go deeper.
        matches = [
            found
            for found in storage.walk(fixed)
            if fnmatchcase(found.path, name) and ("**" in name or found.path.count("/") == name.count("/"))
        ]
        if not matches:
            raise InputError(f"{name}: matches no file")
        yield from matches
        return
    if known := storage.stat(name):
        yield known
    else:
        yield from _in_folder(name, passed_over)


def _in_folder(folder: str, passed_over: storage.PassedOver | None) -> Iterator[storage.Found]:
    nothing = True
    for found in storage.walk(folder):
        if found.error or os.path.splitext(found.path)[1].lower() in {*SUFFIXES, ".pdf"}:
            nothing = False
            yield found
        elif passed_over is not None:
            passed_over.add(found.path)
    if nothing:
        raise InputError(f"{folder}: no pictures in this folder ({', '.join(sorted({*SUFFIXES, '.pdf'}))})")


def in_list(path: str) -> Iterator[storage.Found]:
    """Yield the files that a list names, one a line or separated by NUL; "-" is a list on stdin.

    Raises:
        InputError: the list cannot be read or is empty.
    """
    nothing = True
    with sys.stdin.buffer if path == "-" else storage.open_input(path) as file:
        for name in _entries(file):
            nothing = False
            # A question to an object store for each of a million names would take an hour.
            yield storage.Found(name) if storage.is_remote(name) else _source(name)
    if nothing:
        raise InputError(f"{'stdin' if path == '-' else path}: an empty list")


def _entries(file: IO[bytes]) -> Iterator[str]:
    rest, mark = b"", None
    while block := _read(file):
        block = block if mark else block.removeprefix(codecs.BOM_UTF8)  # as Notepad saves
        mark = mark or (b"\0" if b"\0" in block else b"\n")
        *whole, rest = (rest + block).split(mark)
        yield from filter(None, (os.fsdecode(entry.rstrip(b"\r")) for entry in whole))
    if rest.strip():
        yield os.fsdecode(rest.rstrip(b"\r\n"))


def _read(file: IO[bytes]) -> bytes:
    try:
        return file.read(1 << 16)
    except OSError as error:
        raise InputError(f"the list of inputs cannot be read ({reason(error)})") from None


class Listing:
    """All inputs of one run in order, on disk: how many, how large, and a checksum that shows whether they changed.

    Args:
        sources: the inputs.

    Raises:
        InputError: there are none, or none can be found.
        OutputError: the disk of temporary files is full.
    """

    def __init__(self, sources: Iterator[storage.Found]) -> None:
        self.count = self.size_bytes = 0
        self.is_of_files = True
        self.stdin: bytes | None = None
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the listing
        try:
            self.sha256 = self._fill(sources)
            if not self.count:
                raise InputError("nothing to read: no file was named")
        except BaseException:
            with suppress(OSError):  # on a full disk it cannot write what it still holds
                self._spool.close()
            raise

    def _fill(self, sources: Iterator[storage.Found]) -> str:
        checksum = hashlib.sha256()
        for source in sources:
            if source.path == "-":
                self.stdin = sys.stdin.buffer.read() if self.stdin is None else self.stdin
                source = storage.Found("-", len(self.stdin), zlib.crc32(self.stdin))
            # JSON escapes what no UTF-8 can hold, and line ends.
            line = json.dumps(astuple(source)).encode() + b"\n"
            checksum.update(line)
            try:
                self._spool.write(line)
            except OSError as error:
                raise _cannot_spool(error) from None
            self.count += 1
            self.is_of_files &= not is_container(source.path)
            self.size_bytes += source.size_bytes or 1
        try:
            self._spool.flush()
        except OSError as error:
            raise _cannot_spool(error) from None
        return checksum.hexdigest()

    def __enter__(self) -> "Listing":
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def __iter__(self) -> Iterator[storage.Found]:
        self._spool.seek(0)
        return (storage.Found(*json.loads(line)) for line in self._spool)

    def members(self, column: str | None) -> Iterator[tuple[Member, float]]:
        """Yield each picture, and how many bytes of the inputs are before its end."""
        behind = 0
        for source in self:
            size = source.size_bytes or 1
            members = iter([self._on_stdin()]) if source.path == "-" else members_in(source, column)
            yield from ((member, behind + size * member.share) for member in members)
            behind += size

    def _on_stdin(self) -> Member:
        data = self.stdin or b""
        return Member("-", len(data), lambda: data)

    def chunks(self, size: int, column: str | None, done: Container[int] = ()) -> Iterator[Chunk]:
        """Yield the pictures, `size` in a chunk, fewer in the last and of large ones; chunks `done` are not loaded.

        Raises:
            InputError: a table has no such column.
        """
        number, count, held, behind = 0, 0, 0, 0.0
        pictures: list[Picture] = []
        for member, behind in self.members(column):
            if count == size or (count and held + member.size_bytes > CHUNK_BYTES):
                yield Chunk(number, tuple(pictures), behind / self.size_bytes)
                number, count, held, pictures = number + 1, 0, 0, []
            count, held = count + 1, held + member.size_bytes
            if number not in done:
                pictures.append(loaded(member))
        yield Chunk(number, tuple(pictures), 1.0)


def _cannot_spool(error: OSError) -> OutputError:
    return storage.cannot_write(f"{tempfile.gettempdir()}, the list of inputs", error)


def members_in(source: storage.Found, column: str | None) -> Iterator[Member]:
    """Yield the pictures of a source as `members_of` does; for one with an error, that error."""
    return iter([Member(source.path, error=source.error)]) if source.error else members_of(source.path, column)


def all_sources(
    names: Sequence[str], list_file: str | None, passed_over: storage.PassedOver | None = None
) -> Iterator[storage.Found]:
    """Yield the sources of names and then those of a list; see `find_sources`."""
    return itertools.chain(find_sources(names, passed_over), in_list(list_file) if list_file else ())
