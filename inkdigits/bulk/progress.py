"""The progress of a long run, and how long the rest will take."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from inkdigits.bulk.checkpoint import Counts, Done
from inkdigits.bulk.pool import ProgressCallback

LINE_EVERY_S = 30

logger = logging.getLogger(__name__)


@contextmanager
def progress() -> Iterator[ProgressCallback]:
    """Show the progress of a run as a bar on a terminal, or as a line in the log every half minute."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    so_far = _SoFar()
    console = Console(stderr=True)
    columns = BarColumn(), TextColumn("{task.percentage:.0f} %"), TextColumn("{task.description}")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)

        def report(done: Done) -> None:
            so_far.add(done)
            bar.update(task, completed=so_far.consumed, description=str(so_far))
            if not console.is_terminal and so_far.is_time_for_a_line():
                logger.info("%.0f%%: %s", 100 * so_far.consumed, str(so_far))

        yield report


class _SoFar:
    """The progress of a run in words, with its rate and the time that is left at this rate."""

    def __init__(self) -> None:
        self.consumed = self._consumed_before = 0.0
        self._counts = Counts()
        self._n_now = 0
        self._started = self._last_line = time.monotonic()

    def add(self, done: Done) -> None:
        self.consumed = max(self.consumed, done.consumed)
        self._counts = Counts.total((self._counts, done.counts))
        if done.before:
            self._consumed_before = self.consumed
        else:
            self._n_now += done.counts.n_pictures

    def is_time_for_a_line(self) -> bool:
        due = time.monotonic() - self._last_line > LINE_EVERY_S
        if due:
            self._last_line = time.monotonic()
        return due

    def __str__(self) -> str:
        seconds = time.monotonic() - self._started
        advanced = self.consumed - self._consumed_before
        left_s = seconds * (1 - self.consumed) / advanced if advanced > 0 else 0.0
        n_pictures, n_errors, *_ = self._counts
        errors = f", {n_errors:,} cannot be read" if n_errors else ""
        rate = self._n_now / max(seconds, 1e-9)
        return f"{n_pictures:,} pictures{errors}, {rate:,.0f} a second, {_clock(left_s)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
