"""The database of a job: its tables, and transactions on it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from inkdigits.errors import FormError, reason
from inkdigits.files.database import open_database
from inkdigits.forms import audit, groups

FORMAT = 2
DATABASE = "job.sqlite3"
SCHEMA = (
    "CREATE TABLE forms (id INTEGER PRIMARY KEY, problem TEXT NOT NULL)",
    """CREATE TABLE pages (
        id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, form INTEGER REFERENCES forms,
        number INTEGER, problem TEXT NOT NULL, picture TEXT NOT NULL, basis INTEGER REFERENCES bases
    )""",
    """CREATE TABLE fields (
        id INTEGER PRIMARY KEY, form INTEGER NOT NULL REFERENCES forms, page INTEGER NOT NULL REFERENCES pages,
        name TEXT NOT NULL, reading TEXT NOT NULL, lot REAL NOT NULL,
        text TEXT NOT NULL, confidence REAL NOT NULL, accepted INTEGER NOT NULL, problem TEXT NOT NULL,
        repaired INTEGER NOT NULL, postponed INTEGER NOT NULL DEFAULT 0, UNIQUE (form, name)
    )""",
    "CREATE INDEX values_of ON fields (name, text)",
    "CREATE INDEX to_review ON fields (accepted, postponed, problem)",
    """CREATE TABLE decisions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, field INTEGER NOT NULL REFERENCES fields, text TEXT NOT NULL,
        reviewer TEXT NOT NULL, time REAL NOT NULL, undone INTEGER NOT NULL DEFAULT 0, screen INTEGER
    )""",
    "CREATE INDEX decisions_of ON decisions (field)",
    "CREATE TABLE leases (field INTEGER PRIMARY KEY REFERENCES fields, reviewer TEXT NOT NULL, until REAL NOT NULL)",
    *audit.SCHEMA,
    *groups.SCHEMA,
)


def create(folder: Path) -> None:
    """Make the database of a new job.

    Raises:
        FormError: it cannot be written.
    """
    with closing(JobStore(folder)) as store, store.session():
        pass


class JobStore:
    """The database in a job's folder. Thread-safe; it is opened when it is first needed.

    Args:
        folder: of the job.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def session(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection, for reading.

        Raises:
            FormError: it cannot be read or written.
        """
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = open_database(self._folder / DATABASE, FORMAT, {0: SCHEMA})
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise FormError(f"{self._folder}: the job cannot be kept or read ({reason(error)})") from None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction that nobody else writes in meanwhile; see `session`."""
        with self.session() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
