"""Requests of the same moment answered by one call: a bounded queue in front of one thread."""

import asyncio
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from inkdigits.web.errors import busy

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class Batcher(Generic[Job, Answer]):
    """A queue of at most `capacity` jobs, answered `max_batch` at a time by one thread.

    While the thread works the next jobs gather, so batches grow with the load; a job that finds the thread idle waits
    `patience_ms` for company.

    Args:
        name: what there is too much of when the queue is full.
        work: jobs in, one answer a job out, in order; an exception among the answers is that one job's.
        capacity: jobs that may wait.
        max_batch: jobs in one call of `work`.
        patience_ms: see above; 0 for none.
        observe: called with the size of each batch.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Job]], Sequence[Answer | Exception]],
        capacity: int,
        max_batch: int,
        patience_ms: float,
        observe: Callable[[int], None],
    ) -> None:
        self.name = name
        self._work = work
        self._capacity = capacity
        self._max_batch = max_batch
        self._patience_s = patience_ms / 1000
        self._observe = observe
        self._waiting: SimpleQueue[tuple[Job, asyncio.Future[Answer]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=f"inkdigits {name}", daemon=True)
        self._thread.start()

    @property
    def is_full(self) -> bool:
        """Whether the next job would be rejected."""
        return self._waiting.qsize() >= self._capacity

    async def ask(self, job: Job) -> Answer:
        """Return the job's answer.

        Raises:
            RequestError: 503, the queue is full.
        """
        if self.is_full:
            raise busy(self.name)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.put((job, future))
        return await future

    def close(self) -> None:
        """End the thread, once it has answered all that wait."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            if self._patience_s and self._waiting.empty():
                time.sleep(self._patience_s)
            batch = [first]
            while len(batch) < self._max_batch:
                try:
                    following = self._waiting.get_nowait()
                except Empty:
                    break
                if following is None:
                    self._waiting.put(None)
                    break
                batch.append(following)
            # A client that has hung up meanwhile needs no answer.
            self._answer([pair for pair in batch if not pair[1].done()])

    def _answer(self, batch: list[tuple[Job, asyncio.Future[Answer]]]) -> None:
        if not batch:
            return
        self._observe(len(batch))
        answers: Sequence[Answer | Exception]
        try:
            answers = self._work([job for job, _ in batch])
        except Exception as error:  # a bug in `work` is each asker's to report, and must not end the thread
            answers = [error] * len(batch)
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Answer], Answer | Exception]]] = {}
        for (_, future), answer in zip(batch, answers, strict=True):
            by_loop.setdefault(future.get_loop(), []).append((future, answer))
        for loop, pairs in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_deliver, pairs)


def _deliver(pairs: list[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
    for future, answer in pairs:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
