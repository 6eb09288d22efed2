"""A crew on a Ray cluster: each job of a sweep is a task, and a task whose worker is lost is run again by Ray.

The sweep's own process alone knows the database, so that the rules of `study.py` hold as they do without Ray. Workers
tell their epochs to an actor beside that process, which answers whether to go on.
"""

import itertools
import time
from collections.abc import Callable
from typing import Any

from inkdigits.data.splits import Split
from inkdigits.errors import InkdigitsError, RunError
from inkdigits.machine import knock, load_ray
from inkdigits.sweep.study import Outcome
from inkdigits.sweep.workers import Event, Stopped, Trainer, WorkItem

# A task that has lost so many workers probably kills them itself, by the memory it takes say.
MOST_LOST = 5
VERSIONED = ("inkdigits", "keras", "tensorflow", "tensorflow-cpu")
# A worker's bench lives as long as its process: TensorFlow is imported and nets are compiled once, not once a task.
TRAINERS: dict[str, Trainer] = {}


class ProgressActor:
    """Where workers write their epochs; an actor beside the sweep's process."""

    def __init__(self) -> None:
        self._notes: list[tuple[int, int, float]] = []
        self._stop: set[int] = set()

    def note(self, number: int, epoch: int, accuracy: float) -> bool:
        """Write an epoch down; True if the job is to be stopped."""
        self._notes.append((number, epoch, accuracy))
        return number in self._stop

    def take(self) -> list[tuple[int, int, float]]:
        """Return what is new."""
        notes, self._notes = self._notes, []
        return notes

    def stop(self, numbers: list[int]) -> None:
        """Have jobs stopped after the epochs they are in."""
        self._stop |= set(numbers)


def train_on_worker(order: WorkItem, part: Split, validation: Split, board: Any, versions: dict[str, str]) -> Outcome:
    """Train a job in a worker's process; runs there."""
    import ray

    from inkdigits.training.train import versions as own_versions

    own = {name: version for name, version in own_versions().items() if name in VERSIONED}
    if own != versions:
        raise InkdigitsError(f"a Ray worker has other versions than this machine: {own}, not {versions}")
    start, rows = time.perf_counter(), []

    def report(number: int, epoch: int, accuracy: float) -> None:
        rows.append({"epoch": float(epoch), "val_accuracy": accuracy})
        if ray.get(board.note.remote(number, epoch, accuracy)):
            raise Stopped

    key = f"{part.sha256} {len(part)} {len(validation)}"
    bench = TRAINERS.setdefault(key, Trainer(part, validation))
    try:
        return bench.train(order, report)
    except Stopped:
        return Outcome(None, None, rows, time.perf_counter() - start, pruned=True)


class RayWorkers:
    """A crew of Ray workers, one for each core of the cluster.

    Args:
        address: of the cluster, "auto" for the one this machine belongs to, "local" for a new one on this machine.
        jobs: trainings at a time; None: as many as the cluster has cores, those that join later too.
        part: what to learn from.
        validation: what to judge on.

    Raises:
        InkdigitsError: Ray is missing.
        RunError: there is no cluster at the address.
    """

    def __init__(self, address: str, jobs: int | None, part: Split, validation: Split) -> None:
        ray = load_ray()
        _join(ray, address)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from inkdigits.training.train import versions

        self._ray, self._jobs = ray, jobs
        self._versions = {name: version for name, version in versions().items() if name in VERSIONED}
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(ProgressActor).options(num_cpus=0, scheduling_strategy=here).remote()
        self._data = [ray.put(split) for split in (part, validation)]
        self._task = ray.remote(train_on_worker).options(num_cpus=1, max_retries=MOST_LOST)
        self._orders: dict[Any, WorkItem] = {}
        self._places = itertools.count()

    @property
    def running(self) -> list[WorkItem]:
        """What is being trained, or waits for a worker."""
        return list(self._orders.values())

    def free(self) -> int | None:
        """Return a number for one more job, if there is a core for it."""
        n = self._jobs or int(self._ray.cluster_resources().get("CPU", 0))
        return next(self._places) if len(self._orders) < max(1, n) else None

    def liking(self, place: int) -> Callable[[WorkItem], Any]:
        """Return a key to sort by: the first comes first, for nobody knows which worker Ray will choose."""
        return lambda order: order.job.number

    def start(self, place: int, order: WorkItem) -> None:
        """Have a job trained."""
        self._orders[self._task.remote(order, *self._data, self._board, self._versions)] = order

    def stop(self, number: int) -> None:
        """End a job after the epoch it is in."""
        self._board.stop.remote([number])

    def wait(self, seconds: float) -> list[Event]:
        """Return what has happened, at once or after so long."""
        ready, _ = self._ray.wait(list(self._orders), timeout=seconds) if self._orders else ([], [])
        if not self._orders:
            time.sleep(seconds)
        orders = {order.job.number: order for order in self.running}
        notes = self._ray.get(self._board.take.remote())
        events = [Event(orders[number], epoch, accuracy) for number, epoch, accuracy in notes if number in orders]
        return events + [self._outcome(reference) for reference in ready]

    def _outcome(self, reference: Any) -> Event:
        order = self._orders.pop(reference)
        try:
            return Event(order, outcome=self._ray.get(reference))
        except self._ray.exceptions.RayTaskError as error:
            return Event(order, error=error.cause if isinstance(error.cause, InkdigitsError) else error)
        except self._ray.exceptions.RayError as error:
            lost = f"a training lost its Ray worker {MOST_LOST + 1} times ({type(error).__name__}): too little memory?"
            return Event(order, error=RunError(lost))

    def close(self) -> None:
        """End all jobs and leave the cluster."""
        for reference in self._orders:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()


def _join(ray: Any, address: str) -> None:
    import logging

    # Workers inherit it; what they print is not for the terminal of the sweep.
    environment = {"env_vars": {"TF_CPP_MIN_LOG_LEVEL": "3"}}
    local = {"include_dashboard": False} if address == "local" else {}
    try:
        knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=environment, **local)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"--ray {address}: no Ray cluster can be used there ({reason})") from None
