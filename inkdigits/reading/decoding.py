"""The line network's columns -> text, its probability, and each digit's place.

Connectionist temporal classification (Graves et al. 2006): a column says a character or "blank"; a text's probability
is the sum over all its alignments. `beam_search` keeps the likeliest prefixes (their section 3.2; Hannun et al. 2014),
`align` finds the best single alignment of a text, and `decode` joins the two over one or several views of a row.
`decode_allowed` searches among the texts that are allowed in a place, such as a field of a form.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from inkdigits.arrays import Floats, Indices

SPACE = " "  # the network's class for a gap or a rule between two numbers
OTHER = "#"  # its class for ink that belongs to no number
# Characters less likely than this in a column open no new prefix there.
FLOOR = 1e-3
BEAM = 10
# The same where only some texts are allowed: what is allowed may be what the network thinks unlikely.
ALLOWED_FLOOR = 1e-4
ALLOWED_BEAM = 30


Span: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Decoded:
    """What a row says.

    Attributes:
        text: numbers with their separators and signs, a space where another begins, such as "-12.5 83". Ink that
            belongs to no number stands as a space between numbers, else for nothing.
        digits: the digits of `text` alone.
        probability: calibrated, 0 to 1, that all of `text` is right.
        confidences: one a digit, 0 to 1: that this digit is right.
        alternatives: one a digit: other digits it may be, with their probabilities, the likeliest first.
        spans: one a digit: first and last edge of its columns, in columns of the first view (fractions allowed).
        marks: separators and signs, each a character and its span.
        others: spans of ink that belongs to no number.
    """

    text: str
    digits: str
    probability: float
    confidences: tuple[float, ...]
    alternatives: tuple[tuple[tuple[int, float], ...], ...]
    spans: tuple[Span, ...]
    marks: tuple[tuple[str, Span], ...] = ()
    others: tuple[Span, ...] = ()


def softmax(scores: Floats) -> Floats:
    """Return probabilities float64 (..., classes) of float scores (..., classes)."""
    exps = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    probabilities: Floats = exps / exps.sum(axis=-1, keepdims=True)
    return probabilities


def digits_of(text: str) -> str:
    """Return the digits of a text: "-12.5" -> "125"."""
    return "".join(char for char in text if char.isdigit())


def value_of(text: str) -> str:
    """Return the digits, points and minus signs of a text, a comma as a point: " -12,5#" -> "-12.5"."""
    return "".join(char for char in text.replace(",", ".") if char in "0123456789.-")


def readable(text: str) -> str:
    """Return a text as people write it, without what belongs to no number: "#-12.5 83#7" -> "-12.5 83 7"."""
    return " ".join(text.replace(OTHER, SPACE).split())


@dataclass(frozen=True)
class Allowed:
    """Which texts are allowed in a place.

    Attributes:
        value_of: a text of the network's characters -> the value that it means, such as "1 2#" -> "12".
        may_begin: whether a text that is allowed can begin so. True of every beginning of one that is; the more
            others it turns down, the better the search.
        is_allowed: whether a value is.
    """

    value_of: Callable[[str], str]
    may_begin: Callable[[str], bool]
    is_allowed: Callable[[str], bool]


def beam_search(
    probabilities: Floats,
    alphabet: str,
    beam: int = BEAM,
    may_begin: Callable[[str], bool] | None = None,
    floor: float = FLOOR,
) -> dict[str, float]:
    """Return the likeliest texts and their probabilities, at most `beam` of them.

    Args:
        probabilities: float (columns, classes), each row sums to 1; the last class is the blank.
        alphabet: the characters of the other classes, in order.
        beam: how many prefixes go on from column to column.
        may_begin: whether a text that is looked for can begin with a prefix; others are dropped. None: all can.
        floor: 0 to 1; characters less likely than this in a column open no new prefix there.
    """
    blank = len(alphabet)
    # prefix -> (probability of its alignments that end in a blank, and of those that end in its last character)
    prefixes: dict[str, tuple[float, float]] = {"": (1.0, 0.0)}
    known = {"": True}
    for row in probabilities.tolist():
        heard = [(alphabet[i], p) for i, p in enumerate(row[:blank]) if p > floor]
        prefixes = _advance(prefixes, heard, row[blank])
        if may_begin is not None:
            known |= {prefix: may_begin(prefix) for prefix in prefixes.keys() - known.keys()}
            prefixes = {prefix: pair for prefix, pair in prefixes.items() if known[prefix]}
        if len(prefixes) > beam:
            best = sorted(prefixes.items(), key=_mass, reverse=True)[:beam]
            prefixes = dict(best)
    texts = {text: ended + open_ for text, (ended, open_) in prefixes.items()}
    return dict(sorted(texts.items(), key=lambda item: -item[1]))


def _mass(item: tuple[str, tuple[float, float]]) -> float:
    return item[1][0] + item[1][1]


def _advance(
    prefixes: dict[str, tuple[float, float]], heard: list[tuple[str, float]], silence: float
) -> dict[str, tuple[float, float]]:
    """One column further: `heard` are its likely characters, `silence` is its blank's probability."""
    after: dict[str, list[float]] = {}
    for prefix, (ended, open_) in prefixes.items():
        total, last = ended + open_, prefix[-1:]
        after.setdefault(prefix, [0.0, 0.0])[0] += total * silence
        for char, p in heard:
            if char == last:  # the same stroke goes on; a second one needs a blank between
                after[prefix][1] += open_ * p
                after.setdefault(prefix + char, [0.0, 0.0])[1] += ended * p
            else:
                after.setdefault(prefix + char, [0.0, 0.0])[1] += total * p
    return {prefix: (pair[0], pair[1]) for prefix, pair in after.items()}


def columns_needed(text: str) -> int:
    """Return how many columns a text needs at least: one a character, and a blank between two that are equal."""
    return len(text) + sum(a == b for a, b in itertools.pairwise(text))


def align(probabilities: Floats, text: str, alphabet: str) -> list[tuple[int, int]]:
    """Return each character's columns (first, last + 1) in the likeliest alignment of `text`.

    Args:
        probabilities: float (columns, classes) as in `beam_search`.
        text: characters of `alphabet`; its alignment must fit into the columns.
        alphabet: the characters of the classes but the last, which is the blank.

    Raises:
        ValueError: the text is too long for the columns.
    """
    columns, blank = len(probabilities), len(alphabet)
    states = [blank] + [s for char in text for s in (alphabet.index(char), blank)]
    if columns_needed(text) > columns:
        raise ValueError(f"{text!r} needs {columns_needed(text)} columns, there are {columns}")
    costs = np.log(np.maximum(probabilities[:, states], 1e-30))  # (columns, states)
    may_skip = np.array([i > 1 and states[i] != blank and states[i] != states[i - 2] for i in range(len(states))])
    best = np.full(len(states), -np.inf)
    best[:2] = costs[0, :2]
    steps = np.zeros((columns, len(states)), np.int64)
    for t in range(1, columns):
        one = np.concatenate([[-np.inf], best[:-1]])
        two = np.where(may_skip, np.concatenate([[-np.inf, -np.inf], best[:-2]])[: len(states)], -np.inf)
        moves = np.stack([best, one, two])
        steps[t] = moves.argmax(axis=0)
        best = moves.max(axis=0) + costs[t]
    return _trace(steps, len(states) - 1 if best[-1] >= best[-2:][0] else len(states) - 2, len(text))


def _trace(steps: Indices, state: int, length: int) -> list[tuple[int, int]]:
    spans = [(0, 0)] * length
    for t in range(len(steps) - 1, -1, -1):
        if state % 2:
            i = state // 2
            spans[i] = (t, spans[i][1] or t + 1)
        state -= int(steps[t, state])
    return spans


def decode(
    views: Sequence[Floats], alphabet: str, temperature: float = 1.0, beam: int = BEAM, alternatives: int = 3
) -> Decoded:
    """Return what a row says, from the network's scores for one or several views of it.

    Args:
        views: float (columns, classes) each, the network's scores (logits or their logarithmic softmax); the last
            class is the blank. Texts' probabilities are averaged over the views; places are in columns of the first.
        alphabet: the characters of the classes but the last.
        temperature: > 0; logarithmic probabilities of whole texts are divided by it.
        beam: how many prefixes the search keeps.
        alternatives: how many other answers to give for a digit.

    Raises:
        ValueError: there is no view.
    """
    if not views:
        raise ValueError("no view to decode")
    columns = [softmax(view) for view in views]
    texts = _cooled(_mean([beam_search(view, alphabet, beam) for view in columns]), temperature)
    return _decoded(texts, _likeliest(texts)[0], columns[0], alphabet, alternatives)


def answers_at(views: Sequence[Floats], alphabet: str, temperatures: Sequence[float]) -> list[tuple[str, float]]:
    """Return the text and the probability that `decode` gives at each of some temperatures, by one search."""
    texts = _mean([beam_search(softmax(view), alphabet) for view in views])
    return [_likeliest(_cooled(texts, temperature)) for temperature in temperatures]


def _likeliest(texts: dict[str, float]) -> tuple[str, float]:
    """Return the likeliest readable text of those with the likeliest digits, and its probability.

    The digits first: doubt about a comma must not let other digits win.
    """
    strings = _summed(texts, digits_of)
    digits = max(strings, key=lambda string: strings[string])
    written = {text: p for text, p in _summed(texts, readable).items() if digits_of(text) == digits}
    text = max(written, key=lambda text: written[text])
    return text, min(1.0, written[text])


def decode_as(views: Sequence[Floats], alphabet: str, value: str, temperature: float = 1.0) -> Decoded | None:
    """Return what a row says if it has a certain value, with the probability of that among all texts.

    Args:
        views: as in `decode`.
        alphabet: the characters of the classes but the last.
        value: see `value_of`.
        temperature: as in `decode`.

    Returns:
        None where nothing in the row can have that value.
    """
    columns = [softmax(view) for view in views]

    def may_begin(text: str) -> bool:
        return value.startswith(value_of(text))

    found = [
        beam_search(view, alphabet) | beam_search(view, alphabet, ALLOWED_BEAM, may_begin, ALLOWED_FLOOR)
        for view in columns
    ]
    texts = _cooled(_mean(found), temperature)
    written = {text: p for text, p in _summed(texts, readable).items() if value_of(text) == value and p > 0}
    if not written:
        return None
    return _decoded(texts, max(written, key=lambda text: written[text]), columns[0], alphabet, alternatives=0)


def _decoded(texts: dict[str, float], text: str, columns: Floats, alphabet: str, alternatives: int) -> Decoded:
    """Return one of some texts, how likely it is, and where its characters stand in a view."""
    digits, written, strings = digits_of(text), _summed(texts, readable), _summed(texts, digits_of)
    chances = [_chances(strings, i, len(digits)) for i in range(len(digits))]
    others = (
        tuple((d, c[d]) for d in sorted(c, key=lambda d: -c[d]) if d != int(own))[:alternatives]
        for own, c in zip(digits, chances, strict=True)
    )
    likeliest = max((t for t in texts if readable(t) == text), key=lambda t: texts[t])
    spans = list(zip(likeliest, _spans(columns, likeliest, alphabet), strict=True))
    return Decoded(
        text=text,
        digits=digits,
        probability=min(1.0, written[text]),
        confidences=tuple(min(1.0, c[int(own)]) for own, c in zip(digits, chances, strict=True)),
        alternatives=tuple(others),
        spans=tuple(span for char, span in spans if char.isdigit()),
        marks=tuple((char, span) for char, span in spans if not char.isdigit() and char not in (SPACE, OTHER)),
        others=tuple(span for char, span in spans if char == OTHER),
    )


def decode_allowed(
    views: Sequence[Floats], alphabet: str, allowed: Allowed, temperature: float = 1.0
) -> tuple[tuple[str, float], ...]:
    """Return the allowed values that a row may say, the likeliest first, each with its probability among all texts.

    The probability is the one that is given to a value where everything is allowed: what is allowed but does not look
    like what is written stays unlikely.

    Args:
        views: float (columns, classes) each, probabilities (`softmax` of the network's scores); the last class is the
            blank. Texts' probabilities are averaged over the views.
        alphabet: the characters of the classes but the last.
        allowed: which texts are.
        temperature: as in `decode`.
    """
    found = [
        beam_search(view, alphabet) | beam_search(view, alphabet, ALLOWED_BEAM, allowed.may_begin, ALLOWED_FLOOR)
        for view in views
    ]
    values = _summed(_cooled(_mean(found), temperature), allowed.value_of)
    fitting = [(value, min(1.0, p)) for value, p in values.items() if p > 0 and allowed.is_allowed(value)]
    return tuple(sorted(fitting, key=lambda pair: -pair[1]))


def _mean(views: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean probability of each text over some views of a row."""
    texts: dict[str, float] = {}
    for view in views:
        for text, p in view.items():
            texts[text] = texts.get(text, 0.0) + p / len(views)
    return texts


def _summed(texts: dict[str, float], form: Callable[[str], str]) -> dict[str, float]:
    """Return the probabilities of the texts' forms, each the sum over the texts that have it."""
    sums: dict[str, float] = {}
    for text, p in texts.items():
        sums[form(text)] = sums.get(form(text), 0.0) + p
    return sums


def _cooled(texts: dict[str, float], temperature: float) -> dict[str, float]:
    """Return the texts' probabilities after dividing their logarithms by `temperature`, what is left over included."""
    rest = max(1.0 - sum(texts.values()), 1e-9)
    powers = {text: p ** (1.0 / temperature) for text, p in texts.items()}
    total = sum(powers.values()) + rest ** (1.0 / temperature)
    return {text: power / total for text, power in powers.items()}


def _chances(strings: dict[str, float], place: int, length: int) -> dict[int, float]:
    """Return the probability of each digit at a place, from the texts that have as many digits."""
    chances: dict[int, float] = {}
    for string, p in strings.items():
        if len(string) == length:
            chances[int(string[place])] = chances.get(int(string[place]), 0.0) + p
    return chances


def _spans(probabilities: Floats, text: str, alphabet: str) -> list[Span]:
    """Return each character's columns, grown to the middle between it and the characters beside it."""
    if not text:
        return []
    try:
        spans = align(probabilities, text, alphabet)
    except ValueError:  # another view was wider and read more than this one has columns for: spread evenly
        step = len(probabilities) / len(text)
        spans = [(int(i * step), int(i * step) + 1) for i in range(len(text))]
    edges = [0.0] + [(a[1] + b[0]) / 2 for a, b in itertools.pairwise(spans)] + [float(len(probabilities))]
    return list(itertools.pairwise(edges))
