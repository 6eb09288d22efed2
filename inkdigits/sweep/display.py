"""The table of a running sweep."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from inkdigits.sweep.plan import Plan
from inkdigits.sweep.space import in_words
from inkdigits.sweep.study import Job, Outcome
from inkdigits.sweep.workers import Event, WorkItem
from inkdigits.training.recipes import Recipe

log = logging.getLogger(__name__)

ROWS_SHOWN = 12

# Called once for each finished job, with the recipe it was trained by.
OnJob = Callable[[Job, Recipe], None]


class Display:
    """How far a sweep is: a live table where stderr is a terminal, a log line a job elsewhere.

    Args:
        plan: what is to be done.
        wanted: show anything at all?
    """

    def __init__(self, plan: Plan, wanted: bool) -> None:
        self._plan, self._wanted = plan, wanted
        self._live: Any = None
        self._epochs: dict[int, tuple[int, float]] = {}
        self._done, self._start = 0, time.monotonic()

    def say(self, text: str) -> None:
        """Log a line."""
        if self._wanted:
            log.info(text)

    def begin(self, url: str) -> None:
        """Log what will be done, and what not."""
        plan = self._plan
        n = len(plan.combinations)
        what = f"search of {plan.n_search}" if plan.n_search is not None else f"{n} configuration{'s' * (n > 1)}"
        self.say(
            f"{plan.name}: {what}, {plan.n_runs:,} training{'s' * (plan.n_runs > 1)} on {len(plan.part):,} images, "
            f"chosen on {len(plan.validation):,} held out; kept in {url}"
        )
        for reason, count in plan.left_out.items():
            self.say(f"left out: {count} combination{'s' if count > 1 else ''}: {reason}")

    def __enter__(self) -> "Display":
        if self._wanted and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def epoch(self, event: Event) -> None:
        """Note an epoch."""
        self._epochs[event.item.job.number] = (event.epoch, event.accuracy)

    def done(self, job: Job) -> None:
        """Note a job that is done."""
        self._done += 1
        if not self._live and job.outcome:
            self.say(f"{self._words(job)}  seed {job.seed}  {outcome_words(job.outcome)}")

    def update(self, jobs: Sequence[Job], running: Sequence[WorkItem]) -> None:
        """Draw the table."""
        if not self._live:
            return
        from rich.text import Text

        n_done = sum(job.outcome is not None for job in jobs)
        lines = [self._plan.ranking(jobs).table(ROWS_SHOWN), "", *(self._running(item) for item in running)]
        lines.append(f"{n_done} of {self._plan.n_runs} trainings done{self._left(n_done)}")
        self._live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))

    def _running(self, item: WorkItem) -> str:
        epoch, accuracy = self._epochs.get(item.job.number, (0, 0.0))
        seen = f"  {accuracy:.2%}" if epoch else ""
        return f"  training: {self._words(item.job)}  seed {item.job.seed}  epoch {epoch}/{item.recipe.epochs}{seen}"

    def _left(self, n_done: int) -> str:
        if not self._done:
            return ""
        seconds = (time.monotonic() - self._start) / self._done * (self._plan.n_runs - n_done)
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"

    def _words(self, job: Job) -> str:
        return in_words(job.settings, self._plan.hyperparameters)


def outcome_words(outcome: Outcome) -> str:
    """Return the result of a training, in a few words."""
    if outcome.accuracy is not None:
        return f"{outcome.accuracy:.2%}  {outcome.seconds:.1f} s"
    return f"failed: {outcome.error}" if outcome.error else f"stopped after {len(outcome.history)} epochs"
