"""The layers of docs/design.md, as import-linter's contracts in pyproject.toml; and what reading must do without."""

import pkgutil
import subprocess
import sys
from pathlib import Path

import inkdigits

ROOT = Path(__file__).parent.parent
READING = ("files", "data", "reading", "bulk", "evaluation", "forms")


def test_the_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_package_has_a_layer() -> None:
    contracts = (ROOT / "pyproject.toml").read_text().split("[[tool.importlinter.contracts]]")[1]
    names = {module.name for module in pkgutil.iter_modules(inkdigits.__path__)} - {"__main__"}
    assert {name for name in names if name not in contracts} == set()


def test_the_reading_half_runs_without_tensorflow() -> None:
    blocked = "import sys; sys.modules.update({m: None for m in ('tensorflow', 'keras', 'sklearn')})"
    walk = "import pkgutil, importlib, inkdigits; [importlib.import_module(m.name) for p in {packages!r}"
    walk += " for m in pkgutil.walk_packages([f'{{inkdigits.__path__[0]}}/{{p}}'], f'inkdigits.{{p}}.')]"
    code = f"{blocked}\n{walk.format(packages=READING)}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_docs_name_every_module() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    package = ROOT / "inkdigits"
    modules = [path.relative_to(package) for path in package.rglob("*.py") if not path.name.startswith("__")]
    names = [str(Path(*path.parts[1:]) if len(path.parts) > 1 else path) for path in modules]
    assert [name for name in names if f"`{name}`" not in text] == []
