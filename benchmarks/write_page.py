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

from common import Table, as_markdown, in_words, mean_sd, percent, ratios

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
    "Reading real handwriting": ("reading", "reading_pages", "reading_speed", "handwriting", "cells", "pages"),
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
    """Return a document with every block between the marks written anew."""

    def block(found: re.Match[str]) -> str:
        return f"{found[1]}\n{QUOTED[found[2]](results)}\n{found[3]}"

    return re.sub(r"(<!-- figures: (\w+) -->)\n.*?(<!-- /figures -->)", block, text, flags=re.DOTALL)


# ------------------------------------------------------------------------------------------ what the README quotes

SETS = {
    "hwd1000": "digits drawn on screen",
    "gridpage64": "marker digits, scanned",
    "optdigits32": "30 writers, binary 32 x 32",
    "semeion": "80 writers, stretched 16 x 16",
    "cells": "cells of photographed logbooks, all digits right",
    "photos": "photographs of handwriting, digits right",
    "pages": "scanned pages, digits right",
}
PEERS = ("RapidOCR", "Tesseract", "tutorial's CNN")


def handwriting(results: Results) -> str:
    """The table of real handwriting, and what is refused."""
    sets = {
        name: found for part in ("reading", "reading_pages") for name, found in results[part]["figures"]["sets"].items()
    }
    cells = results["cells"]["figures"]["all"]
    mnist = results["digits"]["figures"]["digits"][0]
    rows = [_set_row(words, sets[name]) for name, words in SETS.items()]
    half = ("the half of the cells it is surest of", f"{cells['n'] // 2:,}", _bold(cells["accuracy_surest_half"], 1))
    rows.insert(list(SETS).index("cells") + 1, (*half, "", "", ""))
    cnn = statistics.mean(results["accuracy"]["figures"]["cnn"]["test_accuracy"])
    test = f"{_bold(mnist['accuracy'], 2)} ({mnist['misses']} misses)"
    rows.append(("MNIST's test set", f"{mnist['n']:,}", test, "", "", percent(cnn, 2)))
    others = {row["set"]: row["auroc"] for row in results["handwriting"]["figures"]["outliers"]}
    made = [row["auroc"] for row in results["digits"]["figures"]["outliers"] if "dot" not in row["set"]]
    return (
        f"{Table('', ('', 'n', 'inkdigits', *PEERS), rows)}\n\n"
        "(Tesseract, which is slow, read 100 of a set at most.) Things that are no digits are refused: AUROC "
        f"{percent(others['fashion28, as it is'], 2)} against Fashion-MNIST, "
        f"{percent(others['omniglot105, framed'], 2)} against the letters of Omniglot, "
        f"{percent(min(made), 1)} against blank paper, noise and lines."
    )


def _set_row(words: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    measure = "digits_right" if "digits_right" in found["inkdigits"] else "digits_exact"
    n = found["inkdigits"].get("n_digits", found["inkdigits"]["n"])
    peers = (percent(found[name][measure], 1) if name in found else "" for name in PEERS)
    return words, f"{n:,}", _bold(found["inkdigits"][measure], 1), *peers


def training(results: Results) -> str:
    """Seconds an epoch beside `fit`, and the tutorial's accuracies."""
    rows = []
    for recipe, seconds in results["train_speed"]["figures"].items():
        faster = ratios(seconds["Keras fit"], seconds["inkdigits"])
        least, most = min(faster), max(faster)
        medians = [f"{statistics.median(seconds[name]):.2f} s" for name in ("Keras fit", "inkdigits")]
        rows.append((f"`{recipe}`", *medians, f"**{statistics.median(faster):.1f} times** ({least:.1f} to {most:.1f})"))
    found = results["accuracy"]["figures"]
    words = [f"`{name}` {_test(found[name])}" for name in found]
    header = ("recipe", "an epoch by `fit`", "by inkdigits", "faster")
    return (
        f"{Table('', header, rows)}\n\n({_machine(results['train_speed'])}.)\n\n"
        f"The tutorial's accuracies come out as it prints them (linear 92.41 %, hidden 97.59 %): {'; '.join(words)}."
    )


def _test(seeds: Mapping[str, Any]) -> str:
    return f"{mean_sd(seeds['test_accuracy'], 2, 100)} % ({len(seeds['test_accuracy'])} seeds)"


def records(results: Results) -> str:
    """The time to 99 %, and what the champion, its committee and its pupil miss."""
    found = results["time_to_99"]["figures"]
    seconds, accuracies = zip(*found["fast"], strict=True)
    at = [rows[min(found["example_epochs"], len(rows)) - 1] for rows in found["example"]]
    faster = statistics.median(ratios([each[0] for each in at], seconds[: len(at)]))
    fast = (
        f"`inkdigits train fast` is at {mean_sd(accuracies, 2, 100)} % of the test set ({len(seconds)} seeds) after "
        f"**{statistics.median(seconds):.1f} s**, counted from images in memory, tracing and compiling included: "
        f"**{faster:.0f} times** sooner than Keras's own convolutional example is at 99.0 % (after "
        f"{found['example_epochs']} epochs, {statistics.median([each[0] for each in at]):.0f} s)."
    )
    rows = results["champion"]["tables"][0]["rows"]
    told = [
        f"{name} {accuracy} % ({misses} misses)"
        for name, _, accuracy, misses, *_ in rows
        if not name.startswith("one net,")
    ]
    return f"{fast}\n\n`inkdigits train champion` on the test set: {'; '.join(told)}; [all misses](docs/champion.md)."


def reading(results: Results) -> str:
    """What a process and what a call costs, beside Keras."""
    digit, page, keras = (_process(costs) for costs in list(results["startup"]["figures"].values())[:3])
    rows = [
        ("a process that reads one digit", digit, keras),
        ("a process that reads a page", page, ""),
        *(_call(n, results["latency"]["figures"][n]) for n in ("1 digit", "1,000 digits")),
    ]
    header = ("", "inkdigits", "the same net in Keras")
    return f"{Table('', header, rows)}\n\n({_machine(results['latency'])}; medians.)"


def _process(costs: list[dict[str, float]]) -> str:
    seconds, megabytes = (statistics.median(cost[what] for cost in costs) for what in ("seconds", "peak_mb"))
    return f"{seconds:.2f} s, {megabytes:.0f} MB"


def _call(n: str, seconds: Mapping[str, list[float]]) -> tuple[str, ...]:
    ours, keras = (1000 * statistics.median(seconds[name]) for name in ("Reader.classify", "Keras predict"))
    return f"{n}, framed, in an open `Reader`", f"{ours:.2f} ms", f"{keras:.0f} ms (`predict`)"


def _bold(share: float, places: int) -> str:
    return f"**{percent(share, places)}**"


def _machine(result: Mapping[str, Any]) -> str:
    return machine_of(result).removesuffix(", Linux")


QUOTED: dict[str, Callable[[Results], str]] = {
    "handwriting": handwriting,
    "training": training,
    "records": records,
    "reading": reading,
}


def main() -> None:
    results = load()
    PAGE.write_text(page(results))
    README.write_text(with_figures(README.read_text(), results))
    print(PAGE)


if __name__ == "__main__":
    main()
