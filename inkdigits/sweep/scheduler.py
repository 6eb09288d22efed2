"""Gives a sweep's jobs to workers and keeps what comes back."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from inkdigits.machine import cores
from inkdigits.sweep.display import Display, OnJob
from inkdigits.sweep.plan import MOST_REPEATS, Plan
from inkdigits.sweep.space import Checker
from inkdigits.sweep.study import Job, JobStore, Outcome, key_of
from inkdigits.sweep.workers import Event, ThreadWorkers, WorkItem

# How often the database is asked what other processes have done.
LOOK_S = 1.0


class Workers(Protocol):
    """Those who train: threads of this process, or workers of a Ray cluster."""

    def free(self) -> int | None: ...  # noqa: D102
    def liking(self, place: int) -> Callable[[WorkItem], Any]: ...  # noqa: D102
    def start(self, place: int, order: WorkItem) -> None: ...  # noqa: D102
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


def run_jobs(plan: Plan, ledger: JobStore, crew: Workers, show: "Display", on_job: OnJob | None = None) -> list[Job]:
    """Do what is left of the plan, together with whoever works on the same study, and return all jobs."""
    shift = Scheduler(plan, ledger, crew)
    looked, jobs = 0.0, ledger.jobs()
    while True:
        if time.monotonic() - looked > LOOK_S:
            ledger.revive()
            ledger.add(plan.wanted(ledger.jobs()))
            jobs, looked = ledger.jobs(), time.monotonic()
        plan = shift.plan
        if shift.is_over(jobs):
            return jobs
        if shift.assign(jobs):
            jobs = ledger.jobs()
        show.update(jobs, crew.running)
        for event in crew.wait(LOOK_S / 4):
            if event.error is not None:
                raise event.error
            if event.outcome is None:
                shift.after_epoch(event)
                show.epoch(event)
            elif ledger.finish(event.order.job, event.outcome):
                job = dataclasses.replace(event.order.job, outcome=event.outcome)
                show.done(job)
                if on_job:
                    on_job(job, event.order.recipe)
                looked = 0.0


class Scheduler:
    """Who does what next.

    Args:
        plan: what is to be done; a search of a small space finds that there is less.
        ledger: what is done.
        crew: who does it.
    """

    def __init__(self, plan: Plan, ledger: JobStore, crew: Workers) -> None:
        self.plan, self._ledger, self._crew = plan, ledger, crew
        self._checker = Checker(plan.base, len(plan.part.class_names))
        self._repeats = 0

    def is_over(self, jobs: Sequence[Job]) -> bool:
        """Is everything done that was wanted?"""
        plan, done = self.plan, {job.key for job in jobs if job.outcome}
        if self._crew.running or (plan.n_search is not None and not plan.search_is_over(jobs)):
            return False
        return {key_of(*each) for each in plan.wanted(jobs)} <= done

    def assign(self, jobs: Sequence[Job]) -> bool:
        """Give work to whoever is free; True if somebody got some."""
        started = False
        while (place := self._crew.free()) is not None:
            order = self._claimed(place, jobs) or self._proposed(jobs)
            if order is None:
                return started
            self._crew.start(place, order)
            started, jobs = True, self._ledger.jobs()
        return started

    def _claimed(self, place: int, jobs: Sequence[Job]) -> WorkItem | None:
        wanted = {key_of(*each) for each in self.plan.wanted(jobs)}
        orders = [
            WorkItem(job, self.plan.recipe(job.settings))
            for job in jobs
            if job.state == "WAITING" and (job.key in wanted or self.plan.n_search is not None)
        ]
        for order in sorted(orders, key=self._crew.liking(place)):
            if self._ledger.claim(order.job):
                return order
        return None

    def _proposed(self, jobs: Sequence[Job]) -> WorkItem | None:
        """Return a job of the search's choice, one that can be trained and is not done, if more are wanted."""
        keys = {job.key for job in jobs if job.seed == 0}
        while self.plan.n_search is not None and len(keys) < self.plan.n_search:
            job = self._ledger.propose(0)
            if job.key in keys:
                self._ledger.give_up(job, again=False)
                self._repeats += 1
                if self._repeats == MOST_REPEATS:
                    self.plan = dataclasses.replace(self.plan, n_search=len(keys))
                continue
            self._repeats = 0
            reason = self._checker.reason_against(job.settings)
            if reason is None:
                return WorkItem(job, self.plan.recipe(job.settings))
            self._ledger.finish(job, Outcome(None, None, [], 0.0, reason))
            keys.add(job.key)
        return None

    def after_epoch(self, event: Event) -> None:
        """Stop a job of a search that falls behind."""
        job = event.order.job
        if self.plan.n_search is None or job.seed != 0:
            return
        if self._ledger.report(job, event.epoch, event.accuracy) and event.epoch < event.order.recipe.epochs:
            self._crew.stop(job.number)
