"""Which fields of an equation that does not hold are misread: those that make it hold when they are read otherwise.

An explanation is one field, or two together, read otherwise so that the equation holds. Its weight is the product of
the fields' odds; a field is as likely misread as all explanations together that it is part of.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

MOST_PAIRED = 24  # fields of which two together are tried, those with the greatest odds of an error
# That a field which is none of its known other readings has just the value that makes the equation hold: with one of
# two digits wrong, 1 in 18.
GUESSED = 0.05
# Of a field's odds, at least so much is for readings that nobody thought of.
LEAST_UNSEEN = 0.02
PLACES = 6  # decimals to which differences are compared


@dataclass(frozen=True)
class Suspect:
    """A field of an equation that does not hold.

    Attributes:
        value: as read, 0 where there is none.
        odds: 0 or more, that it is misread to that it is not.
        others: what else may be written there, and the odds of each.
        per_unit: how much the left side of the equation grows over the right one with the field's value.
        may_be: whether a value may stand in the field.
    """

    value: float
    odds: float
    others: tuple[tuple[float, float], ...]
    per_unit: float
    may_be: Callable[[float], bool]

    @property
    def changes(self) -> list[tuple[float, float]]:
        """What other readings add to the left side, and the odds of each."""
        return [(self.per_unit * (value - self.value), odds) for value, odds in self.others]

    @property
    def unseen(self) -> float:
        """The odds that it is none of the readings that are known."""
        return max(self.odds - sum(odds for _, odds in self.others), LEAST_UNSEEN * self.odds)

    def guessed(self, change: float) -> float:
        """Return the odds that it is a reading which is not known and adds just this to the left side."""
        is_possible = self.per_unit and self.unseen and self.may_be(self.value + change / self.per_unit)
        return GUESSED * self.unseen if is_possible else 0.0


def misread(gap: float, suspects: Mapping[str, Suspect]) -> dict[str, float]:
    """Return how likely each field is misread, 0 to 1; all are 0 where nothing explains the gap.

    Args:
        gap: how much greater the left side of the equation is than the right one.
        suspects: name -> field.
    """
    weights = dict.fromkeys(suspects, 0.0)
    total = 0.0
    for names, weight in _explanations(gap, suspects):
        total += weight
        for name in names:
            weights[name] += weight
    return {name: weight / total if total else 0.0 for name, weight in weights.items()}


def _explanations(gap: float, suspects: Mapping[str, Suspect]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, suspect in suspects.items():
        seen = sum(odds for change, odds in suspect.changes if _same(change, -gap))
        yield (name,), seen + suspect.guessed(-gap)
    likeliest = sorted(suspects, key=lambda name: (-suspects[name].odds, name))[:MOST_PAIRED]
    for one, other in itertools.combinations(likeliest, 2):
        yield (one, other), _together(gap, suspects[one], suspects[other])


def _together(gap: float, one: Suspect, other: Suspect) -> float:
    """Return the odds that two fields are misread and make up for the gap together."""
    seen = sum(a * b for x, a in one.changes for y, b in other.changes if _same(x + y, -gap))
    half_seen = sum(odds * b.guessed(-gap - x) for a, b in ((one, other), (other, one)) for x, odds in a.changes)
    return seen + half_seen + GUESSED * one.unseen * other.unseen


def _same(one: float, other: float) -> bool:
    return round(one - other, PLACES) == 0
