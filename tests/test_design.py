"""The import table of docs/design.md, held against the code."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "inkdigits"
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")
# Imported by other names than the ones by which the table calls them.
KNOWN_AS = {"cv2": "cv2", "PIL": "pillow", "sklearn": "scikit-learn"}


def table() -> dict[str, tuple[set[str], set[str], set[str]]]:
    """Return file -> (rooms it may import, packages at the top, packages inside functions) as the table says."""
    rows: dict[str, tuple[set[str], set[str], set[str]]] = {}
    for line in (ROOT / "docs" / "design.md").read_text().splitlines():
        if not re.match(r"\| `[\w/]+(\.py|/)` \|", line):
            continue
        file, _, rooms, outside = (cell.strip() for cell in line.strip("|").split("|"))
        top, _, inside = outside.partition("inside functions:")
        rows[file.strip("`")] = (words(rooms), words(top), words(inside))
    return rows


def words(cell: str) -> set[str]:
    return set(re.findall(r"[\w./-]+", cell)) - {"-"}


def imports_of(path: Path) -> tuple[set[str], set[str]]:
    """Return the modules imported at the top of a file, and those imported inside its functions."""
    top: set[str] = set()
    inside: set[str] = set()

    def walk(node: ast.AST, found: set[str]) -> None:
        found.update(names_of(node))
        # What is imported for the type checker alone is no more loaded with the module than what a function imports.
        for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        deeper = inside if for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else found
        for child in ast.iter_child_nodes(node):
            walk(child, deeper)

    walk(ast.parse(path.read_text()), top)
    return top, inside


def names_of(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        # `from inkdigits import framing` means the module inkdigits.reading.normalise.digit, if there is one.
        return [f"{base}.{a.name}" if is_module(f"{base}.{a.name}") else base for a in node.names]
    return []


def is_module(name: str) -> bool:
    path = ROOT / Path(*name.split("."))
    return name.startswith("inkdigits.") and (path.with_suffix(".py").is_file() or path.is_dir())


def outside(names: set[str]) -> set[str]:
    tops = {name.split(".")[0] for name in names} - {"inkdigits"} - set(sys.stdlib_module_names)
    return {KNOWN_AS.get(name, name) for name in tops}


def rooms(names: set[str]) -> set[str]:
    found = {name.removeprefix("inkdigits.").removeprefix("training.") for name in names if "inkdigits." in name}
    return {room.split(".")[0] for room in found}


def key_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE).as_posix()
    return "web/" if relative.startswith("web/") else relative


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_room_imports_only_what_the_table_allows(path: Path) -> None:
    rows = table()
    assert key_of(path) in rows, f"{key_of(path)} is missing from the table in docs/design.md"
    may_rooms, may_top, may_inside = rows[key_of(path)]
    top, inside = imports_of(path)
    if "everything" not in may_rooms:
        assert rooms(top | inside) - {key_of(path).strip("/")} <= may_rooms
    assert outside(top) <= may_top
    assert outside(inside) <= may_top | may_inside


def test_every_room_of_the_table_exists() -> None:
    assert {file for file in table() if not (PACKAGE / file).exists()} == set()


def test_nobody_imports_the_command_line() -> None:
    for path in MODULES:
        assert "inkdigits.cli" not in set().union(*imports_of(path)), path


def test_the_reading_half_runs_without_tensorflow() -> None:
    blocked = "import sys; sys.modules.update({m: None for m in ('tensorflow', 'keras', 'matplotlib', 'sklearn')})"
    reading = [p.stem for p in PACKAGE.glob("*.py") if p.stem != "__init__"]
    code = f"{blocked}\nfor m in {reading!r}: __import__('inkdigits.' + m)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
