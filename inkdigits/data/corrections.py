"""What people corrected, in one SQLite file: pictures, answers and right digits, exported in MNIST's format."""

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inkdigits.arrays import Box, DigitImage
from inkdigits.data.home import inkdigits_home
from inkdigits.data.idx import save_idx_folder
from inkdigits.data.splits import Split
from inkdigits.errors import DataError, reason
from inkdigits.files.database import open_database, open_to_read

FORMAT = 3
DEFAULT_HAND = "me"  # whose corrections are those made without naming a hand
# One correction in five is for testing, the others for training: by its number, so that no later export moves it.
TEST_EVERY = 5
CORRECTIONS_TABLE = f"""
CREATE TABLE corrections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    picture TEXT NOT NULL REFERENCES pictures (sha256),
    x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    answer INTEGER, confidence REAL,
    truth INTEGER CHECK (truth BETWEEN 0 AND 9),
    time TEXT NOT NULL,
    model TEXT NOT NULL,
    framed BLOB NOT NULL CHECK (length(framed) = 784),
    hand TEXT NOT NULL DEFAULT '{DEFAULT_HAND}'
)"""
SCHEMA = ("CREATE TABLE pictures (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID", CORRECTIONS_TABLE)
COLUMNS_1 = "id, picture, x, y, width, height, answer, confidence, truth, time, model, framed"
COLUMNS = f"{COLUMNS_1}, hand"
# In format 1 `truth` could not be NULL, "not a digit". SQLite changes that only by copying the table; the highest
# number ever given goes along, so that none is given twice.
FROM_FORMAT_1 = (
    "ALTER TABLE corrections RENAME TO corrections_1",
    CORRECTIONS_TABLE,
    f"INSERT INTO corrections ({COLUMNS_1}) SELECT {COLUMNS_1} FROM corrections_1",
    "DELETE FROM sqlite_sequence WHERE name = 'corrections'",
    "UPDATE sqlite_sequence SET name = 'corrections' WHERE name = 'corrections_1'",
    "DROP TABLE corrections_1",
)
# In format 2 no correction had a hand.
FROM_FORMAT_2 = (f"ALTER TABLE corrections ADD COLUMN hand TEXT NOT NULL DEFAULT '{DEFAULT_HAND}'",)
UPGRADES = {0: SCHEMA, 1: FROM_FORMAT_1, 2: FROM_FORMAT_2}


@dataclass(frozen=True)
class Correction:
    """One digit that a person corrected.

    Attributes:
        id: its number, in the order of arrival.
        picture_sha256: of the picture's bytes.
        box: x, y, width, height in the picture's pixels.
        answer: what was read there, None where nothing was.
        confidence: of that answer.
        truth: what the person says: 0 to 9, None where it is not a digit.
        time: when, ISO 8601 in UTC.
        model: name and fingerprint of the network that answered.
        framed: the digit in MNIST's form.
        hand: whose it is, as `inkdigits adapt` names it.
    """

    id: int
    picture_sha256: str
    box: Box
    answer: int | None
    confidence: float | None
    truth: int | None
    time: str
    model: str
    framed: DigitImage
    hand: str

    def to_dict(self) -> dict[str, object]:
        """Return what `inkdigits corrections list --json` prints."""
        return {
            "id": self.id,
            "time": self.time,
            "answer": self.answer,
            "confidence": self.confidence,
            "truth": self.truth,
            "box": list(self.box),
            "picture_sha256": self.picture_sha256,
            "model": self.model,
            "hand": self.hand,
        }

    def __str__(self) -> str:
        answer = "-" if self.answer is None else self.answer
        truth = "not a digit" if self.truth is None else self.truth
        box = ",".join(map(str, self.box))
        return f"{self.id:>6}  {self.time}  {answer} -> {truth}  box {box}  {self.model}"


def default_path() -> Path:
    """Return where corrections are kept by default: in INKDIGITS_HOME."""
    return inkdigits_home() / "corrections.sqlite3"


class Corrections:
    """The file of corrections, created when the first is added.

    One that `add` returned for is on the disk: the log is flushed with every commit, so neither a killed server nor
    a power cut takes it back. Thread-safe.

    Args:
        path: the SQLite file.
        max_bytes: of the file; past it nothing more is taken.
    """

    def __init__(self, path: Path, max_bytes: int = 2_000_000_000) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def add(
        self,
        picture: bytes,
        box: Box,
        answer: int | None,
        confidence: float | None,
        truth: int | None,
        model: str,
        framed: DigitImage,
        hand: str = DEFAULT_HAND,
    ) -> int:
        """Keep one correction and return its number.

        Args:
            picture: the bytes of the whole picture, kept once however many of its digits are corrected.
            box: x, y, width, height of the digit in it.
            answer: what was read, 0 to 9, None where nothing was.
            confidence: of the answer.
            truth: 0 to 9, None where it is not a digit.
            model: name and fingerprint of the network.
            framed: the digit in MNIST's form.
            hand: whose digit it is.

        Raises:
            DataError: the file cannot be written, or is full.
        """
        sha256 = hashlib.sha256(picture).hexdigest()
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self._lock, self._session() as connection, connection:
            connection.execute("INSERT OR IGNORE INTO pictures VALUES (?, ?)", (sha256, picture))
            cursor = connection.execute(
                f"INSERT INTO corrections ({COLUMNS}) VALUES (NULL{', ?' * 12})",
                (sha256, *box, answer, confidence, truth, moment, model, framed.tobytes(), hand),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def all(self, hand: str | None = None) -> list[Correction]:
        """Return every correction, or those of one hand, the oldest first.

        Raises:
            DataError: the file cannot be read.
        """
        if not self._is_there():
            return []
        query = f"SELECT {COLUMNS} FROM corrections WHERE ? IS NULL OR hand = ? ORDER BY id"
        with self._lock, self._session(to_read=True) as connection:
            rows = connection.execute(query, (hand, hand)).fetchall()
        return [_of_row(row) for row in rows]

    def picture(self, sha256: str) -> bytes | None:
        """Return the bytes of a picture in which something was corrected, None where there is none.

        Raises:
            DataError: the file cannot be read.
        """
        if not self._is_there():
            return None
        with self._lock, self._session(to_read=True) as connection:
            row = connection.execute("SELECT data FROM pictures WHERE sha256 = ?", (sha256,)).fetchone()
        return None if row is None else bytes(row[0])

    def remove(self, number: int) -> bool:
        """Forget one correction, and its picture where no other correction has it; return whether there was one.

        Args:
            number: the correction's id.

        Raises:
            DataError: the file cannot be written.
        """
        if not self._is_there():
            return False
        with self._lock, self._session() as connection:
            with connection:
                row = connection.execute("SELECT picture FROM corrections WHERE id = ?", (number,)).fetchone()
                if row is None:
                    return False
                connection.execute("DELETE FROM corrections WHERE id = ?", (number,))
                others = connection.execute("SELECT 1 FROM corrections WHERE picture = ? LIMIT 1", row).fetchone()
                if others is None:
                    connection.execute("DELETE FROM pictures WHERE sha256 = ?", row)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log still holds what was deleted
        return True

    def clear(self) -> int:
        """Forget every correction and its picture; return how many there were.

        Raises:
            DataError: the file cannot be written.
        """
        if not self._is_there():
            return 0
        with self._lock, self._session() as connection:
            with connection:
                n = connection.execute("DELETE FROM corrections").rowcount
                connection.execute("DELETE FROM pictures")
            # Deleted rows would stay in the file, readable, until overwritten.
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return n

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _is_there(self) -> bool:
        try:
            return self.path.exists()
        except OSError as error:
            raise self._unusable(error) from None

    @contextmanager
    def _session(self, to_read: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is None:
                self._connection = self._opened(to_read)
            yield self._connection
        except (sqlite3.Error, OSError) as error:
            raise self._unusable(error) from None

    def _opened(self, to_read: bool) -> sqlite3.Connection:
        try:
            return open_database(self.path, FORMAT, UPGRADES, self._max_bytes)
        except (sqlite3.Error, OSError):
            if not to_read:
                raise
        return open_to_read(self.path, FORMAT)  # it may be that only writing is not allowed

    def _unusable(self, error: Exception) -> DataError:
        return DataError(f"{self.path}: corrections cannot be kept or read ({reason(error)})")


Row = tuple[int, str, int, int, int, int, int | None, float | None, int | None, str, str, bytes, str]


def _of_row(row: Row) -> Correction:
    number, sha256, x, y, width, height, answer, confidence, truth, moment, model, framed, hand = row
    image = np.frombuffer(framed, np.uint8).reshape(28, 28)
    return Correction(number, sha256, (x, y, width, height), answer, confidence, truth, moment, model, image, hand)


def load_corrections() -> list[Correction]:
    """Return the corrections in INKDIGITS_HOME, the oldest first; none where there is no file.

    Raises:
        DataError: the file cannot be read.
    """
    with closing(Corrections(default_path())) as store:
        return store.all()


def clear_corrections() -> int:
    """Forget the corrections in INKDIGITS_HOME and their pictures; return how many there were.

    Raises:
        DataError: the file cannot be written.
    """
    with closing(Corrections(default_path())) as store:
        return store.clear()


def latest(corrections: list[Correction]) -> list[Correction]:
    """Return the corrections that stand: of several for one box of one picture, the last."""
    standing = {(correction.picture_sha256, correction.box): correction for correction in corrections}
    return sorted(standing.values(), key=lambda correction: correction.id)


def export_corrections(corrections: list[Correction], folder: Path) -> tuple[int, int]:
    """Write corrected digits as a data set in MNIST's own format; return how many are for training and for testing.

    Every fifth number, beginning with the first, is for testing; a digit that was corrected again keeps its side. Where
    one part would be empty, the corrections are in both. What is not a digit is left out.

    Args:
        corrections: all of them, the oldest first.
        folder: a new folder.

    Raises:
        DataError: there are no corrected digits, or the folder cannot be written.
    """
    digits = [correction for correction in latest(corrections) if correction.truth is not None]
    if not digits:
        raise DataError("there are no corrected digits to export; `inkdigits serve` collects them")
    first: dict[tuple[str, Box], int] = {}
    for correction in corrections:
        first.setdefault((correction.picture_sha256, correction.box), correction.id)
    is_test = [first[digit.picture_sha256, digit.box] % TEST_EVERY == 1 for digit in digits]
    test = [digit for digit, to_test in zip(digits, is_test, strict=True) if to_test] or digits
    train = [digit for digit, to_test in zip(digits, is_test, strict=True) if not to_test] or digits
    save_idx_folder(folder, _split(train, "train"), _split(test, "test"))
    return len(train), len(test)


def _split(corrections: list[Correction], name: str) -> Split:
    images = np.stack([correction.framed for correction in corrections])
    labels = np.array([correction.truth for correction in corrections], np.int64)
    sha256 = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    return Split(images, labels, name, tuple("0123456789"), "corrections", sha256)
