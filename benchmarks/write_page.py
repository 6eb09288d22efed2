"""Write docs/benchmarks.md, and the README's figures, from the results in benchmarks/results/.

    python benchmarks/write_page.py

The page is these results and nothing else. In the README, what stands between `<!-- figures: NAME -->` and
`<!-- /figures -->` is written here too, by the function NAME below. A test holds both equal to the results.
"""

import json
import re
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common import EXTRA_PAGES, Table, as_markdown, in_words, mean_sd, percent, ratios

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
**Framing, page layout and synthesis were designed while looking at errors on those sets, so the figures on them are
optimistic**; no weight learned from them."""

CHAPTERS = {
    "Reading real handwriting": (
        "unseen",
        "reading",
        "reading_pages",
        "reading_speed",
        "handwriting",
        "cells",
        "pages",
        "vanish",
    ),
    "Forms": ("forms", "real_forms", "real_tables", "forms_kill", "forms_export"),
    "Confidence, and one's own hand": ("selective", "personal"),
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
    in_order = {name: results[name] for names in placed.values() for name in names}
    letters = {where: chr(ord("A") + i) for i, where in enumerate(dict.fromkeys(map(where_of, in_order.values())))}
    contents, sections = [], []
    for title, names in placed.items():
        links = [f"[{results[name]['title']}](#{anchor(results[name]['title'])})" for name in names]
        contents += [f"- {title}: {'; '.join(links)}"] if links else []
        sections += [as_markdown(results[name], letters[where_of(results[name])]) for name in names]
    return "\n\n".join([INTRODUCTION, machines(letters), "Contents:", "\n".join(contents), "\n".join(sections)])


def anchor(title: str) -> str:
    """Return the name by which GitHub links to a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def machines(letters: Mapping[str, str]) -> str:
    """Return what the letters mean by which the sections name machine and versions."""
    warning = ", whose figures must not be held against each other" if len(letters) > 1 else ""
    lines = [f"- **{letter}**: {where}" for where, letter in letters.items()]
    return f"Machines and versions{warning}:\n\n" + "\n".join(lines)


def where_of(result: Mapping[str, Any]) -> str:
    return "; ".join(filter(None, (machine_of(result), in_words(result["versions"]))))


def machine_of(result: Mapping[str, Any]) -> str:
    name: str = result["machine"].partition(", load")[0]
    return name


def with_figures(text: str, results: Results) -> str:
    """Return a document with every block between the marks rewritten."""

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}\n{QUOTED[found[2]](results)}\n{found[3]}"

    return re.sub(r"(<!-- figures: (\w+) -->)\n.*?(<!-- /figures -->)", block, text, flags=re.DOTALL)


# ------------------------------------------------------------------------------------------ what the README quotes

SETS = {
    "ardis": "digits of church books (ARDIS)",
    "nsysu": "digits of exam papers",
    "herc": "digits scanned from pen on paper",
    "dida": "digits cut from old documents, with neighbours' ink (DIDA)",
    "cells": "numbers in cells of photographed logbooks",
    "strings": "numbers in cells of climate tables, binary scans",
}
PEERS = ("inkdigits", "RapidOCR")


def unseen(results: Results) -> str:
    """The table of handwriting that nobody looked at, with the pictures of its kind that the authors studied beside."""
    sets, studied = (results["unseen"]["figures"][part] for part in ("seen by nobody", "studied by the authors"))
    rows = [_set_row(words, sets[name], studied.get(name), "digits_exact", "n") for name, words in SETS.items()]
    found, right = "photographed pages: numbers found", "photographed pages: answers that are right"
    rows += [
        _set_row(words, sets["photos"], studied["photos"], measure, "n_numbers")
        for words, measure in ((found, "recall"), (right, "precision"))
    ]
    for words, measure in ((f"{found}, with the extra `pages`", "recall"), (f"{right}, with it", "precision")):
        here, there = (part["photos"] | {"inkdigits": part["photos"][EXTRA_PAGES]} for part in (sets, studied))
        rows.append(_set_row(words, here, there, measure, "n_numbers"))
    for name, words in SETS.items():
        if EXTRA_PAGES in sets[name]:
            here, there = (part[name] | {"inkdigits": part[name][EXTRA_PAGES]} for part in (sets, studied))
            rows.append(_set_row(f"{words}: a second opinion (extra `pages`)", here, there, "digits_exact", "n"))
    mnist = results["digits"]["figures"]["digits"][0]
    rows.append((f"MNIST's test set, n = {mnist['n']:,}", "", "", "", percent(mnist["accuracy"], 2)))
    header = ("digits exactly right", "n", *PEERS, "same kind, studied by the authors: inkdigits")
    who_and_what = [(who, name) for who in ("inkdigits", EXTRA_PAGES) for name in ("cells", "strings")]
    values = [percent(sets[name][who]["value_exact"], 1) for who, name in who_and_what]
    return (
        f"{Table('', header, rows)}\n\nSeparators and signs do not count here; where they do, {values[0]} of the "
        f"logbooks' and {values[1]} of the climate tables' numbers are exact, {values[2]} and {values[3]} with a "
        f"second opinion. n counts pictures; for pages, the numbers on {sets['photos']['inkdigits']['n']} (studied: "
        f"{studied['photos']['inkdigits']['n']}) pages."
    )


def _set_row(
    words: str, found: Mapping[str, Any], studied: Mapping[str, Any] | None, measure: str, n: str
) -> tuple[str, ...]:
    shares = (percent(found[name][measure], 1) for name in PEERS)
    beside = f"{percent(studied['inkdigits'][measure], 1)} of {studied['inkdigits'][n]:,}" if studied else ""
    return words, f"{found['inkdigits'][n]:,}", *shares, beside


def speed(results: Results) -> str:
    """What reading and training cost beside Keras, one line each."""
    ours, page, keras = (_process(costs) for costs in list(results["startup"]["figures"].values())[:3])
    trained = results["train_speed"]["figures"]
    faster = {name: statistics.median(ratios(each["Keras fit"], each["inkdigits"])) for name, each in trained.items()}
    accuracy = {name: _test(seeds) for name, seeds in results["accuracy"]["figures"].items()}
    fast = statistics.median(seconds for seconds, _ in results["time_to_99"]["figures"]["fast"])
    return (
        f"- A process that starts and reads one digit takes {ours}; one that loads the same network in Keras {keras}; "
        f"one that reads a page {page} ({_machine(results['startup'])}).\n"
        f"- Training makes the same updates as Keras's `fit`, in one compiled call an epoch: "
        f"{', '.join(f'`{name}` {times:.1f}' for name, times in faster.items())} times faster "
        f"({_machine(results['train_speed'])}).\n"
        f"- Accuracy on MNIST's test set: {'; '.join(f'`{name}` {words}' for name, words in accuracy.items())}. "
        f"`fast` gets there in {fast:.1f} s ({_machine(results['time_to_99'])})."
    )


def _test(seeds: Mapping[str, Any]) -> str:
    return f"{mean_sd(seeds['test_accuracy'], 2, 100)} % ({len(seeds['test_accuracy'])} seeds)"


def _process(costs: list[dict[str, float]]) -> str:
    seconds, megabytes = (statistics.median(cost[what] for cost in costs) for what in ("seconds", "peak_mb"))
    return f"{seconds:.2f} s and {megabytes:.0f} MB"


def _machine(result: Mapping[str, Any]) -> str:
    return machine_of(result).removesuffix(", Linux")


QUOTED: dict[str, Callable[[Results], str]] = {"unseen": unseen, "speed": speed}


def main() -> None:
    results = load()
    PAGE.write_text(page(results))
    README.write_text(with_figures(README.read_text(), results))
    print(PAGE)


if __name__ == "__main__":
    main()
