"""Chunks of pictures in, parts of rows out: the processes that share the work, and what each of them does.

Python's lock lets two threads fill one core here (docs/scale.md), so each core has a process with a Reader of its own.
"""

import multiprocessing
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import cv2

from inkdigits.bulk.checkpoint import Checkpoint, Done
from inkdigits.bulk.containers import Picture
from inkdigits.bulk.inputs import Chunk
from inkdigits.bulk.table import TableRow, encode, rows_of
from inkdigits.errors import ImageError, InkdigitsError
from inkdigits.files import storage
from inkdigits.files.images import MAX_BYTES, LoadedImage, load_image
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading

# Pictures in a part file: about a second's work, which is what a kill may cost.
CHUNK = {"digit": 1024, "number": 256, "page": 16}
# Pictures in one call of the Reader, and the pixels after which a call has enough, however few they are.
BATCH = {"digit": 256, "number": 64, "page": 8}
BATCH_PIXELS = 30_000_000
# An object store answers in some 50 ms, whatever it is asked for: so many questions are asked at once.
FETCHES = 16
ProgressCallback = Callable[[Done], None]


@dataclass(frozen=True)
class ReadSettings:
    """What decides the rows that pictures become.

    Attributes:
        layout: "digit", "number" or "page".
        rows: "number" or "digit", what a row is.
        suffix: ".csv", ".jsonl" or ".parquet".
        model: a run or an ONNX file; the shipped nets where None.
        column: of tables, the one with the pictures' bytes; found where None.
    """

    layout: str
    rows: str
    suffix: str
    model: str | None = None
    column: str | None = None


def read_chunks(
    chunks: Iterator[Chunk], settings: ReadSettings, parts: Checkpoint, workers: int, report: ProgressCallback
) -> None:
    """Have chunks answered by processes, each of which has one in work and one waiting, until all are done."""
    results: queue.SimpleQueue[Done | Exception | None] = queue.SimpleQueue()
    shared = _Shared(chunks)
    crew = [_Worker(settings, parts) for _ in range(workers)]
    try:
        for worker in crew:
            worker.start(shared, results)
        busy = len(crew)
        while busy:
            result = results.get()
            if isinstance(result, Exception):
                raise result
            if result is None:
                busy -= 1
            else:
                parts.add(result)
                report(result)
    finally:
        for worker in crew:
            worker.stop()


class _Shared:
    """An iterator that several threads take from."""

    def __init__(self, chunks: Iterator[Chunk]) -> None:
        self._chunks, self._lock = chunks, threading.Lock()

    def take(self) -> Chunk | None:
        with self._lock:
            return next(self._chunks, None)


class _Worker:
    """A process with a Reader of its own, and the thread that feeds it.

    A process is started anew, not forked: a copy of onnxruntime's and OpenCV's threads would hang. It ends when this
    process does, however that ends, for it then finds its pipe closed.
    """

    def __init__(self, settings: ReadSettings, parts: Checkpoint) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        self._parts = parts
        self._in_work: list[str] = []  # the first pictures of the chunks that the process has
        self._process = context.Process(target=_serve, args=(end, settings, parts), daemon=True)
        self._process.start()
        end.close()

    def start(self, shared: _Shared, results: "queue.SimpleQueue[Done | Exception | None]") -> None:
        """Take chunks and put results until there are no more, in the background."""
        self._thread = threading.Thread(target=self._drive, args=(shared, results), daemon=True)
        self._thread.start()

    def _drive(self, shared: _Shared, results: "queue.SimpleQueue[Done | Exception | None]") -> None:
        """Hand chunks to the process, one ahead of the one it works on, and its results to the queue."""
        try:
            while (chunk := shared.take()) is not None:
                if not chunk.pictures:
                    results.put(self._known(chunk))
                    continue
                self._pipe.send(chunk)
                self._in_work.append(chunk.pictures[0][0])
                if len(self._in_work) == 2:
                    results.put(self._receive())
            while self._in_work:
                results.put(self._receive())
            results.put(None)
        except (EOFError, OSError):
            results.put(self._death())
        except Exception as error:
            results.put(error)

    def _receive(self) -> Done | Exception:
        result: Done | Exception = self._pipe.recv()
        self._in_work.pop(0)
        return result

    def _known(self, chunk: Chunk) -> Done:
        return replace(self._parts.done[chunk.number], consumed=chunk.consumed, before=True)

    def _death(self) -> InkdigitsError:
        self._process.join(5)
        code = self._process.exitcode or 0
        cause = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
        near = f" near {self._in_work[0]}" if self._in_work else ""
        return InkdigitsError(f"a process {cause}{near}; out of memory? --resume goes on, --workers 1 needs least")

    def stop(self) -> None:
        """End the process; what it has not finished is not there."""
        self._process.terminate()
        self._process.join()


def _serve(pipe: Connection, settings: ReadSettings, parts: Checkpoint) -> None:
    """Answer chunks until the pipe is closed: what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    cv2.setNumThreads(1)  # the cores are shared out already
    reader = Reader(settings.model, threads=1)
    try:
        while True:
            chunk: Chunk = pipe.recv()
            try:
                pipe.send(write_part(reader, chunk, settings, parts))
            except InkdigitsError as error:
                pipe.send(error)
    except (EOFError, OSError):
        return


def write_part(reader: Reader, chunk: Chunk, settings: ReadSettings, parts: Checkpoint) -> Done:
    """Answer a chunk and write its rows, whole or not at all."""
    found: list[TableRow] = []
    errors = doubtful = 0
    for name, answer in answers(reader, chunk.pictures, settings.layout):
        found += rows_of(name, answer, settings.rows)
        errors += isinstance(answer, str)
        doubtful += 0 if isinstance(answer, str) else doubtful_digits(answer)
    done = Done(chunk.number, len(chunk.pictures), errors, doubtful, chunk.consumed)
    storage.write_bytes(parts.name_of(done), encode(found, settings.suffix))
    return done


def answers(reader: Reader, pictures: Sequence[Picture], layout: str) -> Iterator[tuple[str, PageReading | str]]:
    """Yield each picture's name and answer, or its error, in order, through few calls of the nets.

    Args:
        reader: what answers. What it says of a picture does not depend on the pictures beside it.
        pictures: name, bytes or None, error or None.
        layout: "digit", "number" or "page".
    """
    batch: list[tuple[str, LoadedImage | str]] = []
    pixels = 0
    for picture in _fetched(pictures):
        image = image_of(picture)
        batch.append((picture[0], image))
        pixels += 0 if isinstance(image, str) else image.pixels.size
        if len(batch) == BATCH[layout] or pixels > BATCH_PIXELS:
            yield from _answer_batch(reader, batch, layout)
            batch, pixels = [], 0
    yield from _answer_batch(reader, batch, layout)


def _answer_batch(
    reader: Reader, batch: Sequence[tuple[str, LoadedImage | str]], layout: str
) -> Iterator[tuple[str, PageReading | str]]:
    images = [image for _, image in batch if not isinstance(image, str)]
    try:
        found = iter(reader.read_many(images, layout) if images else [])
    except Exception:  # one of them breaks something; the others are to be read all the same
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
        return f"{name}: cannot be read ({type(error).__name__}: {storage.reason(error)})"


def _fetched(pictures: Sequence[Picture]) -> Iterator[Picture]:
    """Yield the pictures, those in an object store with their bytes, many of which are asked for at once."""
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
    except ImageError as failure:
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
    except ImageError as failure:
        return str(failure)


def doubtful_digits(page: PageReading) -> int:
    """Return how many digits of a picture are not accepted."""
    return sum(not item.accepted for line in page.lines for item in line.items)
