"""Pictures inside tar shards, Parquet or Arrow tables, PDFs and TIFFs of several pages."""

import itertools
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

import cv2

from inkdigits.errors import InputError, MissingExtraError, reason
from inkdigits.files import storage
from inkdigits.files.documents import DOCUMENTS, DocumentPage, pages_of
from inkdigits.files.images import SUFFIXES

TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ARROW = (".arrow", ".feather", ".ipc")
TABLES = (".parquet", *ARROW)
# The column of pictures, where none is named and there are several of bytes.
COLUMN_NAMES = ("image", "bytes", "img", "png", "jpg", "picture")
TABLE_BATCH = 128
PAGE_BYTES = 2_000_000  # about, of a page of a document as a PNG

# A picture: its name, its bytes or None where it is a file of that name, or why there is none.
Picture: TypeAlias = tuple[str, bytes | None, str | None]


@dataclass(frozen=True, slots=True)
class Member:
    """One picture of the inputs before it is loaded.

    Attributes:
        name: as in the table of answers; for one in a container, "container#member".
        size_bytes: what `load` will return, 0 for a file.
        load: returns the picture's bytes; None for a file, which is opened by its name.
        error: why there is no picture.
        share: 0 to 1, how much of its container is before its end.
    """

    name: str
    size_bytes: int = 0
    load: Callable[[], bytes] | None = None
    error: str | None = None
    share: float = 1.0


def loaded(member: Member) -> Picture:
    """Return a picture with its bytes where it is in a container, or with what is wrong with it."""
    if member.load is None:
        return member.name, None, member.error
    try:
        return member.name, member.load(), member.error
    except Exception as error:  # a damaged archive raises a dozen types
        return member.name, None, f"{member.name}: damaged ({reason(error)})"


def is_container(path: str) -> bool:
    """Say whether a file holds pictures, by its name."""
    return path.lower().endswith(TAR + TABLES + DOCUMENTS)


def members_of(path: str, column: str | None = None, group: int | None = None) -> Iterator[Member]:
    """Yield the pictures in a file: itself, or what the container holds; damage is a member with an error.

    Args:
        path: the file.
        column: of a table, the one with the pictures' bytes; found where None.
        group: of a Parquet file, the only row group to read.

    Raises:
        InputError: a table has no column of pictures, or several.
    """
    if not is_container(path):
        yield Member(path)
        return
    try:
        if path.lower().endswith(DOCUMENTS):
            yield from _in_document(path)
            return
        with storage.open_input(path) as file:
            yield from _in_tar(path, file) if path.lower().endswith(TAR) else _in_table(path, file, column, group)
    except (ColumnError, MissingExtraError):
        raise
    except InputError as error:
        yield Member(path, error=str(error))
    except Exception as error:  # a damaged archive or table raises a dozen types
        yield Member(path, error=f"{path}: damaged from here on ({reason(error)})")


def _in_document(path: str) -> Iterator[Member]:
    for page in pages_of(path):
        # One page alone is the file itself: it is opened by its name, in the process that reads it.
        is_whole = page.source == path and not path.lower().endswith(".pdf")
        load = None if is_whole else _as_png(page)
        yield Member(page.source, 0 if is_whole else PAGE_BYTES, load, share=page.share)


def _as_png(page: DocumentPage) -> Callable[[], bytes]:
    def load() -> bytes:
        return bytes(cv2.imencode(".png", page.load(), (cv2.IMWRITE_PNG_COMPRESSION, 1))[1].tobytes())

    return load


def _in_tar(path: str, file: IO[bytes]) -> Iterator[Member]:
    nothing, size = True, _size_of(file)
    if size == 0:
        raise InputError(f"{path}: empty (0 bytes)")
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        while (entry := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # or it would remember all it has seen
            if entry.isfile() and _is_picture(entry.name):
                nothing = False
                load = _extractor(archive, entry)
                yield Member(f"{path}#{entry.name}", entry.size, load, share=min(1.0, file.tell() / size))
        whole = _at_its_end(archive)
    if not whole:
        yield Member(path, error=f"{path}: damaged from here on (no file begins here, nor does the archive end)")
    elif nothing:
        yield Member(path, error=f"{path}: no pictures in this archive")


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES and not storage.is_hidden(name)


def _at_its_end(archive: tarfile.TarFile) -> bool:
    """Say whether a block of zeros stands where the files end, as it should; `tarfile` takes any damage for the end."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    return archive.fileobj.read(tarfile.BLOCKSIZE) == tarfile.NUL * tarfile.BLOCKSIZE


def _size_of(file: IO[bytes]) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _extractor(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Callable[[], bytes]:
    def load() -> bytes:
        opened = archive.extractfile(entry)
        data = opened.read() if opened else b""
        if len(data) != entry.size:
            raise InputError(f"{len(data):,} of {entry.size:,} bytes are there")
        return data

    return load


class ColumnError(InputError):
    """A table without the column that was named: no picture of it can be read."""


def _in_table(path: str, file: IO[bytes], column: str | None, group: int | None) -> Iterator[Member]:
    is_arrow = path.lower().endswith(ARROW)
    row, batches = (0, _arrow_batches(path, file, column)) if is_arrow else _parquet_batches(path, file, column, group)
    first = row
    for batch, share in batches:
        cells = batch.column(0)
        if cells.type.num_fields:  # as Hugging Face's data sets keep pictures: {bytes, path}
            cells = storage.load_pyarrow("pyarrow.compute").struct_field(cells, "bytes")
        for cell in cells:
            size = len(cell.as_buffer()) if cell.is_valid else 0
            load = cell.as_py if cell.is_valid else None
            error = None if cell.is_valid else f"{path}#{row}: no picture (null)"
            yield Member(f"{path}#{row}", size, load, error, share)
            row += 1
    if row == first:
        yield Member(path, error=f"{path}: no rows in this table")


Batches: TypeAlias = Iterator[tuple[Any, float]]  # of the column of pictures; which share of all is before their ends


def _parquet_batches(path: str, file: IO[bytes], column: str | None, group: int | None) -> tuple[int, Batches]:
    """Return the number of the first row, and the batches, of a Parquet file or of one of its row groups."""
    table = storage.load_pyarrow("pyarrow.parquet").ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    name = picture_column(path, table.schema_arrow, column)
    sizes = [table.metadata.row_group(i).num_rows for i in range(table.metadata.num_row_groups)]
    groups = range(len(sizes)) if group is None else [group]
    batches = table.iter_batches(TABLE_BATCH, row_groups=list(groups), columns=[name], use_threads=False)
    ends = itertools.count(1)
    total = max(1, sum(sizes[i] for i in groups))
    return sum(sizes[:group] if group else []), ((b, min(1.0, next(ends) * TABLE_BATCH / total)) for b in batches)


def row_groups(path: str) -> int | None:
    """Return how many row groups a Parquet file has; None where it is not one or damaged."""
    if not path.lower().endswith(".parquet"):
        return None
    try:
        with storage.open_input(path) as file:
            metadata = storage.load_pyarrow("pyarrow.parquet").ParquetFile(file).metadata
            return int(metadata.num_row_groups)
    except (InputError, OSError, ValueError):  # reading it will say so
        return None


def _arrow_batches(path: str, file: IO[bytes], column: str | None) -> Batches:
    ipc, size = storage.load_pyarrow("pyarrow.ipc"), max(1, _size_of(file))
    magic = file.read(6)
    file.seek(0)
    if magic == b"ARROW1":
        table = ipc.open_file(file)
        batches = (table.get_batch(i) for i in range(table.num_record_batches))
    else:  # as Hugging Face's data sets are kept
        table = batches = ipc.open_stream(file)
    name = picture_column(path, table.schema, column)
    yield from ((batch.select([name]), min(1.0, file.tell() / size)) for batch in batches)


def picture_column(path: str, schema: Any, column: str | None) -> str:
    """Return the name of a table's column of pictures.

    Raises:
        ColumnError: it is not there, holds no bytes, or could be one of several.
    """
    fits = [field.name for field in schema if _holds_bytes(field.type)]
    if column is not None:
        if column not in fits:
            there = "holds no bytes" if column in schema.names else "is not there"
            raise ColumnError(f"{path}: the column {column!r} {there}; --column may be: {', '.join(fits) or 'none'}")
        return column
    likely = [name for name in COLUMN_NAMES if name in fits] if len(fits) > 1 else fits
    if not likely:
        which = f"several columns hold bytes: say --column {' or '.join(fits)}" if fits else "no column holds bytes"
        raise ColumnError(f"{path}: {which}")
    return likely[0]


def _holds_bytes(kind: Any) -> bool:
    types = storage.load_pyarrow("pyarrow").types
    if types.is_struct(kind):
        return any(kind.field(i).name == "bytes" and _holds_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))
