"""A sweep from its words to its report: a grid or a search over a recipe's hyperparameters, chosen on held-out images.

The test set is read for the winner alone, which is trained again, on all training images, as a run like any other.
"""

import dataclasses
import functools
import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkdigits.data.loading import load_data
from inkdigits.data.splits import Split
from inkdigits.errors import RecipeError
from inkdigits.sweep import report
from inkdigits.sweep.display import Display, OnJob
from inkdigits.sweep.lock import opening_lock, study_lock
from inkdigits.sweep.plan import MAX_RUNS, Plan, make_plan
from inkdigits.sweep.ranking import Ranking, compare_with_best
from inkdigits.sweep.scheduler import run_jobs, workers_for
from inkdigits.sweep.space import exactly, train_flags
from inkdigits.sweep.study import Job, JobStore, failures_in_one_line
from inkdigits.sweep.winner import finish_winner
from inkdigits.training import runs, tracking
from inkdigits.training.hyperparameters import flag
from inkdigits.training.recipes import Recipe
from inkdigits.training.runs import Run
from inkdigits.training.train import train as train_run
from inkdigits.training.train import versions


@dataclass(frozen=True)
class Sweep:
    """A finished sweep.

    Attributes:
        plan: what was to be done.
        storage: the database's URL.
        ranking: of the configurations.
        winner: the run of the best, trained on all training images and evaluated on the test set; None if not wanted.
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
        return "no configuration has finished with all its seeds" + (f": {errors[0]}" if errors else "")

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
                f"winner, retrained on {len(self.plan.part) + n - self.winner.recipe.validation:,} training images: "
                f"{self.winner.path}",
                f"on the test set: {figures['test_accuracy']:.2%} ({figures['test_errors']:,.0f} errors in "
                f"{figures['n_test']:,.0f})",
            ]
        return "\n".join([*lines, f"page: {self.page}"])


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
        storage: URL of a database as SQLAlchemy knows it; None for sweeps.db in `runs_dir`. The lock which keeps a
            second process away is a file in `runs_dir`, whatever the database.
        max_runs: the most trainings that a grid or search may have,
        yes: unless this is set.
        jobs: trainings at a time; None: as many as there are cores.
        ray: train on the Ray cluster of this address; "local" for one started on this machine.
        winner: train the best on all training images and evaluate it on the test set.
        progress: show how far it is: a live table on a terminal, log lines elsewhere.
        mlflow: keep a record of each training and of the winner's run in MLflow, as `train` does.
        tensorboard: keep one for TensorBoard.
        on_job: called with each finished job, its outcome inside, and its recipe.

    Raises:
        RecordError: MLflow or TensorBoard cannot be used; before anything runs.
        RecipeError: an unknown name or value, nothing to train, or too many trainings; before anything runs.
        DataError: the data cannot be loaded.
        RunError: the storage or the runs folder cannot be used, or another process is at this sweep.
    """
    train, _ = data if isinstance(data, tuple) else load_data(Path(data) if data is not None else None)
    plan = make_plan(recipe, words or {}, seeds, search, train)
    if plan.n_runs > max_runs and not yes:
        raise RecipeError(
            f"{plan.n_runs:,} trainings are more than {max_runs:,} (--max-runs); narrow the sweep, or add --yes"
        )
    root = Path(runs_dir)
    to = tracking.destinations(mlflow, tensorboard, root)
    runs.make_root(root)
    url = storage or f"sqlite:///{(root / 'sweeps.db').absolute()}"
    folder = root / plan.name
    with study_lock(folder):
        show = Display(plan, progress)
        show.begin(url)
        done = _train_all(plan, url, root, show, jobs, ray, _recording(plan, to, on_job))
        ranking = compare_with_best(plan.ranking(done))
        best = ranking.best if winner else None
        training = functools.partial(
            train_run, data=data, runs_dir=root, progress=progress, mlflow=mlflow, tensorboard=tensorboard
        )
        run = finish_winner(plan, best.settings, root, training) if best else None
        result = Sweep(plan, url, ranking, run, folder / "sweep.html")
        report.save(result.page, result.to_dict(), ranking, commands(plan, ranking, data))
    return result


def _train_all(
    plan: Plan, url: str, root: Path, show: Display, jobs: int | None, ray: str | None, on_job: OnJob | None
) -> list[Job]:
    """Do all trainings that are left and return the jobs; what is not finished will be done by the next process."""
    with opening_lock(root):
        store = JobStore(url, plan.name, plan.space, _facts(plan))
    with ExitStack() as stack:
        stack.callback(store.close)
        workers = workers_for(plan, jobs, ray)
        stack.callback(workers.close)
        try:
            with show, failures_in_one_line(url):
                return run_jobs(plan, store, workers, show, on_job)
        except KeyboardInterrupt:
            show.say("stopping after the epochs in progress (Ctrl-C again: at once)")
            raise


def _recording(plan: Plan, to: tracking.Destinations, on_job: OnJob | None) -> OnJob | None:
    """Return what keeps a record of each finished job, if any is wanted, and calls `on_job`."""
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


def commands(plan: Plan, ranking: Ranking, data: object) -> list[str]:
    """Return the commands that repeat the best: its run, and its seeds."""
    if ranking.best is None:
        return []
    settings = {name: value for name, value in ranking.best.settings.items() if name != "validation"}
    where = ["--data", str(data)] if isinstance(data, str | Path) else []
    again = [word for name, value in settings.items() for word in (f"--{flag(name)}", exactly(value))]
    held_out = ["--validation", str(len(plan.validation))]
    train = ["inkdigits", "train", plan.base.name, *train_flags(settings), "--seed", "0", *where]
    sweep_again = ["inkdigits", "sweep", plan.base.name, *again, *held_out, "--seeds", str(plan.n_seeds), *where]
    return [shlex.join(train), shlex.join(sweep_again)]
