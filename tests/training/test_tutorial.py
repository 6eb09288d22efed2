"""The tutorial on small printed digits: its order, its table, its report; and that several seeds are as single runs."""

import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from inkdigits.cli.main import app
from inkdigits.data.splits import Split
from inkdigits.errors import TrainingError
from inkdigits.evaluation.html import render
from inkdigits.training import networks, recipes
from inkdigits.training.train import train
from inkdigits.training.tutorial import ACTIVATE, NEXT, Story, _tell_next, as_text, train_seeds, tutorial

README = Path(__file__).parents[2] / "README.md"
CHAPTERS = ["The data", "A network without", "One hidden layer", "How the matrix", "The same with Flatten"]
CHAPTERS += ["A convolutional", "The tutorial's figures", "A page of handwriting", "What to try next"]


@pytest.mark.slow
@pytest.mark.usefixtures("with_report")
def test_tutorial_tells_its_story_in_order(toy: tuple[Split, Split], tmp_path: Path) -> None:
    told = io.StringIO()
    path = tutorial(*toy, tmp_path / "runs", n_seeds=2, console=Console(file=told, width=100))
    text = told.getvalue()
    places = [text.index(f"{i}. {title}") for i, title in enumerate(CHAPTERS, 1)]
    assert places == sorted(places)
    assert "here (mean of 2 seeds ± sd)" in text
    for figure in ("0.9259", "0.9241", "0.2702", "0.9835", "0.9759", "0.0769", "0.9846"):
        assert figure in text
    # What can be pasted names runs that are there.
    names = re.search(r"inkdigits compare (\S+) (\S+)", text)
    assert names
    assert all((tmp_path / "runs" / name / "report.html").is_file() for name in names.groups())
    assert path == tmp_path / "runs" / "tutorial.html"
    html = path.read_text()
    for link in re.findall(r'(?:href|src)="([^"]+)"', html):
        assert link.startswith(("#", "data:")) or (path.parent / link).is_file()
    assert "not probabilities" in html
    assert (tmp_path / "runs" / "sheet.png").is_file()


@pytest.mark.slow
def test_several_seeds_in_one_process_are_as_each_alone(toy: tuple[Split, Split], tmp_path: Path) -> None:
    recipe = networks.check(recipes.resolve("hidden", epochs=2))
    found = train_seeds(recipe, 3, *toy)
    assert len(found) == 3
    assert len(found.seconds) == 5  # but for the first, which compiles
    assert len(set(found.test_loss)) == 3
    alone = train("hidden", data=toy, runs_dir=tmp_path, epochs=2, seed=2, validation=0, progress=False)
    assert found.test_loss[2] == pytest.approx(alone.figures["test_loss"], rel=1e-5)
    assert found.train_accuracy[2] == pytest.approx(alone.history[-1]["accuracy"], abs=1e-6)


TRAININGS = [command for _, command in NEXT if command.startswith("inkdigits train")]


@pytest.mark.parametrize("command", TRAININGS)
def test_what_to_try_next_can_be_pasted(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def refuse(recipe: str, **settings: object) -> None:
        asked.update(settings, recipe=recipe)
        raise TrainingError("enough")

    monkeypatch.setattr("inkdigits.training.train.train", refuse)
    told = CliRunner().invoke(app, command.split()[1:])
    assert isinstance(told.exception, TrainingError)
    fixed = ("recipe", "data", "runs_dir", "seed", "teacher", "resume", "mlflow", "tensorboard")
    changes = {name: value for name, value in asked.items() if name not in fixed}
    # Every name in it is one that Keras knows, and something is changed.
    assert networks.check(recipes.resolve(str(asked["recipe"]), **changes)) != networks.check(recipes.resolve("hidden"))


def test_a_newcomer_is_told_how_to_get_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run: Any = SimpleNamespace(name="linear-1")
    for on_path in (False, True):
        monkeypatch.setattr("inkdigits.training.tutorial.shutil.which", lambda name, found=on_path: found or None)
        told = io.StringIO()
        _tell_next(Story(Console(file=told, width=100)), run, run, tmp_path)
        assert (ACTIVATE in told.getvalue()) is not on_path
    assert ACTIVATE in README.read_text()


def test_an_image_as_text() -> None:
    image = np.zeros((4, 3), np.uint8)
    image[1] = (0, 255, 128)
    assert as_text(image) == "  ██▓▓"


def test_what_is_said_is_shown_and_escaped() -> None:
    told = io.StringIO()
    story = Story(Console(file=told, width=40))
    story.chapter("First")
    story.say("4 < 9 & [b]")
    story.print("x" * 60)
    assert "4 < 9 & [b]" in told.getvalue()
    assert "x" * 60 in told.getvalue()
    page = render("tutorial.html", "inkdigits.training", title="", lead="", chapters=story.chapters)
    assert "<p>4 &lt; 9 &amp; [b]</p>" in page
    assert f"<pre>{'x' * 60}</pre>" in page
