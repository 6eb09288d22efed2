"""Does a sweep survive `kill -9`? Kills `inkdigits sweep` at random moments, starts it again, and counts what is left.

    python benchmarks/sweep_kill.py [--kills 24] [--seed 0] [--json FILE]

Each sweep is a grid of 24 trainings on 1,000 images of MNIST. A killed sweep is started again until it comes to its
end; then every training must be in the database exactly once, with the accuracy that a sweep which nobody killed found
for it, and the winner must have been trained once. Half of the time a second process asks for the lock of the running
sweep, and must be turned away.
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

import optuna
from common import Table, publish

from inkdigits.data.idx import save_idx_folder
from inkdigits.data.loading import load_mnist
from inkdigits.training import runs

GRID = ["hidden", "--hidden", "30", "--activation", "relu,tanh", "--optimizer", "adam,sgd"]
GRID += ["--epochs", "2,20", "--seeds", "3"]
N_TRAININGS = 24
# How often a second process asks for the lock of a sweep that runs.
P_SECOND = 0.5


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
    turned_away: int = 0
    broke_in: int = 0
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
        truth, longest = run_to_end(folder, "truth")
        while tally.kills < arguments.kills:
            name = f"killed-{tally.sweeps}"
            kill_until_done(folder, name, rng, tally, arguments.kills, longest)
            compare(folder / name, truth, tally)
            print(f"{tally.sweeps} sweeps, {tally.kills} kills: {tally}", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(tally, arguments.json)
    sys.exit(bool(tally.lost or tally.doubled or tally.different or tally.broke_in or set(tally.winners) != {1}))


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    words = [*GRID, "--data", str(folder / "data"), "--runs", str(folder / name), "--jobs", "2"]
    command = [sys.executable, "-c", "from inkdigits.cli.main import main; main()", "sweep", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def run_to_end(folder: Path, name: str) -> tuple[dict[str, float], float]:
    """Return key -> accuracy of a sweep that nobody kills, and the seconds it takes once it has begun."""
    process = start(folder, name)
    assert process.stderr
    process.stderr.readline()
    begin = time.monotonic()
    process.communicate()
    assert process.returncode == 0
    return {key: values[0] for key, values in complete(folder / name).items()}, time.monotonic() - begin


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    (study,) = optuna.get_all_study_names(storage_in(folder))
    return optuna.load_study(study_name=study, storage=storage_in(folder)).trials


def storage_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'sweeps.db'}"


def complete(folder: Path) -> dict[str, list[float]]:
    """Return key -> the values of all completed trials of that key."""
    found: dict[str, list[float]] = collections.defaultdict(list)
    for trial in trials(folder):
        if trial.state.name == "COMPLETE":
            found[trial.user_attrs["key"]].append(trial.value)
    return found


def kill_until_done(folder: Path, name: str, rng: random.Random, tally: Tally, most: int, longest: float) -> None:
    """Run a sweep, killed and started again until it comes to its end."""
    tally.sweeps += 1
    while True:
        process = start(folder, name)
        assert process.stderr
        if rng.random() < 0.85:
            process.stderr.readline()  # it has the lock and begins
            if rng.random() < P_SECOND:
                break_in(folder / name, process, tally)
        if tally.kills >= most:
            errors = process.communicate()[1]
            if process.returncode:
                sys.exit(f"a sweep that was to come to its end did not: {errors}")
            return
        try:
            # Squared: the trainings, of which most is to be seen, come first, and the winner takes most of the time.
            process.wait(rng.random() ** 2 * longest)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            tally.kills += 1
            tally.at.append(stage(folder / name))
        process.stderr.close()
        process.wait()
        if process.returncode == 0:
            return


def break_in(folder: Path, first: subprocess.Popen[str], tally: Tally) -> None:
    """Have a second process ask for the lock of a sweep that is running, as `inkdigits sweep` does before all else."""
    (study,) = folder.glob("sweep-*")
    code = "import sys; from pathlib import Path; from inkdigits.sweep.lock import study_lock\n"
    code += "with study_lock(Path(sys.argv[1])): pass"
    second = subprocess.run([sys.executable, "-c", code, str(study)], capture_output=True, text=True, check=False)
    if f"already running (process {first.pid} on" in second.stderr:
        tally.turned_away += 1
    elif first.poll() is None:
        tally.broke_in += 1


def stage(folder: Path) -> str:
    """Return how far the sweep was when it was killed."""
    if not (folder / "sweeps.db").exists():
        return "before the database"
    time.sleep(0.1)
    try:
        n = len(complete(folder))
    except Exception:  # half made tables
        return "while making the database"
    return f"{n} done" if n < N_TRAININGS else "training the winner"


def compare(folder: Path, truth: dict[str, float], tally: Tally) -> None:
    found = complete(folder)
    tally.lost += len(truth.keys() - found.keys())
    tally.doubled += sum(len(values) > 1 for values in found.values())
    tally.different += sum(values[0] != truth[key] for key, values in found.items())
    tally.winners.append(sum(run.finished for run in runs.list_runs(folder)))
    tally.rerun += sum(trial.state.name == "FAIL" for trial in trials(folder))


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
        ["second processes turned away by the lock", str(tally.turned_away)],
        ["second processes that got in", str(tally.broke_in)],
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
