"""The examples in docstrings run and give what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

MODULES = (
    "inkdigits.reading.reader",
    "inkdigits.reading.model",
    "inkdigits.evaluation.digits",
    "inkdigits.evaluation.metrics",
    "inkdigits.data.loading",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 1
    assert not failed


def test_modules_with_examples_are_all_listed() -> None:
    root = Path(__file__).parents[2]
    found = [path for path in (root / "inkdigits").rglob("*.py") if ">>> " in path.read_text()]
    names = {".".join(path.relative_to(root).with_suffix("").parts) for path in found}
    assert names == set(MODULES)
