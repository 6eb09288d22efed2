import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from typer.testing import CliRunner

from inkdigits.cli.main import app
from inkdigits.data.splits import Split
from inkdigits.errors import RecipeError, RunError
from inkdigits.reading.reader import Reader
from inkdigits.sweep import sweep, winner
from inkdigits.sweep.display import Display, OnJob
from inkdigits.sweep.lock import study_lock
from inkdigits.sweep.plan import N_FINALISTS, Plan, make_plan
from inkdigits.sweep.scheduler import run_jobs
from inkdigits.sweep.space import Configuration
from inkdigits.sweep.study import Job, JobStore, Outcome
from inkdigits.sweep.workers import Event, WorkItem
from inkdigits.training import runs
from inkdigits.training.recipes import Recipe

Splits = tuple[Split, Split]
WORDS = {"activation": "relu,tanh", "epochs": "1,2"}


class FakeWorkers:
    """Workers that train nothing: accuracy is what `of` says, each epoch reported; one job at a time."""

    def __init__(self, n_images: int, of: Callable[[Recipe, int], float]) -> None:
        self._n, self._of = n_images, of
        self.trained: list[tuple[Configuration, int]] = []
        self.stopped: set[int] = set()
        self.running: list[WorkItem] = []
        self._epoch = 0

    def free(self) -> int | None:
        return None if self.running else 0

    def preference(self, worker: int) -> Callable[[Recipe, int], Any]:
        return lambda recipe, seed: 0

    def start(self, worker: int, item: WorkItem) -> None:
        self.running, self._epoch = [item], 0
        self.trained.append((item.job.settings, item.job.seed))

    def stop(self, number: int) -> None:
        self.stopped.add(number)

    def wait(self, seconds: float) -> list[Event]:
        if not self.running:
            return []
        (item,) = self.running
        accuracy = self._of(item.recipe, item.job.seed)
        if item.job.number in self.stopped:
            self.running = []
            return [Event(item, outcome=Outcome(None, None, [], 0.1, pruned=True))]
        if self._epoch < item.recipe.epochs:
            self._epoch += 1
            return [Event(item, self._epoch, accuracy)]
        self.running = []
        right = np.random.default_rng(item.job.seed).random(self._n) < accuracy
        history = [{"epoch": i + 1.0, "val_accuracy": accuracy, "accuracy": accuracy} for i in range(self._epoch)]
        return [Event(item, outcome=Outcome(float(right.mean()), right, history, 0.1))]

    def close(self) -> None:
        pass


def plan_of(toy: Splits, words: dict[str, str], seeds: int = 2, search: int | None = None) -> Plan:
    return make_plan("hidden", words, seeds, search, toy[0])


def worked(plan: Plan, folder: Path, workers: FakeWorkers, on_job: OnJob | None = None) -> list[Job]:
    store = JobStore(f"sqlite:///{folder / 'sweeps.db'}", plan.name, plan.space, {})
    try:
        return run_jobs(plan, store, workers, Display(plan, False), on_job)
    finally:
        store.close()


def tanh_is_better(recipe: Recipe, seed: int) -> float:
    return (0.95 if recipe.activation == "tanh" else 0.5) + 0.001 * seed


def test_a_grid_is_trained_once_each_and_ranked(toy: Splits, tmp_path: Path) -> None:
    plan = plan_of(toy, WORDS)
    workers = FakeWorkers(len(plan.validation), tanh_is_better)
    seen: list[str] = []
    jobs = worked(plan, tmp_path, workers, lambda job, recipe: seen.append(f"{job.key} {recipe.activation}"))
    assert len(workers.trained) == len(jobs) == plan.n_runs == len(set(seen)) == 8
    best = plan.ranking(jobs).best
    assert best
    assert best.settings["activation"] == "tanh"
    again = FakeWorkers(len(plan.validation), tanh_is_better)
    assert len(worked(plan, tmp_path, again)) == 8
    assert again.trained == []


def test_more_seeds_go_on_from_fewer(toy: Splits, tmp_path: Path) -> None:
    worked(plan_of(toy, WORDS), tmp_path, FakeWorkers(100, tanh_is_better))
    workers = FakeWorkers(100, tanh_is_better)
    worked(plan_of(toy, WORDS, seeds=3), tmp_path, workers)
    assert [seed for _, seed in workers.trained] == [2] * 4


class Killed(BaseException):
    """Stands for a kill."""


def test_what_a_broken_off_sweep_did_is_not_done_again(toy: Splits, tmp_path: Path) -> None:
    plan, first = plan_of(toy, WORDS), FakeWorkers(100, tanh_is_better)

    def kill_after_three(job: Job, recipe: Recipe) -> None:
        if len(first.trained) == 3:
            raise Killed

    with pytest.raises(Killed):
        worked(plan, tmp_path, first, kill_after_three)
    second = FakeWorkers(100, tanh_is_better)
    worked(plan, tmp_path, second)
    assert len(first.trained) == 3
    assert len(second.trained) == 5
    assert not [job for job in first.trained if job in second.trained]


def test_a_search_finds_prunes_and_repeats_its_best(toy: Splits, tmp_path: Path) -> None:
    plan = plan_of(toy, {"learning_rate": "1e-4..1e-1", "epochs": "3"}, search=10)

    def near_one_percent(recipe: Recipe, seed: int) -> float:
        assert recipe.learning_rate
        return 0.9 - 0.2 * abs(np.log10(recipe.learning_rate) + 2)

    workers = FakeWorkers(len(plan.validation), near_one_percent)
    jobs = worked(plan, tmp_path, workers)
    assert sum(job.seed == 0 for job in jobs) == 10
    assert sum(job.seed == 1 for job in jobs) == N_FINALISTS
    assert workers.stopped
    ranking = plan.ranking(jobs)
    assert ranking.best
    assert abs(np.log10(float(ranking.best.settings["learning_rate"])) + 2) < 0.7
    assert all(row.whole for row in ranking.rows[:N_FINALISTS])
    more = FakeWorkers(len(plan.validation), near_one_percent)
    worked(plan_of(toy, {"learning_rate": "1e-4..1e-1", "epochs": "3"}, search=11), tmp_path, more)
    assert sum(seed == 0 for _, seed in more.trained) == 1


def test_a_search_of_a_small_space_ends(toy: Splits, tmp_path: Path) -> None:
    plan = plan_of(toy, {"activation": "relu,tanh"}, seeds=1, search=10)
    workers = FakeWorkers(100, tanh_is_better)
    assert len(worked(plan, tmp_path, workers)) == 2
    assert len(workers.trained) == 2


def test_what_cannot_be_trained_is_refused_before_anything_runs(toy: Splits, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    for settings, message in (
        ({"recipe": "hiden"}, "nearest: hidden"),
        ({"words": {"activation": "relu,tahn"}}, "nearest: tanh"),
        ({"words": {"epochs": "1,2"}, "seeds": 60}, "120 trainings are more than 100"),
        ({"words": {"learning_rate": "1e-4..1e-2"}}, "need --search"),
        ({"words": {"activation": "relu"}, "search": 5}, "a search needs a hyperparameter"),
        ({"seeds": 0}, "at least 1"),
    ):
        with pytest.raises(RecipeError, match=message):
            sweep.sweep(data=toy, runs_dir=folder, progress=False, **settings)  # type: ignore[arg-type]
    assert not folder.exists()


def test_a_sweep_in_which_nothing_came_to_an_end_says_so(toy_folder: Path, tmp_path: Path) -> None:
    words = ["--optimizer", "sgd", "--learning-rate", "9e5", "--loss", "mean_squared_error", "--output", "logits"]
    words += ["--epochs", "2", "--seeds", "1", "--data", str(toy_folder), "--runs", str(tmp_path)]
    for _ in range(2):
        done = CliRunner().invoke(app, ["sweep", "linear", *words])
        assert done.exit_code == 1
        assert "no configuration has finished with all its seeds: the loss is no longer" in done.stderr


def test_the_name_is_the_sweeps_own(toy: Splits) -> None:
    name = plan_of(toy, WORDS).name
    assert plan_of(toy, WORDS, seeds=5).name == name
    assert plan_of(toy, {**WORDS, "epochs": "1,3"}).name != name
    assert plan_of((toy[0].take(500), toy[1]), WORDS).name != name


def command(folder: Path, data: Path, *words: str) -> list[str]:
    code = "from inkdigits.cli.main import main; main()"
    return [sys.executable, "-c", code, "sweep", *words, "--data", str(data), "--runs", str(folder)]


SMALL = ("linear", "--learning-rate", "1e-5,1e-2", "--epochs", "2", "--seeds", "2")


def test_from_the_command_line_to_the_page(toy_folder: Path, tmp_path: Path) -> None:
    words = ["sweep", *SMALL, "--data", str(toy_folder), "--runs", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "accuracy on 100 held-out training images"
    assert lines[2].split()[1] == "0.01"
    assert n_trials(tmp_path) == 4
    (run,) = runs.list_runs(tmp_path)
    assert (run.recipe.learning_rate, run.recipe.validation, run.seed) == (0.01, 100, 0)
    assert run.figures["test_accuracy"] > 0.5
    assert Reader(run.path).card["data"]["n"] == 600
    (page,) = tmp_path.glob("sweep-*/sweep.html")
    html = page.read_text()
    assert html.count("<img") == 3
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "inkdigits train linear --learning-rate 0.01 --epochs 2 --seed 0" in html
    # The same command finds all done: it trains nothing, reads no test set, and prints the same.
    again = CliRunner().invoke(app, [*words, "--json"])
    found = json.loads(again.stdout)
    assert [row["settings"]["learning_rate"] for row in found["ranking"]] == [0.01, 1e-5]
    assert found["winner"]["path"] == str(run.path)
    assert n_trials(tmp_path) == 4
    assert runs.list_runs(tmp_path) == [run]


def n_trials(folder: Path) -> int:
    (study,) = optuna.get_all_study_summaries(f"sqlite:///{folder / 'sweeps.db'}")
    return study.n_trials


EPOCHS = "5,100"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_a_killed_sweep_goes_on(toy_folder: Path, tmp_path: Path) -> None:
    """`kill -9` after the first training; Ctrl-C after the next one, in this process; then the rest."""
    words = command(tmp_path, toy_folder, "linear", "--epochs", EPOCHS, "--seeds", "2", "--no-winner", "--jobs", "1")
    process = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr
    seen = [next(line for line in process.stderr if " seed " in line)]
    process.kill()
    seen += [line for line in process.stderr if " seed " in line]
    process.wait()
    process.stderr.close()
    done: list[str] = []

    def interrupt(job: Job, recipe: Recipe) -> None:
        done.append(job.key)
        signal.raise_signal(signal.SIGINT)

    def go_on(on_job: OnJob) -> sweep.Sweep:
        options: dict[str, Any] = {"seeds": 2, "runs_dir": tmp_path, "winner": False, "progress": False, "jobs": 1}
        return sweep.sweep("linear", {"epochs": EPOCHS}, data=toy_folder, on_job=on_job, **options)

    with pytest.raises(KeyboardInterrupt):
        go_on(interrupt)
    assert len(done) == 1
    found = go_on(lambda job, recipe: done.append(job.key))
    assert [sorted(row.outcomes) for row in found.ranking.rows] == [[0, 1]] * 2
    assert len(done) == len(set(done)) == 4 - len(seen)


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "sweep", interrupted)
    done = CliRunner().invoke(app, ["sweep"])
    assert done.exit_code == 130
    assert "the same command continues from here" in done.stderr


def test_a_second_process_is_told_who_has_the_lock(toy: Splits, tmp_path: Path) -> None:
    with (
        study_lock(tmp_path / plan_of(toy, WORDS).name),
        pytest.raises(RunError, match=f"already running .process {os.getpid()} on "),
    ):
        sweep.sweep(words=WORDS, data=toy, runs_dir=tmp_path, progress=False)
    assert not (tmp_path / "sweeps.db").exists()


def test_a_storage_that_is_no_database(toy: Splits, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="storage"):
        sweep.sweep(words=WORDS, data=toy, runs_dir=tmp_path, storage="nonsense", progress=False)


def started_run(plan: Plan, folder: Path) -> runs.Run:
    """Begin a run that says it is the winner of the plan's first combination."""
    facts = {"study": plan.name, "settings": plan.combinations[0].settings}
    return runs.start(folder, "hidden", {"format": 1, "recipe": {}, "seed": 0, "sweep": facts})


@pytest.mark.parametrize("weights", ["half a file", "whole", "and the run is finished"])
def test_a_winner_is_trained_once(weights: str, toy: Splits, tmp_path: Path) -> None:
    plan = plan_of(toy, WORDS)
    run = started_run(plan, tmp_path)
    asked: list[dict[str, Any]] = []

    def train(*_: object, **words: Any) -> Any:
        asked.append(words)

    if weights == "half a file":
        (run.path / "initial.keras").write_bytes(b"PK half a file")
    else:
        zipfile.ZipFile(run.path / "initial.keras", "w").close()
    if "finished" in weights:
        run = run.finish()
    found = winner.finish_winner(plan, plan.combinations[0].settings, tmp_path, train)
    if weights == "half a file":
        assert not run.path.exists()
        assert "resume" not in asked[0]
    elif weights == "whole":
        assert asked == [{"resume": run.path}]
    else:
        assert (found, asked) == (run, [])
