"""SQLite files that lose nothing: the log is flushed with every commit, and an old format is upgraded."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from inkdigits.errors import DataError

PAGE_BYTES = 4096
PATIENCE_SECONDS = 10


def open_database(
    path: Path, version: int, upgrades: Mapping[int, Sequence[str]], max_bytes: int | None = None
) -> sqlite3.Connection:
    """Return a connection, for any thread, to a file in write-ahead mode.

    What a transaction wrote is on the disk when it ends: neither a killed process nor a power cut takes it back.

    Args:
        path: of the file; made where it is missing, its folder too.
        version: of the format wanted.
        upgrades: of a format, 0 for a new file, the statements that make the wanted one of it.
        max_bytes: past it nothing more is taken.

    Raises:
        DataError: it was written by another version of inkdigits.
        OSError, sqlite3.Error: it cannot be opened.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:  # SQLite itself waits for no one while it turns to WAL
        try:
            return _open(path, version, upgrades, max_bytes)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def open_to_read(path: Path, version: int) -> sqlite3.Connection:
    """Return a connection, for any thread, to a file that may not be written, nor its folder.

    Args:
        path: of the file.
        version: of its format.

    Raises:
        DataError: it was written by another version of inkdigits.
        sqlite3.Error: it cannot be opened.
    """
    # SQLite wants to make a log beside a file in write-ahead mode, unless it is told that the file does not change.
    changes = path.with_name(f"{path.name}-wal").exists()
    address = f"{path.absolute().as_uri()}?mode=ro{'' if changes else '&immutable=1'}"
    connection = sqlite3.connect(address, uri=True, timeout=PATIENCE_SECONDS, check_same_thread=False)
    try:
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found != version:
            raise DataError(f"{path}: written by another version of inkdigits (format {found}, not {version})")
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path, version: int, upgrades: Mapping[int, Sequence[str]], max_bytes: int | None) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")
        if max_bytes is not None:
            connection.execute(f"PRAGMA max_page_count = {max(16, max_bytes // PAGE_BYTES)}")
        _upgrade(connection, path, version, upgrades)
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: sqlite3.Connection, path: Path, wanted: int, upgrades: Mapping[int, Sequence[str]]) -> None:
    """Make the tables in a new file, or upgrade those of an old one.

    Two programs may do so at once: the second waits and then finds them done.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == wanted:
        return
    if version not in upgrades:
        raise DataError(f"{path}: written by another version of inkdigits (format {version}, not {wanted})")
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for statement in upgrades.get(version, ()):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {wanted}")
    connection.commit()
