"""The jobs of a sweep -> a ranking: mean and spread over seeds, and which differences are significant."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optuna

from inkdigits.evaluation import significance
from inkdigits.evaluation.text import p_in_words, percent
from inkdigits.sweep.space import Configuration, Plain, value_in_words
from inkdigits.sweep.study import Job, Outcome, quiet_study
from inkdigits.training.hyperparameters import flag

SIGNIFICANCE_LEVEL = 0.05
# Fewer configurations than these say nothing about which hyperparameter matters.
LEAST_FOR_IMPORTANCE = 4

HOW_TO_READ = (
    "Significant: other images and seeds would most likely show it as well. Not significant: it may be luck, and they "
    "might show the opposite. p is paired over images and seeds, and adjusted for testing all pairs at once (Holm)."
)


@dataclass(frozen=True)
class RankedConfiguration:
    """One configuration.

    Attributes:
        settings: the hyperparameters that were named.
        outcomes: of the seeds that are done: seed -> outcome.
        n_seeds: how many seeds there are to be.
        difference: mean accuracy minus that of the best; None where nothing was tested.
        half: half the width of the 95 % interval of the difference, for this pair alone.
        p: of the difference, adjusted for all pairs.
    """

    settings: Configuration = field(hash=False)
    outcomes: dict[int, Outcome] = field(hash=False)
    n_seeds: int
    difference: float | None = None
    half: float | None = None
    p: float | None = None

    @property
    def accuracies(self) -> list[float]:
        """Of the seeds that finished, on the validation images."""
        return [outcome.accuracy for _, outcome in sorted(self.outcomes.items()) if outcome.accuracy is not None]

    @property
    def whole(self) -> bool:
        """Did every seed finish?"""
        return len(self.accuracies) == self.n_seeds

    @property
    def mean(self) -> float:
        """Mean accuracy; NaN where there is none."""
        return statistics.mean(self.accuracies) if self.accuracies else math.nan

    @property
    def sd(self) -> float | None:
        """Standard deviation over the seeds; None for one seed."""
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def error(self) -> str | None:
        """Why a seed failed, if one did."""
        return next((outcome.error for outcome in self.outcomes.values() if outcome.error), None)

    @property
    def verdict(self) -> str:
        """In a word or two: what its difference from the best means."""
        if self.error:
            failed = sum(outcome.error is not None for outcome in self.outcomes.values())
            return f"failed ({failed} of {len(self.outcomes)})"
        if any(outcome.pruned for outcome in self.outcomes.values()):
            return "stopped early"
        if self.p is not None:
            return "significant" if self.p < SIGNIFICANCE_LEVEL else "not significant"
        if not self.whole:
            return "not repeated" if self.outcomes else ""
        if self.difference == 0:
            return "best"
        return "one seed" if self.n_seeds == 1 else ""  # several, not yet compared with the best

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "settings": self.settings,
            "accuracy": self.mean if self.accuracies else None,
            "sd": self.sd,
            "accuracies": self.accuracies,
            "seeds": sorted(self.outcomes),
            "difference": self.difference,
            "interval": None if self.half is None or self.difference is None else self._interval(),
            "p": self.p,
            "verdict": self.verdict,
            "error": self.error,
            "seconds": sum(outcome.seconds for outcome in self.outcomes.values()),
        }

    def _interval(self) -> list[float]:
        return [self.difference - self.half, self.difference + self.half]  # type: ignore[operator]


@dataclass(frozen=True)
class Ranking:
    """All configurations, the best first; those which are not whole below those which are.

    Attributes:
        rows: the configurations.
        hyperparameters: the fields with more than one value.
        n_seeds: seeds a configuration.
        n_validation: images they are evaluated on.
    """

    rows: list[RankedConfiguration]
    hyperparameters: list[str]
    n_seeds: int
    n_validation: int

    @property
    def best(self) -> RankedConfiguration | None:
        """The configuration with the highest mean accuracy of all its seeds, if one is whole."""
        return self.rows[0] if self.rows and self.rows[0].whole else None

    @property
    def tested(self) -> list[RankedConfiguration]:
        """The rows which were compared with the best."""
        return [row for row in self.rows if row.p is not None]

    def names(self, row: RankedConfiguration) -> list[str]:
        """Return the values of the hyperparameters in a row, as the command line takes them."""
        return [value_in_words(row.settings[name]) for name in self.hyperparameters]

    def in_words(self) -> str:
        """Return one or two sentences on what is significant."""
        if self.best is None:
            return "No configuration has finished with all its seeds."
        if self.n_seeds == 1:
            return "One seed: these differences may be luck. --seeds 3 tests them; it trains only what is missing."
        significant = sum(row.p < SIGNIFICANCE_LEVEL for row in self.tested if row.p is not None)
        if not self.tested:
            return "There is nothing to compare the best with."
        differences = f"{len(self.tested)} difference{'s' * (len(self.tested) > 1)}"
        are = "is" if significant == 1 else "are"
        return f"Of {differences} from the best {significant} {are} significant. {HOW_TO_READ}"

    def table(self, most: int | None = None) -> str:
        """Return the ranking as lines of text; `most` rows of it, without empty columns."""
        lines = [self.head(), *self.cells()[:most]]
        left = set(range(1, 1 + len(self.hyperparameters)))
        filled = [column for column in zip(*lines, strict=True) if len(lines) == 1 or any(column[1:])]
        lines = [list(line) for line in zip(*filled, strict=True)]
        widths = [max(map(len, column)) for column in filled]
        text = [
            "  ".join(
                cell.ljust(width) if i in left else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        more = len(self.rows) - len(text) + 1
        return "\n".join(text + ([f"... and {more} more"] if more > 0 else []))

    def head(self) -> list[str]:
        """Return the names of the table's columns."""
        return [
            "",
            *map(flag, self.hyperparameters),
            "accuracy",
            "± sd",
            "seeds",
            "verdict",
            "points from best",
            "95 %",
            "p",
        ]

    def cells(self) -> list[list[str]]:
        """Return the table's rows, in words."""
        return [
            [str(number), *self.names(row), *accuracy_words(row), row.verdict, *difference_words(row)]
            for number, row in enumerate(self.rows, 1)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "hyperparameters": self.hyperparameters,
            "n_seeds": self.n_seeds,
            "n_validation": self.n_validation,
            "ranking": [row.to_dict() for row in self.rows],
            "importance": importance(self),
        }


def accuracy_words(row: RankedConfiguration) -> tuple[str, str, str]:
    """Return mean accuracy, its standard deviation over the seeds in points, and the count of seeds."""
    accuracy = percent(row.mean) if row.accuracies else "-"
    return accuracy, f"{row.sd * 100:.2f}" if row.sd is not None else "", str(len(row.accuracies))


def difference_words(row: RankedConfiguration) -> tuple[str, str, str]:
    """Return the difference from the best in points, its interval and p; empty words where nothing was tested."""
    if row.p is None or row.difference is None or row.half is None:
        return "", "", ""
    low, high = (100 * (row.difference + sign * row.half) for sign in (-1, 1))
    return f"{100 * row.difference:+.2f}", f"{low:+.2f} to {high:+.2f}", p_in_words(row.p).removeprefix("= ")


def rank(jobs: Iterable[Job], hyperparameters: Sequence[str], n_seeds: int, n_validation: int) -> Ranking:
    """Return the ranking of what is done, nothing tested yet.

    Args:
        jobs: of the sweep; those that are not finished do not count.
        hyperparameters: the fields with more than one value.
        n_seeds: seeds 0 to n_seeds - 1 count, others do not.
        n_validation: images they are evaluated on.
    """
    groups: dict[str, tuple[Configuration, dict[int, Outcome]]] = {}
    for job in jobs:
        if job.outcome is not None and job.seed < n_seeds:
            key = json.dumps(sorted(job.settings.items()))
            groups.setdefault(key, (job.settings, {}))[1][job.seed] = job.outcome
    rows = [RankedConfiguration(settings, outcomes, n_seeds) for settings, outcomes in groups.values()]
    rows.sort(key=lambda row: (not row.whole, not row.accuracies, -row.mean if row.accuracies else 0.0))
    return Ranking(rows, list(hyperparameters), n_seeds, n_validation)


def compare_with_best(ranking: Ranking) -> Ranking:
    """Return the ranking with every whole configuration compared with the best."""
    whole = [row for row in ranking.rows if row.whole]
    if not whole:
        return ranking
    compared = [replace(whole[0], difference=0.0), *whole[1:]]
    if len(whole) > 1 and ranking.n_seeds > 1:
        answers = [[row.outcomes[seed].right for seed in range(ranking.n_seeds)] for row in whole]
        right = np.array(answers, bool)
        halves, p_values = significance.compare_over_seeds(right)
        # Chance, too, decides which one is the best, so that every pair might have been the one looked at.
        pairs = np.triu_indices(len(whole), 1)
        adjusted = np.zeros_like(p_values)
        adjusted[pairs] = significance.holm(list(p_values[pairs]))
        compared[1:] = [
            replace(row, difference=row.mean - whole[0].mean, half=float(halves[0, i]), p=float(adjusted[0, i]))
            for i, row in enumerate(whole[1:], 1)
        ]
    return replace(ranking, rows=compared + ranking.rows[len(whole) :])


def by_value(ranking: Ranking, name: str) -> dict[Plain, list[float]]:
    """Return the mean accuracies of all configurations with each value of a hyperparameter, the values in order."""
    found: dict[Plain, list[float]] = {}
    for row in ranking.rows:
        if row.accuracies:
            found.setdefault(row.settings[name], []).append(row.mean)
    return {value: found[value] for value in sorted(found, key=lambda value: (isinstance(value, str), value))}


def importance(ranking: Ranking) -> dict[str, float]:
    """Return how much of the accuracy's variance over the configurations each hyperparameter explains, summing to 1.

    By fANOVA (Hutter, Hoos, Leyton-Brown 2014), as Optuna computes it. Empty where there are fewer than two
    hyperparameters of several values, or too few configurations.
    """
    rows = [row for row in ranking.rows if row.accuracies]
    varied = [name for name in ranking.hyperparameters if len(by_value(ranking, name)) > 1]
    if len(rows) < LEAST_FOR_IMPORTANCE or len(varied) < 2 or len({row.mean for row in rows}) < 2:
        return {}
    study = quiet_study()
    distributions = {name: _distribution(list(by_value(ranking, name))) for name in varied}
    for row in rows:
        params = {name: row.settings[name] for name in varied}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=row.mean))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=varied)
    return {name: float(value) for name, value in found.items()}


def _distribution(values: list[Plain]) -> optuna.distributions.BaseDistribution:
    """Return the distribution that a hyperparameter's seen values come from."""
    numbers = [value for value in values if not isinstance(value, str | bool)]
    if len(numbers) < len(values):
        return optuna.distributions.CategoricalDistribution(values)
    low, high = min(numbers), max(numbers)
    log = low > 0 and high / low >= 10
    if isinstance(low, int) and isinstance(high, int) and all(isinstance(value, int) for value in numbers):
        return optuna.distributions.IntDistribution(low, high, log=log)
    return optuna.distributions.FloatDistribution(low, high, log=log)
