"""Whether a network that was fitted to one hand is kept: it must read the hand better and forget nothing."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Gate:
    """What a fit to a hand changes, on examples that it was not fitted to.

    Attributes:
        what: "digits" or "lines".
        n: examples of the hand.
        errors_before, errors_after: of them, read wrong; after: each by a fit without its fold.
        n_home: examples of what the network was trained for, which it did not learn from.
        home_before, home_after: of them, read wrong.
        most_forgotten: the share of these by which errors may rise.
    """

    what: str
    n: int
    errors_before: int
    errors_after: int
    n_home: int
    home_before: int
    home_after: int
    most_forgotten: float

    @property
    def is_kept(self) -> bool:
        """Whether the hand is read better and nothing is forgotten."""
        return not self.objection

    @property
    def objection(self) -> str:
        """Why the fit is not kept, "" where it is."""
        if self.errors_after >= self.errors_before:
            counts = f"{self.errors_before} -> {self.errors_after} errors of {self.n} {self.what}"
            return f"it does not read this hand better: {counts}"
        if self.home_after - self.home_before > self.most_forgotten * self.n_home:
            return f"it forgets: {self.home_before} -> {self.home_after} errors of {self.n_home} {self.what} of others"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return the counts and what follows from them."""
        return asdict(self) | {"kept": self.is_kept, "objection": self.objection}

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.errors_before} -> {self.errors_after} errors on {self.n:,} held-out ones, "
            f"{self.home_before} -> {self.home_after} on {self.n_home:,} of others: "
            + (f"not kept, {self.objection}" if self.objection else "kept")
        )
