"""Accuracy on MNIST of every recipe that trains in minutes, over seeds, beside what the tutorial prints.

    python benchmarks/accuracy.py [--recipes linear hidden fast cnn] [--seeds 10] [--json FILE]

Each recipe is trained from seeds 0, 1, ... at its fixed schedule on all 60,000 images; the test set is read once for
each, at the end, with the last weights. (`inkdigits tutorial` compares the same way.)
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from common import Table, mean_sd, percent, publish

from inkdigits.data.loading import load_mnist
from inkdigits.training import networks
from inkdigits.training.recipes import resolve
from inkdigits.training.tutorial import TOLD, Seeds, train_seeds

# Of the slow ones fewer: an epoch of cnn takes as long as twenty of hidden.
MOST = {"cnn": 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["linear", "hidden", "fast", "cnn"])
    parser.add_argument("--seeds", type=int, default=10, help="of cnn three at most")
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    train, test = load_mnist()
    found, seconds = {}, {}
    for name in given.recipes:
        started = time.perf_counter()
        found[name] = train_seeds(
            networks.for_this_machine(networks.check(resolve(name))),
            min(given.seeds, MOST.get(name, given.seeds)),
            train,
            test,
        )
        seconds[name] = (time.perf_counter() - started) / len(found[name])
    header = ("recipe", "seeds", "train accuracy", "test accuracy", "test loss", "the tutorial's", "seconds a training")
    publish(
        "accuracy",
        "Accuracy of the recipes over seeds",
        [Table("Mean ± sd", header, [row(name, seeds, seconds[name]) for name, seeds in found.items()])],
        notes=["A training's seconds have its share of the one compilation, and the test set's evaluation, in them."],
        figures={name: vars(seeds) for name, seeds in found.items()},
        path=given.json,
    )


def row(name: str, seeds: Seeds, seconds: float) -> tuple[str, ...]:
    told = ""
    if name in TOLD:
        train, test, loss = TOLD[name]
        told = f"{percent(train, 2)}; {percent(test, 2)}; {loss}"
    shares = [f"{mean_sd(values, 2, 100)} %" for values in (seeds.train_accuracy, seeds.test_accuracy)]
    return name, str(len(seeds)), *shares, mean_sd(seeds.test_loss, 4), told, f"{seconds:.1f}"


if __name__ == "__main__":
    main()
