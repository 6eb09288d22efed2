"""What a process costs that reads one picture: seconds from nothing to the answer, and peak memory, in turn.

    python benchmarks/startup.py [--rounds 7] [--json FILE]

`inkdigits read` beside the script that a tutorial ends with: the same network, saved by Keras, loaded and asked.
Python's own start is there to show how little is left.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import Table, publish, ratios, spread

# What tutorials do with a picture of one's own; the imports are what takes time.
SCRIPT = """
import sys
import cv2
import keras
model = keras.models.load_model(sys.argv[1])
image = cv2.resize(255 - cv2.imread(sys.argv[2], cv2.IMREAD_GRAYSCALE), (28, 28), interpolation=cv2.INTER_AREA)
print(model.predict(image[None], verbose=0)[0].argmax())
"""
# In a process of its own: the peak memory of a child begins at that of its parent, which must stay small.
PREPARE = """
import cv2, sys
from same_net import shipped_in_keras
from inkdigits.data.loading import load_mnist
from inkdigits.training.synthesis.sheets import compose_sheet
folder, test = sys.argv[1], load_mnist()[1]
shipped_in_keras().save(f"{folder}/network.keras")
cv2.imwrite(f"{folder}/seven.png", cv2.resize(255 - test.images[0], (112, 112), interpolation=cv2.INTER_CUBIC))
cv2.imwrite(f"{folder}/page.png", compose_sheet(test, ("31 415", "2718 28", "16 180", "299 792", "5040 67", "8 1 2 3")))
"""
DIGIT, PAGE, KERAS = (
    "`inkdigits read seven.png --layout digit`",
    "`inkdigits read page.png`",
    "a Keras script, seven.png",
)


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    seconds: float
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        here = Path(__file__).parent
        subprocess.run([sys.executable, "-c", PREPARE, folder], cwd=here, env=quiet(), check=True, capture_output=True)
        found = {name: [] for name in commands(folder)}
        for number in range(-1, given.rounds):
            for name, command in commands(folder).items():
                cost = run(command)
                # The first round warms the files' cache.
                found[name] += [cost] if number >= 0 else []
    publish(
        "startup",
        "A process that reads one picture",
        [table(found)],
        notes=[f"{given.rounds} rounds in turn, files cached."],
        figures={name: [vars(cost) for cost in costs] for name, costs in found.items()},
        path=given.json,
    )


def commands(folder: str) -> dict[str, list[str]]:
    read = [str(Path(sys.executable).with_name("inkdigits")), "read"]
    return {
        DIGIT: [*read, f"{folder}/seven.png", "--layout", "digit"],
        PAGE: [*read, f"{folder}/page.png"],
        KERAS: [sys.executable, "-c", SCRIPT, f"{folder}/network.keras", f"{folder}/seven.png"],
        "Python alone": [sys.executable, "-c", "print(7)"],
    }


def quiet() -> dict[str, str]:
    return os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}


def run(command: list[str]) -> Cost:
    """Return what a process costs; its answer must have a 7 in it."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=quiet())
    assert process.stdout is not None
    answer = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or "7" not in answer:
        raise SystemExit(f"error: {' '.join(command)} answered {answer!r}, exit code {process.returncode}")
    # Linux counts in KiB, macOS in bytes.
    return Cost(seconds, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6)


def table(found: dict[str, list[Cost]]) -> Table:
    keras = [cost.seconds for cost in found[KERAS]]
    rows = []
    for name, costs in found.items():
        seconds = [cost.seconds for cost in costs]
        faster = "" if name == KERAS else spread(ratios(keras, seconds), 1)
        rows.append((name, spread(seconds, 2), faster, spread([cost.peak_mb for cost in costs], 0)))
    return Table("", ("process", "seconds", "the Keras script takes times as long", "peak MB"), rows)


if __name__ == "__main__":
    main()
