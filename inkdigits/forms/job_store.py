"""The database of a job: its tables, and transactions on it."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from inkdigits.errors import FormError, reason
from inkdigits.files.database import open_database
from inkdigits.forms import audit, groups

FORMAT = 3
DATABASE = "job.sqlite3"
# Each keyed value is answered with the next fields and with how many are left, of 450,000 where 10,000 forms of 45
# fields were read: those left are kept in the order in which they are given, and what is counted is kept.
LEFT = (
    "CREATE INDEX to_review ON fields (postponed, problem = '', form, confidence, id) WHERE accepted = 0",
    "CREATE INDEX taken_back ON decisions (id) WHERE undone",
    "CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID",
    """INSERT INTO counts SELECT 'fields', count(*) FROM fields
       UNION ALL SELECT 'rules', count(*) FROM fields WHERE accepted = 0 AND problem <> ''
       UNION ALL SELECT 'doubts', count(*) FROM fields WHERE accepted = 0 AND problem = ''""",
    """CREATE TRIGGER count_new AFTER INSERT ON fields BEGIN
        UPDATE counts SET n = n + 1 WHERE name = 'fields'
            OR NOT new.accepted AND name = iif(new.problem = '', 'doubts', 'rules');
    END""",
    """CREATE TRIGGER count_changed AFTER UPDATE OF accepted, problem ON fields
       WHEN old.accepted <> new.accepted OR (old.problem = '') <> (new.problem = '') BEGIN
        UPDATE counts SET n = n - 1 WHERE NOT old.accepted AND name = iif(old.problem = '', 'doubts', 'rules');
        UPDATE counts SET n = n + 1 WHERE NOT new.accepted AND name = iif(new.problem = '', 'doubts', 'rules');
    END""",
)
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
    """CREATE TABLE decisions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, field INTEGER NOT NULL REFERENCES fields, text TEXT NOT NULL,
        reviewer TEXT NOT NULL, time REAL NOT NULL, undone INTEGER NOT NULL DEFAULT 0, screen INTEGER
    )""",
    "CREATE INDEX decisions_of ON decisions (field)",
    "CREATE TABLE leases (field INTEGER PRIMARY KEY REFERENCES fields, reviewer TEXT NOT NULL, until REAL NOT NULL)",
    *audit.SCHEMA,
    *groups.SCHEMA,
    *LEFT,
)
UPGRADES = {0: SCHEMA, 2: ("DROP INDEX to_review", *LEFT)}


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
                    self._connection = open_database(self._folder / DATABASE, FORMAT, UPGRADES)
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise FormError(f"{self._folder}: the job cannot be kept or read ({reason(error)})") from None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection in a transaction that nobody else writes in meanwhile; see `session`."""
        with self.session() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
