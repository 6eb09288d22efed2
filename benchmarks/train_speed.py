"""Seconds an epoch: our compiled loop, Keras's `fit` and scikit-learn's MLPClassifier, one after the other in turn.

    python benchmarks/train_speed.py [--rounds 5] [--recipes linear hidden cnn] [--data DIR] [--json FILE]

Every round times one epoch of each, so that other work on the machine slows all of them alike; all are warm (compiled)
before the first round. Ratios are taken within a round; their median and range are reported.
"""

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from common import Table, in_turn, publish, ratios, spread

from inkdigits.data.loading import load_data
from inkdigits.data.splits import Split
from inkdigits.training import loop, networks
from inkdigits.training.recipes import Recipe, change, resolve

Epoch = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--recipes", nargs="+", default=["linear", "hidden", "cnn"])
    parser.add_argument("--data", type=Path, default=None, help="in MNIST's format; default: MNIST")
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    train, _ = load_data(given.data)
    recipes = [networks.for_this_machine(networks.check(resolve(name))) for name in given.recipes]
    found = {recipe.name: in_turn(contestants(recipe, train), given.rounds) for recipe in recipes}
    sizes = ", ".join(f"{recipe.name} {recipe.batch_size}" for recipe in recipes)
    publish(
        "train_speed",
        "Seconds an epoch of training",
        [table(found, f"An epoch of {len(train):,} images, {given.rounds} rounds in turn; batches: {sizes}")],
        figures=found,
        path=given.json,
    )


def contestants(recipe: Recipe, train: Split) -> dict[str, Epoch]:
    found = {"inkdigits": our_epoch(recipe, train), "Keras fit": fit_epoch(change(recipe, precision="float32"), train)}
    if recipe.precision != "float32":
        found[f"Keras fit, {recipe.precision}"] = fit_epoch(recipe, train)
    if recipe.hidden and not recipe.convolutions:
        found["scikit-learn MLPClassifier"] = sklearn_epoch(recipe, train)
    return found


def our_epoch(recipe: Recipe, train: Split) -> Epoch:
    model = networks.build(recipe, seed=0)
    loop.prepare(model, recipe, -(-len(train) // recipe.batch_size))
    runner = loop.runner_for(model, recipe.batch_size, len(train))
    targets = loop.targets_for(model, train.labels)

    def epoch() -> None:
        loop.run_epoch(model, runner(train.images, targets, 0, 1))

    return epoch


def fit_epoch(recipe: Recipe, train: Split) -> Epoch:
    model = networks.build(recipe, seed=0)
    loop.prepare(model, recipe, -(-len(train) // recipe.batch_size))
    targets = loop.targets_for(model, train.labels)
    images = np.ascontiguousarray(train.images)
    return lambda: model.fit(images, targets, batch_size=recipe.batch_size, verbose=0)


def sklearn_epoch(recipe: Recipe, train: Split) -> Epoch:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    pixels = train.images.reshape(len(train), -1).astype(np.float32) / 255
    network = MLPClassifier(recipe.hidden, batch_size=recipe.batch_size, max_iter=1, random_state=0)
    return lambda: network.fit(pixels, train.labels)


def table(found: dict[str, dict[str, list[float]]], caption: str) -> Table:
    rows = []
    for recipe, timings in found.items():
        for name, seconds in timings.items():
            faster = "" if name == "inkdigits" else spread(ratios(seconds, timings["inkdigits"]), 1)
            rows.append((recipe, name, spread(seconds, 2), faster))
    return Table(caption, ("recipe", "by", "seconds an epoch", "inkdigits is faster by"), rows)


if __name__ == "__main__":
    main()
