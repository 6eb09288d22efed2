"""`inkdigits read`: pictures in, answers out. A few go to the terminal one by one, very many to a file of rows."""

import glob
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from inkdigits.bulk import ray_data
from inkdigits.bulk.checkpoint import Checkpoint, Done
from inkdigits.bulk.containers import loaded, members_of
from inkdigits.bulk.inputs import Listing, all_sources
from inkdigits.bulk.pool import CHUNK, ProgressCallback, ReadSettings, doubtful_digits, image_of, read_chunks
from inkdigits.bulk.table import check_format, marked
from inkdigits.errors import ImageError, OutputError
from inkdigits.files import storage
from inkdigits.files.images import LoadedImage
from inkdigits.machine import cores
from inkdigits.reading.model import SHIPPED, model_path
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading


@dataclass(frozen=True)
class Answer:
    """What came of one file: its page, or an error in one line."""

    name: str
    page: PageReading | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of `inkdigits read --json`."""
        return {"image": self.name} | (self.page.to_dict() if self.page else {"error": self.error})


# A few pictures


def read_files(
    names: Sequence[str],
    layout: str = "page",
    model: str | Path | None = None,
    overlay_folder: Path | None = None,
    explain_folder: Path | None = None,
    list_file: str | None = None,
    column: str | None = None,
) -> Iterator[Answer]:
    """Yield an answer for each picture, in order; a picture that cannot be read does not stop the others.

    Args:
        names: files, folders, globs, tar shards, tables, s3:// and gs:// paths, or "-" for one picture on stdin.
        layout: "digit", "number" or "page".
        model: a run or an ONNX file; the shipped nets where None.
        overlay_folder: where to write each picture with its boxes, if anywhere.
        explain_folder: where to write a picture for each digit, if anywhere.
        list_file: a file that names further files, one a line; "-" for stdin.
        column: of Parquet and Arrow tables, the one with the pictures' bytes; found where None.

    Raises:
        ImageError: a folder or a glob without any picture, or a folder that cannot be written to.
        ModelError: the model cannot be used.
    """
    sources = list(all_sources(names, list_file))
    reader = Reader(model)
    for source in sources:
        for member in members_of(source.path, column):
            image = image_of(loaded(member))
            if isinstance(image, str):
                yield Answer(member.name, error=image)
                continue
            page = reader.read(image, layout)
            if overlay_folder:
                _save_overlay(overlay_folder, member.name, image, page)
            if explain_folder:
                _save_explanations(explain_folder, member.name, image, page)
            yield Answer(member.name, page)


def _save_overlay(folder: Path, name: str, image: LoadedImage, page: PageReading) -> None:
    from inkdigits.reading.overlay import draw_overlay

    _save(folder / f"{_flat(name)}.png", draw_overlay(image, page.lines))


def _save_explanations(folder: Path, name: str, image: LoadedImage, page: PageReading) -> None:
    from inkdigits.reading.overlay import draw_explanation

    for row, line in enumerate(page.lines, 1):
        for place, item in enumerate(line.items, 1):
            _save(folder / f"{_flat(name)}-{row:02}-{place:02}.png", draw_explanation(image, item))


def _flat(name: str) -> str:
    """Return a file name that tells pictures of the same name in different folders apart."""
    name = name.replace("://", os.sep) if storage.is_remote(name) else name
    return "stdin" if name == "-" else os.path.relpath(name).replace("..", "").strip(os.sep).replace(os.sep, "_")


def _save(path: Path, picture: np.ndarray) -> None:
    from inkdigits.files.images import save_picture

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"{path.parent}: cannot be made ({error.strerror})") from None
    save_picture(path, picture)


def count_doubtful(answer: Answer) -> int:
    """Return how many digits of an answer are not accepted."""
    return doubtful_digits(answer.page) if answer.page else 0


def as_text(answer: Answer) -> str:
    """Return an answer as `inkdigits read` prints it: the name, then a line a row, doubtful digits marked `?`."""
    lines = [marked(line) for line in answer.page.lines] if answer.page else []
    return "\n".join(f"{answer.name}: {line}" for line in lines or [""])


# Very many


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
        output: the file.
        pictures: in all.
        errors: of them, those that could not be read.
        doubtful: digits that are not accepted.
        seconds: from start to end.
        pictures_now: those that were not done before this run went on.
        complete: there was nothing to do: the output stood already.
    """

    output: str
    pictures: int
    errors: int
    doubtful: int
    seconds: float
    pictures_now: int
    complete: bool = False

    def __str__(self) -> str:
        if self.complete:
            return f"{self.output}: is complete, of whatever inputs; nothing is left to do (--overwrite reads anew)"
        earlier = (
            f" ({self.pictures - self.pictures_now:,} of them before)" if self.pictures_now < self.pictures else ""
        )
        pictures = f"{self.pictures:,} picture{'s' * (self.pictures != 1)}{earlier}"
        return (
            f"{pictures}, {self.errors:,} could not be read, {self.doubtful:,} digits doubtful; {self.seconds:.1f} s, "
            f"{self.pictures_now / max(self.seconds, 1e-9):,.0f} a second"
        )


def read_to_file(
    output: str,
    names: Sequence[str] = (),
    layout: str = "page",
    rows_: str = "number",
    *,
    model: str | Path | None = None,
    list_file: str | None = None,
    column: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    ray: str | None = None,
    report: ProgressCallback | None = None,
) -> Summary:
    """Read any number of pictures into a file of rows, in order; one that cannot be read is a row with its error.

    Args:
        output: a path, s3:// or gs://, that ends in .csv, .jsonl or .parquet. It appears when all is done; until then
            its parts lie in the folder `output`.parts.
        names: as for `read_files`.
        layout: "digit", "number" or "page".
        rows_: what a row is: "number" or "digit".
        model: a run or an ONNX file; the shipped nets where None.
        list_file: a file that names further files, one a line; "-" for stdin.
        column: of Parquet and Arrow tables, the one with the pictures' bytes; found where None.
        resume: go on with a run of the same inputs and settings that was stopped; begin where there is none.
        overwrite: replace an output that is there, and forget a run that was stopped.
        workers: processes; as many as there are cores where None.
        ray: share the work on a Ray cluster of this address; "local" starts one here. See `cluster`.
        report: told of every chunk that is done.

    Raises:
        ImageError: no input is found, or a table has no such column.
        OutputError: the output is there already, cannot be written, or its parts belong to other inputs or settings.
        ModelError: the model cannot be used.
    """
    started = time.monotonic()
    suffix = check_format(output)
    _check_names(names)
    settings = ReadSettings(layout, rows_, suffix, None if model is None else str(model), column)
    if ray is not None:
        _check_cluster_run(output, suffix, resume, overwrite)
        _model_fingerprints(model)
        with Listing(all_sources(names, list_file)) as listing:
            ray_data.read_on_cluster(output, listing, settings, ray, workers)
        pictures, errors, doubtful = ray_data.count(output)
        return Summary(output, pictures, errors, doubtful, time.monotonic() - started, pictures)
    parts = Checkpoint(output, suffix)
    if parts.is_complete(resume, overwrite):
        return Summary(output, 0, 0, 0, 0.0, 0, complete=True)
    fingerprints = _model_fingerprints(model)
    with Listing(all_sources(names, list_file)) as listing:
        parts.open(_manifest(settings, fingerprints, listing), resume)
        before = dict(parts.done)
        chunks = listing.chunks(CHUNK[layout], column, before)
        # Files show how much there is to do; containers may hold any number.
        most = -(-listing.count // CHUNK[layout]) if listing.is_of_files else 1 << 16
        try:
            read_chunks(chunks, settings, parts, min(workers or cores(), most), report or (lambda done: None))
        except ImageError:  # a table without such a column: nothing was begun that one could go on with
            parts.forget_if_empty()
            raise
    parts.join()
    return _summary(output, parts, before, time.monotonic() - started)


def _check_names(names: Sequence[str]) -> None:
    """Refuse a name of nothing before anything is written: it is more likely a slip than a damaged picture.

    Raises:
        ImageError: there is no such file or folder here.
    """
    for name in names:
        if not (name == "-" or storage.is_remote(name) or os.path.lexists(name) or glob.has_magic(name)):
            raise ImageError(f"{name}: no such file or folder")


def _check_cluster_run(output: str, suffix: str, resume: bool, overwrite: bool) -> None:
    if suffix != ".parquet" or resume:
        raise OutputError(
            f"{output}: a cluster writes a folder of Parquet files and has no --resume; name one .parquet"
        )
    there = storage.stat(output) is not None or bool(storage.names_in(output))
    if there and not overwrite:
        raise OutputError(f"{output}: is there already; --overwrite replaces it")


def _summary(output: str, parts: Checkpoint, before: Mapping[int, Done], seconds: float) -> Summary:
    done = parts.done.values()
    pictures, errors = sum(each.pictures for each in done), sum(each.errors for each in done)
    now = pictures - sum(each.pictures for each in before.values())
    return Summary(output, pictures, errors, sum(each.doubtful for each in done), seconds, now)


def _model_fingerprints(model: str | Path | None) -> list[str]:
    """Return the checksums of the nets that answer, which must be usable.

    Raises:
        ModelError: they are not.
    """
    Reader(model)
    paths = [SHIPPED / "digit.onnx", SHIPPED / "line.onnx"] + ([] if model is None else [model_path(model)])
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def _manifest(settings: ReadSettings, nets: list[str], listing: Listing) -> dict[str, Any]:
    """Return all that rows depend on, as JSON would give it back."""
    own = {name: value for name, value in asdict(settings).items() if name not in ("model", "suffix")}
    inputs = {"files": listing.count, "size_bytes": listing.size_bytes, "checksum": listing.sha256}
    # Another version may frame or decode otherwise.
    own["version of inkdigits"] = version("inkdigits")
    return {"format": 1, **own, "model": nets, "inputs": inputs, "pictures in a part": CHUNK[settings.layout]}
