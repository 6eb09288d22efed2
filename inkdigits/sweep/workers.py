"""Train the jobs of a sweep on this machine: threads, each with networks that it uses again.

Compiling the epoch of a small network costs more than running it. Networks whose compiled call would be the same (they
differ by seed, learning rate or epochs alone) share one: all that a step depends on, weights, optimizer and random
states, is set to what a fresh network has. And a training of ten epochs continues one of five where five are its
first half. Both end with the same bits as a training alone (`tests/sweep/test_workers.py` holds it).
"""

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from inkdigits.arrays import Labels
from inkdigits.data.splits import Split
from inkdigits.errors import TrainingError
from inkdigits.sweep.space import Combination
from inkdigits.sweep.study import Job, Outcome
from inkdigits.training import loop, networks
from inkdigits.training.epochs import epochs_of, examples_per_epoch
from inkdigits.training.recipes import Recipe

# Networks that a thread keeps with what was compiled for them; some MB each.
N_KEPT = 4
PREDICTION_BATCH = 1000

# One thread at a time may draw first weights: Keras's random numbers are the process's.
BUILDING = threading.Lock()


@dataclass(frozen=True)
class WorkItem:
    """A job and all that its training needs besides the data.

    Attributes:
        job: which one.
        recipe: all its hyperparameters.
    """

    job: Job
    recipe: Recipe


class Stopped(Exception):
    """Ends a training that does worse than the others, or at Ctrl-C."""


# Takes the job's number, the epoch and the validation accuracy after it; raises Stopped.
EpochCallback = Callable[[int, int, float], None]


def compiled_as(recipe: Recipe) -> Recipe:
    """Return a recipe that is equal for two which can share one network and its compiled epoch."""
    same = replace(recipe, validation=0)
    if recipe.schedule == "constant":
        # Such a learning rate is a variable of the optimizer; a schedule's numbers are part of what is compiled.
        same = replace(same, learning_rate=None, epochs=1)
    return same


def begins_as(recipe: Recipe) -> Recipe | None:
    """Return a recipe that is equal for two of which the shorter is the first part of the longer; None where none is.

    A schedule, an average or synthetic data depend on how many epochs there will be, or are not worth the care.
    """
    if recipe.schedule != "constant" or recipe.ema or recipe.composed:
        return None
    return replace(recipe, epochs=1, validation=0)


@dataclass
class CompiledNetwork:
    """A network with what was compiled for it, and how far it is trained.

    Attributes:
        model: compiled; its state is that after `history`.
        runner: its compiled epoch.
        recipe: of its last training.
        seed: of its last training.
        history: of its last training; None where that was interrupted.
    """

    model: keras.Model
    runner: loop.Runner
    recipe: Recipe
    seed: int
    history: loop.History | None = None


class Trainer:
    """Trains one job after the other, with networks used again.

    Args:
        part: what to learn from.
        validation: what to evaluate on.
    """

    def __init__(self, part: Split, validation: Split) -> None:
        self._part, self._validation = part, validation
        self._networks: OrderedDict[Recipe, CompiledNetwork] = OrderedDict()

    def train(self, item: WorkItem, report: EpochCallback) -> Outcome:
        """Return what a job's training finds.

        Raises:
            Stopped: what `report` says.
        """
        start = time.perf_counter()
        network = self._network_for(item.recipe, item.job.seed)
        behind, right = network.history or [], np.zeros(0, bool)

        def on_epoch(history: loop.History) -> None:
            nonlocal right
            right = self.answers(network.model, item.recipe) == self._validation.labels
            history[-1]["val_accuracy"] = float(right.mean())
            report(item.job.number, len(history), history[-1]["val_accuracy"])

        for row in behind:
            report(item.job.number, int(row["epoch"]), row["val_accuracy"])
        network.history = None
        try:
            history = self._fit(network, item, behind, on_epoch)
        except TrainingError as error:
            return Outcome(None, None, [], time.perf_counter() - start, str(error))
        network.history = [dict(row) for row in history]
        return Outcome(float(right.mean()), right, history, time.perf_counter() - start)

    def _fit(
        self, network: CompiledNetwork, item: WorkItem, behind: loop.History, on_epoch: Callable[[loop.History], None]
    ) -> loop.History:
        recipe, seed = item.recipe, item.job.seed
        with epochs_of(self._part, recipe, seed) as source:
            return loop.fit(
                network.model,
                recipe,
                source,
                seed=seed,
                on_epoch=on_epoch,
                progress=False,
                runner=network.runner,
                behind=behind,
            )

    def answers(self, model: keras.Model, recipe: Recipe) -> Labels:
        """Return int64 (N,), the likeliest digit of each validation image."""
        images, n_classes = self._validation.images, len(self._part.class_names)
        with loop.averaged(model) if recipe.ema else nullcontext():
            parts = [
                model.predict_on_batch(images[first : first + PREDICTION_BATCH])[:, :n_classes].argmax(axis=1)
                for first in range(0, len(images), PREDICTION_BATCH)
            ]
        return np.concatenate(parts)

    def _network_for(self, recipe: Recipe, seed: int) -> CompiledNetwork:
        """Return a network ready to train: fresh, reset to fresh, or one that has the first epochs done."""
        network = self._networks.get(compiled_as(recipe))
        if network is not None and goes_on(network, recipe, seed):
            network.recipe = recipe
            return network
        with BUILDING:
            n_images = examples_per_epoch(self._part, recipe)
            fresh = networks.build(recipe, seed, len(self._part.class_names))
            loop.prepare(fresh, recipe, -(-n_images // recipe.batch_size))
            if network is None or keras.backend.backend() != "tensorflow":
                network = CompiledNetwork(fresh, loop.runner_for(fresh, recipe.batch_size, n_images), recipe, seed)
            else:
                for variable, value in zip(loop.state_of(network.model), loop.state_of(fresh), strict=True):
                    variable.assign(value)
                network = replace(network, recipe=recipe, seed=seed, history=None)
        self._networks[compiled_as(recipe)] = network
        self._networks.move_to_end(compiled_as(recipe))
        if len(self._networks) > N_KEPT:
            self._networks.popitem(last=False)
        return network


def goes_on(network: CompiledNetwork, recipe: Recipe, seed: int) -> bool:
    """Has the network done the first epochs of this training, and nothing else?"""
    if not network.history or network.seed != seed or len(network.history) >= recipe.epochs:
        return False
    return begins_as(recipe) is not None and begins_as(recipe) == begins_as(network.recipe)


@dataclass(frozen=True)
class Event:
    """News of a training: an epoch is done, or (with an outcome or an error) the job is.

    Attributes:
        item: of which job.
        epoch: that was done.
        accuracy: on the validation images, after it.
        outcome: of the job, at its end.
        error: an unexpected one, which ends the sweep.
    """

    item: WorkItem
    epoch: int = 0
    accuracy: float = 0.0
    outcome: Outcome | None = None
    error: BaseException | None = None


class ThreadWorkers:
    """Threads of this process: TensorFlow is imported once, and runs outside Python's global lock.

    Args:
        n: how many.
        part: what to learn from.
        validation: what to evaluate on.
    """

    def __init__(self, n: int, part: Split, validation: Split) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._queues: list[queue.SimpleQueue[WorkItem | None]] = [queue.SimpleQueue() for _ in range(n)]
        self._running: dict[int, WorkItem | None] = dict.fromkeys(range(n))
        self._last: dict[int, WorkItem | None] = dict.fromkeys(range(n))
        self._stop: set[int] = set()
        self._part, self._validation = part, validation
        self._threads = [threading.Thread(target=self._work, args=(i,), daemon=True) for i in range(n)]
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> list[WorkItem]:
        """What is being trained."""
        return [item for item in self._running.values() if item is not None]

    def free(self) -> int | None:
        """Return the number of a thread that trains nothing, if there is one."""
        return next((worker for worker, item in self._running.items() if item is None), None)

    def preference(self, worker: int) -> Callable[[Recipe, int], Any]:
        """Return a key for recipe and seed, lowest for what a thread should train next.

        First what it has begun, then what it has compiled, then what no other thread has compiled.
        """
        last = self._last[worker]
        others = {compiled_as(item.recipe) for i, item in self._last.items() if item and i != worker}

        def key(recipe: Recipe, seed: int) -> tuple[bool, bool, bool]:
            same = last is not None and compiled_as(recipe) == compiled_as(last.recipe)
            begun = same and last is not None and seed == last.job.seed
            goes_on = begun and last is not None and begins_as(recipe) == begins_as(last.recipe)
            return not goes_on, not same, compiled_as(recipe) in others

        return key

    def start(self, worker: int, item: WorkItem) -> None:
        """Train a job."""
        self._running[worker] = self._last[worker] = item
        self._queues[worker].put(item)

    def stop(self, number: int) -> None:
        """End a job after the epoch it is in."""
        self._stop.add(number)

    def wait(self, seconds: float) -> list[Event]:
        """Return what has happened, at once or after so long."""
        events: list[Event] = []
        try:
            events.append(self._events.get(timeout=seconds))
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            pass
        for event in events:
            if event.outcome or event.error:
                worker = next(i for i, item in self._running.items() if item is event.item)
                self._running[worker] = None
        return events

    def close(self) -> None:
        """End all jobs after their epochs and wait for that."""
        self._stop |= {item.job.number for item in self.running}
        for items in self._queues:
            items.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, worker: int) -> None:
        trainer = Trainer(self._part, self._validation)
        while (item := self._queues[worker].get()) is not None:
            self._events.put(self._do(trainer, item))

    def _do(self, trainer: Trainer, item: WorkItem) -> Event:
        rows: list[dict[str, float]] = []
        start = time.perf_counter()

        def report(number: int, epoch: int, accuracy: float) -> None:
            rows.append({"epoch": epoch, "val_accuracy": accuracy})
            self._events.put(Event(item, epoch, accuracy))
            if number in self._stop:
                raise Stopped

        try:
            return Event(item, outcome=trainer.train(item, report))
        except Stopped:
            return Event(item, outcome=Outcome(None, None, rows, time.perf_counter() - start, pruned=True))
        except Exception as error:  # raised in the thread that waits
            return Event(item, error=error)


def by_share(trainings: Sequence[tuple[Combination, int]]) -> list[tuple[Combination, int]]:
    """Return combinations and seeds in an order where those that share what is compiled, or trained, are neighbours."""
    ranks: dict[Recipe, int] = {}
    for each, _ in trainings:
        ranks.setdefault(compiled_as(each.recipe), len(ranks))

    def key(training: tuple[Combination, int]) -> tuple[int, int, float, int]:
        recipe, seed = training[0].recipe, training[1]
        return ranks[compiled_as(recipe)], seed, recipe.learning_rate or 0.0, recipe.epochs

    return sorted(trainings, key=key)
