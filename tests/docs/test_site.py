"""The documentation builds strictly, loads nothing from elsewhere, and says what the code says."""

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest

import inkdigits
from inkdigits.data.splits import Split
from inkdigits.reading.model import SHIPPED

ROOT = Path(__file__).parents[2]
# What a browser loads by itself; links that people click may lead anywhere.
LOADED = re.compile(
    r"""<(?:script|img|iframe)[^>]+src=["'](https?:)?//|<link[^>]+rel=["']?(?:stylesheet|preconnect)[^>]+href=["'](https?:)?//"""
)


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "hooks" / "reference.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.slow
def test_site_is_strict_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        assert not LOADED.search(page.read_text()), page
    assert not [css for css in site.rglob("*.css") if re.search(r"url\(\s*['\"]?https?://", css.read_text())]
    assert len(list((site / "tutorial").glob("*.png"))) == 7


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site: Path) -> None:
    html = (site / "reference" / "api.html").read_text()
    for name in inkdigits.__all__:
        if name not in ("errors", "__version__"):
            assert re.search(rf'id="inkdigits\.[\w.]*\b{name}"', html), name


def public() -> list[tuple[str, object]]:
    """Return what users call: the package's names, and the public methods and properties of its classes."""
    found: list[tuple[str, object]] = []
    for name in inkdigits.__all__:
        each = getattr(inkdigits, name)
        if inspect.isclass(each):
            found += [(f"{name}.{member}", value) for member, value in vars(each).items() if not member.startswith("_")]
        if callable(each):
            found.append((name, each))
    return found


@pytest.mark.slow  # `train` loads TensorFlow
def test_public_names_are_documented() -> None:
    checked = 0
    for name, each in public():
        call = each.fget if isinstance(each, property) else getattr(each, "func", each)
        if not callable(call):
            continue  # a field, which its class's docstring tells of
        text = inspect.getdoc(call) or ""
        assert text, f"{name} has no docstring"
        if inspect.isfunction(call):
            parameters = [p for p in inspect.signature(call).parameters if p not in ("self", "cls", "changes")]
            unnamed = [p for p in parameters if not re.search(rf"\b{p}\b", text)]
            assert len(parameters) < 2 or not unnamed, f"{name}: its docstring does not name {unnamed}"
        checked += 1
    assert checked > 40


def test_reference_is_what_the_code_says(reference: ModuleType) -> None:
    for name, text in reference.files().items():
        assert (ROOT / "docs" / "reference" / name).read_text() == text, f"{name}: run `make docs-reference`"


@pytest.mark.slow
def test_a_run_fits_its_schema(reference: ModuleType, toy: tuple[Split, Split], tmp_path: Path) -> None:
    run = inkdigits.train("linear", data=toy, runs_dir=tmp_path, epochs=1, progress=False)
    info = json.loads((run.path / "run.json").read_text())
    jsonschema.validate(info, reference.run_schema())
    jsonschema.validate(inkdigits.load_card(run.path), reference.card_schema())
    for broken in ({**info, "sede": 1}, {name: value for name, value in info.items() if name != "seed"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, reference.run_schema())


def test_shipped_cards_fit_their_schema(reference: ModuleType) -> None:
    for path in sorted(SHIPPED.glob("*.onnx")):
        card = inkdigits.load_card(path)
        jsonschema.validate(card, reference.card_schema())
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**card, "temprature": 1.0}, reference.card_schema())
