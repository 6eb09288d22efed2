"""Of training labels turned wrong on purpose, how many does `inkdigits doctor` find?

One in a hundred of MNIST's 60,000 training labels is turned to another class at random; the networks learn with them.

Usage: python benchmarks/flips.py [--recipe cnn] [--folds 5] [--seed 0] [--json FILE]
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import Table, publish

import inkdigits
from inkdigits.audit.label_issues import LabelIssues, examine

FLIPPED = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="cnn")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="keep the figures here")
    arguments = parser.parse_args()
    train, test = inkdigits.load_mnist()
    labels, turned = turn(train.labels)
    spoilt = replace(train, labels=labels)
    found = examine(spoilt, test, arguments.recipe, folds=arguments.folds, seed=arguments.seed).train
    figures = counts(found, turned)
    right = int((found.suggested == train.labels)[turned].sum())
    rows = [
        [f"among the first {FLIPPED} of the ranking", f"**{figures['first']} of {FLIPPED}**", f"{FLIPPED}"],
        ["another label likelier", f"{figures['disagreements_flipped']} of {FLIPPED}", f"{figures['disagreements']}"],
        ["most likely wrong", f"{figures['issues_flipped']} of {FLIPPED}", f"{figures['issues']}"],
        ["suggested label is the true one", f"{right} of {FLIPPED}", ""],
    ]
    caption = f"{FLIPPED} of 60,000 training labels turned wrong"
    table = Table(caption, ["", "turned labels found", "labels so called, in all"], rows)
    notes = [
        "Some 50 labels of the training set are most likely wrong before any is turned (benchmarks/bench_doctor.py)."
    ]
    title = "Wrong labels: those turned wrong on purpose"
    publish("flips", title, [table], notes=notes, figures=figures | {"suggested_right": right}, path=arguments.json)


def turn(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels with some turned to another class at random, and bool (N,): which."""
    rng = np.random.default_rng(1)
    which = rng.choice(len(labels), FLIPPED, replace=False)
    spoilt, turned = labels.copy(), np.zeros(len(labels), bool)
    spoilt[which] = (labels[which] + rng.integers(1, 10, FLIPPED)) % 10
    turned[which] = True
    return spoilt, turned


def counts(found: LabelIssues, turned: np.ndarray) -> dict[str, int]:
    """Return how many of the turned labels stand where one would look for them."""
    return {
        "first": int(turned[found.ranking[:FLIPPED]].sum()),
        "disagreements": int(found.disagrees.sum()),
        "disagreements_flipped": int((found.disagrees & turned).sum()),
        "issues": int(found.is_issue.sum()),
        "issues_flipped": int((found.is_issue & turned).sum()),
    }


if __name__ == "__main__":
    main()
