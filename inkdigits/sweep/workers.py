"""Those who train the jobs of a sweep on this machine: threads, each with nets that it uses again.

Compiling the epoch of a small net costs more than running it. Nets whose compiled call would be the same (they
differ by seed, learning rate or epochs alone) use one: all that a step depends on, weights, optimizer and random
states, is set to what a fresh net has. And a training of ten epochs goes on from one of five where five are its
first half. Both end with the same bits as a training alone (`tests/test_trainers.py` holds it).
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

from inkdigits.data.splits import Split
from inkdigits.errors import TrainingError
from inkdigits.sweep.study import Job, Outcome
from inkdigits.training import loop, networks
from inkdigits.training.epochs import epochs_of, examples_per_epoch
from inkdigits.training.recipes import Recipe

# Nets that a thread keeps with what was compiled for them; some MB each.
N_KEPT = 4
PREDICTED_AT_ONCE = 1000

# One at a time may draw first weights: Keras's random numbers are the process's.
BUILDING = threading.Lock()


@dataclass(frozen=True)
class WorkItem:
    """A job and all it needs besides the data.

    Attributes:
        job: which one.
        recipe: all its hyperparameters.
    """

    job: Job
    recipe: Recipe


class Stopped(Exception):
    """A training that is to end: it does worse than the others, or Ctrl-C."""


# Told the job's number, the epoch and the validation accuracy after it; raises Stopped.
EpochCallback = Callable[[int, int, float], None]


def compiled_as(recipe: Recipe) -> Recipe:
    """Return a recipe that is equal for two of which one net and its compiled epoch can do for both."""
    same = replace(recipe, validation=0)
    if recipe.schedule == "constant":
        # Such a learning rate is a variable of the optimizer; a schedule's numbers are part of what is compiled.
        same = replace(same, learning_rate=None, epochs=1)
    return same


def begins_as(recipe: Recipe) -> Recipe | None:
    """Return a recipe that is equal for two of which the shorter is the first part of the longer; None where none is.

    A schedule, an average or composed data depend on how many epochs there will be, or are not worth the care.
    """
    if recipe.schedule != "constant" or recipe.ema or recipe.composed:
        return None
    return replace(recipe, epochs=1, validation=0)


@dataclass
class CompiledNetwork:
    """A net with what was compiled for it, and how far it is trained.

    Attributes:
        model: compiled; its state is that after `history`.
        runner: its compiled epoch.
        recipe: with which it was trained last.
        seed: and from which seed.
        history: of that training; None where it was broken off.
    """

    model: keras.Model
    runner: loop.Runner
    recipe: Recipe
    seed: int
    history: loop.History | None = None


class Trainer:
    """Trains one job after the other, with nets used again.

    Args:
        part: what to learn from.
        validation: what to judge on.
    """

    def __init__(self, part: Split, validation: Split) -> None:
        self._part, self._validation = part, validation
        self._nets: OrderedDict[Recipe, CompiledNetwork] = OrderedDict()

    def train(self, order: WorkItem, report: EpochCallback) -> Outcome:
        """Return what a job's training finds.

        Raises:
            Stopped: what `report` says.
        """
        start = time.perf_counter()
        net = self._net_for(order.recipe, order.job.seed)
        behind, right = net.history or [], np.zeros(0, bool)

        def on_epoch(history: loop.History) -> None:
            nonlocal right
            right = self.answers(net.model, order.recipe) == self._validation.labels
            history[-1]["val_accuracy"] = float(right.mean())
            report(order.job.number, len(history), history[-1]["val_accuracy"])

        for row in behind:
            report(order.job.number, int(row["epoch"]), row["val_accuracy"])
        net.history = None
        try:
            history = self._fit(net, order, behind, on_epoch)
        except TrainingError as error:
            return Outcome(None, None, [], time.perf_counter() - start, str(error))
        net.history = [dict(row) for row in history]
        return Outcome(float(right.mean()), right, history, time.perf_counter() - start)

    def _fit(
        self, net: CompiledNetwork, order: WorkItem, behind: loop.History, on_epoch: Callable[[loop.History], None]
    ) -> loop.History:
        recipe, seed = order.recipe, order.job.seed
        with epochs_of(self._part, recipe, seed) as source:
            return loop.fit(
                net.model,
                recipe,
                source,
                seed=seed,
                on_epoch=on_epoch,
                progress=False,
                runner=net.runner,
                behind=behind,
            )

    def answers(self, model: keras.Model, recipe: Recipe) -> np.ndarray:
        """Return int (N,), the model's answers to the validation images: the likeliest digit."""
        images, n_classes = self._validation.images, len(self._part.class_names)
        with loop.averaged(model) if recipe.ema else nullcontext():
            parts = [
                model.predict_on_batch(images[first : first + PREDICTED_AT_ONCE])[:, :n_classes].argmax(axis=1)
                for first in range(0, len(images), PREDICTED_AT_ONCE)
            ]
        return np.concatenate(parts)

    def _net_for(self, recipe: Recipe, seed: int) -> CompiledNetwork:
        """Return a net ready to train: fresh, made as good as fresh, or one that has the first epochs behind it."""
        net = self._nets.get(compiled_as(recipe))
        if net is not None and goes_on(net, recipe, seed):
            net.recipe = recipe
            return net
        with BUILDING:
            n_images = examples_per_epoch(self._part, recipe)
            fresh = networks.build(recipe, seed, len(self._part.class_names))
            loop.prepare(fresh, recipe, -(-n_images // recipe.batch_size))
            if net is None or keras.backend.backend() != "tensorflow":
                net = CompiledNetwork(fresh, loop.runner_for(fresh, recipe.batch_size, n_images), recipe, seed)
            else:
                for variable, value in zip(loop.state_of(net.model), loop.state_of(fresh), strict=True):
                    variable.assign(value)
                net = replace(net, recipe=recipe, seed=seed, history=None)
        self._nets[compiled_as(recipe)] = net
        self._nets.move_to_end(compiled_as(recipe))
        if len(self._nets) > N_KEPT:
            self._nets.popitem(last=False)
        return net


def goes_on(net: CompiledNetwork, recipe: Recipe, seed: int) -> bool:
    """Has the net the first epochs of this training behind it, and nothing else?"""
    if not net.history or net.seed != seed or len(net.history) >= recipe.epochs:
        return False
    return begins_as(recipe) is not None and begins_as(recipe) == begins_as(net.recipe)


@dataclass(frozen=True)
class Event:
    """Something a crew has to tell: an epoch done, or (with an outcome or an error) the job.

    Attributes:
        order: of which job.
        epoch: that was done.
        accuracy: on the validation images, after it.
        outcome: of the job, at its end.
        error: what nobody foresaw.
    """

    order: WorkItem
    epoch: int = 0
    accuracy: float = 0.0
    outcome: Outcome | None = None
    error: BaseException | None = None


class ThreadWorkers:
    """A crew of threads of this process: TensorFlow is imported once, and runs outside Python's one lock.

    Args:
        n: how many.
        part: what to learn from.
        validation: what to judge on.
    """

    def __init__(self, n: int, part: Split, validation: Split) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._orders: list[queue.SimpleQueue[WorkItem | None]] = [queue.SimpleQueue() for _ in range(n)]
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
        return [order for order in self._running.values() if order is not None]

    def free(self) -> int | None:
        """Return a place where nobody is at work, if there is one."""
        return next((place for place, order in self._running.items() if order is None), None)

    def liking(self, place: int) -> Callable[[WorkItem], Any]:
        """Return what a place would rather do next, as a key to sort by: what it has compiled, what nobody else has."""
        last = self._last[place]
        others = {compiled_as(order.recipe) for i, order in self._last.items() if order and i != place}

        def key(order: WorkItem) -> tuple[bool, bool, bool, int]:
            same = last is not None and compiled_as(order.recipe) == compiled_as(last.recipe)
            begun = same and last is not None and order.job.seed == last.job.seed
            goes_on = begun and last is not None and begins_as(order.recipe) == begins_as(last.recipe)
            return not goes_on, not same, compiled_as(order.recipe) in others, order.job.number

        return key

    def start(self, place: int, order: WorkItem) -> None:
        """Have a job trained."""
        self._running[place] = self._last[place] = order
        self._orders[place].put(order)

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
                place = next(i for i, order in self._running.items() if order is event.order)
                self._running[place] = None
        return events

    def close(self) -> None:
        """End all jobs after their epochs and wait for that."""
        self._stop |= {order.job.number for order in self.running}
        for orders in self._orders:
            orders.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, place: int) -> None:
        bench = Trainer(self._part, self._validation)
        while (order := self._orders[place].get()) is not None:
            self._events.put(self._do(bench, order))

    def _do(self, bench: Trainer, order: WorkItem) -> Event:
        rows: list[dict[str, float]] = []
        start = time.perf_counter()

        def report(number: int, epoch: int, accuracy: float) -> None:
            rows.append({"epoch": epoch, "val_accuracy": accuracy})
            self._events.put(Event(order, epoch, accuracy))
            if number in self._stop:
                raise Stopped

        try:
            return Event(order, outcome=bench.train(order, report))
        except Stopped:
            return Event(order, outcome=Outcome(None, None, rows, time.perf_counter() - start, pruned=True))
        except Exception as error:  # told to the one who waits, in whose thread it is raised
            return Event(order, error=error)


def by_share(orders: Sequence[WorkItem]) -> list[WorkItem]:
    """Return the orders so that those that can share what is compiled, and what is trained, follow each other."""
    ranks: dict[Recipe, int] = {}
    for order in orders:
        ranks.setdefault(compiled_as(order.recipe), len(ranks))

    def key(order: WorkItem) -> tuple[int, int, float, int]:
        rate = order.recipe.learning_rate or 0.0
        return ranks[compiled_as(order.recipe)], order.job.seed, rate, order.recipe.epochs

    return sorted(orders, key=key)
