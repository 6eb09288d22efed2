"""`inkdigits read`: pictures in, answers out. A few are yielded one by one, very many are written to a table."""

import glob
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inkdigits.bulk import ray_data
from inkdigits.bulk.checkpoint import Checkpoint, Counts, Done
from inkdigits.bulk.containers import loaded
from inkdigits.bulk.inputs import Listing, all_sources, members_in
from inkdigits.bulk.overlays import Overlays
from inkdigits.bulk.pool import (
    PICTURES_PER_PART,
    ProgressCallback,
    ReadSettings,
    counts_of,
    image_of,
    open_reader,
    read_chunks,
)
from inkdigits.bulk.table import check_format, marked
from inkdigits.errors import InputError, OutputError
from inkdigits.files import storage
from inkdigits.machine import cores
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading


@dataclass(frozen=True)
class Answer:
    """The answer to one picture: its page, or an error in one line."""

    name: str
    page: PageReading | None = None
    error: str | None = None

    @property
    def counts(self) -> Counts:
        """Return 1 picture, whether it is an error or empty, and the digits that are not accepted."""
        return counts_of(self.error or "" if self.page is None else self.page)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of `inkdigits read --json`."""
        return {"image": self.name} | (self.page.to_dict() if self.page else {"error": self.error})


# A few pictures


def read_files(
    names: Sequence[str],
    layout: str = "page",
    model: str | Path | None = None,
    threshold: float | None = None,
    overlay_folder: Path | None = None,
    explain_folder: Path | None = None,
    list_file: str | None = None,
    column: str | None = None,
    passed_over: storage.PassedOver | None = None,
    second_opinion: bool = False,
) -> Iterator[Answer]:
    """Yield an answer for each picture, in order; a picture that cannot be read does not stop the others.

    Args:
        names: files, folders, globs, tar shards, tables, s3:// and gs:// paths, or "-" for one picture on stdin.
        layout: "digit", "number" or "page".
        model: a run or an ONNX file; the shipped networks where None.
        threshold: accept from this confidence on; as the networks' cards say where None.
        overlay_folder: where to write each picture with its boxes, if anywhere.
        explain_folder: where to write a picture for each digit, if anywhere.
        list_file: a file that names further files, one a line; "-" for stdin.
        column: of Parquet and Arrow tables, the one with the pictures' bytes; found where None.
        passed_over: is told of files in folders that are no pictures.
        second_opinion: see `Reader`.

    Raises:
        InputError: a folder or a glob without any picture, or a list that cannot be read.
        MissingExtraError: a second opinion is asked for, and the extra is not installed.
        ModelError: the model cannot be used.
        OutputError: an overlay cannot be written.
    """
    sources = list(all_sources(names, list_file, passed_over))
    reader = Reader(model, threshold=threshold, second_opinion=second_opinion)
    overlays = Overlays(overlay_folder, explain_folder)
    for source in sources:
        for member in members_in(source, column):
            image = image_of(loaded(member))
            if isinstance(image, str):
                yield Answer(member.name, error=image)
                continue
            page = reader.read(image, layout)
            overlays.save(member.name, image, page)
            yield Answer(member.name, page)


def as_text(answer: Answer) -> str:
    """Return an answer as `inkdigits read` prints it: the name and a line of digits each, rejected ones marked `?`.

    A picture in which nothing is found is one line with `?` alone.
    """
    lines = [marked(line) for line in answer.page.lines] if answer.page else []
    return "\n".join(f"{answer.name}: {line}" for line in lines or ["?"])


# Very many


@dataclass(frozen=True)
class Summary:
    """What came of a run.

    Attributes:
        output: the table.
        n_pictures: how many pictures there were.
        n_errors: pictures that could not be read.
        n_empty: pictures in which no digit was found.
        n_rejected: digits that are not accepted.
        seconds: from start to end.
        n_pictures_now: pictures that were not read before the run was resumed.
        complete: there was nothing to do, for the output existed already; all counts are 0.
        passed_over: which files of folders were no pictures, in words; "" for none.
    """

    output: str
    n_pictures: int = 0
    n_errors: int = 0
    n_empty: int = 0
    n_rejected: int = 0
    seconds: float = 0.0
    n_pictures_now: int = 0
    complete: bool = False
    passed_over: str = ""

    def __str__(self) -> str:
        if self.complete:
            return f"{self.output}: already complete; use --overwrite to run again"
        n_before = self.n_pictures - self.n_pictures_now
        pictures = f"{self.n_pictures:,} picture{'s' * (self.n_pictures != 1)}"
        return (
            f"{pictures}{f' ({n_before:,} of them before)' if n_before else ''}, {self.n_errors:,} could not be read, "
            f"{self.n_empty:,} without a digit, {self.n_rejected:,} digits rejected; {self.seconds:.1f} s, "
            f"{self.n_pictures_now / max(self.seconds, 1e-9):,.0f} a second"
            f"{f'; {self.passed_over}' if self.passed_over else ''}"
        )


def read_to_file(
    output: str,
    names: Sequence[str] = (),
    layout: str = "page",
    rows: str = "number",
    *,
    model: str | Path | None = None,
    threshold: float | None = None,
    list_file: str | None = None,
    column: str | None = None,
    second_opinion: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    ray: str | None = None,
    report: ProgressCallback | None = None,
) -> Summary:
    """Read any number of pictures into a table, in order; one that cannot be read is a row with its error.

    Args:
        output: a path, s3:// or gs://, that ends in .csv, .jsonl or .parquet. It appears when all is done; until then
            its parts are in the folder `output`.parts.
        names: as for `read_files`.
        layout: "digit", "number" or "page".
        rows: what a row is: "number" or "digit".
        model: a run or an ONNX file; the shipped networks where None.
        threshold: accept from this confidence on; as the networks' cards say where None.
        list_file: a file that names further files, one a line; "-" for stdin.
        column: of Parquet and Arrow tables, the one with the pictures' bytes; found where None.
        second_opinion: see `Reader`.
        resume: continue a stopped run of the same inputs and settings; start one where there is none.
        overwrite: replace an output that exists, and drop a stopped run.
        workers: processes; as many as there are cores where None.
        ray: share the work on a Ray cluster of this address; "local" starts one here. See `ray_data`.
        report: called with every chunk that is done.

    Raises:
        InputError: no input is found, or a table has no such column.
        OutputError: the output exists already, cannot be written, or its parts belong to other inputs or settings.
        ModelError: the model cannot be used.
    """
    started = time.monotonic()
    suffix = check_format(output)
    _check_names(names)
    passed_over = storage.PassedOver()
    own_model = None if model is None else str(model)
    settings = ReadSettings(layout, rows, suffix, own_model, column, threshold, second_opinion)
    if ray is not None:
        _check_cluster_run(output, suffix, resume, overwrite)
        _model_fingerprints(settings)
        with Listing(all_sources(names, list_file, passed_over)) as listing:
            ray_data.read_on_cluster(output, listing, settings, ray, workers)
        counts = ray_data.count(output)
        summary = Summary(output, *counts, time.monotonic() - started, counts.n_pictures)
        return replace(summary, passed_over=_in_words(passed_over))
    checkpoint = Checkpoint(output, suffix)
    if checkpoint.is_complete(resume, overwrite):
        return Summary(output, complete=True)
    fingerprints = _model_fingerprints(settings)
    with Listing(all_sources(names, list_file, passed_over)) as listing:
        checkpoint.open(_manifest(settings, fingerprints, listing), resume)
        before = dict(checkpoint.done)
        chunks = listing.chunks(PICTURES_PER_PART[layout], column, before)
        # Files show how much there is to do; containers may hold any number.
        most = -(-listing.count // PICTURES_PER_PART[layout]) if listing.is_of_files else 1 << 16
        try:
            read_chunks(chunks, settings, checkpoint, min(workers or cores(), most), report or (lambda done: None))
        except InputError:  # a table without such a column: there is nothing to resume
            checkpoint.remove_if_empty()
            raise
    checkpoint.join()
    summary = _summary(output, checkpoint, before, time.monotonic() - started)
    return replace(summary, passed_over=_in_words(passed_over))


def _in_words(passed_over: storage.PassedOver) -> str:
    return str(passed_over) if passed_over.n else ""


def _check_names(names: Sequence[str]) -> None:
    """Raise for a name of nothing before anything is written: it is rather a typing error than a damaged picture.

    Raises:
        InputError: there is no such file or folder here.
    """
    for name in names:
        if not (name == "-" or storage.is_remote(name) or os.path.lexists(name) or glob.has_magic(name)):
            raise InputError(f"{name}: no such file or folder")


def _check_cluster_run(output: str, suffix: str, resume: bool, overwrite: bool) -> None:
    if suffix != ".parquet" or resume:
        raise OutputError(
            f"{output}: a cluster writes a folder of Parquet files and has no --resume; name one .parquet"
        )
    there = storage.stat(output) is not None or bool(storage.names_in(output))
    if there and not overwrite:
        raise OutputError(f"{output}: exists already; use --overwrite to replace it")


def _summary(output: str, checkpoint: Checkpoint, before: Mapping[int, Done], seconds: float) -> Summary:
    counts, earlier = (Counts.total(done.counts for done in each.values()) for each in (checkpoint.done, before))
    return Summary(output, *counts, seconds, counts.n_pictures - earlier.n_pictures)


def _model_fingerprints(settings: ReadSettings) -> list[str]:
    """Return the checksums of the networks.

    Raises:
        ModelError: they cannot be used.
    """
    return list(open_reader(settings).networks().values())


def _manifest(settings: ReadSettings, networks: list[str], listing: Listing) -> dict[str, Any]:
    """Return all that the rows depend on, as JSON would give it back."""
    own = {name: value for name, value in asdict(settings).items() if name not in ("model", "suffix")}
    inputs = {"files": listing.count, "size_bytes": listing.size_bytes, "checksum": listing.sha256}
    # Another version may read differently.
    own["version of inkdigits"] = version("inkdigits")
    return {
        "format": 2,
        **own,
        "model": networks,
        "inputs": inputs,
        "pictures in a part": PICTURES_PER_PART[settings.layout],
    }
