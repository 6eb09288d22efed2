"""Does a sweep survive `kill -9`? Kills `inkdigits sweep` at random moments, starts it again, and counts what is left.

    python benchmarks/sweep_kill.py [--kills 24] [--seed 0] [--json FILE]

Each sweep is a grid of 24 trainings on 1,000 images of MNIST. Every second sweep is worked on by two processes at once,
which are killed one by one. A killed sweep is started again until it comes to its end; then every training must be in
the database exactly once, with the accuracy that a sweep which nobody killed found for it, and the winner's test
accuracy must have been read once.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from common import Table, publish

from inkdigits.data.idx import save_idx_folder
from inkdigits.data.loading import load_mnist
from inkdigits.sweep.study import load_optuna

GRID = ["hidden", "--hidden", "30", "--activation", "relu,tanh", "--optimizer", "adam,sgd"]
GRID += ["--epochs", "2,20", "--seeds", "3"]
N_TRAININGS = 24
LONGEST_S = 9.0


@dataclass
class Tally:
    """What was seen."""

    sweeps: int = 0
    kills: int = 0
    at: list[str] = field(default_factory=list)
    rerun: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0
    winners: list[int] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    arguments = parser.parse_args()
    rng, tally = random.Random(arguments.seed), Tally()
    folder = Path(tempfile.mkdtemp(prefix="sweep-kill-"))
    try:
        train, test = load_mnist()
        save_idx_folder(folder / "data", train.take(1000), test.take(500))
        truth = run_to_end(folder, "truth")
        while tally.kills < arguments.kills:
            name = f"killed-{tally.sweeps}"
            kill_until_done(folder, name, 1 + tally.sweeps % 2, rng, tally, arguments.kills)
            compare(folder / name, truth, tally)
            print(f"{tally.sweeps} sweeps, {tally.kills} kills: {tally}", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(tally, arguments.json)
    sys.exit(bool(tally.lost or tally.doubled or tally.different or set(tally.winners) != {1}))


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    words = [*GRID, "--data", str(folder / "data"), "--runs", str(folder / name), "--jobs", "2"]
    command = [sys.executable, "-c", "from inkdigits.cli.main import main; main()", "sweep", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def run_to_end(folder: Path, name: str) -> dict[str, float]:
    process = start(folder, name)
    process.communicate()
    assert process.returncode == 0
    return {key: values[0] for key, values in complete(folder / name).items()}


def complete(runs: Path, winner: bool = False) -> dict[str, list[float]]:
    """Return key -> the values of all completed trials of that key."""
    optuna = load_optuna()
    storage = f"sqlite:///{runs / 'sweeps.db'}"
    found: dict[str, list[float]] = collections.defaultdict(list)
    for name in optuna.get_all_study_names(storage):
        if name.endswith("/winner") == winner:
            for trial in optuna.load_study(study_name=name, storage=storage).trials:
                if trial.state.name == "COMPLETE":
                    found[trial.user_attrs["key"]].append(trial.value)
    return found


def kill_until_done(folder: Path, name: str, n: int, rng: random.Random, tally: Tally, most: int) -> None:
    """Run a sweep in n processes, killed and started again until one of them comes to its end."""
    tally.sweeps += 1
    while True:
        processes = [start(folder, name) for _ in range(n)]
        for process in processes:
            assert process.stderr
            if rng.random() < 0.85:
                process.stderr.readline()  # it has made or opened its database, and begins
        if tally.kills >= most:
            ends = [(process.communicate()[1], process.returncode) for process in processes]
            if any(code for _, code in ends):
                sys.exit(f"a sweep that was to come to its end did not: {ends}")
            return
        for process in processes:
            try:
                process.wait(rng.uniform(0, LONGEST_S))
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                tally.kills += 1
                tally.at.append(stage(folder / name))
            process.stderr.close()
            process.wait()
        if all(process.returncode == 0 for process in processes):
            return


def stage(runs: Path) -> str:
    """Return how far the sweep was when it was killed."""
    if not (runs / "sweeps.db").exists():
        return "before the database"
    time.sleep(0.1)
    try:
        n = len(complete(runs))
    except Exception:  # half made tables
        return "while making the database"
    return f"{n} done" if n < N_TRAININGS else "training the winner"


def compare(runs: Path, truth: dict[str, float], tally: Tally) -> None:
    found = complete(runs)
    tally.lost += len(truth.keys() - found.keys())
    tally.doubled += sum(len(values) > 1 for values in found.values())
    tally.different += sum(values[0] != truth[key] for key, values in found.items())
    tally.winners.append(sum(map(len, complete(runs, winner=True).values())))
    optuna = load_optuna()
    storage = f"sqlite:///{runs / 'sweeps.db'}"
    names = [name for name in optuna.get_all_study_names(storage) if not name.endswith("/winner")]
    tally.rerun += sum(
        trial.state.name == "FAIL"
        for name in names
        for trial in optuna.load_study(study_name=name, storage=storage).trials
    )


def show(tally: Tally, path: Path | None) -> None:
    stages = collections.Counter("while trainings ran" if "done" in at else at for at in tally.at)
    rows = [
        ["sweeps of 24 trainings, brought to their end", str(tally.sweeps)],
        ["kills at random moments", str(tally.kills)],
        *([f"  of them {name}", str(count)] for name, count in stages.most_common()),
        ["trainings begun, killed, and run again", str(tally.rerun)],
        ["trainings lost", str(tally.lost)],
        ["trainings in the table twice", str(tally.doubled)],
        ["accuracies other than in a sweep nobody killed", str(tally.different)],
        ["winners trained and tested, a sweep", ", ".join(map(str, sorted(set(tally.winners))))],
    ]
    publish(
        "sweep_kill",
        "Does a sweep survive `kill -9`?",
        [Table("", ["", "n"], rows)],
        figures={"kills": tally.kills, "sweeps": tally.sweeps, "lost": tally.lost, "doubled": tally.doubled},
        path=path,
    )


if __name__ == "__main__":
    main()
