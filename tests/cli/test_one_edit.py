"""A new hyperparameter is one edit: one field of `Recipe`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import inkdigits

EDIT = """    name: str
    warm_up: float = hyperparameter(0.1, Number("[0, 0.5]", help="Share of the steps for the warm-up."))
"""
SCRIPT = """
import contextlib, io, json, sys
from types import SimpleNamespace

given = {}
# In place of all that loads Keras, which takes seconds.
keeping = SimpleNamespace(train=lambda recipe, **settings: given.update(settings) or sys.exit())
checking = SimpleNamespace(check=lambda recipe: recipe)
sys.modules |= {"inkdigits.training.train": keeping, "inkdigits.training.networks": checking}
sys.modules |= {"inkdigits.training.loop": SimpleNamespace()}
from inkdigits.cli.main import main
from inkdigits.errors import RecipeError
from inkdigits.sweep.space import Range, read_space
from inkdigits.training import recipes

def outcome(*words):
    sys.argv, out, err = ["inkdigits", *words], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
        main()
    return out.getvalue() + err.getvalue()

helps = [outcome(command, "--help") for command in ("train", "sweep")]
outcome("train", "linear", "--warm-up", "0.2")
errors = [outcome("train", "linear", "--warm-up", word) for word in ("0.7", "long")]
linear = recipes.RECIPES["linear"]
space = read_space(linear, {"warm_up": "0.1,0.3"})
span = read_space(linear, {"warm_up": "0.1..0.3"})["warm_up"]
try:
    read_space(linear, {"warm_up": "0.1,0.9"})
except RecipeError as error:
    errors.append(str(error))
print(json.dumps([helps, given["warm_up"], errors, space, span == Range(0.1, 0.3), linear.warm_up]))
"""


def test_a_new_hyperparameter_is_one_edit(tmp_path: Path) -> None:
    (source,) = map(Path, inkdigits.__path__)
    package = tmp_path / "inkdigits"
    shutil.copytree(source, package, copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__"))
    module = package / "training" / "recipes.py"
    text = module.read_text()
    assert text.count("    name: str\n") == 1
    module.unlink()
    module.write_text(text.replace("    name: str\n", EDIT))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    helps, given, errors, space, is_range, default = json.loads(done.stdout)
    assert "--warm-up NUMBER" in helps[0]
    assert "--warm-up LIST" in helps[1]
    assert all("Share of the steps for the warm-up." in " ".join(text.split()) for text in helps)
    assert given == 0.2
    assert "warm_up must be at least 0 and at most 0.5, got 0.7" in errors[0]
    assert "--warm-up: 'long' is not a number" in errors[1]
    assert "at most 0.5, got 0.9" in errors[2]
    assert (space, is_range, default) == ({"warm_up": [0.1, 0.3]}, True, 0.1)
