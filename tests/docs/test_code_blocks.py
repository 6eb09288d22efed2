"""What README and documentation tell people to type: Python blocks run, commands are understood."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from inkdigits.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")})
SHELL = re.compile(r"^ *```(?:sh|console)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    (inkdigits .+)$", re.MULTILINE)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the pictures that the documentation speaks of, made of OpenCV's strokes; the current folder."""

    def write(name: str, lines: list[str], size: float = 2.0) -> None:
        image = np.full((90 * len(lines) + 60, 60 + 50 * max(map(len, lines))), 255, np.uint8)
        for i, line in enumerate(lines):
            cv2.putText(image, line, (30, 90 * (i + 1)), cv2.FONT_HERSHEY_SIMPLEX, size, 0, 5)
        (tmp_path / name).parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(tmp_path / name), image)

    write("digit.png", ["7"])
    write("number.png", ["125"])
    write("page.jpg", ["2718", "3141"])
    write("form.png", ["2718 12", "3141 59"])
    write("scans/1.png", ["36"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python_pages() -> Iterator[Any]:
    for page in PAGES:
        if "```python" in page.read_text():
            slow = "import keras" in page.read_text()
            yield pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize("page", list(python_pages()))
def test_python_blocks_run(page: Path, pictures: Path, request: pytest.FixtureRequest) -> None:
    """The blocks of a page share their names, as for somebody who types them one after the other."""
    if "load_mnist" in page.read_text() or "inkdigits.train(" in page.read_text():
        request.getfixturevalue("mnist")
    document = Sybil([PythonCodeBlockParser()]).parse(page)
    examples = list(document)
    assert examples
    for example in examples:
        example.evaluate()


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a page's shell blocks."""
    text = text.replace("\\\n", " ")
    lines = [line for block in SHELL.findall(text) for line in block.splitlines()]
    for line in [*lines, *INDENTED.findall(text)]:
        for part in re.split(r"\s(?:&&|\|)\s", line):
            words = shlex.split(part, comments=True)
            words = words[: words.index(">")] if ">" in words else words
            if words:
                yield [word for word in words if word != "&"]


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in PAGES])
def test_commands_are_understood(page: Path, pictures: Path) -> None:
    for words in commands(page.read_text()):
        check_command(words)


def check_command(words: list[str]) -> None:
    """Fail unless a command of ours exists and takes these words."""
    program, *rest = [word for word in words if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    if program == "inkdigits":
        command, path = typer.main.get_command(app), ["inkdigits"]
        while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
            path.append(rest[0])
            assert rest[0] in command.commands, f"no command {path}"
            command, rest = command.commands[rest[0]], rest[1:]
        if not {"--help", "--version", "--install-completion"} & set(rest):
            command.make_context(" ".join(path), rest)
    elif program == "make":
        assert {word for word in rest if "=" not in word} <= TARGETS, words
    elif program == "python" and rest and rest[0].endswith(".py"):
        assert (ROOT / rest[0]).is_file(), words


def test_an_unknown_command_or_flag_fails() -> None:
    for text in ("inkdigits raed x", "inkdigits train --activatoin tanh", "make tset", "python benchmarks/nothing.py"):
        (words,) = commands(f"```sh\n{text}\n```\n")
        with pytest.raises(Exception, match=r"(?i)no such|no command|benchmarks|tset"):
            check_command(words)
