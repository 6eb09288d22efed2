"""What names mean: pictures in order, out of files, folders, globs, lists, columns of tables, tar shards, stdin.

Names become sources (files and containers, spooled to disk, so that ten million need no memory), sources become
`Member`s (single pictures, not yet loaded), and members are cut into `Chunk`s, the same ones for the same inputs.
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
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import IO

from inkdigits.bulk.containers import Member, Picture, is_container, loaded, members_of
from inkdigits.errors import ImageError
from inkdigits.files import storage
from inkdigits.files.images import SUFFIXES

# Bytes out of a container travel to another process: a chunk is cut where it would hold more.
CHUNK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Chunk:
    """Pictures that follow each other, answered and written together.

    Attributes:
        number: its place, from 0.
        pictures: empty where the chunk is done already.
        consumed: 0 to 1, the share of all inputs that lies before its end.
    """

    number: int
    pictures: tuple[Picture, ...]
    consumed: float


def find_files(names: Sequence[str]) -> Iterator[str]:
    """Yield the files that names mean: a file as it is, a folder's pictures at any depth, a glob's matches, "-".

    Shards (tar, Parquet, Arrow) are named one by one or by a glob: a folder means its pictures.

    Raises:
        ImageError: a folder or a glob without any picture.
    """
    return (found.path for found in find_sources(names))


def find_sources(names: Sequence[str]) -> Iterator[storage.Found]:
    """Yield what `find_files` does, with each file's size and time of change (0 where it is missing or stdin)."""
    for name in names:
        if name == "-" or (not storage.is_remote(name) and os.path.isfile(name)):
            yield _source(name)
        elif storage.is_remote(name) or os.path.isdir(name):
            yield from _find_remote(name) if storage.is_remote(name) else _in_folder(name)
        elif glob.has_magic(name):
            found = sorted(glob.glob(name, recursive=True))
            if not found:
                raise ImageError(f"{name}: matches no file")
            yield from map(_source, found)
        else:
            yield _source(name)  # reading it says what is wrong


def _source(name: str) -> storage.Found:
    return storage.stat(name) or storage.Found(name, 0, 0)


def _find_remote(name: str) -> Iterator[storage.Found]:
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
            raise ImageError(f"{name}: matches no file")
        yield from matches
        return
    known = storage.stat(name)
    if known:
        yield known
    else:
        yield from _in_folder(name)


def _in_folder(folder: str) -> Iterator[storage.Found]:
    nothing = True
    for found in storage.walk(folder):
        if os.path.splitext(found.path)[1].lower() in SUFFIXES:
            nothing = False
            yield found
    if nothing:
        raise ImageError(f"{folder}: no pictures in this folder ({', '.join(sorted(SUFFIXES))})")


def in_list(path: str) -> Iterator[storage.Found]:
    """Yield the files that a list names, one a line or parted by NUL, "-" for a list on stdin.

    Raises:
        ImageError: the list cannot be read or is empty.
    """
    nothing = True
    with sys.stdin.buffer if path == "-" else storage.open_input(path) as file:
        for name in _entries(file):
            nothing = False
            # A question to an object store for each of a million names would take an hour.
            yield storage.Found(name, 0, 0) if storage.is_remote(name) else _source(name)
    if nothing:
        raise ImageError(f"{'stdin' if path == '-' else path}: an empty list")


def _entries(file: IO[bytes]) -> Iterator[str]:
    rest, mark = b"", None
    while block := file.read(1 << 16):
        block = block if mark else block.removeprefix(codecs.BOM_UTF8)  # as Notepad saves
        mark = mark or (b"\0" if b"\0" in block else b"\n")
        *whole, rest = (rest + block).split(mark)
        yield from filter(None, (os.fsdecode(entry.rstrip(b"\r")) for entry in whole))
    if rest.strip():
        yield os.fsdecode(rest.rstrip(b"\r\n"))


class Listing:
    """All inputs of one run in order, on disk: how many, how large, and a checksum that tells whether they changed.

    Args:
        sources: the inputs.

    Raises:
        ImageError: there are none, or none can be found.
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
                raise ImageError("nothing to read: no file was named")
        except OSError as error:
            with suppress(OSError):  # it would write what it still holds
                self._spool.close()
            raise storage.cannot_write(f"{tempfile.gettempdir()}, the list of inputs", error) from None
        except BaseException:
            self._spool.close()
            raise

    def _fill(self, sources: Iterator[storage.Found]) -> str:
        checksum = hashlib.sha256()
        for source in sources:
            if source.path == "-":
                self.stdin = sys.stdin.buffer.read() if self.stdin is None else self.stdin
                source = storage.Found("-", len(self.stdin), zlib.crc32(self.stdin))
            # JSON escapes what no UTF-8 can hold, and line ends.
            line = json.dumps([source.path, source.size_bytes, source.modified_ns]).encode() + b"\n"
            checksum.update(line)
            self._spool.write(line)
            self.count += 1
            self.is_of_files &= not is_container(source.path)
            self.size_bytes += source.size_bytes or 1
        self._spool.flush()
        return checksum.hexdigest()

    def __enter__(self) -> "Listing":
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def __iter__(self) -> Iterator[storage.Found]:
        self._spool.seek(0)
        return (storage.Found(*json.loads(line)) for line in self._spool)

    def members(self, column: str | None) -> Iterator[tuple[Member, float]]:
        """Yield each picture, and how many bytes of the inputs lie before its end."""
        behind = 0
        for source in self:
            size = source.size_bytes or 1
            members = members_of(source.path, column) if source.path != "-" else iter([self._on_stdin()])
            yield from ((member, behind + size * member.share) for member in members)
            behind += size

    def _on_stdin(self) -> Member:
        data = self.stdin or b""
        return Member("-", len(data), lambda: data)

    def chunks(self, size: int, column: str | None, done: Container[int] = ()) -> Iterator[Chunk]:
        """Yield the pictures, `size` in a chunk but for the last and for large ones; those `done` are not loaded.

        Raises:
            ImageError: a table has no such column.
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


def all_sources(names: Sequence[str], list_file: str | None) -> Iterator[storage.Found]:
    """Yield the sources of names and then those of a list."""
    return itertools.chain(find_sources(names), in_list(list_file) if list_file else ())
