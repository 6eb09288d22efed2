"""What a sweep has done and has still to do, kept in an Optuna study: killed at any moment, nothing is lost or doubled.

A job is one training: settings and a seed. Jobs with equal settings and seed have one key. The rules:

- Waiting jobs are enqueued where their key is missing, so that a sweep killed while it enqueued is filled up.
- A job is claimed by one update from WAITING to RUNNING, which the database grants to one process alone.
- Of two jobs of one key, which two processes may have enqueued at once, the lower number counts; the other is void.
- A running job whose process has died is void as well: at once where that process ran on this machine, else when its
  heartbeat has been missing for `GRACE_S`. Its key is then missing, and is enqueued again.
- What a job found (curve, answers, seconds) is written before its state: a job is finished whole or not at all.
"""

import base64
import json
import os
import platform
import threading
import time
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inkdigits.errors import RunError, naming_missing_extra
from inkdigits.sweep.space import Configuration, Plain, Range, Space, Values

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial


HEARTBEAT_S = 10
GRACE_S = 60
# A pruner needs some whole trainings to compare with, and the first epoch says too little.
N_UNPRUNED, FIRST_PRUNED_EPOCH = 5, 2


@dataclass(frozen=True)
class Outcome:
    """What one training found.

    Attributes:
        accuracy: on the validation images, of the last weights; None where the training went wrong or was pruned.
        right: bool (N,), which validation images it has right; None where there is no accuracy.
        history: one row an epoch, "val_accuracy" in each.
        seconds: it took.
        error: one line, where the loss was no longer a number.
        pruned: was it stopped early, being worse than the others?
    """

    accuracy: float | None
    right: np.ndarray | None = field(compare=False)
    history: list[dict[str, float]]
    seconds: float
    error: str | None = None
    pruned: bool = False


@dataclass(frozen=True)
class Job:
    """One training of a sweep: to be done, being done, or done.

    Attributes:
        number: of the Optuna trial.
        settings: the knobs that were named.
        seed: fixes all else.
        state: "WAITING", "RUNNING", "COMPLETE" or "PRUNED", as Optuna has it.
        outcome: of a finished job.
    """

    number: int
    settings: Configuration = field(hash=False)
    seed: int
    state: str = "WAITING"
    outcome: Outcome | None = None

    @property
    def key(self) -> str:
        """Equal for equal trainings."""
        return key_of(self.settings, self.seed)


def key_of(settings: Configuration, seed: int) -> str:
    """Return what makes two jobs the same."""
    return json.dumps([sorted(settings.items()), seed])


class JobStore:
    """The jobs of one sweep in a database.

    Args:
        url: of the database, as Optuna and SQLAlchemy know them: "sqlite:///runs/sweeps.db".
        name: of the study.
        space: what its settings may be.
        facts: kept with the study for whoever opens the database.

    Raises:
        RunError: the database cannot be opened.
        MissingExtraError: Optuna is missing.
    """

    def __init__(self, url: str, name: str, space: Space, facts: Mapping[str, Any]) -> None:
        optuna = load_optuna()
        self.url, self.name = url, name
        self._storage = _open(url)
        self._space = space
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),
            pruner=optuna.pruners.MedianPruner(N_UNPRUNED, n_warmup_steps=FIRST_PRUNED_EPOCH),
        )
        self._study_id = self._storage.get_study_id_from_name(name)
        if not self._study.user_attrs:
            for key, value in facts.items():
                self._study.set_user_attr(key, value)
        self._mine: dict[int, int] = {}  # number -> the database's id
        self._closed = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def jobs(self) -> list[Job]:
        """Return all jobs that count, in the order they were added."""
        found: dict[str, Job] = {}
        for trial in self._trials():
            job = _job(trial)
            if job is not None:
                found.setdefault(job.key, job)
        return list(found.values())

    def add(self, wanted: Iterable[tuple[Configuration, int]]) -> None:
        """Enqueue the jobs whose key is missing; and those that died, for a search alone knows what they were."""
        trials = self._trials()
        there = {trial.user_attrs.get("key") for trial in trials if trial.state.name != "FAIL"}
        lost = [
            json.loads(trial.user_attrs["key"])
            for trial in trials
            if trial.user_attrs.get("lost") and "key" in trial.user_attrs
        ]
        for settings, seed in [*wanted, *((dict(items), seed) for items, seed in lost)]:
            key = key_of(settings, seed)
            if key not in there:
                there.add(key)
                self._study.enqueue_trial(settings, user_attrs={"key": key, "seed": seed})

    def claim(self, job: Job) -> bool:
        """Make a waiting job this process's own; False if another has it or it is void."""
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, job.number)
        if not self._move(trial_id, "WAITING", "RUNNING"):
            return False
        if any(other.key == job.key and other.number < job.number for other in self.jobs()):
            self._move(trial_id, "RUNNING", "FAIL")
            return False
        self._own(job.number, trial_id)
        trial = load_optuna().trial.Trial(self._study, trial_id)
        for name in job.settings:
            _suggest(trial, name, self._space[name])
        return True

    def propose(self, seed: int) -> Job:
        """Return a job of the sampler's choice, claimed; one chosen before is told to the sampler and given up."""
        optuna = load_optuna()
        # A sampler that begins anew with each process must not draw the same numbers again.
        self._study.sampler = optuna.samplers.TPESampler(seed=len(self._trials()))
        # Not by `ask`, which would first take a waiting job, and in a way that lets two processes take the same.
        trial_id = self._storage.create_new_trial(self._study_id)
        self._trials()  # so that Optuna's cache knows it
        trial = optuna.trial.Trial(self._study, trial_id)
        self._own(trial.number, trial_id)
        settings = {name: _suggest(trial, name, values) for name, values in self._space.items()}
        trial.set_user_attr("seed", seed)
        trial.set_user_attr("key", key_of(settings, seed))
        return Job(trial.number, settings, seed, "RUNNING")

    def report(self, job: Job, epoch: int, accuracy: float) -> bool:
        """Note the validation accuracy after an epoch; return whether the job should be stopped."""
        trial = load_optuna().trial.Trial(self._study, self._mine[job.number])
        trial.report(accuracy, epoch)
        return bool(trial.should_prune())

    def finish(self, job: Job, outcome: Outcome, **more: Plain) -> bool:
        """Keep what a job of this process found; False if it was taken to be dead and given to another meanwhile."""
        optuna = load_optuna()
        trial_id = self._mine.pop(job.number)
        attributes = {"history": outcome.history, "seconds": outcome.seconds, "error": outcome.error, **more}
        attributes |= {"right": pack(outcome.right)} if outcome.right is not None else {}
        state = optuna.trial.TrialState.COMPLETE if outcome.accuracy is not None else optuna.trial.TrialState.PRUNED
        try:
            for name, value in attributes.items():
                self._storage.set_trial_user_attr(trial_id, name, value)
            self._study.tell(job.number, outcome.accuracy, state)
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            return False
        return True

    def give_up(self, job: Job, *, again: bool) -> None:
        """Void a job of this process; `again`: it is to be done later."""
        trial_id = self._mine.pop(job.number)
        if again:
            self._storage.set_trial_user_attr(trial_id, "lost", True)
        self._move(trial_id, "RUNNING", "FAIL")

    def revive(self) -> None:
        """Void the running jobs of processes that have died; `add` enqueues them again."""
        stale = set(self._storage._get_stale_trial_ids(self._study_id))
        for trial in self._trials():
            if trial.state.name != "RUNNING" or trial.number in self._mine:
                continue
            if trial._trial_id in stale or _is_dead(trial):
                self._void(trial)

    def _void(self, trial: "FrozenTrial") -> None:
        if "key" in trial.user_attrs and "lost" not in trial.user_attrs:
            self._storage.set_trial_user_attr(trial._trial_id, "lost", True)
        self._move(trial._trial_id, "RUNNING", "FAIL")

    def more(self, job: Job) -> dict[str, Any]:
        """Return what was kept with a job besides its outcome."""
        return dict(self._study.get_trials(deepcopy=False)[job.number].user_attrs)

    def close(self) -> None:
        """Stop the heartbeat and give up what this process has not finished."""
        self._closed.set()
        for number in list(self._mine):
            self.give_up(Job(number, {}, 0), again=True)
        self._storage.remove_session()

    def _trials(self) -> "list[FrozenTrial]":
        trials: list[FrozenTrial] = self._study.get_trials(deepcopy=False)
        return trials

    def _move(self, trial_id: int, before: str, after: str) -> bool:
        """Change a job's state if it is `before`; False if it is not.

        One statement, so that of two processes one alone succeeds. Optuna's own `set_trial_state_values` looks first
        and writes then, and under SQLite two may look before either writes.
        """
        from sqlalchemy import DateTime, bindparam, text

        words = "UPDATE trials SET state = :after, datetime_start = :now WHERE trial_id = :id AND state = :before"
        values = {"after": after, "now": datetime.now(), "id": trial_id, "before": before}
        with self._storage.engine.begin() as connection:
            changed: int = connection.execute(text(words).bindparams(bindparam("now", type_=DateTime)), values).rowcount
        return changed == 1

    def _own(self, number: int, trial_id: int) -> None:
        self._storage.set_trial_user_attr(trial_id, "owner", this_process())
        self._storage.record_heartbeat(trial_id)
        self._mine[number] = trial_id

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT_S):
            for trial_id in list(self._mine.values()):
                # A database that is away for a moment is no reason to end: the next beat may reach it.
                with suppress(Exception):
                    self._storage.record_heartbeat(trial_id)


def load_optuna() -> Any:
    """Return the package `optuna`.

    Raises:
        MissingExtraError: it is not installed.
    """
    with naming_missing_extra():
        import optuna
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Heartbeats are "experimental" in Optuna: it says so at every start.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def _open(url: str) -> "RDBStorage":
    """Open the database, made where it is missing."""
    optuna = load_optuna()
    # SQLite lets one process write at a time: the others wait for it.
    engine = {"connect_args": {"timeout": 120}} if url.startswith("sqlite") else {"pool_pre_ping": True}
    for trial in range(5):
        try:
            opened: RDBStorage = optuna.storages.RDBStorage(
                url, engine_kwargs=engine, heartbeat_interval=HEARTBEAT_S, grace_period=GRACE_S
            )
            return opened
        except Exception as error:  # SQLAlchemy's, the database driver's and Optuna's own have no common base
            # Two processes that make the tables at once: the second finds them half made and tries again.
            if trial < 4 and "already exists" in str(error):
                time.sleep(0.5)
                continue
            raise RunError(f"{url}: cannot be opened as a sweep's storage ({_reason(error)})") from None
    raise AssertionError("unreachable")


@contextmanager
def failures_in_one_line(url: str) -> Iterator[None]:
    """Turn what the database reports while it is in use, a full disk say, into a RunError."""
    try:
        yield
    except load_optuna().exceptions.StorageInternalError as error:
        cause = _reason(error.__cause__ or error)
        raise RunError(f"{url}: the sweep's storage failed ({cause}); the same command goes on from here") from None


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _suggest(trial: Any, name: str, values: Values) -> Plain:
    """Return the trial's value for a knob: the one it was enqueued with, else the sampler's choice."""
    if not isinstance(values, Range):
        chosen: Plain = trial.suggest_categorical(name, values)
    elif values.whole:
        chosen = trial.suggest_int(name, int(values.low), int(values.high), log=values.logarithmic)
    else:
        chosen = trial.suggest_float(name, values.low, values.high, log=values.logarithmic)
    return chosen


def _job(trial: "FrozenTrial") -> Job | None:
    """Return the job that a trial is; None if it is void, or has just been asked for."""
    attributes = trial.user_attrs
    if trial.state.name == "FAIL" or "key" not in attributes:
        return None
    settings: Configuration = dict(trial.system_attrs.get("fixed_params") or trial.params)
    outcome = None
    if trial.state.is_finished():
        right = unpack(attributes["right"]) if "right" in attributes else None
        accuracy = trial.value if trial.state.name == "COMPLETE" else None
        error = attributes.get("error")
        outcome = Outcome(
            accuracy, right, attributes["history"], attributes["seconds"], error, accuracy is None and not error
        )
    return Job(trial.number, settings, int(attributes["seed"]), trial.state.name, outcome)


def pack(right: np.ndarray) -> str:
    """Return bool (N,) as a word for the database."""
    packed = zlib.compress(np.packbits(right).tobytes(), 9)
    return f"{len(right)}:{base64.b85encode(packed).decode()}"


def unpack(word: str) -> np.ndarray:
    """Return the bool (N,) of such a word."""
    n, _, packed = word.partition(":")
    bits = np.frombuffer(zlib.decompress(base64.b85decode(packed)), np.uint8)
    return np.unpackbits(bits)[: int(n)].astype(bool)


def this_process() -> str:
    """Return what tells this process from all others, on this machine and elsewhere."""
    return json.dumps([_here(), os.getpid(), _started(os.getpid())])


def _here() -> str:
    """Return what tells the room in which process numbers mean the same: machine, its last start, container."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    known = boot.read_text().strip() + os.readlink(space) if boot.exists() and space.exists() else ""
    return f"{platform.node()} {known}".strip()


def _started(pid: int) -> str | None:
    """Return when a process of this machine started, for numbers are used again; None if it is gone or unknown."""
    try:
        # The second field is the program's name in brackets, which may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _is_dead(trial: "FrozenTrial") -> bool:
    """Has the process died that claimed a running trial? Elsewhere only a missing heartbeat can say so."""
    if "owner" not in trial.user_attrs:
        # Killed in the instant between claiming and signing.
        begun = trial.datetime_start
        return begun is not None and datetime.now() - begun > timedelta(seconds=GRACE_S)
    here, pid, started = json.loads(trial.user_attrs["owner"])
    if here != _here() or started is None:
        return False
    return bool(_started(pid) != started)
