"""What every benchmark shares: taking turns, a spread in words, and the form in which figures are shown and kept.

A benchmark hands its tables to `publish`: they are printed as Markdown and, with `--json FILE`, kept with machine,
versions, commit and command. `python benchmarks/write_page.py` makes docs/benchmarks.md of what lies in
benchmarks/results/.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("inkdigits", "keras", "tensorflow-cpu", "numpy", "onnxruntime", "opencv-python-headless", "scikit-learn")
EXTRA_PAGES = "inkdigits, extra pages"  # with PP-OCR's text detector beside our page finder


@dataclass(frozen=True)
class Table:
    """A table of words: every figure in it says its unit in the header, every row its n where n differs."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [f"**{self.caption}**", ""] if self.caption else []
        lines += [f"| {' | '.join(self.header)} |", f"|{'---|' * len(self.header)}"]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows)])


def publish(
    name: str,
    title: str,
    tables: Sequence[Table],
    *,
    notes: Sequence[str] = (),
    figures: Any = None,
    path: Path | None = None,
) -> None:
    """Print the tables and notes; write them with machine, versions, command and raw figures to `path`, if given."""
    result = {
        "name": name,
        "title": title,
        "command": " ".join(["python", f"benchmarks/{name}.py", *_words(sys.argv[1:])]),
        "machine": machine(),
        "versions": versions(),
        "measured": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "tables": [asdict(table) for table in tables],
        "notes": list(notes),
        "figures": figures,
    }
    print(as_markdown(result))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".partial")
        beside.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        beside.replace(path)


def as_markdown(result: dict[str, Any], where: str | None = None) -> str:
    """Return a kept result as a section of docs/benchmarks.md; `where` is a short name for machine and versions."""
    if where is None:
        where = "; ".join(filter(None, (result["machine"], in_words(result["versions"]))))
    else:
        where = f"machine {where}" + "".join(result["machine"].partition(", load")[1:])
    when = f"{result['measured']}, commit {result['commit']}" if result.get("commit") else result["measured"]
    parts = [f"## {result['title']}", f"    {result['command']}", f"*{when}; {where}.*"]
    parts += [str(Table(**table)) for table in result["tables"]]
    return "\n\n".join([*parts, *result["notes"]]) + "\n"


def in_words(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {number}" for package, number in versions.items())


def in_turn(contestants: Mapping[str, Callable[[], object]], rounds: int, repeats: int = 1) -> dict[str, list[float]]:
    """Return the seconds that a call of each takes, round by round, so that noise slows all of them alike.

    Args:
        contestants: name -> what is timed; each is called once before the first round, to be warm.
        rounds: >= 1; each round's order is the last one's turned by one.
        repeats: >= 1; calls of each in a round, whose median is the round's figure.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for call in contestants.values():
        call()
    names = list(contestants)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        turned = number % len(names)
        for name in names[turned:] + names[:turned]:
            seconds[name].append(statistics.median(_timed(contestants[name]) for _ in range(repeats)))
    return seconds


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def in_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the length of the longest sequence of items that stand in both, in order."""
    lengths = [0] * (len(b) + 1)
    for item in a:
        before, lengths = lengths, [0]
        for j, other in enumerate(b, 1):
            lengths.append(before[j - 1] + 1 if item == other else max(before[j], lengths[-1]))
    return lengths[-1]


def ratios(seconds: Sequence[float], by: Sequence[float]) -> list[float]:
    """Return how many times as long the first take, round by round."""
    return [mine / other for mine, other in zip(seconds, by, strict=True)]


def percent(share: float, places: int) -> str:
    """Return a share, 0 to 1, as a percentage."""
    return f"{100 * share:.{places}f} %"


def spread(values: Sequence[float], places: int) -> str:
    """Return the median and, in brackets, the least and the greatest of some values."""
    return f"{statistics.median(values):.{places}f} ({min(values):.{places}f} to {max(values):.{places}f})"


def mean_sd(values: Sequence[float], places: int, scale: float = 1.0) -> str:
    """Return mean ± sample standard deviation of some values, each multiplied by `scale`."""
    scaled = [value * scale for value in values]
    deviation = f" ± {statistics.stdev(scaled):.{places}f}" if len(scaled) > 1 else ""
    return f"{statistics.mean(scaled):.{places}f}{deviation}"


def machine() -> str:
    """Return the processor's name, the number of cores this process may use, and how busy they were."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    # A virtual machine's "model name" may be as short as "AMD EPYC": the family tells which generation that is.
    generation = (
        f" (family {said['cpu family']}, model {said['model']})" if {"cpu family", "model"} <= set(said) else ""
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return f"{said.get('model name', platform.processor())}{generation}, {cores} cores, {platform.system()}{load}"


def commit() -> str:
    """Return the checkout's commit, with a + where files differ from it; nothing outside a checkout."""
    root = Path(__file__).parent.parent
    try:
        asked = [["git", "rev-parse", "--short", "HEAD"], ["git", "status", "--porcelain", "--", "inkdigits"]]
        said = [subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout for words in asked]
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said[0].strip() + ("+" if said[1].strip() else "")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that figures depend on, of those that are installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _words(given: list[str]) -> list[str]:
    """Return the command's words without `--json FILE`, which is no part of how figures were measured.

    `make bench DATA=folder PEER_PYTHON=file` puts both into the environment: where they lie here is nobody's concern.
    """
    if "--json" in given:
        at = given.index("--json")
        given = given[:at] + given[at + 2 :]
    for name in ("DATA", "PEER_PYTHON"):
        place = os.environ.get(name)
        given = [name + word.removeprefix(place) if place and word.startswith(place) else word for word in given]
    return given
