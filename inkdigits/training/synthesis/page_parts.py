"""What stands in a row of a page: numbers, sums, words, and what lies between them."""

from dataclasses import dataclass

from inkdigits.arrays import Rng
from inkdigits.training.synthesis.styles import STYLES, digit_string, random_number
from inkdigits.training.synthesis.surfaces import log_uniform
from inkdigits.training.synthesis.words import LOOK_ALIKES

SIGNS = "+x=/:()+x=-"


@dataclass(frozen=True)
class Part:
    """What stands in a row: a number, a word or sign, or a letter that may be a digit.

    Attributes:
        text: of a number or a sign; "" for a random word.
        kind: "number", "other" or "unsure".
        gap: from what stands before it, in digit heights.
    """

    text: str
    kind: str
    gap: float = 0.0


def number(rng: Rng, longest: int = 30) -> str:
    """Return a number as it stands on pages: 1 to 30 characters, most of them short."""
    kind = rng.random()
    if kind < 0.35:
        return random_number(rng)[:longest]
    if kind < 0.45:
        return (str(rng.integers(10)) * 12)[: min(longest, int(rng.integers(1, 12)))]
    return digit_string(rng, STYLES["row"])[:longest].rstrip(".-") or "7"


def sum_of(rng: Rng) -> list[Part]:
    """Return a row of numbers with signs between."""
    parts: list[Part] = []
    for _ in range(int(rng.integers(2, 5))):
        parts += [
            Part(number(rng, 4), "number", rng.uniform(0.05, 0.6)),
            Part(SIGNS[rng.integers(len(SIGNS))], "other", rng.uniform(0.1, 0.7)),
        ]
    return parts if rng.random() < 0.4 else parts[:-1]


def numbers_apart(rng: Rng) -> list[Part]:
    """Return several numbers, close together or far apart."""
    widest = log_uniform(rng, 0.6, 6)
    n = int(rng.integers(2, 6))
    return [Part(number(rng, 8), "number", rng.uniform(0.5, max(widest, 0.6))) for _ in range(n)]


def with_words(rng: Rng) -> list[Part]:
    """Return a row that holds words beside one number or two: a name, a unit, a label."""
    n_words = int(rng.integers(1, 4))
    words = [Part("", "other", rng.uniform(0.3, 1.0)) for _ in range(n_words)]
    far = rng.uniform(0.25, 1.2) if rng.random() < 0.6 else rng.uniform(1, 8)
    one = [Part(number(rng, 10), "number", far)]
    kind = rng.random()
    if kind < 0.5:
        return words + one
    if kind < 0.75:
        return one + words
    return [*words, *one, Part("", "other", rng.uniform(0.2, 1.2)), Part(number(rng, 6), "number", rng.uniform(0.3, 3))]


def words_only(rng: Rng) -> list[Part]:
    """Return a row of words, now and then with a lone letter that might be a digit."""
    parts = [Part("", "other", rng.uniform(0.25, 0.9)) for _ in range(int(rng.integers(1, 6)))]
    if rng.random() < 0.12:
        letter = LOOK_ALIKES[rng.integers(len(LOOK_ALIKES))]
        parts.insert(int(rng.integers(len(parts) + 1)), Part(letter, "unsure", rng.uniform(0.4, 2)))
    return parts
