"""Run every benchmark that needs no long training, one after the other, then make the page of figures.

    python benchmarks/all.py [DATA] [--peer-python PYTHON] [--only NAME ...]

DATA is a folder of real handwriting (CONTRIBUTING.md says in what form) and adds the benchmarks that need one. What
fails or is missing loses nothing of the others: their results are kept, its own older result stays, and the exit code
is 1. What is measured twice on different machines is not mixed: each result carries its own machine and date.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """One benchmark: the name of its file and result, its words; `of_data` are paths inside DATA, if it needs them."""

    name: str
    words: tuple[str, ...] = ()
    of_data: tuple[str, ...] | None = None
    result: str = ""  # where one file answers two questions


PARTS = (
    Part("train_speed"),
    Part("accuracy"),
    Part("time_to_99"),
    Part("latency"),
    Part("startup"),
    Part("growth"),
    Part("vanish"),
    Part("bench_serve", ("--seconds", "6")),
    Part("bench_digits"),
    Part("bench_digits", of_data=("",), result="handwriting"),
    Part("unseen", of_data=("",)),
    Part("forms", of_data=("",)),
    Part("forms_kill"),
    Part("forms_export"),
    Part("real_forms", ("--blind",), of_data=("",)),
    Part("real_forms", ("--tables",), of_data=("",), result="real_tables"),
    Part("cells", of_data=("cells",)),
    Part("pages", ("--turns", "0", "1", "2", "3"), of_data=("photos", "pages")),
    Part("reading", of_data=("",)),
    Part("reading", ("--whole",), of_data=("",), result="reading_pages"),
    Part("reading", ("--speed",), of_data=("",), result="reading_speed"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--peer-python", help="the Python of an environment in which RapidOCR is installed")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these results alone")
    given = parser.parse_args()
    # So that the page says DATA and PEER_PYTHON where it quotes a command (`common.publish`).
    os.environ |= {"DATA": str(given.data or ""), "PEER_PYTHON": given.peer_python or ""}
    results = HERE / "results"
    failed = []
    for part in PARTS:
        name = part.result or part.name.removeprefix("bench_")
        if (given.only and name not in given.only) or (part.of_data is not None and given.data is None):
            continue
        words = [*(str(given.data / path) for path in part.of_data or ()), *part.words]
        words += (
            ["--peer-python", given.peer_python] if part.name in ("reading", "unseen") and given.peer_python else []
        )
        if not run([sys.executable, str(HERE / f"{part.name}.py"), *words, "--json", str(results / f"{name}.json")]):
            failed.append(name)
    if not run([sys.executable, str(HERE / "write_page.py")]):
        failed.append("page")
    if failed:
        raise SystemExit(f"error: failed: {', '.join(failed)}; their older results stay")


def run(command: list[str]) -> bool:
    """Run a benchmark and say how long it took; False if it failed."""
    print(f"== {' '.join(command[1:])}", file=sys.stderr, flush=True)
    started = time.perf_counter()
    code = subprocess.run(command, check=False).returncode
    print(f"== {time.perf_counter() - started:.0f} s{f', exit code {code}' if code else ''}\n", file=sys.stderr)
    return code == 0


if __name__ == "__main__":
    main()
