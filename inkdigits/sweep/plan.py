"""What a sweep will train: combinations, seeds, images held out."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from inkdigits.data.splits import Split, hold_out
from inkdigits.errors import RecipeError
from inkdigits.sweep.ranking import Ranking, rank
from inkdigits.sweep.space import Combination, Configuration, Space, apply, grid, hyperparameters_of, read_space
from inkdigits.sweep.study import Job
from inkdigits.sweep.workers import by_share
from inkdigits.training import networks, recipes
from inkdigits.training.recipes import Recipe

# Images held out where the recipe holds out none: so many, but at most one in six of the training images.
N_VALIDATION, MIN_TRAIN_RATIO = 10_000, 6
# How many of the best of a search are trained with all seeds.
N_FINALISTS = 5
# A search that proposes known settings so often in a row has tried all of its space.
MAX_REPEATS = 20
MAX_RUNS = 100


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Attributes:
        base: the recipe that the hyperparameters change.
        space: the values of each hyperparameter.
        combinations: of a grid, all of them; of a search, none.
        left_out: why some combinations of the grid cannot be trained: reason -> count.
        n_search: configurations a search tries; None for a grid.
        n_seeds: trainings a configuration.
        part: the images to learn from.
        validation: the images to choose on.
    """

    base: Recipe
    space: Space
    combinations: list[Combination]
    left_out: dict[str, int]
    n_search: int | None
    n_seeds: int
    part: Split
    validation: Split

    @property
    def hyperparameters(self) -> list[str]:
        """The fields of which more than one value is tried."""
        return hyperparameters_of(self.space)

    @cached_property
    def name(self) -> str:
        """Of the study: equal for sweeps that can go on from each other's jobs, whatever their seeds and counts."""
        identity = {
            "base": dataclasses.asdict(self.base),
            "space": {name: str(values) for name, values in self.space.items()},
            "search": self.n_search is not None,
            "data": [self.part.sha256, len(self.part), len(self.validation)],
        }
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return f"sweep-{self.base.name}-{digest[:8]}"

    @property
    def n_runs(self) -> int:
        """How many trainings there will be, the winner's last one apart."""
        if self.n_search is not None:
            return self.n_search + min(N_FINALISTS, self.n_search) * (self.n_seeds - 1)
        return len(self.combinations) * self.n_seeds

    def recipe(self, settings: Configuration) -> Recipe:
        """Return the recipe of a configuration."""
        return apply(self.base, settings)

    def ranking(self, jobs: Sequence[Job]) -> Ranking:
        """Return the ranking of what is done, nothing tested yet."""
        return rank(jobs, self.hyperparameters, self.n_seeds, len(self.validation))

    def wanted(self, jobs: Sequence[Job]) -> list[tuple[Configuration, int]]:
        """Return the settings and seeds that can be named beforehand, done or not.

        These are a grid's, and all seeds of a search's best; while a search proposes, those that were interrupted.
        """
        if self.n_search is None:
            return [(each.settings, seed) for each, seed in self._in_order]
        if not self.search_is_over(jobs):
            return [(job.settings, job.seed) for job in jobs if job.seed == 0 and job.state == "FAIL"]
        ranking = rank(jobs, self.hyperparameters, 1, len(self.validation))
        finalists = [row for row in ranking.rows if row.whole][:N_FINALISTS]
        return [(row.settings, seed) for row in finalists for seed in range(self.n_seeds)]

    def search_is_over(self, jobs: Sequence[Job]) -> bool:
        """Have all proposals been made and tried?"""
        tried = [job for job in jobs if job.seed == 0]
        return len(tried) >= (self.n_search or 0) and all(job.outcome for job in tried)

    @cached_property
    def _in_order(self) -> list[tuple[Combination, int]]:
        return by_share([(each, seed) for each in self.combinations for seed in range(self.n_seeds)])


def make_plan(recipe: str, words: Mapping[str, str], seeds: int, search: int | None, train: Split) -> Plan:
    """Return what is to be done, checked.

    Args:
        recipe: the recipe's name.
        words: field -> the values to try, as on the command line.
        seeds: >= 1, trainings a configuration.
        search: how many configurations a search tries; None for a grid.
        train: all training images; some are held out.

    Raises:
        RecipeError: an unknown recipe, field or value, or nothing that can be trained.
        DataError: too few images to hold some out.
    """
    if seeds < 1 or (search is not None and search < 1):
        raise RecipeError("--seeds and --search are at least 1")
    base = networks.for_this_machine(recipes.resolve_digit(recipe), words)
    n_classes = len(train.class_names)
    space = read_space(base, words)
    if search is None:
        combinations, left_out = grid(base, space, n_classes)
    else:
        combinations, left_out = [], {}
        if not hyperparameters_of(space):
            raise RecipeError("a search needs a hyperparameter to vary, such as --learning-rate 1e-4..1e-2")
    held_out = space.get("validation", (0,))[0]  # type: ignore[index]
    n = int(held_out) or max(1, min(N_VALIDATION, len(train) // MIN_TRAIN_RATIO))
    part, validation = hold_out(train, n, 0)
    return Plan(base, space, combinations, left_out, search, seeds, part, validation)
