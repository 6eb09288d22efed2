"""How many trainings an hour: `inkdigits sweep`, against a script with `model.fit` for each training?

    python benchmarks/bench_sweep.py [--scripts 4] [--json FILE]

The grid is 2 activations x 2 optimizers x 5 and 10 epochs x 3 seeds of `hidden` on 50,000 images of MNIST, evaluated on
10,000 others: 24 trainings. The sweep does all of them, from the start of its process to its end. Of the scripts, which
are as the tutorial writes them, `--scripts` are run, evenly of 5 and 10 epochs, before and after the sweep; the figure
for the grid is their mean time taken 24 times.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import Table, publish, spread

from inkdigits.data.loading import load_mnist
from inkdigits.data.splits import hold_out

ACTIVATIONS, OPTIMIZERS, EPOCHS, SEEDS = ("relu", "tanh"), ("adam", "sgd"), (5, 10), 3
N_TRAININGS = len(ACTIVATIONS) * len(OPTIMIZERS) * len(EPOCHS) * SEEDS

SCRIPT = """
import sys
import keras
import numpy as np

activation, optimizer, epochs, seed, path = sys.argv[1:]
keras.utils.set_random_seed(int(seed))
with np.load(path) as data:
    x, y, x_held_out, y_held_out = (data[name] for name in ("x", "y", "x_held_out", "y_held_out"))
model = keras.Sequential([
    keras.Input((28, 28)),
    keras.layers.Flatten(),
    keras.layers.Dense(100, activation=activation),
    keras.layers.Dense(10, activation="sigmoid"),
])
model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x / 255, y, epochs=int(epochs), verbose=0)
print(model.evaluate(x_held_out / 255, y_held_out, verbose=0)[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scripts", type=int, default=4)
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sweep-bench-"))
    try:
        part, held_out = hold_out(load_mnist()[0], 10_000, 0)
        arrays = {"x": part.images, "y": part.labels, "x_held_out": held_out.images, "y_held_out": held_out.labels}
        np.savez(folder / "data.npz", **arrays)
        half = max(2, arguments.scripts // 2)
        scripts = run_scripts(folder, 0, half)
        seconds, found = run_sweep(folder)
        scripts += run_scripts(folder, half, max(half, arguments.scripts))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(scripts, seconds, found, arguments.json)


def run_scripts(folder: Path, first: int, last: int) -> list[float]:
    """Return the seconds of some trainings of the grid, each by a script."""
    seconds = []
    for i in range(first, last):
        activation, optimizer = ACTIVATIONS[i // 2 % 2], OPTIMIZERS[i // 2 % 2]
        words = [activation, optimizer, str(EPOCHS[i % 2]), str(i), str(folder / "data.npz")]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", SCRIPT, *words], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
        print(f"script {' '.join(words[:3])}: {seconds[-1]:.1f} s", file=sys.stderr)
    return seconds


def run_sweep(folder: Path) -> tuple[float, dict]:
    words = ["hidden", "--activation", ",".join(ACTIVATIONS), "--optimizer", ",".join(OPTIMIZERS)]
    words += ["--epochs", ",".join(map(str, EPOCHS)), "--seeds", str(SEEDS), "--no-winner", "--json"]
    command = [sys.executable, "-m", "inkdigits", "sweep", *words, "--runs", str(folder / "runs")]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, json.loads(done.stdout)


def show(scripts: list[float], seconds: float, found: dict, path: Path | None) -> None:
    # Scripts of 5 and of 10 epochs in turn: their mean is that of the grid.
    one = statistics.mean(scripts)
    training = sum(row["seconds"] for row in found["ranking"])
    ratio = one * N_TRAININGS / seconds
    by_scripts = [f"{one * N_TRAININGS:.0f} ({N_TRAININGS} x {one:.1f})", f"{3600 / one:.0f}", ""]
    by_sweep = [f"{seconds:.0f}", f"{3600 * N_TRAININGS / seconds:.0f}", f"**{ratio:.1f} times** as many"]
    rows = [["a script with `model.fit` each", *by_scripts], ["`inkdigits sweep`", *by_sweep]]
    publish(
        "sweep",
        "Trainings an hour: a sweep against scripts",
        [Table(f"{N_TRAININGS} trainings of `hidden`", ["by", "seconds", "trainings an hour", ""], rows)],
        notes=[
            f"Scripts: n = {len(scripts)}, {spread(scripts, 1)} s each, process included. In the sweep the trainings "
            f"themselves, two at a time, took {training:.0f} s in all; the rest is start and page."
        ],
        figures={"scripts_s": scripts, "sweep_s": seconds, "n": N_TRAININGS, "ratio": ratio},
        path=path,
    )


if __name__ == "__main__":
    main()
