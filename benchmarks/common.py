"""What every benchmark shares: the machine's name, a spread in words, and the form in which figures are shown and kept.

A benchmark hands its tables to `publish`: they are printed as Markdown and, with `--json FILE`, kept with machine,
versions and command. `python benchmarks/page.py` makes docs/benchmarks.md of the files in benchmarks/results/.
"""

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("inkdigits", "keras", "tensorflow-cpu", "numpy", "onnxruntime", "opencv-python-headless", "scikit-learn")


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
        "command": " ".join(["python", f"benchmarks/{name}.py", *_without_json(sys.argv[1:])]),
        "machine": machine(),
        "versions": versions(),
        "measured": datetime.now(UTC).date().isoformat(),
        "tables": [asdict(table) for table in tables],
        "notes": list(notes),
        "figures": figures,
    }
    print(as_markdown(result))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def as_markdown(result: dict[str, Any]) -> str:
    """Return a kept result as a section of docs/benchmarks.md."""
    used = ", ".join(f"{package} {number}" for package, number in result["versions"].items())
    parts = [f"## {result['title']}", f"`{result['command']}` · {result['measured']} · {result['machine']} · {used}"]
    parts += [str(Table(**table)) for table in result["tables"]]
    return "\n\n".join([*parts, *result["notes"]]) + "\n"


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
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    return f"{names[0] if names else platform.processor()}, {cores} cores, {platform.system()}{load}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that figures depend on, of those that are installed."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _without_json(words: list[str]) -> list[str]:
    """Drop `--json FILE`: where figures were kept is no part of how they were measured."""
    if "--json" not in words:
        return words
    at = words.index("--json")
    return words[:at] + words[at + 2 :]
