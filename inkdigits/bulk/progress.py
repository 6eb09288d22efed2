"""How far reading is, and how long it will take."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from inkdigits.bulk.checkpoint import Done
from inkdigits.bulk.pool import ProgressCallback


@contextmanager
def progress() -> Iterator[ProgressCallback]:
    """Show on stderr, while a run lasts, how far it is, how fast, and how long it will take."""
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
                print(f"{so_far.consumed:.0%}: {so_far}", file=sys.stderr)

        yield report


class _SoFar:
    """How far a run is: in words, with its rate and the time that is left at this rate."""

    def __init__(self) -> None:
        self.consumed = self._consumed_before = 0.0
        self._pictures = self._now = self._errors = 0
        self._started = self._last_line = time.monotonic()

    def add(self, done: Done) -> None:
        self.consumed = max(self.consumed, done.consumed)
        self._pictures += done.pictures
        self._errors += done.errors
        if done.before:
            self._consumed_before = self.consumed
        else:
            self._now += done.pictures

    def is_time_for_a_line(self) -> bool:
        """Say, every half minute, that somebody may like to know: where there is no terminal to draw a bar on."""
        due = time.monotonic() - self._last_line > 30
        if due:
            self._last_line = time.monotonic()
        return due

    def __str__(self) -> str:
        seconds = time.monotonic() - self._started
        advanced = self.consumed - self._consumed_before
        left = seconds * (1 - self.consumed) / advanced if advanced > 0 else 0.0
        errors = f", {self._errors:,} cannot be read" if self._errors else ""
        return (
            f"{self._pictures:,} pictures{errors}, {self._now / max(seconds, 1e-9):,.0f} a second, {_clock(left)} left"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
