"""Gives a sweep's jobs to workers and keeps what comes back."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from inkdigits.machine import cores
from inkdigits.sweep.display import Display, OnJob
from inkdigits.sweep.plan import MAX_REPEATS, Plan
from inkdigits.sweep.space import Checker
from inkdigits.sweep.study import Job, JobStore, Outcome, key_of
from inkdigits.sweep.workers import Event, ThreadWorkers, WorkItem
from inkdigits.training.recipes import Recipe

# How long to wait for the next event at most: the display is redrawn, and Ctrl-C noticed, as often.
WAIT_S = 0.25


class Workers(Protocol):
    """What trains: threads of this process, or workers of a Ray cluster."""

    def free(self) -> int | None: ...  # noqa: D102
    def preference(self, worker: int) -> Callable[[Recipe, int], Any]: ...  # noqa: D102
    def start(self, worker: int, item: WorkItem) -> None: ...  # noqa: D102
    def stop(self, number: int) -> None: ...  # noqa: D102
    def wait(self, seconds: float) -> list[Event]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    @property
    def running(self) -> list[WorkItem]: ...  # noqa: D102


def workers_for(plan: Plan, jobs: int | None, ray: str | None) -> Workers:
    """Return threads of this process, or the workers of a Ray cluster."""
    if ray is not None:
        from inkdigits.sweep.ray_workers import RayWorkers

        return RayWorkers(ray, jobs, plan.part, plan.validation)
    return ThreadWorkers(max(1, min(jobs or cores(), plan.n_runs)), plan.part, plan.validation)


def run_jobs(plan: Plan, store: JobStore, workers: Workers, show: Display, on_job: OnJob | None = None) -> list[Job]:
    """Train what is left of the plan and return all jobs."""
    scheduler = Scheduler(plan, store, workers)
    while True:
        scheduler.assign()
        jobs = store.jobs()
        if not workers.running:
            return jobs
        show.update(jobs, workers.running)
        for event in workers.wait(WAIT_S):
            if event.error is not None:
                raise event.error
            if event.outcome is None:
                scheduler.after_epoch(event)
                show.epoch(event)
                continue
            store.finish(event.item.job, event.outcome)
            job = dataclasses.replace(event.item.job, outcome=event.outcome)
            show.done(job)
            if on_job:
                on_job(job, event.item.recipe)


class Scheduler:
    """Which worker trains what next.

    Args:
        plan: what is to be done; a search of a small space finds that there is less.
        store: what is done.
        workers: that train.
    """

    def __init__(self, plan: Plan, store: JobStore, workers: Workers) -> None:
        self.plan, self._store, self._workers = plan, store, workers
        self._checker = Checker(plan.base, len(plan.part.class_names))

    def assign(self) -> None:
        """Give a job to each free worker, as long as there are any."""
        while (worker := self._workers.free()) is not None:
            # Proposals first: if the last of them cannot be trained, the search is over, and its best are wanted.
            item = self._proposed() or self._wanted(worker)
            if item is None:
                return
            self._workers.start(worker, item)

    def _wanted(self, worker: int) -> WorkItem | None:
        """Return, of the jobs that the plan names and nobody has started, the one this worker trains best."""
        jobs = self._store.jobs()
        taken = {job.key for job in jobs if job.outcome or job.state == "RUNNING"}
        preference = self._workers.preference(worker)
        named = [
            (settings, seed, self.plan.recipe(settings))
            for settings, seed in self.plan.wanted(jobs)
            if key_of(settings, seed) not in taken
        ]
        if not named:
            return None
        settings, seed, recipe = min(named, key=lambda each: preference(each[2], each[1]))
        return WorkItem(self._store.start(settings, seed), recipe)

    def _proposed(self) -> WorkItem | None:
        """Return a job of the search's choice, one that can be trained and is not done, if more are wanted."""
        if self.plan.n_search is None:
            return None
        repeats = 0
        while (n_tried := sum(job.seed == 0 for job in self._store.jobs())) < self.plan.n_search:
            job = self._store.propose(0)
            if job is None:
                repeats += 1
                if repeats == MAX_REPEATS:
                    self.plan = dataclasses.replace(self.plan, n_search=n_tried)
                continue
            reason = self._checker.reason_against(job.settings)
            if reason is None:
                return WorkItem(job, self.plan.recipe(job.settings))
            self._store.finish(job, Outcome(None, None, [], 0.0, reason))
            repeats = 0
        return None

    def after_epoch(self, event: Event) -> None:
        """Stop a job of a search that falls behind."""
        job = event.item.job
        if self.plan.n_search is None or job.seed != 0:
            return
        if self._store.report(job, event.epoch, event.accuracy) and event.epoch < event.item.recipe.epochs:
            self._workers.stop(job.number)
