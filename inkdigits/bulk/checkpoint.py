"""The answers of a run in progress: a folder of part files and a manifest, joined to one table at the end.

The part files are all that a run remembers. Each appears when it is whole, so a kill loses the chunks in progress and
nothing else, and the run resumes with the chunks whose parts are missing.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from inkdigits.bulk.table import join
from inkdigits.errors import OutputError
from inkdigits.files import storage

PART_NAME = re.compile(r"(\d{8})-(\d+)-(\d+)-(\d+)-(\d+)\.\w+")


class Counts(NamedTuple):
    """What came of pictures.

    Attributes:
        n_pictures: how many there were.
        n_errors: pictures that could not be read.
        n_empty: pictures in which no digit was found.
        n_rejected: digits that are not accepted.
    """

    n_pictures: int = 0
    n_errors: int = 0
    n_empty: int = 0
    n_rejected: int = 0

    @classmethod
    def total(cls, counts: Iterable["Counts"]) -> "Counts":
        """Return the sums."""
        return cls(*map(sum, zip(*counts, strict=True)))


@dataclass(frozen=True)
class Done:
    """A chunk whose rows are written.

    Attributes:
        number: its place, from 0.
        counts: of its pictures.
        consumed: 0 to 1, the share of all inputs before its end.
        before: it was done before the run was resumed.
    """

    number: int
    counts: Counts
    consumed: float = 1.0
    before: bool = False


class Checkpoint:
    """The folder `output`.parts: manifest.json, and a file for each chunk that is done.

    The name of a part file holds the number of its chunk and its counts.

    Args:
        output: the file that the parts will become.
        suffix: its ending.
    """

    def __init__(self, output: str, suffix: str) -> None:
        self.output, self.suffix, self.folder = output, suffix, f"{output}.parts"
        self.done: dict[int, Done] = {}
        self._names: dict[int, str] = {}

    def is_complete(self, resume: bool, overwrite: bool) -> bool:
        """Say whether the output exists and there is no run to resume; remove the parts of one to be overwritten.

        Raises:
            OutputError: the output or a stopped run exists, and neither `resume` nor `overwrite` was given.
        """
        there, stopped = storage.stat(self.output) is not None, bool(storage.names_in(self.folder))
        if overwrite and not resume:
            storage.remove(self.folder)
            return False
        if there and not overwrite and not (resume and stopped):
            if resume:
                return True
            raise OutputError(f"{self.output}: exists already; use --overwrite to replace it")
        if stopped and not resume:
            raise OutputError(
                f"{self.folder}: holds a stopped run; use --resume to continue it or --overwrite to start again"
            )
        return False

    def open(self, manifest: Mapping[str, Any], resume: bool) -> None:
        """Find the parts of a run with these inputs and settings, or start one.

        Raises:
            OutputError: the parts belong to other inputs or settings, or the folder cannot be written.
        """
        storage.make_folder(self.folder)
        path = f"{self.folder}/manifest.json"
        names = storage.names_in(self.folder)
        if resume and "manifest.json" in names:
            self._compare(path, manifest)
        else:
            storage.write_bytes(path, (json.dumps(manifest, indent=1) + "\n").encode())
            names = []
        for name in names:
            if name.endswith(".part"):  # a process was killed while it wrote this
                storage.remove(f"{self.folder}/{name}")
            elif found := PART_NAME.fullmatch(name):
                number, *counts = map(int, found.groups())
                self.add(Done(number, Counts(*counts)))

    def _compare(self, path: str, manifest: Mapping[str, Any]) -> None:
        with storage.open_input(path) as file:
            before = json.loads(file.read())
        for name, value in manifest.items():
            if before.get(name) != value:
                raise OutputError(
                    f"{self.folder}: {_difference(name, before.get(name), value)}; use --overwrite to start again"
                )

    def add(self, done: Done) -> None:
        """Remember a part."""
        self.done[done.number] = done
        self._names[done.number] = self.name_of(done)

    def name_of(self, done: Done) -> str:
        """Return the path of a chunk's part."""
        return f"{self.folder}/{done.number:08}-{'-'.join(map(str, done.counts))}{self.suffix}"

    def remove_if_empty(self) -> None:
        """Remove the folder where no part is done."""
        if not self.done:
            storage.remove(self.folder)

    def join(self) -> None:
        """Write the output from all parts in order, and remove them.

        Raises:
            OutputError: it cannot be written.
        """
        ordered = [self._names[number] for number in range(len(self._names))]
        write = lambda file: join(ordered, self.suffix, file)  # noqa: E731
        storage.write_whole(self.output, write, beside=f"{self.folder}/whole.part")
        storage.remove(self.folder)


def _difference(name: str, before: Any, now: Any) -> str:
    if name == "inputs":
        files = f"{before['files']:,} files then, {now['files']:,} now" if before else "none then"
        return f"the inputs have changed since this run began ({files})"
    if name == "model":
        return "this run began with another model"
    return f"this run began with another setting ({name}: {before} then, {now} now)"
