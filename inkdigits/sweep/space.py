"""The words of `inkdigits sweep` -> the recipes to train: lists, ranges, which values go together.

Every field of `Recipe` can vary. Its words are those of `inkdigits train`, several separated by commas; layers of one
network are joined by +: `--hidden 100,300,100+100`, `--convolutions 5x16s+pool,3x8+pool+3x16`, `none` for no layer.
How a word is read and which values are allowed is in the field's metadata.
"""

import dataclasses
import itertools
import typing
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from inkdigits.errors import RecipeError
from inkdigits.training import loop, networks, recipes
from inkdigits.training.hyperparameters import DEFAULT, NONE, flag
from inkdigits.training.recipes import HYPERPARAMETERS, Recipe, kind_of

# What a study keeps of a hyperparameter's value; layers are words such as "300+100".
Plain = str | int | float | bool
Configuration = dict[str, Plain]

# Defaults of the fields that shape neither a network nor what its loss accepts: one recipe stands for all that differ
# in these alone.
WITHOUT_SHAPE: dict[str, Any] = {
    each.name: each.default
    for each in dataclasses.fields(Recipe)
    if each.name in HYPERPARAMETERS and not HYPERPARAMETERS[each.name].shapes_network
}
# A range whose ends lie so far apart is searched on a logarithmic scale.
LOGARITHMIC_FROM = 10


@dataclass(frozen=True)
class Range:
    """A hyperparameter's range for a search.

    Attributes:
        low: the least value, included.
        high: the greatest, included.
    """

    low: float
    high: float

    @property
    def whole(self) -> bool:
        """Are its values whole numbers?"""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def logarithmic(self) -> bool:
        """Is it searched on a logarithmic scale?"""
        return self.low > 0 and self.high / self.low >= LOGARITHMIC_FROM

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


# The words of one hyperparameter, read.
Values = tuple[Plain, ...] | Range
Space = dict[str, Values]


@dataclass(frozen=True)
class Combination:
    """One configuration of a sweep.

    Attributes:
        settings: the hyperparameters that were named, by field.
        recipe: all hyperparameters, checked.
    """

    settings: Configuration = field(hash=False)
    recipe: Recipe


def read_space(base: Recipe, words: Mapping[str, str]) -> Space:
    """Return what the words say, each hyperparameter's values in their order, each once.

    Args:
        base: the recipe they change.
        words: field -> its words, such as "relu,tanh" or "1e-4..1e-2".

    Raises:
        RecipeError: an unknown field or value, or one out of its range; the nearest names are given.
    """
    space: Space = {}
    for name, text in words.items():
        kind = kind_of(name)
        space[name] = values = _range(name, text) if ".." in text else _values(name, text)
        if not kind.in_grid and (isinstance(values, Range) or len(values) > 1):
            raise RecipeError(f"{name} takes one number in a sweep: all are compared on the same held-out images")
        for value in (values.low, values.high) if isinstance(values, Range) else values:
            _check(base, name, value, set(words) - {name})
    return space


def _values(name: str, text: str) -> tuple[Plain, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise RecipeError(f"--{flag(name)} {text!r}: a value is missing between two commas")
    return tuple(dict.fromkeys(plain(_value(name, word)) for word in words))


def _range(name: str, text: str) -> Range:
    ends = [plain(_value(name, word)) for word in text.split("..")]
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if len(ends) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise RecipeError(f"--{flag(name)} {text!r}: a range is two numbers, the smaller first, such as 1e-4..1e-2")
    return Range(*numbers)


def _value(name: str, word: str) -> Any:
    value = kind_of(name).read(name, word)
    # `mse` and `mean_squared_error` are one value of the search space; only Keras knows.
    return networks.unabbreviated(value) if name == "loss" else value


def _check(base: Recipe, name: str, value: Plain, others: Set[str]) -> None:
    """Raise RecipeError for a value that no recipe of the sweep can have, whatever the `others` that vary are."""
    recipe = dataclasses.replace(base, **{name: kind_of(name).check(name, fit_for(name, value))})
    for fields, reason in recipes.conflicts(recipe):
        if not others & set(fields):
            raise RecipeError(reason)
    networks.check(recipe)


def plain(value: Any) -> Plain:
    """Return a field's value as a study keeps it: layers and "no value" as words."""
    if value is None:
        return DEFAULT
    if isinstance(value, tuple):
        return "+".join(map(str, value)) or NONE
    return typing.cast(Plain, value)


def fit_for(name: str, value: Plain) -> Any:
    """Return what the recipe's field holds for a value as a study keeps it."""
    return kind_of(name).read(name, value) if isinstance(value, str) else value


def hyperparameters_of(space: Space) -> list[str]:
    """Return the fields of which the sweep tries more than one value."""
    return [name for name, values in space.items() if isinstance(values, Range) or len(values) > 1]


def apply(base: Recipe, settings: Configuration) -> Recipe:
    """Return the recipe with the settings, checked.

    Raises:
        RecipeError: they do not go together.
    """
    changes = {name: fit_for(name, value) for name, value in settings.items()}
    return networks.check(recipes.change(base, **changes))


def grid(base: Recipe, space: Space, n_classes: int) -> tuple[list[Combination], dict[str, int]]:
    """Return all combinations that can be trained, and why how many others are left out: reason -> count.

    Args:
        base: the recipe the settings change.
        space: lists alone, no range.
        n_classes: >= 2.

    Raises:
        RecipeError: a range, or a value that goes with no combination of the others.
    """
    for name, values in space.items():
        if isinstance(values, Range):
            raise RecipeError(f"--{flag(name)} {values} is a range: ranges need --search, a grid takes lists")
    checker = Checker(base, n_classes)
    found: dict[Recipe, Combination] = {}
    left_out: dict[str, int] = defaultdict(int)
    reasons: dict[tuple[str, Plain], str] = {}
    for settings in _products(space):
        reason = checker.reason_against(settings)
        if reason is None:
            found.setdefault(recipe := apply(base, settings), Combination(settings, recipe))
            continue
        left_out[reason] += 1
        reasons |= dict.fromkeys(settings.items(), reason)
    usable = {(name, value) for each in found.values() for name, value in each.settings.items()}
    for (name, value), reason in reasons.items():
        if (name, value) not in usable:
            raise RecipeError(f"--{flag(name)} {value} goes with nothing else in this sweep: {reason}")
    return list(found.values()), dict(left_out)


def _products(space: Space) -> Iterator[Configuration]:
    lists = [values for values in space.values() if not isinstance(values, Range)]
    for values in itertools.product(*lists):
        yield dict(zip(space, values, strict=True))


class Checker:
    """Says whether settings can be trained: the recipe holds, the network can be built, the loss takes its scores.

    Args:
        base: the recipe the settings change.
        n_classes: >= 2.
    """

    def __init__(self, base: Recipe, n_classes: int) -> None:
        self._base, self._n_classes = base, n_classes
        self._known: dict[Recipe, str | None] = {}

    def reason_against(self, settings: Configuration) -> str | None:
        """Return one line why these settings cannot be trained, or None if they can."""
        try:
            recipe = apply(self._base, settings)
        except RecipeError as error:
            return str(error)
        shape = networks.check(dataclasses.replace(recipe, **WITHOUT_SHAPE))
        if shape not in self._known:
            self._known[shape] = self._try(shape)
        return self._known[shape]

    def _try(self, recipe: Recipe) -> str | None:
        try:
            model = networks.build(recipe, 0, self._n_classes)
            loop.prepare(model, recipe, 1)
        except RecipeError as error:
            return str(error)
        return None


def in_words(settings: Configuration, names: Sequence[str] | None = None) -> str:
    """Return settings in one line: "tanh adam 0.001"; booleans and counts with their names."""
    shown = settings if names is None else {name: settings[name] for name in names if name in settings}
    return "  ".join(f"{flag(name)} {value_in_words(value)}" for name, value in shown.items()) or "as it is"


def value_in_words(value: Plain) -> str:
    """Return one value as the command line takes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def train_flags(settings: Configuration) -> list[str]:
    """Return the words with which `inkdigits train` trains with these settings."""
    words: list[str] = []
    for name, value in settings.items():
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{flag(name)}")
        else:
            words += [f"--{flag(name)}", f"{value!r}" if isinstance(value, float) else str(value)]
    return words


def exactly(value: Plain) -> str:
    """Return one value as the command line takes it, to the last bit."""
    return repr(value) if isinstance(value, float) else value_in_words(value)
