"""The worker pool: chunks of pictures in, part files out; each worker is a process with a Reader of its own.

Processes, for Python's lock lets two threads fill one core here (docs/scale.md).
"""

import multiprocessing
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

import cv2

from inkdigits.bulk.checkpoint import Checkpoint, Counts, Done
from inkdigits.bulk.containers import Picture
from inkdigits.bulk.inputs import Chunk
from inkdigits.bulk.table import TableRow, encode, rows_of
from inkdigits.errors import InkdigitsError, InputError, reason
from inkdigits.files import storage
from inkdigits.files.images import MAX_BYTES, LoadedImage, load_image
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading

# Pictures in a part file: about a second's work, which is what a kill may cost.
PICTURES_PER_PART = {"digit": 1024, "number": 256, "page": 16}
# Pictures in one call of the Reader, and the pixels after which a call has enough, however few pictures they are.
PICTURES_PER_CALL = {"digit": 256, "number": 64, "page": 8}
PIXELS_PER_CALL = 30_000_000
# An object store answers in some 50 ms, however small the request: so many are made at once.
FETCHES = 16
ProgressCallback = Callable[[Done], None]


@dataclass(frozen=True)
class ReadSettings:
    """The settings on which the rows of a table depend.

    Attributes:
        layout: "digit", "number" or "page".
        rows: what a row is, "number" or "digit".
        suffix: ".csv", ".jsonl" or ".parquet".
        model: a run or an ONNX file; the shipped networks where None.
        column: of tables, the one with the pictures' bytes; found where None.
        threshold: accept from this confidence on; as the networks' cards say where None.
        second_opinion: see `Reader`.
    """

    layout: str
    rows: str
    suffix: str
    model: str | None = None
    column: str | None = None
    threshold: float | None = None
    second_opinion: bool = False


def read_chunks(
    chunks: Iterator[Chunk], settings: ReadSettings, checkpoint: Checkpoint, n_workers: int, report: ProgressCallback
) -> None:
    """Read chunks in worker processes, each of which has one chunk in progress and one waiting, until all are done.

    Args:
        chunks: of the run, those done before without pictures.
        settings: of the run.
        checkpoint: where the answers are written.
        n_workers: processes.
        report: is called with each chunk that is done.

    Raises:
        InkdigitsError: a process has died, or what one of them raised.
    """
    results: queue.SimpleQueue[Done | Exception | None] = queue.SimpleQueue()
    shared = _Shared(chunks)
    workers: list[_Worker] = []
    try:
        with _sigint_blocked():
            workers += [_Worker(settings, checkpoint) for _ in range(n_workers)]
        for worker in workers:
            worker.start(shared, results)
        n_busy = n_workers
        while n_busy:
            result = results.get()
            if isinstance(result, Exception):
                raise result
            if result is None:
                n_busy -= 1
            else:
                checkpoint.add(result)
                report(result)
    finally:
        for worker in workers:
            worker.stop()


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT, so that processes started meanwhile inherit this and Ctrl-C cannot interrupt their start."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # multiprocessing starts it with the first process, and then unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Shared:
    """An iterator that several threads take from."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks, self._lock = chunks, threading.Lock()

    def take(self) -> Chunk | None:
        with self._lock:
            return next(self._chunks, None)


class _Worker:
    """A process with a Reader of its own, and the thread that feeds it.

    The process is spawned, not forked: a copy of onnxruntime's and OpenCV's threads would hang. It ends with this
    process, even if this one is killed, because it then finds its pipe closed.
    """

    def __init__(self, settings: ReadSettings, checkpoint: Checkpoint) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._checkpoint = checkpoint
        self._in_progress: list[str] = []  # the first pictures of the chunks that the process has
        self._process = context.Process(target=_serve, args=(end, settings, checkpoint), daemon=True)
        self._process.start()
        end.close()

    def start(self, shared: _Shared, results: "queue.SimpleQueue[Done | Exception | None]") -> None:
        """Take chunks and put results until there are no more, in the background."""
        self._thread = threading.Thread(target=self._drive, args=(shared, results), daemon=True)
        self._thread.start()

    def _drive(self, shared: _Shared, results: "queue.SimpleQueue[Done | Exception | None]") -> None:
        """Send chunks to the process, one ahead of the one in progress, and put its results into the queue."""
        try:
            while (chunk := shared.take()) is not None:
                if not chunk.pictures:
                    results.put(self._known(chunk))
                    continue
                self._pipe.send(chunk)
                self._in_progress.append(chunk.pictures[0][0])
                if len(self._in_progress) == 2:
                    results.put(self._receive())
            while self._in_progress:
                results.put(self._receive())
            results.put(None)
        except (EOFError, OSError):
            results.put(self._death())
        except Exception as error:
            results.put(error)

    def _receive(self) -> Done | Exception:
        result: Done | Exception = self._pipe.recv()
        self._in_progress.pop(0)
        return result

    def _known(self, chunk: Chunk) -> Done:
        return replace(self._checkpoint.done[chunk.number], consumed=chunk.consumed, before=True)

    def _death(self) -> InkdigitsError:
        self._process.join(5)
        code = self._process.exitcode or 0
        cause = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
        near = f" near {self._in_progress[0]}" if self._in_progress else ""
        return InkdigitsError(f"a process {cause}{near}; out of memory? Use --resume, with --workers 1 to need least")

    def stop(self) -> None:
        """End the process; of a chunk in progress nothing is left."""
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, settings: ReadSettings, checkpoint: Checkpoint) -> None:
    """Read chunks until the pipe is closed: what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent ends us
    cv2.setNumThreads(1)  # each core has a process already
    reader = open_reader(settings)
    try:
        while True:
            chunk: Chunk = pipe.recv()
            try:
                pipe.send(write_part(reader, chunk, settings, checkpoint))
            except InkdigitsError as error:
                pipe.send(error)
    except (EOFError, OSError):
        return


def open_reader(settings: ReadSettings) -> Reader:
    """Return a reader of one thread for a process of its own."""
    second_opinion = settings.second_opinion
    return Reader(settings.model, threads=1, threshold=settings.threshold, second_opinion=second_opinion)


def write_part(reader: Reader, chunk: Chunk, settings: ReadSettings, checkpoint: Checkpoint) -> Done:
    """Read a chunk and write its rows, whole or not at all."""
    rows: list[TableRow] = []
    counts: list[Counts] = []
    for name, answer in answers(reader, chunk.pictures, settings.layout):
        rows += rows_of(name, answer, settings.rows)
        counts.append(counts_of(answer))
    done = Done(chunk.number, Counts.total(counts), chunk.consumed)
    storage.write_bytes(checkpoint.name_of(done), encode(rows, settings.suffix))
    return done


def counts_of(answer: PageReading | str) -> Counts:
    """Return the counts of one picture: its page, or the error in its place."""
    if isinstance(answer, str):
        return Counts(1, n_errors=1)
    n_rejected = sum(not item.accepted for line in answer.lines for item in line.items)
    return Counts(1, n_empty=not answer.lines, n_rejected=n_rejected)


def answers(reader: Reader, pictures: Sequence[Picture], layout: str) -> Iterator[tuple[str, PageReading | str]]:
    """Yield each picture's name and page, or its error, in order, with many pictures in a call of the networks.

    Args:
        reader: its answer to a picture does not depend on the others of the call.
        pictures: name, bytes or None, error or None.
        layout: "digit", "number" or "page".
    """
    batch: list[tuple[str, LoadedImage | str]] = []
    pixels = 0
    for picture in _fetched(pictures):
        image = image_of(picture)
        batch.append((picture[0], image))
        pixels += 0 if isinstance(image, str) else image.pixels.size
        if len(batch) == PICTURES_PER_CALL[layout] or pixels > PIXELS_PER_CALL:
            yield from _answer_batch(reader, batch, layout)
            batch, pixels = [], 0
    yield from _answer_batch(reader, batch, layout)


def _answer_batch(
    reader: Reader, batch: Sequence[tuple[str, LoadedImage | str]], layout: str
) -> Iterator[tuple[str, PageReading | str]]:
    images = [image for _, image in batch if not isinstance(image, str)]
    try:
        found = iter(reader.read_many(images, layout) if images else [])
    except Exception:  # one of them breaks something; the others are read all the same
        yield from ((name, _answer_alone(reader, name, image, layout)) for name, image in batch)
        return
    for name, image in batch:
        yield name, image if isinstance(image, str) else next(found)


def _answer_alone(reader: Reader, name: str, image: LoadedImage | str, layout: str) -> PageReading | str:
    if isinstance(image, str):
        return image
    try:
        return reader.read(image, layout)
    except Exception as error:
        return f"{name}: cannot be read ({type(error).__name__}: {reason(error)})"


def _fetched(pictures: Sequence[Picture]) -> Iterator[Picture]:
    """Yield the pictures, those in an object store with their bytes, many of which are fetched at once."""
    if not any(data is None and storage.is_remote(name) for name, data, _ in pictures):
        yield from pictures
        return
    with ThreadPoolExecutor(FETCHES) as pool:
        for start in range(0, len(pictures), FETCHES * 4):
            yield from pool.map(_fetch, pictures[start : start + FETCHES * 4])


def _fetch(picture: Picture) -> Picture:
    name, data, error = picture
    if data is not None or error is not None or not storage.is_remote(name):
        return picture
    try:
        return name, storage.read_remote(name, MAX_BYTES), None
    except InputError as failure:
        return name, None, str(failure)


def image_of(picture: Picture) -> LoadedImage | str:
    """Return a picture as it is read, or in a line why it cannot be read."""
    name, data, error = picture
    if error is not None:
        return error
    try:
        if name == "-":
            return load_image(sys.stdin.buffer.read() if data is None else data, name="stdin")
        if data is None and storage.is_remote(name):
            data = storage.read_remote(name, MAX_BYTES)
        return load_image(name) if data is None else load_image(data, name=name)
    except InputError as failure:
        return str(failure)
