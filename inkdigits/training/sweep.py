"""Many trainings: a grid or a search over the knobs of a recipe, chosen on held-out training images.

The test set is read for the winner alone, which is trained anew, on all training images, as a run like any other.
What is done is kept in a database (`study.py`), so that a sweep killed at any moment goes on where it stopped.
"""

import dataclasses
import functools
import hashlib
import json
import shlex
import sys
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from inkdigits.data.loading import load_data
from inkdigits.data.splits import Split, hold_out
from inkdigits.errors import RecipeError
from inkdigits.machine import cores
from inkdigits.training import knobs, recipes, runs, sweep_page, tracking
from inkdigits.training.knobs import Settings, Space
from inkdigits.training.ranking import Ranking, judge, rank
from inkdigits.training.recipes import Recipe
from inkdigits.training.runs import Run
from inkdigits.training.study import Job, Ledger, Outcome, failures_in_one_line, key_of
from inkdigits.training.train import train as train_run
from inkdigits.training.train import versions
from inkdigits.training.trainers import Event, Order, Threads, by_share

# Images held out where the recipe holds out none, and the largest share of the training images that they may be.
N_VALIDATION, LARGEST_SHARE = 10_000, 6
# So many of the best of a search are trained with all seeds.
N_FINALISTS = 5
# A search that proposes what it has had so often in a row has had everything.
MOST_REPEATS = 20
MAX_RUNS = 100
# How often the database is asked what other processes have done.
LOOK_S = 1.0
ROWS_SHOWN = 12

# Called once for each job that this process has finished, with the recipe it was trained by.
OnJob = Callable[[Job, Recipe], None]


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Attributes:
        base: the recipe that the knobs change.
        space: the knobs' values.
        combinations: of a grid, all of them; of a search, none.
        left_out: why some combinations of the grid cannot be trained: reason -> count.
        n_search: configurations a search tries; None for a grid.
        n_seeds: trainings a configuration.
        part: the images to learn from.
        validation: the images to choose on.
    """

    base: Recipe
    space: Space
    combinations: list[knobs.Combination]
    left_out: dict[str, int]
    n_search: int | None
    n_seeds: int
    part: Split
    validation: Split

    @property
    def knobs(self) -> list[str]:
        """The fields of which more than one value is tried."""
        return knobs.knobs_of(self.space)

    @cached_property
    def name(self) -> str:
        """Of the study: equal for sweeps that can go on from each other's jobs, whatever their seeds and counts."""
        says = {
            "base": dataclasses.asdict(self.base),
            "space": {name: str(values) for name, values in self.space.items()},
            "search": self.n_search is not None,
            "data": [self.part.sha256, len(self.part), len(self.validation)],
        }
        digest = hashlib.sha256(json.dumps(says, sort_keys=True).encode()).hexdigest()
        return f"sweep-{self.base.name}-{digest[:8]}"

    @property
    def n_runs(self) -> int:
        """How many trainings there will be, the winner's last one apart."""
        if self.n_search is not None:
            return self.n_search + min(N_FINALISTS, self.n_search) * (self.n_seeds - 1)
        return len(self.combinations) * self.n_seeds

    def recipe(self, settings: Settings) -> Recipe:
        """Return the recipe of a configuration."""
        return knobs.apply(self.base, settings)

    def ranking(self, jobs: Sequence[Job]) -> Ranking:
        """Return the ranking of what is done, nothing tested yet."""
        return rank(jobs, self.knobs, self.n_seeds, len(self.validation))

    def wanted(self, jobs: Sequence[Job]) -> list[tuple[Settings, int]]:
        """Return the jobs that can be named beforehand: a grid's, and all seeds of a search's best."""
        if self.n_search is None:
            return [(order.job.settings, order.job.seed) for order in self._in_order]
        if not self.search_is_over(jobs):
            return []
        rows = [row for row in rank(jobs, self.knobs, 1, len(self.validation)).rows if row.whole][:N_FINALISTS]
        return [(row.settings, seed) for row in rows for seed in range(self.n_seeds)]

    def search_is_over(self, jobs: Sequence[Job]) -> bool:
        """Have all proposals been made and tried?"""
        tried = [job for job in jobs if job.seed == 0]
        return len(tried) >= (self.n_search or 0) and all(job.outcome for job in tried)

    @cached_property
    def _in_order(self) -> list[Order]:
        return by_share(
            [
                Order(Job(0, each.settings, seed), each.recipe)
                for each in self.combinations
                for seed in range(self.n_seeds)
            ]
        )


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Attributes:
        plan: what was to be done.
        storage: the database's URL.
        ranking: of the configurations.
        winner: the run of the best, trained on all training images and judged on the test set; None if not wanted.
        page: path of sweep.html.
    """

    plan: Plan
    storage: str
    ranking: Ranking
    winner: Run | None
    page: Path

    @property
    def failed(self) -> str | None:
        """Why there is no best, in one line; None where there is one."""
        if self.ranking.best is not None:
            return None
        errors = sorted({row.error for row in self.ranking.rows if row.error})
        return "no configuration has come to an end with all its seeds" + (f": {errors[0]}" if errors else "")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        winner = None if self.winner is None else {"path": str(self.winner.path), **self.winner.figures}
        return {
            "study": self.plan.name,
            "storage": self.storage,
            "recipe": dataclasses.asdict(self.plan.base),
            "n_train": len(self.plan.part),
            **self.ranking.to_dict(),
            "left_out": self.plan.left_out,
            "winner": winner,
            "page": str(self.page),
        }

    def __str__(self) -> str:
        n = self.ranking.n_validation
        lines = [f"accuracy on {n:,} held-out training images", self.ranking.table(), self.ranking.in_words()]
        if self.winner is not None:
            figures = self.winner.figures
            lines += [
                f"winner, trained anew on {len(self.plan.part) + n - self.winner.recipe.validation:,} training images: "
                f"{self.winner.path}",
                f"on the test set: {figures['test_accuracy']:.2%} ({figures['test_mistakes']:,.0f} mistakes in "
                f"{figures['n_test']:,.0f})",
            ]
        return "\n".join([*lines, f"page: {self.page}"])


class Crew(Protocol):
    """Those who train: threads of this process, or workers of a Ray cluster."""

    def free(self) -> int | None: ...  # noqa: D102
    def liking(self, place: int) -> Callable[[Order], Any]: ...  # noqa: D102
    def start(self, place: int, order: Order) -> None: ...  # noqa: D102
    def stop(self, number: int) -> None: ...  # noqa: D102
    def wait(self, seconds: float) -> list[Event]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    @property
    def running(self) -> list[Order]: ...  # noqa: D102


def sweep(
    recipe: str = "hidden",
    words: Mapping[str, str] | None = None,
    *,
    seeds: int = 3,
    search: int | None = None,
    data: Path | str | tuple[Split, Split] | None = None,
    runs_dir: Path | str = runs.DEFAULT_ROOT,
    storage: str | None = None,
    max_runs: int = MAX_RUNS,
    yes: bool = False,
    jobs: int | None = None,
    ray: str | None = None,
    winner: bool = True,
    progress: bool = True,
    mlflow: str | None = None,
    tensorboard: bool = False,
    on_job: OnJob | None = None,
) -> Sweep:
    """Train every combination of a grid, or a search's choice, rank them, and finish the best as a run.

    Args:
        recipe: the recipe's name.
        words: field -> what to try, as on the command line: "relu,tanh"; for a search ranges as well, "1e-4..1e-2".
        seeds: >= 1, trainings a configuration; of a search, of its best five.
        search: configurations to try by TPE, those that fall behind stopped early; None for a grid.
        data: None for MNIST, a path in MNIST's format, or (train, test).
        runs_dir: for the winner's run, sweep.html and, by default, the database.
        storage: URL of a database as SQLAlchemy knows it; None for sweeps.db in `runs_dir`.
        max_runs: a grid or search of more trainings is refused,
        yes: unless this is said.
        jobs: trainings at a time; None: as many as there are cores.
        ray: train on the Ray cluster of this address; "local" for one started on this machine.
        winner: train the best on all training images and judge it on the test set.
        progress: show how far it is, to stderr.
        mlflow: keep a record of each training and of the winner's run in MLflow, as `train` does.
        tensorboard: keep one for TensorBoard.
        on_job: called with each job that this process has finished, its outcome inside, and its recipe.

    Raises:
        RecordError: MLflow or TensorBoard cannot be used; before anything runs.
        RecipeError: an unknown name or value, nothing to train, or too many trainings; before anything runs.
        DataError: the data cannot be had.
        RunError: the storage or the runs folder cannot be used.
    """
    train, _ = data if isinstance(data, tuple) else load_data(Path(data) if data is not None else None)
    plan = make_plan(recipe, words or {}, seeds, search, train)
    if plan.n_runs > max_runs and not yes:
        raise RecipeError(
            f"{plan.n_runs:,} trainings are more than {max_runs:,} (--max-runs); narrow the sweep, or say --yes"
        )
    root = Path(runs_dir)
    to = tracking.destinations(mlflow, tensorboard, root)
    runs.make_root(root)
    url = storage or f"sqlite:///{(root / 'sweeps.db').absolute()}"
    ledger = Ledger(url, plan.name, plan.space, _facts(plan))
    show = Display(plan, progress)
    show.begin(url)
    crew = _crew(plan, jobs, ray)
    try:
        with show, failures_in_one_line(url):
            done = run_jobs(plan, ledger, crew, show, _recording(plan, to, on_job))
    except KeyboardInterrupt:
        show.say("stopping after the epochs in progress (Ctrl-C again: at once)")
        raise
    finally:
        crew.close()
        ledger.close()
    ranking = judge(plan.ranking(done))
    training = functools.partial(
        train_run, data=data, runs_dir=root, progress=progress, mlflow=mlflow, tensorboard=tensorboard
    )
    found = finish_winner(plan, ranking, url, root, training) if winner and ranking.best else None
    page = root / plan.name / "sweep.html"
    result = Sweep(plan, url, ranking, found, page)
    sweep_page.save(page, result.to_dict(), ranking, commands(plan, ranking, data))
    return result


def make_plan(recipe: str, words: Mapping[str, str], seeds: int, search: int | None, train: Split) -> Plan:
    """Return what is to be done; all that can be refused is refused here.

    Raises:
        RecipeError: an unknown recipe, field or value, or nothing that can be trained.
        DataError: too few images to hold some out.
    """
    if seeds < 1 or (search is not None and search < 1):
        raise RecipeError("--seeds and --search are at least 1")
    base = recipes.resolve(recipe)
    n_classes = len(train.class_names)
    space = knobs.read_space(base, words)
    if search is None:
        combinations, left_out = knobs.grid(base, space, n_classes)
    else:
        combinations, left_out = [], {}
        if not knobs.knobs_of(space):
            raise RecipeError("a search needs a knob to turn, such as --learning-rate 1e-4..1e-2")
    held_out = space.get("validation", (base.validation,))[0]  # type: ignore[index]
    n = int(held_out) or max(1, min(N_VALIDATION, len(train) // LARGEST_SHARE))
    part, validation = hold_out(train, n, 0)
    return Plan(base, space, combinations, left_out, search, seeds, part, validation)


def _recording(plan: Plan, to: tracking.Destinations, on_job: OnJob | None) -> OnJob | None:
    """Return what keeps a record of each finished job, if any is wanted, and tells whoever else wants to know."""
    if not to:
        return on_job

    def keep(job: Job, recipe: Recipe) -> None:
        history = job.outcome.history if job.outcome else []
        tracking.keep(tracking.record_of_trial(plan.name, str(job.number), recipe, job.seed, history), to)
        if on_job:
            on_job(job, recipe)

    return keep


def _facts(plan: Plan) -> dict[str, Any]:
    data = {"name": plan.part.data_name, "sha256": plan.part.sha256, "validation": len(plan.validation)}
    return {"recipe": dataclasses.asdict(plan.base), "data": data, "versions": versions()}


def _crew(plan: Plan, jobs: int | None, ray: str | None) -> Crew:
    if ray is not None:
        from inkdigits.training.ray_trainers import Cluster

        return Cluster(ray, jobs, plan.part, plan.validation)
    return Threads(max(1, min(jobs or cores(), plan.n_runs)), plan.part, plan.validation)


def run_jobs(plan: Plan, ledger: Ledger, crew: Crew, show: "Display", on_job: OnJob | None = None) -> list[Job]:
    """Do what is left of the plan, together with whoever works on the same study, and return all jobs."""
    shift = Shift(plan, ledger, crew)
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


class Shift:
    """Who does what next.

    Args:
        plan: what is to be done; a search of a small space finds that there is less.
        ledger: what is done.
        crew: who does it.
    """

    def __init__(self, plan: Plan, ledger: Ledger, crew: Crew) -> None:
        self.plan, self._ledger, self._crew = plan, ledger, crew
        self._checker = knobs.Checker(plan.base, len(plan.part.class_names))
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

    def _claimed(self, place: int, jobs: Sequence[Job]) -> Order | None:
        wanted = {key_of(*each) for each in self.plan.wanted(jobs)}
        orders = [
            Order(job, self.plan.recipe(job.settings))
            for job in jobs
            if job.state == "WAITING" and (job.key in wanted or self.plan.n_search is not None)
        ]
        for order in sorted(orders, key=self._crew.liking(place)):
            if self._ledger.claim(order.job):
                return order
        return None

    def _proposed(self, jobs: Sequence[Job]) -> Order | None:
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
                return Order(job, self.plan.recipe(job.settings))
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


def finish_winner(
    plan: Plan,
    ranking: Ranking,
    url: str,
    root: Path,
    training: Callable[..., Run],
) -> Run:
    """Train the best on all training images, judge it on the test set, once for all processes, and return its run."""
    assert ranking.best is not None
    settings = ranking.best.settings
    ledger = Ledger(url, f"{plan.name}/winner", plan.space, {})
    try:
        while True:
            ledger.revive()
            ledger.add([(settings, 0)])
            job = next(job for job in ledger.jobs() if job.key == key_of(settings, 0))
            if job.outcome is not None:
                path = Path(str(ledger.more(job)["run"]))
                return runs.read(path) if path.exists() else _train_winner(plan, settings, root, training)
            if job.state == "WAITING" and ledger.claim(job):
                start = time.perf_counter()
                run = _train_winner(plan, settings, root, training)
                accuracy, seconds = run.figures["test_accuracy"], time.perf_counter() - start
                ledger.finish(job, Outcome(accuracy, None, run.history, seconds), run=str(run.path.absolute()))
                return run
            time.sleep(LOOK_S)
    finally:
        ledger.close()


def _train_winner(plan: Plan, settings: Settings, root: Path, training: Callable[..., Run]) -> Run:
    facts = {"sweep": {"study": plan.name, "settings": settings}}
    for run in runs.list_runs(root):
        if run.finished or run.info.get("sweep") != facts["sweep"]:
            continue
        if zipfile.is_zipfile(run.path / "initial.keras"):
            return training(resume=run.path)
        # Killed before its first weights were written whole, or in its last steps: there is nothing to go on from.
        run.discard()
    changes = dataclasses.asdict(plan.recipe(settings))
    # Held-out images were for choosing; what is chosen learns from them too, unless the recipe itself holds some out.
    changes["validation"] = plan.base.validation
    name = changes.pop("name")
    return training(name, seed=0, facts=facts, **changes)


def commands(plan: Plan, ranking: Ranking, data: object) -> list[str]:
    """Return the commands that repeat the best: its run, and its seeds."""
    if ranking.best is None:
        return []
    settings = {name: value for name, value in ranking.best.settings.items() if name != "validation"}
    where = ["--data", str(data)] if isinstance(data, str | Path) else []
    again = [word for name, value in settings.items() for word in (f"--{knobs.flag(name)}", knobs.exactly(value))]
    held_out = ["--validation", str(len(plan.validation))]
    train = ["inkdigits", "train", plan.base.name, *knobs.train_flags(settings), "--seed", "0", *where]
    sweep_again = ["inkdigits", "sweep", plan.base.name, *again, *held_out, "--seeds", str(plan.n_seeds), *where]
    return [shlex.join(train), shlex.join(sweep_again)]


class Display:
    """How far a sweep is, to stderr: a live table on a terminal, a line a job elsewhere.

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
        """Print a line."""
        if self._wanted:
            print(text, file=sys.stderr)

    def begin(self, url: str) -> None:
        """Say what will be done, and what not."""
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
        self._epochs[event.order.job.number] = (event.epoch, event.accuracy)

    def done(self, job: Job) -> None:
        """Note a job that is done."""
        self._done += 1
        if not self._live and job.outcome:
            self.say(f"{self._words(job)}  seed {job.seed}  {outcome_words(job.outcome)}")

    def update(self, jobs: Sequence[Job], running: Sequence[Order]) -> None:
        """Draw the table anew."""
        if not self._live:
            return
        from rich.text import Text

        n_done = sum(job.outcome is not None for job in jobs)
        lines = [self._plan.ranking(jobs).table(ROWS_SHOWN), "", *(self._running(order) for order in running)]
        lines.append(f"{n_done} of {self._plan.n_runs} trainings done{self._left(n_done)}")
        self._live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"))

    def _running(self, order: Order) -> str:
        epoch, accuracy = self._epochs.get(order.job.number, (0, 0.0))
        seen = f"  {accuracy:.2%}" if epoch else ""
        return f"  training: {self._words(order.job)}  seed {order.job.seed}  epoch {epoch}/{order.recipe.epochs}{seen}"

    def _left(self, n_done: int) -> str:
        if not self._done:
            return ""
        seconds = (time.monotonic() - self._start) / self._done * (self._plan.n_runs - n_done)
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else f", about {seconds:.0f} s left"

    def _words(self, job: Job) -> str:
        return knobs.in_words(job.settings, self._plan.knobs)


def outcome_words(outcome: Outcome) -> str:
    """Return what a training came to, in a few words."""
    if outcome.accuracy is not None:
        return f"{outcome.accuracy:.2%}  {outcome.seconds:.1f} s"
    return f"failed: {outcome.error}" if outcome.error else f"stopped after {len(outcome.history)} epochs"
