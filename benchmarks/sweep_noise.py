"""How often does a sweep call equal networks different?

    python benchmarks/sweep_noise.py [--networks 60] [--epochs 3] [--draws 300] [--json FILE]

Trains `hidden` with many seeds and nothing else changed, then simulates sweeps with them: configurations of some seeds
each are drawn, all equal in truth, and compared with each other. At 5 % a sound test calls 5 % of the pairs
different, and, adjusted for all pairs, at least one pair in at most 5 % of the sweeps. McNemar's test on one seed of
each stands beside it.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from common import Table, publish

from inkdigits.data.loading import load_mnist
from inkdigits.data.splits import hold_out
from inkdigits.evaluation import significance
from inkdigits.sweep.study import Job
from inkdigits.sweep.workers import ThreadWorkers, WorkItem
from inkdigits.training import networks, recipes

SHAPES = ((4, 2), (4, 3), (12, 2), (12, 3), (12, 5))
LEVEL = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--json", type=Path, default=None, help="write the figures here too")
    arguments = parser.parse_args()
    right = train(arguments.networks, arguments.epochs)
    rng = np.random.default_rng(0)
    rows = [row(right, *shape, arguments.draws, rng) for shape in SHAPES if np.prod(shape) <= len(right)]
    accuracies = right.mean(axis=1)
    header = ["configurations", "seeds", "pairs called different", "sweeps with any, after Holm", "McNemar on one seed"]
    publish(
        "sweep_noise",
        "How often a sweep calls equal networks different",
        [
            Table(
                f"{len(right)} networks that differ by their seed alone; {arguments.draws} sweeps drawn of them",
                header,
                rows,
            )
        ],
        notes=[
            f"`hidden`, {arguments.epochs} epochs, evaluated on 10,000 held-out images: "
            f"{100 * accuracies.mean():.2f} ± {100 * accuracies.std(ddof=1):.2f} %. Both tests at 5 %."
        ],
        figures={"accuracies": accuracies.tolist()},
        path=arguments.json,
    )


def train(n: int, epochs: int) -> np.ndarray:
    """Return bool (n, images): which images each of n networks classifies correctly."""
    part, validation = hold_out(load_mnist()[0], 10_000, 0)
    recipe = networks.check(recipes.resolve("hidden", epochs=epochs))
    threads, waiting = ThreadWorkers(2, part, validation), [WorkItem(Job(seed, {}, seed), recipe) for seed in range(n)]
    right: dict[int, np.ndarray] = {}
    while len(right) < n:
        while waiting and (worker := threads.free()) is not None:
            threads.start(worker, waiting.pop(0))
        for event in threads.wait(1):
            if event.error:
                raise event.error
            if event.outcome and event.outcome.right is not None:
                right[event.item.job.seed] = event.outcome.right
        print(f"\r{len(right)} of {n} networks", end="", file=sys.stderr)
    print(file=sys.stderr)
    threads.close()
    return np.stack([right[seed] for seed in range(n)])


def row(right: np.ndarray, n: int, n_seeds: int, draws: int, rng: np.random.Generator) -> list[str]:
    pairs, sweeps, mcnemar = [], 0, []
    upper = np.triu_indices(n, 1)
    for _ in range(draws):
        drawn = right[rng.permutation(len(right))[: n * n_seeds]].reshape(n, n_seeds, -1)
        p = significance.compare_over_seeds(drawn)[1][upper]
        pairs.append((p < LEVEL).mean())
        sweeps += min(significance.holm(list(p))) < LEVEL
        a, b = drawn[0, 0], drawn[1, 0]
        mcnemar.append(significance.mcnemar_exact(int((b & ~a).sum()), int((a & ~b).sum())) < LEVEL)
    shares = (np.mean(pairs), sweeps / draws, np.mean(mcnemar))
    return [str(n), str(n_seeds), *(f"{100 * share:.1f} %" for share in shares)]


if __name__ == "__main__":
    main()
