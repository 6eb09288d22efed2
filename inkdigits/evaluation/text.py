"""Figures as text."""

import math


def percent(share: float, places: int = 2) -> str:
    """Return a share as the documents print it: 0.9241 -> "92.41 %"; "-" where nothing was measured."""
    return "-" if math.isnan(share) else f"{share * 100:.{places}f} %"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: "1 field", "598 fields"."""
    return f"{n:,} {noun}{'s' * (n != 1)}"


def or_none(value: float) -> float | None:
    """Return a figure for JSON, which knows no NaN."""
    return None if math.isnan(value) else float(value)


def pair_in_words(truth: str, answer: str, count: int) -> str:
    """Return one confusion in words: "4 read as 9: 44 times"."""
    return f"{truth} read as {answer}: {count} time{'s' if count > 1 else ''}"


def p_in_words(p: float) -> str:
    """Return a p-value with as many places as it deserves, with its sign: "= 0.031", "< 0.0001"."""
    return "< 0.0001" if p < 0.0001 else f"= {p:.4f}" if p < 0.1 else f"= {p:.2f}"
