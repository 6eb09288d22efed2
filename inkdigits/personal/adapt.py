"""`adapt`: from examples of one hand to a version of it that is kept only if it reads better."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from inkdigits.arrays import GrayImage
from inkdigits.errors import DataError, ModelError
from inkdigits.evaluation.gate import Gate
from inkdigits.evaluation.text import counted
from inkdigits.personal.digits import fit_digits
from inkdigits.personal.examples import NOT_A_DIGIT, Examples
from inkdigits.personal.hands import add_version, hand_path, one_at_a_time
from inkdigits.reading.adapted import DIGIT, LINE, AdaptedModel, newest, save_adaptation, versions
from inkdigits.reading.held_out import load_held_out
from inkdigits.reading.line_reader import LineReader
from inkdigits.reading.model import OnnxModel, model_path

LEAST = 20  # examples


class Tuner(Protocol):
    """What fits a line network to a hand: `training.line_tuning.LineTuner`."""

    def gate(self, lines: Sequence[tuple[GrayImage, str]]) -> tuple[Gate, Any]:
        """Return what a fit to lines changes, and what else `write` needs."""

    def write(self, lines: Sequence[tuple[GrayImage, str]], fit: Any, path: Path, facts: dict[str, Any]) -> None:
        """Write the network fitted to all lines, with what its card says of it."""


@dataclass(frozen=True)
class Outcome:
    """What came of an adaptation.

    Attributes:
        hand: its name.
        n: digits that it was learned from.
        n_contradicting: further ones that contradict each other.
        n_set_aside: of the `n`, not learned since the hand's others make their labels unlikely.
        digits: what the new digit network changes.
        lines: what the new line network changes, None where it was not tried.
        version: the folder of the new version, None where nothing was kept.
    """

    hand: str
    n: int
    n_contradicting: int
    n_set_aside: int
    digits: Gate
    lines: Gate | None
    version: Path | None

    @property
    def summary(self) -> str:
        """One sentence."""
        gates = [gate for gate in (self.digits, self.lines) if gate is not None]
        kept = [gate for gate in gates if gate.is_kept]
        if not kept:
            return f"not kept: {gates[0].objection}"
        said = (f"{gate.errors_before} -> {gate.errors_after} errors on held-out {gate.what}" for gate in kept)
        return f"learned from {kept[0].n} examples: {', '.join(said)}"

    def to_dict(self) -> dict[str, Any]:
        """Return what `adapt --json` prints and the page is answered."""
        return {
            "hand": self.hand,
            "kept": self.version is not None,
            "version": self.version.name if self.version else None,
            "path": str(self.version.parent) if self.version else None,
            "summary": self.summary,
            "n": self.n,
            "n_contradicting": self.n_contradicting,
            "n_set_aside": self.n_set_aside,
            "digits": self.digits.to_dict(),
            "lines": self.lines.to_dict() if self.lines else None,
        }


def adapt(
    name: str,
    examples: Examples,
    model: str | Path | None = None,
    make_tuner: Callable[[], Tuner] | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Fit the reader to a hand, and keep the fit as the hand's next version if it reads better and forgets nothing.

    Args:
        name: of the hand.
        examples: all there are, for each version begins from the network as it was trained.
        model: the digit network to begin from; the one that ships where None.
        make_tuner: gives what fits the line network to the hand's lines, in minutes; None leaves it as it is.
        report: is told what is being done.

    Raises:
        DataError: fewer than 20 examples, or of one digit alone; for the line network, fewer than 20 lines.
        ModelError: there is no such network, it has no held-out digits, or another process adapts the hand.
        OutputError: the version cannot be written.
    """
    _check(examples, make_tuner is not None)
    base = OnnxModel(model_path(model))
    held_out, hand = load_held_out(base.path), hand_path(name)
    with one_at_a_time(hand):
        before = newest(hand)
        number = int(versions(hand)[-1].name) + 1 if before else 1
        facts = {"name": f"{name}-{number:04d}", "date": time.strftime("%Y-%m-%d"), "base": base.card.get("name", "")}
        report(f"fitting the digit network to {len(examples)} digits")
        place = "" if model is None else str(base.path.absolute())
        adaptation, gate = fit_digits(base, held_out, examples, place, facts)
        tuned = None
        if make_tuner is not None:
            report(f"fitting the line network to {len(examples.lines)} lines: some minutes")
            tuned = _TunedLines(make_tuner(), examples, facts)
        keeps_lines = tuned is not None and tuned.gate.is_kept
        version = None
        if gate.is_kept or keeps_lines:

            def fill(folder: Path) -> None:
                if gate.is_kept:
                    save_adaptation(folder / DIGIT, adaptation)
                if tuned is not None and keeps_lines:
                    tuned.write(folder / LINE)
                if before is not None:
                    _carry_over(before, folder, report)

            version = add_version(hand, fill)
    n_set_aside = int(adaptation.facts["n_set_aside"])
    return Outcome(name, gate.n, examples.n_contradicting, n_set_aside, gate, tuned.gate if tuned else None, version)


def _check(examples: Examples, with_lines: bool) -> None:
    """Raise DataError for examples of which nothing can be learned."""
    left_out = f"; left out: {examples.left_out}" if examples.left_out else ""
    if len(examples) < LEAST:
        n = counted(len(examples), "example")
        raise DataError(f"{n} of the hand: at least {LEAST} are needed{left_out}")
    found = np.unique(examples.labels[examples.labels != NOT_A_DIGIT])
    if len(found) < 2:
        what = "none is a digit" if not len(found) else f"all are the digit {found[0]}"
        n = counted(len(examples), "example")
        raise DataError(f"{n} of the hand, but {what}: what it must be told from is missing{left_out}")
    if with_lines and len(examples.lines) < LEAST:
        raise DataError(f"{counted(len(examples.lines), 'line')} of the hand: at least {LEAST} are needed for --lines")


def _carry_over(before: Path, folder: Path, report: Callable[[str], None]) -> None:
    """Copy the networks of the version before that were not fitted again, or not better; leave out what is damaged."""
    openers: tuple[tuple[str, Callable[[Path], object]], ...] = ((DIGIT, AdaptedModel), (LINE, LineReader))
    for part, opener in openers:
        if (folder / part).is_file() or not (before / part).is_file():
            continue
        try:
            opener(before / part)
        except ModelError:
            report(f"left out: {before / part}, damaged or made with other networks")
        else:
            shutil.copyfile(before / part, folder / part)


class _TunedLines:
    """The line network fitted to a hand, with what this changes."""

    def __init__(self, tuner: Tuner, examples: Examples, facts: dict[str, Any]) -> None:
        self._tuner, self._lines, self._facts = tuner, examples.lines, facts
        self.gate, self._fit = tuner.gate(examples.lines)

    def write(self, path: Path) -> None:
        counts = [self.gate.errors_before, self.gate.errors_after]
        self._tuner.write(self._lines, self._fit, path, self._facts | {"n": self.gate.n, "errors": counts})
