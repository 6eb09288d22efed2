"""Write docs/benchmarks.md, and the README's figures, from the results in benchmarks/results/.

    python benchmarks/page.py

The page is these results and nothing else. In the README, what stands between `<!-- figures: NAME -->` and
`<!-- /figures -->` is written here too, by the function NAME below. A test holds both equal to the results.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import as_markdown

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"

Results = Mapping[str, dict[str, Any]]

INTRODUCTION = """# Figures

Every figure of this project, with its command, machine, n and spread. This page is written by the files in
`benchmarks/` (`make bench`) and by nothing else: do not edit it. Contestants take turns, so that other work on the
machine slows all of them alike; a figure with brackets is the median with the least and the greatest, one with ± is
mean and standard deviation.

`DATA` is a folder of real handwriting as CONTRIBUTING describes it: sets that are not part of this repository.
**Framing, page layout and synthesis were designed while looking at misses on those sets, so the figures on them are
optimistic**; no weight learned from them."""

CHAPTERS = {
    "Reading real handwriting": ("reading", "handwriting", "cells", "pages"),
    "MNIST": ("accuracy", "champion", "digits"),
    "Speed of training": ("train_speed", "time_to_99"),
    "Speed of reading": ("latency", "startup", "growth", "bulk", "serve"),
}
REST = "More"


def load() -> dict[str, dict[str, Any]]:
    """Return name -> result, of all that are kept."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def page(results: Results) -> str:
    """Return docs/benchmarks.md."""
    placed = {title: [name for name in names if name in results] for title, names in CHAPTERS.items()}
    known = {name for names in placed.values() for name in names}
    placed[REST] = [name for name in results if name not in known]
    contents, sections = [], []
    for title, names in placed.items():
        links = [f"[{results[name]['title']}](#{anchor(results[name]['title'])})" for name in names]
        contents += [f"- {title}: {', '.join(links)}"] if links else []
        sections += [as_markdown(results[name]) for name in names]
    return "\n\n".join([INTRODUCTION, machines(results), "\n".join(contents), "\n".join(sections)])


def anchor(title: str) -> str:
    """Return the name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def machines(results: Results) -> str:
    """Return which machine measured what: figures of different machines must not be held against each other."""
    found: dict[str, list[str]] = {}
    for result in results.values():
        found.setdefault(machine_of(result), []).append(result["title"])
    if len(found) < 2:
        return f"Measured on one machine: {next(iter(found), 'none')}."
    lines = [f"- {name}: {', '.join(titles)}" for name, titles in found.items()]
    return "Measured on different machines, whose figures must not be held against each other:\n\n" + "\n".join(lines)


def machine_of(result: Mapping[str, Any]) -> str:
    name: str = result["machine"].partition(", load")[0]
    return name


def with_figures(text: str, results: Results) -> str:
    """Return a document with every block between the marks written anew."""

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}\n{QUOTED[found[2]](results)}\n{found[3]}"

    return re.sub(r"(<!-- figures: (\w+) -->)\n.*?\n(<!-- /figures -->)", block, text, flags=re.DOTALL)


# ------------------------------------------------------------------------------------------ what the README quotes


QUOTED: dict[str, Callable[[Results], str]] = {}


def main() -> None:
    results = load()
    PAGE.write_text(page(results))
    README.write_text(with_figures(README.read_text(), results))
    print(PAGE)


if __name__ == "__main__":
    main()
