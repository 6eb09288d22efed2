"""Training on another backend than TensorFlow: JAX, which is what GPUs on loan tend to have.

JAX is in no lock file: TensorFlow imports it wherever it finds it, half a second and 100 MB a process. To run these:
`uv pip install --python .venv jax`, or with pip.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inkdigits.data.splits import Split
from inkdigits.reading.reader import Reader

pytest.importorskip("jax", reason="JAX is not installed (`pip install jax` in .venv brings it)")

# Moving averages, dropout, normalisation, AdamW, a validation part, distorted pictures: what `champion` has.
CHAMPION = (
    "champion",
    "--convolutions",
    "3x16+3x16p+3x32p",
    "--ema",
    "0.9",
    "--validation",
    "60",
    "--epochs",
    "12",
    "--batch-size",
    "20",
)


def train(*words: str, hidden_package: str = "") -> subprocess.CompletedProcess[str]:
    """Run `inkdigits train` under JAX, as if a package were not installed."""
    code = (
        "import importlib.util as util, sys; find = util.find_spec\n"
        f"util.find_spec = lambda name, *rest: None if name == {hidden_package!r} else find(name, *rest)\n"
        "from inkdigits.cli.main import main; main()"
    )
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", code, "train", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_champion_trains_under_jax(toy: tuple[Split, Split], toy_folder: Path, tmp_path: Path) -> None:
    done = train(*CHAMPION, "--data", str(toy_folder), "--runs", str(tmp_path))
    assert done.returncode == 0, done.stderr
    run = Path(done.stdout.strip())
    info = json.loads((run / "run.json").read_text())
    assert info["backend"] == "jax"
    answers = Reader(run).classify(toy[1].images)
    assert (answers.labels == toy[1].labels).mean() > 0.8
    assert info["figures"]["test_errors"] == (answers.labels != toy[1].labels).sum()


def test_where_tensorflow_is_missing_the_run_waits_for_it(
    toy: tuple[Split, Split], toy_folder: Path, tmp_path: Path
) -> None:
    done = train("hidden", "--data", str(toy_folder), "--runs", str(tmp_path), hidden_package="tensorflow")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: hidden: ONNX files are written by TensorFlow")
    (unfinished,) = tmp_path.iterdir()
    words = [sys.executable, "-c", "from inkdigits.cli.main import main; main()", "train", "--resume", str(unfinished)]
    resumed = subprocess.run([*words, "--data", str(toy_folder)], capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert "Epoch" not in resumed.stderr
    answers = Reader(Path(resumed.stdout.strip())).classify(toy[1].images)
    assert (answers.labels == toy[1].labels).mean() > 0.8
