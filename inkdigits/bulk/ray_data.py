"""Very many pictures on a Ray cluster: Ray Data hands out chunks, each actor has one Reader, rows become Parquet.

The rows are those of one machine. Pictures are opened where they are read, by `inputs`, and not by Ray's own readers:
those stop at the first file that is damaged or missing, and know no numbers of rows.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2

from inkdigits.bulk.checkpoint import Counts
from inkdigits.bulk.containers import Member, Picture, is_container, loaded, members_of, row_groups
from inkdigits.bulk.inputs import Listing
from inkdigits.bulk.pool import PICTURES_PER_CALL, PICTURES_PER_PART, ReadSettings, answers, open_reader
from inkdigits.bulk.table import as_table, rows_of
from inkdigits.errors import InkdigitsError, OutputError
from inkdigits.files import storage
from inkdigits.machine import connect_ray, cores


def read_on_cluster(output: str, listing: Listing, settings: ReadSettings, address: str, workers: int | None) -> None:
    """Write the rows of all pictures as a folder of Parquet files, in order.

    Args:
        output: the folder; in an object store, or where every machine of the cluster sees it under this path.
        listing: the inputs, which every machine must see as well.
        settings: what decides the rows.
        address: of the cluster, "auto" or HOST:PORT or ray://HOST:PORT; "local" starts one on this machine.
        workers: actors, each with one core; all cores but one where None, on this machine as many as there are.

    Raises:
        InkdigitsError: Ray is missing or cannot be reached.
        OutputError: the rows cannot be written.
    """
    with _connected(address, workers) as actors:
        import ray.data

        beside = output if storage.is_remote(output) else f"{output}.parts"
        work = ray.data.from_arrow(list(_tasks(listing, settings.layout)))
        storage.remove(beside)  # what stood there may be overwritten, or was left by one that was killed
        found = work.map_batches(
            _Actor,
            fn_constructor_args=(settings,),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=1,
        )
        try:
            found.write_parquet(beside)
        except Exception as error:  # Ray wraps what its workers raise in a dozen types
            storage.remove(beside)
            raise OutputError(f"{output}: not written ({_cause(error)})") from None
        if beside != output:
            storage.remove(output)
            os.replace(beside, output)


def _cause(error: BaseException) -> str:
    """Return the line of an error that says what happened; Ray puts the worker's whole traceback before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


@contextmanager
def _connected(address: str, workers: int | None) -> Iterator[int]:
    """Connect to a cluster, or to the one that this process is connected to already; yield the number of actors."""
    storage.load_pyarrow("pyarrow")  # which Ray Data needs as well
    # One more core than there are actors: writing their rows must find one, too.
    with connect_ray(address, n_cpus=(workers or cores()) + 1) as connected:
        import ray.data

        # Rows come in the order of the inputs, as on one machine.
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        yield workers or max(1, int(connected.cluster_resources().get("CPU", 2)) - 1)


def _tasks(listing: Listing, layout: str) -> Iterator[Any]:
    """Yield tables of work, each for one call of an actor: a chunk of files, or a shard, or a row group of a table."""
    pa = storage.load_pyarrow("pyarrow")
    files: list[tuple[str, str | None]] = []  # path, error

    def table(sources: list[tuple[str, str | None]], group: int | None) -> Any:
        # JSON, for a path need not be UTF-8.
        return pa.table({"task": [json.dumps({"sources": sources, "group": group})]})

    for source in listing:
        if source.path == "-":
            raise InkdigitsError("a picture on stdin is not for a cluster")
        if files and (len(files) == PICTURES_PER_PART[layout] or is_container(source.path)):
            yield table(files, None)
            files = []
        if is_container(source.path) and not source.error:
            groups = row_groups(source.path)
            yield from (table([(source.path, None)], group) for group in (range(groups) if groups else [None]))
        else:
            files.append((source.path, source.error))
    if files:
        yield table(files, None)


class _Actor:
    """What Ray keeps on each core: a Reader, and the way from tasks to rows."""

    def __init__(self, settings: ReadSettings) -> None:
        cv2.setNumThreads(1)
        self._settings = settings
        self._reader = open_reader(settings)

    def __call__(self, tasks: Any) -> Iterator[Any]:
        for task in tasks.column("task").to_pylist():
            for pictures in self._batches(**json.loads(task)):
                found = answers(self._reader, pictures, self._settings.layout)
                yield as_table(row for name, answer in found for row in rows_of(name, answer, self._settings.rows))

    def _batches(self, sources: list[tuple[str, str | None]], group: int | None) -> Iterator[list[Picture]]:
        batch: list[Picture] = []
        for path, error in sources:
            members = iter([Member(path, error=error)]) if error else members_of(path, self._settings.column, group)
            for member in members:
                batch.append(loaded(member))
                if len(batch) == PICTURES_PER_CALL[self._settings.layout]:
                    yield batch
                    batch = []
        if batch:
            yield batch


def count(output: str) -> Counts:
    """Return the counts of a folder of rows."""
    pc, dataset = storage.load_pyarrow("pyarrow.compute"), storage.load_pyarrow("pyarrow.dataset")
    store, path = storage.locate(output) if storage.is_remote(output) else (None, output)
    counts = [Counts()]
    columns = ["line", "place", "marked", "error"]
    for batch in dataset.dataset(path, filesystem=store, format="parquet").to_batches(columns=columns):
        line, place, marked, error = (batch.column(name) for name in columns)
        # Each picture has one row that is its first.
        first = pc.and_(pc.less_equal(pc.fill_null(line, 1), 1), pc.less_equal(pc.fill_null(place, 1), 1))
        empty = pc.and_(pc.is_null(line), pc.is_null(error))
        n_errors = len(error) - error.null_count
        n_rejected = pc.sum(pc.count_substring(marked, "?")).as_py() or 0
        counts.append(Counts(pc.sum(first).as_py() or 0, n_errors, pc.sum(empty).as_py() or 0, n_rejected))
    return Counts.total(counts)
