"""Train the jobs of a sweep on a Ray cluster: each is a task, which Ray runs again when its worker is lost.

Only the sweep's own process knows the database, so that the rules of `study.py` hold as they do without Ray. Workers
report their epochs to an actor beside that process, which answers whether to go on.
"""

import itertools
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from inkdigits.data.splits import Split
from inkdigits.errors import InkdigitsError, RunError
from inkdigits.machine import connect_ray
from inkdigits.sweep.study import Outcome
from inkdigits.sweep.workers import Event, Stopped, Trainer, WorkItem
from inkdigits.training.recipes import Recipe

# A task that has lost so many workers probably kills them itself, by the memory it takes say.
MAX_RETRIES = 5
VERSIONED = ("inkdigits", "keras", "tensorflow", "tensorflow-cpu")
# A worker's trainer lives as long as its process: TensorFlow is imported and networks compiled once, not once a task.
TRAINERS: dict[str, Trainer] = {}


class ProgressActor:
    """Where workers report their epochs; an actor beside the sweep's process."""

    def __init__(self) -> None:
        self._new: list[tuple[int, int, float]] = []
        self._epochs: dict[int, int] = {}
        self._stop: set[int] = set()

    def report(self, number: int, epoch: int, accuracy: float) -> bool:
        """Note an epoch of a job; return whether to stop the job."""
        # A training that is run again, for its worker was lost, repeats epochs.
        if epoch > self._epochs.get(number, 0):
            self._epochs[number] = epoch
            self._new.append((number, epoch, accuracy))
        return number in self._stop

    def take(self) -> list[tuple[int, int, float]]:
        """Return what is new: number, epoch, accuracy."""
        new, self._new = self._new, []
        return new

    def stop(self, number: int) -> None:
        """Stop a job after the epoch it is in."""
        self._stop.add(number)


def train_on_worker(item: WorkItem, part: Split, validation: Split, progress: Any, versions: dict[str, str]) -> Outcome:
    """Train a job in a worker's process; runs there."""
    import ray

    from inkdigits.training.train import versions as own_versions

    own = {name: version for name, version in own_versions().items() if name in VERSIONED}
    if own != versions:
        raise InkdigitsError(f"a Ray worker has other versions than this machine: {own}, not {versions}")
    start, rows = time.perf_counter(), []

    def report(number: int, epoch: int, accuracy: float) -> None:
        rows.append({"epoch": float(epoch), "val_accuracy": accuracy})
        if ray.get(progress.report.remote(number, epoch, accuracy)):
            raise Stopped

    key = f"{part.sha256} {len(part)} {len(validation)}"
    trainer = TRAINERS.setdefault(key, Trainer(part, validation))
    try:
        return trainer.train(item, report)
    except Stopped:
        return Outcome(None, None, rows, time.perf_counter() - start, pruned=True)


class RayWorkers:
    """Workers of a Ray cluster, one for each of its cores.

    Args:
        address: of the cluster, "auto" for the one this machine belongs to, "local" for a new one on this machine.
        jobs: trainings at a time; None: as many as the cluster has cores, those that join later too.
        part: what to learn from.
        validation: what to evaluate on.

    Raises:
        InkdigitsError: Ray is missing, or there is no cluster at the address.
    """

    def __init__(self, address: str, jobs: int | None, part: Split, validation: Split) -> None:
        self._connection = ExitStack()
        # What TensorFlow prints in the workers is not for the terminal of the sweep.
        self._ray = self._connection.enter_context(connect_ray(address, environment={"TF_CPP_MIN_LOG_LEVEL": "3"}))
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from inkdigits.training.train import versions

        self._jobs = jobs
        self._versions = {name: version for name, version in versions().items() if name in VERSIONED}
        here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        self._progress = self._ray.remote(ProgressActor).options(num_cpus=0, scheduling_strategy=here).remote()
        self._data = [self._ray.put(split) for split in (part, validation)]
        self._task = self._ray.remote(train_on_worker).options(num_cpus=1, max_retries=MAX_RETRIES)
        self._items: dict[Any, WorkItem] = {}
        self._numbers = itertools.count()

    @property
    def running(self) -> list[WorkItem]:
        """What is being trained, or waits for a worker."""
        return list(self._items.values())

    def free(self) -> int | None:
        """Return a number for one more job, if there is a core for it."""
        n = self._jobs or int(self._ray.cluster_resources().get("CPU", 0))
        return next(self._numbers) if len(self._items) < max(1, n) else None

    def preference(self, worker: int) -> Callable[[Recipe, int], Any]:
        """Return a key that leaves jobs in their order: nobody knows which worker Ray will choose."""
        return lambda recipe, seed: 0

    def start(self, worker: int, item: WorkItem) -> None:
        """Train a job."""
        self._items[self._task.remote(item, *self._data, self._progress, self._versions)] = item

    def stop(self, number: int) -> None:
        """End a job after the epoch it is in."""
        self._progress.stop.remote(number)

    def wait(self, seconds: float) -> list[Event]:
        """Return what has happened, at once or after so long."""
        ready, _ = self._ray.wait(list(self._items), timeout=seconds) if self._items else ([], [])
        if not self._items:
            time.sleep(seconds)
        items = {item.job.number: item for item in self.running}
        new = self._ray.get(self._progress.take.remote())
        events = [Event(items[number], epoch, accuracy) for number, epoch, accuracy in new if number in items]
        return events + [self._outcome(reference) for reference in ready]

    def _outcome(self, reference: Any) -> Event:
        item = self._items.pop(reference)
        try:
            return Event(item, outcome=self._ray.get(reference))
        except self._ray.exceptions.RayTaskError as error:
            return Event(item, error=error.cause if isinstance(error.cause, InkdigitsError) else error)
        except self._ray.exceptions.RayError as error:
            lost = (
                f"a training lost its Ray worker {MAX_RETRIES + 1} times ({type(error).__name__}): too little memory?"
            )
            return Event(item, error=RunError(lost))

    def close(self) -> None:
        """End all jobs and leave the cluster."""
        for reference in self._items:
            self._ray.cancel(reference, force=True)
        self._connection.close()
