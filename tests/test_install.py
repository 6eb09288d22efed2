"""What a light install (`pip install .`, no extras) can do, and that pyproject.toml declares what is imported."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import inkdigits
from inkdigits.data.splits import Split
from inkdigits.errors import EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Declared, but not by an import statement of ours.
NOT_IMPORTED = {
    "tf2onnx": "Keras's ONNX export",
    "httptools": "uvicorn's parser",
    "uvloop": "uvicorn's event loop",
}
# Runs each command in turn in one process and prints exit code, stdout, stderr as JSON.
RUN_COMMANDS = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from inkdigits.cli.main import main

def outcome(words):
    sys.argv = ["inkdigits", *words]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return [code, out.getvalue(), err.getvalue()]

if __name__ == "__main__":
    print(json.dumps([outcome(words) for words in json.loads(sys.argv[1])]))
"""


def base_distributions() -> set[str]:
    """Names of the distributions that `pip install .` brings."""
    found: set[str] = set()
    waiting = [Requirement(each) for each in PROJECT["dependencies"]]
    while waiting:
        requirement = waiting.pop()
        if requirement.name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(requirement.name)
        waiting += [Requirement(each) for each in metadata.requires(requirement.name) or ()]
        for extra in requirement.extras:
            needed = [Requirement(each) for each in metadata.requires(requirement.name) or ()]
            waiting += [each for each in needed if each.marker and each.marker.evaluate({"extra": extra})]
    return found


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders: the built wheel, unpacked, and the base dependencies' files, linked to; nothing else."""
    folder = tmp_path_factory.mktemp("light")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheel")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (folder / "wheel").iterdir()
    # What installing a wheel of pure Python comes to; environments made by uv have no pip.
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "package")
    dependencies = folder / "dependencies"
    dependencies.mkdir()
    for name in base_distributions():
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (dependencies / top).exists():
                (dependencies / top).symlink_to(Path(str(distribution.locate_file(top))).absolute())
    return folder


def run_light(light: Path, script: str, *words: str, cwd: Path) -> str:
    """Run a script in an environment that has nothing but the light install, and return its stdout."""
    path = os.pathsep.join((str(light / "package"), str(light / "dependencies")))
    environment = {"PYTHONPATH": path, "INKDIGITS_HOME": str(cwd / "home"), "PATH": os.environ["PATH"]}
    (cwd / "script.py").write_text(script)
    # -S: without the site-packages of the environment that the tests run in.
    command = [sys.executable, "-S", "script.py", *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def workplace(toy: tuple[Split, Split], tmp_path: Path) -> Path:
    """A folder with a picture of a digit and a data set."""
    from PIL import Image

    train, test = toy
    Image.fromarray(np.pad(255 - test.images[0], 20, constant_values=255)).save(tmp_path / "digit.png")
    arrays = {"x_train": train.images, "y_train": train.labels, "x_test": test.images, "y_test": test.labels}
    np.savez(tmp_path / "toy.npz", **arrays)
    return tmp_path


def test_every_command_of_a_light_install_works_or_names_the_extra(light: Path, workplace: Path) -> None:
    toy = ["--data", "toy.npz"]
    works = [
        ["--help"],
        ["--version"],
        ["read", "digit.png"],
        ["read", "digit.png", "--output", "rows.csv", "--workers", "1"],
        ["data", *toy],
        ["evaluate", *toy],
        ["compare", "reader", "reader", *toy],
        ["runs"],
        ["corrections", "list"],
    ]
    needs = {
        "train": [
            ["train", "linear", *toy],
            ["sweep", "linear", "--epochs", "1,2", *toy],
            ["tutorial", *toy],
            ["doctor", *toy],
            ["ensemble", "a.onnx", "b.onnx"],
            ["evaluate", *toy, "--report", "report.html"],
            ["compare", "reader", "reader", *toy, "--report", "report.html"],
        ],
        "web": [["serve", "--port", "0"]],
        "scale": [
            ["read", "digit.png", "--output", "rows.parquet"],
            ["read", "digit.png", "--output", "more.parquet", "--ray"],
        ],
        "track": [["evaluate", *toy, "--mlflow", "local"]],
    }
    commands = [*works, *(words for group in needs.values() for words in group)]
    outcomes = json.loads(run_light(light, RUN_COMMANDS, json.dumps(commands), cwd=workplace))
    for words, (code, _, err) in zip(works, outcomes, strict=False):
        assert code == 0, (words, err)
    extras = [extra for extra, group in needs.items() for _ in group]
    for words, extra, (code, out, err) in zip(commands[len(works) :], extras, outcomes[len(works) :], strict=True):
        assert (code, out) == (1, ""), (words, err)
        assert re.fullmatch(rf"error: \w+ is missing: `pip install 'inkdigits\[{extra}\]'`\n", err), (words, err)
    assert not list(workplace.glob("*.parquet*"))
    assert not list(workplace.glob("*.html*"))


def test_programs_get_the_same_error(light: Path, workplace: Path) -> None:
    script = """
import inkdigits
try:
    inkdigits.train("linear")
except inkdigits.errors.MissingExtraError as error:
    assert isinstance(error, ImportError)
    print(inkdigits.__version__, error)
"""
    expected = f"{inkdigits.__version__} keras is missing: `pip install 'inkdigits[train]'`\n"
    assert run_light(light, script, cwd=workplace) == expected


def test_nothing_is_kept_or_sent_about_use(light: Path, workplace: Path) -> None:
    """ONNX Runtime, left alone, writes an identifier and a queue of events below the home folder."""
    script = """
import os
os.environ["HOME"] = os.environ["XDG_CACHE_HOME"] = os.path.abspath("somebody")
from inkdigits import Reader
print(Reader().read_digit("digit.png").accepted)
"""
    (workplace / "somebody").mkdir()
    assert run_light(light, script, cwd=workplace) in ("True\n", "False\n")
    assert not list((workplace / "somebody").rglob("*"))


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Top-level names of the packages a module imports, and whether it does when it is itself imported."""
    tree = ast.parse(path.read_text())
    for child in tree.body:
        eager = not isinstance(child, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            eager = False
        for node in ast.walk(child):
            if isinstance(node, ast.Import):
                yield from ((alias.name.partition(".")[0], eager) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0], eager


def declared(requirements: list[str]) -> set[str]:
    return {normal(Requirement(each).name) for each in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


BASE = declared(PROJECT["dependencies"])
OPTIONAL = {
    extra: declared(names) for extra, names in PROJECT["optional-dependencies"].items() if extra in EXTRAS.values()
}
# Whose packages a module may import when it is imported itself: the folder's or the module's.
EAGER = {
    "web": "web",
    "forms": "forms",
    "personal": "adapt",
    "training": "train",
    "sweep": "train",
    "audit": "train",
    "evaluation/html.py": "train",
    "evaluation/selective.py": "forms",
}


def third_party() -> Iterator[tuple[Path, str, set[str], bool]]:
    """Each import of ours of somebody else's package: file, package, distributions that hold it, eager."""
    installed = metadata.packages_distributions()
    for path in sorted((ROOT / "inkdigits").rglob("*.py")):
        for package, eager in imports_of(path):
            if package not in sys.stdlib_module_names and package != "inkdigits":
                yield path, package, {normal(each) for each in installed.get(package, [package])}, eager


def test_everything_imported_is_declared() -> None:
    for path, package, distributions, eager in third_party():
        place = path.relative_to(ROOT / "inkdigits")
        own = {EAGER[each] for each in (place.parts[0], place.as_posix()) if each in EAGER}
        allowed = BASE.union(*(OPTIONAL[extra] for extra in (own if eager else OPTIONAL)))
        assert distributions & allowed, f"{path} imports {package}"


def test_everything_declared_is_imported() -> None:
    imported = set().union(*(distributions for _, _, distributions, _ in third_party()))
    unused = BASE.union(*OPTIONAL.values()) - imported - NOT_IMPORTED.keys()
    # Of two packages that hold the same module, each for other machines, one is installed here.
    assert unused <= {"tensorflow", "tensorflow-cpu"}


def test_the_extra_of_a_missing_package_is_the_one_that_declares_it() -> None:
    found = {}
    for _, package, distributions, _ in third_party():
        if not distributions & BASE:
            found[package] = {extra for extra, names in OPTIONAL.items() if distributions & names}
    assert all(EXTRAS.get(package) in extras for package, extras in found.items())
    # Of a package that two extras have, a missing one of the other's packages is named first.
    assert {package for package, extras in found.items() if len(extras) > 1} == {"pydantic", "scipy", "threadpoolctl"}
    assert EXTRAS.keys() - found.keys() <= NOT_IMPORTED.keys()
