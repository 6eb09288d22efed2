"""The jobs of a sweep, kept in an Optuna study: whenever it is killed, nothing is lost and nothing done twice.

A job is one training: settings and a seed. Jobs with equal settings and seed have one key. The rules:

- One process at a time works on a study; `lock.py` sees to that. More machines join through Ray, not through the
  database.
- A job becomes a trial when its training starts, RUNNING until it is COMPLETE or PRUNED.
- What a job found (curve, answers, seconds) is written before its state: a job is finished whole or not at all.
- A trial that is RUNNING or WAITING when the store is opened was left by a process that was killed. It becomes FAIL,
  and a key with no other trial than such is trained again.

Optuna's heartbeat and its retry are not used: they belong to `Study.optimize`, and a heartbeat tells of a dead process
only after a grace period. The lock, which the system takes back, tells it at once.
"""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from inkdigits.arrays import Mask
from inkdigits.errors import RunError, reason
from inkdigits.sweep.space import Configuration, Plain, Range, Space, Values

# A pruner needs some whole trainings to compare with, and the first epoch says too little.
N_UNPRUNED, FIRST_PRUNED_EPOCH = 5, 2
# SQLite lets one process write at a time: sweeps of other studies in the same file wait for it.
BUSY_TIMEOUT_S = 120


@dataclass(frozen=True)
class Outcome:
    """What one training found.

    Attributes:
        accuracy: on the validation images, of the last weights; None where the training failed or was pruned.
        right: bool (N,), which validation images it classifies correctly; None where there is no accuracy.
        history: one row an epoch, "val_accuracy" in each.
        seconds: it took.
        error: one line, where the loss was no longer a number.
        pruned: was it stopped early, being worse than the others?
    """

    accuracy: float | None
    right: Mask | None = field(compare=False)
    history: list[dict[str, float]]
    seconds: float
    error: str | None = None
    pruned: bool = False


@dataclass(frozen=True)
class Job:
    """One training of a sweep: running, finished, or interrupted.

    Attributes:
        number: of the Optuna trial.
        settings: the hyperparameters that were named.
        seed: fixes all else.
        state: "RUNNING", "COMPLETE" or "PRUNED", as Optuna has it; "FAIL" for one that was interrupted.
        outcome: of a finished job.
    """

    number: int
    settings: Configuration = field(hash=False)
    seed: int
    state: str = "RUNNING"
    outcome: Outcome | None = None

    @property
    def key(self) -> str:
        """Equal for equal trainings."""
        return key_of(self.settings, self.seed)


def key_of(settings: Configuration, seed: int) -> str:
    """Return what makes two jobs the same."""
    return json.dumps([sorted(settings.items()), seed])


class JobStore:
    """The jobs of one sweep in a database; for the one process that holds the study's lock.

    Args:
        url: of the database, as Optuna and SQLAlchemy know them: "sqlite:///runs/sweeps.db".
        name: of the study.
        space: what its settings may be.
        facts: kept with the study for whoever opens the database.

    Raises:
        RunError: the database cannot be opened.
    """

    def __init__(self, url: str, name: str, space: Space, facts: Mapping[str, Any]) -> None:
        self.url, self.name = url, name
        self._space = space
        self._running: dict[int, Trial] = {}
        # As the database has them, which nobody else changes: reading it takes some 10 ms.
        self._jobs: dict[str, Job] = {}
        engine = {"connect_args": {"timeout": BUSY_TIMEOUT_S}} if url.startswith("sqlite") else {"pool_pre_ping": True}
        try:
            self._storage = optuna.storages.RDBStorage(url, engine_kwargs=engine)
            self._study = quiet_study(
                storage=self._storage,
                study_name=name,
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(N_UNPRUNED, n_warmup_steps=FIRST_PRUNED_EPOCH),
            )
            self._begin(facts)
        except Exception as error:  # SQLAlchemy's, the database driver's and Optuna's own have no common base
            raise RunError(f"{url}: cannot be opened as a sweep's storage ({reason(error)})") from None

    def _begin(self, facts: Mapping[str, Any]) -> None:
        # A sampler that starts in each process must not draw the same numbers again.
        self._study.sampler = optuna.samplers.TPESampler(seed=len(self._study.get_trials(deepcopy=False)))
        if not self._study.user_attrs:
            for key, value in facts.items():
                self._study.set_user_attr(key, value)
        self._fail_interrupted()
        for trial in self._study.get_trials(deepcopy=False):
            if "key" in trial.user_attrs:
                job = _job(trial, self._space)
                if job.key not in self._jobs or self._jobs[job.key].outcome is None:
                    self._jobs[job.key] = job

    def _fail_interrupted(self) -> None:
        """End the trials of a process that was killed, so that `ask` finds none of them."""
        for _ in self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.tell(self._study.ask(), state=TrialState.FAIL)
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)

    def jobs(self) -> list[Job]:
        """Return one job a key, in the order they were first started."""
        return list(self._jobs.values())

    def start(self, settings: Configuration, seed: int) -> Job:
        """Return a job that is to be trained now."""
        self._study.enqueue_trial(settings, user_attrs={"key": key_of(settings, seed), "seed": seed})
        # Nothing else is in the queue: `ask` takes what was just put there.
        trial = self._study.ask()
        for name in settings:
            _suggest(trial, name, self._space[name])
        return self._begun(trial, settings, seed)

    def propose(self, seed: int) -> Job | None:
        """Return a job of the sampler's choice that is to be trained now; None if it chose a job that exists."""
        trial = self._study.ask()
        settings = {name: _suggest(trial, name, values) for name, values in self._space.items()}
        key = key_of(settings, seed)
        if key in self._jobs:
            self._study.tell(trial, state=TrialState.FAIL)
            return None
        trial.set_user_attr("seed", seed)
        trial.set_user_attr("key", key)
        return self._begun(trial, settings, seed)

    def _begun(self, trial: Trial, settings: Configuration, seed: int) -> Job:
        job = Job(trial.number, settings, seed)
        self._running[trial.number], self._jobs[job.key] = trial, job
        return job

    def report(self, job: Job, epoch: int, accuracy: float) -> bool:
        """Note the validation accuracy after an epoch; return whether the job should be stopped."""
        trial = self._running[job.number]
        trial.report(accuracy, epoch)
        return trial.should_prune()

    def finish(self, job: Job, outcome: Outcome) -> None:
        """Keep what a job found.

        Raises:
            RunError: another process, which does not see this one's lock, has taken the job to be interrupted.
        """
        trial = self._running.pop(job.number)
        attributes = {"history": outcome.history, "seconds": outcome.seconds, "error": outcome.error}
        attributes |= {"right": pack(outcome.right)} if outcome.right is not None else {}
        state = TrialState.PRUNED if outcome.accuracy is None else TrialState.COMPLETE
        try:
            for name, value in attributes.items():
                trial.set_user_attr(name, value)
            self._study.tell(trial, outcome.accuracy, state)
            self._jobs[job.key] = replace(job, state=state.name, outcome=outcome)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            raise RunError(
                f"{self.url}: another process has taken over this sweep; of those that share a storage, only those "
                "that share the runs folder see each other's lock"
            ) from None

    def close(self) -> None:
        """End what is not finished, to be trained again, and let go of the database."""
        try:
            for trial in self._running.values():
                self._study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        finally:
            self._storage.remove_session()


def quiet_study(**options: Any) -> optuna.Study:
    """Return a study in which the highest value is the best, created or loaded without the line that Optuna logs."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(direction="maximize", **options)
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def failures_in_one_line(url: str) -> Iterator[None]:
    """Turn what the database reports while it is in use, a full disk say, into a RunError."""
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        cause = reason(error.__cause__ or error)
        raise RunError(f"{url}: the sweep's storage failed ({cause}); the same command continues from here") from None


def _suggest(trial: Trial, name: str, values: Values) -> Plain:
    """Return the trial's value of a hyperparameter: the one it was enqueued with, else the sampler's choice."""
    if not isinstance(values, Range):
        return cast(Plain, trial.suggest_categorical(name, values))
    if values.whole:
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.logarithmic)
    return trial.suggest_float(name, values.low, values.high, log=values.logarithmic)


def _job(trial: FrozenTrial, space: Space) -> Job:
    """Return the job of a trial that has a key, its settings in the order of the space."""
    attributes, state = trial.user_attrs, trial.state
    items, seed = json.loads(attributes["key"])
    values = dict(items)
    outcome = None
    if state in (TrialState.COMPLETE, TrialState.PRUNED):
        right = unpack(attributes["right"]) if "right" in attributes else None
        accuracy = trial.value if state == TrialState.COMPLETE else None
        error = attributes.get("error")
        outcome = Outcome(
            accuracy, right, attributes["history"], attributes["seconds"], error, accuracy is None and not error
        )
    return Job(trial.number, {name: values[name] for name in space}, int(seed), state.name, outcome)


def pack(right: Mask) -> str:
    """Return bool (N,) as a string for the database."""
    packed = zlib.compress(np.packbits(right).tobytes(), 9)
    return f"{len(right)}:{base64.b85encode(packed).decode()}"


def unpack(text: str) -> Mask:
    """Return the bool (N,) of such a string."""
    n, _, packed = text.partition(":")
    bits = np.frombuffer(zlib.decompress(base64.b85decode(packed)), np.uint8)
    return np.unpackbits(bits)[: int(n)].astype(bool)
