"""Seconds an epoch: our compiled loop, Keras's `fit` and scikit-learn's MLPClassifier, one after the other in turn.

    python benchmarks/train_speed.py [--rounds 5] [--recipes linear hidden cnn] [--data DIR] [--json FILE]

Every round times one epoch of each, so that other work on the machine slows all of them alike; both Keras models
are warm (compiled) before the first round. Ratios are taken within a round; their median and range are reported.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from inkdigits.datasets import Split, load_data
from inkdigits.training import loop, models
from inkdigits.training.recipes import Recipe, change, resolve
from inkdigits.training.session import versions

Epoch = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipes", nargs="+", default=["linear", "hidden", "cnn"])
    parser.add_argument("--data", type=Path, default=None, help="in MNIST's format; default: MNIST")
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    arguments = parser.parse_args()
    train, _ = load_data(arguments.data)
    found = {name: measure(models.check(resolve(name)), train, arguments.rounds) for name in arguments.recipes}
    result = {"machine": machine(), "versions": versions(), "n_images": len(train), "rounds": arguments.rounds}
    result |= {"epoch_s": found}
    print(table(result))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(recipe: Recipe, train: Split, rounds: int) -> dict[str, list[float]]:
    """Return what was timed -> seconds of one epoch in each round."""
    contestants = {"inkdigits": our_epoch(recipe, train), "fit": fit_epoch(change(recipe, precision="float32"), train)}
    if recipe.precision != "float32":
        contestants[f"fit {recipe.precision}"] = fit_epoch(recipe, train)
    if recipe.hidden and not recipe.convolutions:
        contestants["scikit-learn"] = sklearn_epoch(recipe, train)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        print(f"{recipe.name}: round {number + 1} of {rounds}", file=sys.stderr)
        for name, epoch in contestants.items():
            start = time.perf_counter()
            epoch()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def our_epoch(recipe: Recipe, train: Split) -> Epoch:
    model = models.build(recipe, seed=0)
    n_steps = -(-len(train) // recipe.batch_size)
    loop.prepare(model, recipe, n_steps)
    runner = loop.runner_for(model, recipe.batch_size, len(train))
    targets = loop.targets_for(model, train.labels)

    def epoch() -> None:
        order = np.random.default_rng(0).permutation(len(train)).astype(np.int32)
        loop.run_epoch(model, runner(train.images, targets, order), n_steps)

    epoch()
    return epoch


def fit_epoch(recipe: Recipe, train: Split) -> Epoch:
    model = models.build(recipe, seed=0)
    loop.prepare(model, recipe, len(train) // recipe.batch_size)
    targets = loop.targets_for(model, train.labels)
    images = np.ascontiguousarray(train.images)
    model.fit(images[: 20 * recipe.batch_size], targets[: 20 * recipe.batch_size], recipe.batch_size, verbose=0)
    return lambda: model.fit(images, targets, batch_size=recipe.batch_size, verbose=0)


def sklearn_epoch(recipe: Recipe, train: Split) -> Epoch:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    pixels = train.images.reshape(len(train), -1).astype(np.float32) / 255
    net = MLPClassifier(recipe.hidden, batch_size=recipe.batch_size, max_iter=1, random_state=0)
    return lambda: net.fit(pixels, train.labels)


def machine() -> str:
    """Return the processor's name and the number of cores this process may use."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in _lines(cpuinfo) if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return f"{names[0] if names else platform.processor()}, {cores} cores, {platform.system()}{load}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def table(result: dict) -> str:
    keras_version, tensorflow = keras.__version__, result["versions"].get("tensorflow-cpu", "")
    lines = [
        f"{result['machine']}; Keras {keras_version}, TensorFlow {tensorflow}; {result['n_images']:,} images; "
        f"n = {result['rounds']} rounds in turn: median (least to most)",
        "",
        "| recipe | by | seconds an epoch | times faster is inkdigits |",
        "|---|---|---|---|",
    ]
    for recipe, timings in result["epoch_s"].items():
        for name, seconds in timings.items():
            ratios = [theirs / ours for theirs, ours in zip(seconds, timings["inkdigits"], strict=True)]
            faster = "" if name == "inkdigits" else spread(ratios, 1)
            lines.append(f"| {recipe} | {name} | {spread(seconds, 2)} | {faster} |")
    return "\n".join(lines)


def spread(values: list[float], places: int) -> str:
    return f"{statistics.median(values):.{places}f} ({min(values):.{places}f} to {max(values):.{places}f})"


if __name__ == "__main__":
    main()
