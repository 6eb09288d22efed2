"""The page of figures is what the kept results say, and nothing else; a benchmark that fails loses nothing."""

import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """benchmarks/write_page.py, imported as its siblings import one another."""
    yield from imported("write_page", monkeypatch)


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from imported("common", monkeypatch)


def imported(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module(name)
    # Their names are short ones: no other test shall find them.
    for sibling in BENCHMARKS.glob("*.py"):
        sys.modules.pop(sibling.stem, None)


def test_the_page_is_what_the_results_say(module: ModuleType) -> None:
    assert module.PAGE.read_text() == module.page(module.load()), (
        "run `python benchmarks/write_page.py`; edit no page by hand"
    )


def test_the_readme_quotes_the_results(module: ModuleType) -> None:
    readme = module.README.read_text()
    assert readme == module.with_figures(readme, module.load()), "run `python benchmarks/write_page.py`"
    assert readme.count("<!-- figures: ") == readme.count("<!-- /figures -->") == len(module.QUOTED)


def test_a_figure_edited_by_hand_is_written_anew(module: ModuleType) -> None:
    readme, results = module.README.read_text(), module.load()
    edited = readme.replace("| inkdigits |", "| inkdigits, much better |")
    assert edited != readme
    assert module.with_figures(edited, results) == readme


def test_every_benchmark_of_make_bench_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    for parts in imported("all", monkeypatch):
        assert all((BENCHMARKS / f"{part.name}.py").is_file() for part in parts.PARTS)


def test_a_failing_benchmark_loses_nothing_of_the_others(tmp_path: Path) -> None:
    """A copy of the folder with two benchmarks in it, one of which fails."""
    here = tmp_path / "benchmarks"
    (here / "results").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("quotes nothing\n")
    for name in ("common", "write_page", "all"):
        (here / f"{name}.py").write_text((BENCHMARKS / f"{name}.py").read_text())
    (here / "startup.py").write_text("raise SystemExit('no such luck')")
    (here / "results" / "startup.json").write_text(json.dumps(RESULT | {"title": "Measured before"}))
    (here / "growth.py").write_text(GROWTH)
    command = [sys.executable, str(here / "all.py"), "--only", "startup", "growth"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "error: failed: startup; their older results stay"
    written = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "Measured before" in written
    assert "| 42 |" in written


RESULT = {"name": "x", "command": "python x.py", "machine": "one, load 1.0 at the end", "versions": {"Python": "3"}}
RESULT |= {"measured": "2026-01-01", "tables": [], "notes": [], "figures": None}
GROWTH = """
import sys
from pathlib import Path
from common import Table, publish
publish("growth", "Grown", [Table("", ("n",), [("42",)])], path=Path(sys.argv[sys.argv.index("--json") + 1]))
"""


def test_machines_are_told_apart(module: ModuleType) -> None:
    one = RESULT | {"title": "First"}
    alone = module.page({"a": one})
    assert "- **A**: one; Python 3" in alone
    assert "must not be held against" not in alone
    both = module.page({"a": one, "b": one | {"machine": "two", "title": "Second"}})
    assert "- **A**: one; Python 3\n- **B**: two; Python 3" in both
    assert "must not be held against" in both
    first, second = both.split("## ")[1:]
    assert "*2026-01-01; machine A, load 1.0 at the end.*" in first
    assert "*2026-01-01; machine B.*" in second


def test_contestants_take_turns(common: ModuleType) -> None:
    calls: list[str] = []
    seconds = common.in_turn({name: lambda name=name: calls.append(name) for name in "ab"}, rounds=2, repeats=2)
    assert "".join(calls) == "ab" + "aabb" + "bbaa"  # warm, then every round in another order
    assert [len(values) for values in seconds.values()] == [2, 2]


def test_a_command_is_quoted_without_where_things_lie(common: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", "/home/me/scans")
    monkeypatch.delenv("PEER_PYTHON", raising=False)
    assert common._words(["/home/me/scans/cells", "--json", "x.json", "--n", "3"]) == ["DATA/cells", "--n", "3"]


def test_rows_in_common_keep_their_order(common: ModuleType) -> None:
    assert common.in_common(["12", "7", "40"], ["7", "40", "12"]) == 2
