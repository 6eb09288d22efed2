"""What a hyperparameter of a recipe is: its help text, how it is read from words, which values it takes.

Each field of `recipes.Recipe` carries one of these in its metadata. The flags of `train` and `sweep`,
the checks of ranges and the sweep's search space follow from it. Nothing here needs Keras.
"""

import difflib
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from inkdigits.errors import RecipeError

# The words for "no layer" and for "whatever Keras takes".
NONE, DEFAULT = "none", "default"
_TRUTH = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def nearest(name: str, names: Sequence[str]) -> str:
    """Return words for an error message: the known names nearest to `name`, or all where none is near."""
    by_lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(str(name).lower(), list(by_lower), n=3, cutoff=0.5)
    if near:
        return "nearest: " + ", ".join(by_lower[each] for each in near)
    return "there are: " + ", ".join(sorted(names))


def flag(name: str) -> str:
    """Return a field's name as the command line spells it."""
    return name.replace("_", "-")


@dataclass(frozen=True, kw_only=True)
class Hyperparameter(ABC):
    """One kind of hyperparameter.

    Attributes:
        help: what the flag of `train` says.
        sweep_help: what the flag of `sweep` says; the same where empty.
        metavar: the value's name in help texts.
        shapes_network: False for a field that changes neither the network nor what its loss accepts: two recipes
            that differ in such fields alone can both be built, or neither, so a sweep tries only one of them.
        in_grid: False for a field that takes one value in a whole sweep.
    """

    help: str
    sweep_help: str = ""
    metavar: str = "NAME"
    shapes_network: bool = True
    in_grid: bool = True

    @property
    @abstractmethod
    def wanted(self) -> str:
        """The values it takes, for error messages: "a whole number from 1 to 10"."""

    @property
    def noun(self) -> str:
        """What a word must be, for error messages."""
        return self.wanted

    def read(self, name: str, word: str) -> Any:
        """Return the value that a word means, its range not yet checked.

        Raises:
            RecipeError: the word is not of this kind.
        """
        try:
            return self._parse(word.strip())
        except (ValueError, KeyError):
            raise RecipeError(f"--{flag(name)}: {word!r} is not {self.noun}") from None

    def check(self, name: str, value: Any) -> Any:
        """Return the value as the recipe holds it.

        Raises:
            RecipeError: it is out of its range.
        """
        if not self._allows(value):
            raise RecipeError(f"{name} must be {self.wanted}, got {value!r}")
        return value

    @abstractmethod
    def _parse(self, word: str) -> Any: ...

    @abstractmethod
    def _allows(self, value: Any) -> bool: ...


@dataclass(frozen=True)
class Number(Hyperparameter):
    """A number in an interval.

    Attributes:
        interval: as mathematics writes it: "[0, 1)" is 0 to 1 without 1.
        optional: may it be None: what Keras takes for the optimizer?
    """

    interval: str
    optional: bool = field(default=False, kw_only=True)
    metavar: str = field(default="NUMBER", kw_only=True)

    @property
    def wanted(self) -> str:
        """The interval in words."""
        low, high = self._limits
        least = "at least" if self.interval.startswith("[") else "over"
        most = "at most" if self.interval.endswith("]") else "under"
        return f"{least} {low:g} and {most} {high:g}"

    @property
    def noun(self) -> str:
        """What a word must be."""
        return f"a number or {DEFAULT}" if self.optional else "a number"

    @property
    def _limits(self) -> tuple[float, float]:
        low, high = self.interval[1:-1].split(",")
        return float(low), float(high)

    def _parse(self, word: str) -> float | None:
        if self.optional and word == DEFAULT:
            return None
        number = float(word)
        if not math.isfinite(number):
            raise ValueError(word)
        return number

    def _allows(self, value: Any) -> bool:
        if value is None or not isinstance(value, int | float):
            return value is None and self.optional
        low, high = self._limits
        at_limit = (self.interval.startswith("[") and value == low) or (self.interval.endswith("]") and value == high)
        return low < value < high or at_limit


@dataclass(frozen=True)
class Whole(Hyperparameter):
    """A whole number from `least` to `most`."""

    least: int
    most: int
    metavar: str = field(default="N", kw_only=True)

    @property
    def wanted(self) -> str:
        """The range in words."""
        return f"a whole number from {self.least} to {self.most}"

    @property
    def noun(self) -> str:
        """What a word must be."""
        return "a whole number"

    def _parse(self, word: str) -> int:
        return int(word)

    def _allows(self, value: Any) -> bool:
        return isinstance(value, int) and self.least <= value <= self.most


@dataclass(frozen=True)
class Choice(Hyperparameter):
    """One of some words."""

    choices: tuple[str, ...]

    @property
    def wanted(self) -> str:
        """The choices in words."""
        return f"one of {', '.join(self.choices)}"

    def check(self, name: str, value: Any) -> Any:
        """Return the value; an error gives the nearest choices."""
        if not self._allows(value):
            raise RecipeError(f"no {name} {value!r}; {nearest(value, self.choices)}")
        return value

    def _parse(self, word: str) -> str:
        return word

    def _allows(self, value: Any) -> bool:
        return value in self.choices


@dataclass(frozen=True, kw_only=True)
class KerasName(Hyperparameter):
    """A name that Keras knows; whether it does is for `networks.check`.

    Attributes:
        any_case: does Keras find it in any spelling of case?
    """

    any_case: bool = False

    @property
    def wanted(self) -> str:
        """What any name is, in words."""
        return "a name that Keras knows"

    def _parse(self, word: str) -> str:
        return word.lower() if self.any_case else word

    def _allows(self, value: Any) -> bool:
        return isinstance(value, str)


@dataclass(frozen=True, kw_only=True)
class Switch(Hyperparameter):
    """Yes or no."""

    @property
    def wanted(self) -> str:
        """Both values in words."""
        return "yes or no"

    def _parse(self, word: str) -> bool:
        return _TRUTH[word.lower()]

    def _allows(self, value: Any) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True, kw_only=True)
class Layers(Hyperparameter):
    """Layers of a network, joined by +, or `none`; a recipe holds them as a tuple.

    Attributes:
        layer: int where a layer is a number of units, str where it is a word.
        pattern: of one layer as it is written.
        says: how layers are written, for error messages.
    """

    layer: type[int] | type[str]
    pattern: str
    says: str
    metavar: str = "LAYERS"

    @property
    def wanted(self) -> str:
        """How layers are written, in words."""
        return f"{self.says}, or {NONE}"

    def check(self, name: str, value: Any) -> tuple[int, ...] | tuple[str, ...]:
        """Return the layers as a tuple; a single one may come alone."""
        layers = (value,) if isinstance(value, int | str) else tuple(value)
        super().check(name, layers)
        return layers

    def _parse(self, word: str) -> tuple[int, ...] | tuple[str, ...]:
        if word == NONE:
            return ()
        if self.layer is str:
            return tuple(word.split("+"))
        return tuple(int(part) for part in word.replace("x", "+").split("+"))

    def _allows(self, value: Any) -> bool:
        return all(isinstance(each, self.layer) and re.fullmatch(self.pattern, str(each)) for each in value)


def hyperparameter(default: Any, kind: Hyperparameter) -> Any:
    """Return a field of a recipe: its default and what it is."""
    return field(default=default, metadata={"hyperparameter": kind})
