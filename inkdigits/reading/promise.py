"""A promise about accepted numbers as a file: what was checked, what that allows, and of which networks it holds.

`evaluation.selective` makes promises; a reader keeps one. A promise is about the networks and the normalisation that
read the checked numbers: with others it is withdrawn.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from inkdigits.errors import PromiseError, reason
from inkdigits.files.storage import write_bytes
from inkdigits.reading.normalise.version import normalisation_version

FORMAT = 1
# A sequence begins with a threshold above which lies this share of the sample at least: of few values one wrong one
# ends it. In 40 settings (8 sizes and risks; the studied cells and strings resampled, and simulated fields) 0.1 was
# never worse than 0, and promised 5 % for 1,500 cells in 100 of 100 draws in place of 70; 0.2 and more were worse.
FIRST_SHARE = 0.1
AGAIN = "check again with `inkdigits evaluate --cells FOLDER --risk SHARE --save FILE --overwrite`"


@dataclass(frozen=True)
class Step:
    """What a checked sample says about one threshold.

    Attributes:
        threshold: values of this confidence and above.
        n: how many of these are in the sample.
        n_wrong: how many of those are wrong.
        at_most: the Clopper-Pearson bound: the share of wrong ones is above it with a probability of delta at most.
    """

    threshold: float
    n: int
    n_wrong: int
    at_most: float


def last_passed(steps: Sequence[Step], risk: float, delta: float) -> Step | None:
    """Return the last step of a fixed sequence that keeps a risk; None where none does.

    Args:
        steps: the strictest threshold first. Those with fewer values than could keep the risk, all of them right, or
            than `FIRST_SHARE` of the sample are passed over; the first other one that does not keep it ends the
            sequence. Where it begins depends on how many values there are, never on what is right.
        risk: the share of wrong values to keep to, between 0 and 1.
        delta: as in the steps' bounds.
    """
    passed, least = None, FIRST_SHARE * max((step.n for step in steps), default=0)
    for step in steps:
        if step.n == 0 or step.n < least or 1 - delta ** (1 / step.n) > risk:
            continue
        if step.at_most > risk:
            break
        passed = step
    return passed


@dataclass(frozen=True)
class SavedPromise:
    """A promise about accepted numbers, with the sample behind it.

    Attributes:
        says: the promise in words.
        risk: the share of accepted numbers that may be wrong.
        delta: how likely it is, over the draw of the sample, that more are.
        threshold: numbers of this confidence and above are accepted.
        n: numbers in the sample.
        source: where the sample lies.
        date: when it was checked, as in 2026-11-30.
        networks: "digit", "line", "finder" -> the SHA-256 of the file; "second_opinion" -> its version.
        normalisation: our networks' kinds -> the version of their normalisation.
        steps: what the sample says about each threshold, the strictest first.
    """

    says: str
    risk: float
    delta: float
    threshold: float
    n: int
    source: str
    date: str
    networks: Mapping[str, str]
    normalisation: Mapping[str, int]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return self.says

    def save(self, path: str | Path) -> None:
        """Write the promise as JSON.

        Raises:
            OutputError: it cannot be written; nothing is left of it.
        """
        write_bytes(str(path), (json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n").encode())

    def threshold_for(self, risk: float) -> float:
        """Return from which confidence on the same sample promises another risk.

        Args:
            risk: between 0 and 1, chosen for what is at stake, not for what it gives: each is promised by itself.

        Raises:
            PromiseError: the sample does not allow it.
        """
        step = last_passed(self.steps, risk, self.delta)
        if step is None:
            raise PromiseError(
                f"{self.n:,} checked numbers of {self.source} cannot promise a risk of {risk:g}; {AGAIN}"
            )
        return step.threshold


def load_promise(path: str | Path, networks: Mapping[str, str]) -> SavedPromise:
    """Return a promise that was saved, if it is about these networks and this normalisation.

    Args:
        path: the file.
        networks: those of the reader that is to keep it, as in `SavedPromise.networks`.

    Raises:
        PromiseError: the file is missing or no promise of this format, or the promise is about others and so withdrawn.
    """
    try:
        promise = _parsed(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PromiseError(f"{path}: cannot be read ({reason(error)})") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PromiseError(f"{path}: not a promise that can be kept ({reason(error)}); {AGAIN}") from None
    if ("second_opinion" in promise.networks) != ("second_opinion" in networks):
        how = "with" if "second_opinion" in promise.networks else "without"
        raise PromiseError(f"{path}: withdrawn: made {how} a second opinion; read {how} --second-opinion, or {AGAIN}")
    for kind, digest in networks.items():
        made_with, made_for = promise.networks.get(kind, ""), promise.normalisation.get(kind)
        if kind != "second_opinion" and made_for != normalisation_version(kind):
            changed = f"behind version {made_for} of the {kind} normalisation, this inkdigits has version "
            raise PromiseError(f"{path}: withdrawn: made {changed}{normalisation_version(kind)}; {AGAIN}")
        if made_with != digest:
            changed = f"with another {kind} network (SHA-256 {made_with[:12]}, this one {digest[:12]})"
            raise PromiseError(f"{path}: withdrawn: made {changed}; {AGAIN}")
    return promise


def _parsed(text: str) -> SavedPromise:
    """Return a promise from its file's text; what is wrong with it raises ValueError, KeyError, ..."""
    found = json.loads(text)
    if found.pop("format") != FORMAT:
        raise ValueError("another format")
    promise = SavedPromise(**found | {"steps": tuple(Step(**step) for step in found["steps"])})
    if not (isinstance(promise.networks, dict) and isinstance(promise.normalisation, dict)):
        raise ValueError("it does not say of which networks it is")
    step = last_passed(promise.steps, promise.risk, promise.delta)
    if step is None or step.threshold != promise.threshold:
        raise ValueError("its sample gives another threshold")
    return promise
