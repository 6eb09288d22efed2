"""The rows of a run that is under way: a folder of part files and a manifest, joined to one file when all are there.

Parts are all that a run remembers. Each is renamed into its place when it is whole, so whoever is killed loses what was
in work and nothing else, and goes on where parts are missing.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inkdigits.bulk.table import join
from inkdigits.errors import OutputError
from inkdigits.files import storage

NAME = re.compile(r"(\d{8})-(\d+)-(\d+)-(\d+)-(\d+)\.\w+")


@dataclass(frozen=True)
class Done:
    """A chunk whose rows are written.

    Attributes:
        number: its place, from 0.
        pictures: in it.
        errors: pictures that could not be read.
        empty: pictures in which no digit was found.
        doubtful: digits that are not accepted.
        consumed: 0 to 1, the share of all inputs that lies before its end.
        before: it was done before this run went on.
    """

    number: int
    pictures: int
    errors: int
    empty: int
    doubtful: int
    consumed: float = 1.0
    before: bool = False


class Checkpoint:
    """The folder `output`.parts: manifest.json, and a file for each chunk that is done.

    A part's name says its chunk, its pictures, how many could not be read or are empty, and its doubtful digits.

    Args:
        output: the file that the parts will become.
        suffix: its ending.
    """

    def __init__(self, output: str, suffix: str) -> None:
        self.output, self.suffix, self.folder = output, suffix, f"{output}.parts"
        self.done: dict[int, Done] = {}
        self._names: dict[int, str] = {}

    def is_complete(self, resume: bool, overwrite: bool) -> bool:
        """Say whether the output stands already and no run is to be gone on with; forget what is to be overwritten.

        Raises:
            OutputError: it, or a run that was stopped, is in the way.
        """
        there, stopped = storage.stat(self.output) is not None, bool(storage.names_in(self.folder))
        if overwrite and not resume:
            storage.remove(self.folder)
            return False
        if there and not overwrite and not (resume and stopped):
            if resume:
                return True
            raise OutputError(f"{self.output}: is there already; --overwrite replaces it")
        if stopped and not resume:
            raise OutputError(
                f"{self.folder}: holds a run that was stopped; --resume goes on with it, --overwrite begins anew"
            )
        return False

    def open(self, manifest: Mapping[str, Any], resume: bool) -> None:
        """Find the parts there are, if they belong to these inputs and settings, or begin.

        Raises:
            OutputError: they belong to others, or the folder cannot be written.
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
            elif found := NAME.fullmatch(name):
                number, pictures, errors, empty, doubtful = map(int, found.groups())
                self.add(Done(number, pictures, errors, empty, doubtful))

    def _compare(self, path: str, manifest: Mapping[str, Any]) -> None:
        with storage.open_input(path) as file:
            before = json.loads(file.read())
        for name, value in manifest.items():
            if before.get(name) != value:
                raise OutputError(
                    f"{self.folder}: {_difference(name, before.get(name), value)}; --overwrite begins anew"
                )

    def add(self, done: Done) -> None:
        """Remember a part."""
        self.done[done.number] = done
        self._names[done.number] = self.name_of(done)

    def name_of(self, done: Done) -> str:
        """Return the path of a chunk's part."""
        counts = f"{done.number:08}-{done.pictures}-{done.errors}-{done.empty}-{done.doubtful}"
        return f"{self.folder}/{counts}{self.suffix}"

    def forget_if_empty(self) -> None:
        """Remove the folder where no part is done."""
        if not self.done:
            storage.remove(self.folder)

    def join(self) -> None:
        """Put the output in its place, all parts in order, and forget them.

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
