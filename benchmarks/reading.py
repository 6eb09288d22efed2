"""Real handwriting read by inkdigits and by what people use instead: right answers, milliseconds, start-up, size.

    python benchmarks/reading.py DATA [--n 300] [--peer-python PYTHON] [--json FILE]

DATA holds folders of pictures with a truth.json (cells: file -> value; photos and pages: file -> {"lines": [...]}) and
digits/*.npz (x, y). Peers are measured where they are installed, all on the same pictures: Tesseract on the PATH,
RapidOCR in the environment of --peer-python (as a rule one of its own), and a tutorial's convolutional net (our recipe
`cnn`, trained here) behind a plain resize. Each reader works in a process of its own, which times every picture.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from statistics import median
from typing import Any

NUMBER, PAGE, DIGIT = "number", "page", "digit"
Job = tuple[str, str]  # layout, path
Answer = tuple[list[str], float]  # lines of text, milliseconds


# The readers: each opens itself and returns a function that reads one picture


def open_inkdigits() -> Callable[[str, str], list[str]]:
    from inkdigits import Reader

    reader = Reader()
    return lambda layout, path: [line.text for line in reader.read(path, layout).lines]


def open_rapidocr() -> Callable[[str, str], list[str]]:
    import logging

    from rapidocr import RapidOCR

    logging.disable(logging.CRITICAL)
    engine = RapidOCR()

    def read(layout: str, path: str) -> list[str]:
        found = engine(path) if layout == PAGE else engine(path, use_det=False, use_cls=False, use_rec=True)
        return list(found.txts or ())

    return read


def open_tesseract() -> Callable[[str, str], list[str]]:
    modes = {NUMBER: "7", PAGE: "6", DIGIT: "10"}

    def read(layout: str, path: str) -> list[str]:
        command = ["tesseract", path, "-", "--psm", modes[layout], "-c", "tessedit_char_whitelist=0123456789.,-"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [line for line in done.stdout.splitlines() if line.strip()]

    return read


def open_cnn() -> Callable[[str, str], list[str]]:
    """What tutorials do: invert when the border is light, resize to 28 x 28, ask the net."""
    import cv2
    import numpy as np

    from inkdigits.reader import Net

    net = Net(Path(os.environ["INKDIGITS_BENCH_CNN"]))

    def read(layout: str, path: str) -> list[str]:
        image = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        image = 255 - image if border.mean() > 127 else image
        return [str(net.scores(cv2.resize(image, (28, 28), interpolation=cv2.INTER_AREA)[None])[0].argmax())]

    return read


OPENERS = {
    "inkdigits": open_inkdigits,
    "RapidOCR": open_rapidocr,
    "Tesseract": open_tesseract,
    "tutorial CNN": open_cnn,
}


def work(name: str) -> None:
    """Read the jobs on stdin as JSON, answer on stdout: what a reader's own process does."""
    jobs = json.load(sys.stdin)
    read = OPENERS[name]()
    answers = []
    for layout, path in jobs:
        started = time.perf_counter()
        lines = read(layout, path)
        answers.append((lines, 1000 * (time.perf_counter() - started)))
    json.dump(answers, sys.stdout)


def ask(name: str, python: str, jobs: list[Job]) -> list[Answer]:
    command = [python, __file__, "--work", name]
    done = subprocess.run(command, input=json.dumps(jobs), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip().splitlines()[-1]}")
    answers: list[Answer] = json.loads(done.stdout)
    return answers


# The pictures and their truth


@dataclass(frozen=True)
class Task:
    name: str
    layout: str
    paths: list[str]
    truths: list[list[str]]
    unordered: list[bool]


def tasks_of(data: Path, n: int, scratch: Path) -> Iterator[Task]:
    for folder in sorted(p for p in data.iterdir() if (p / "truth.json").is_file()):
        truth = json.loads((folder / "truth.json").read_text())
        names = thinned(sorted(truth), n)
        cells = isinstance(truth[names[0]], str)
        lines = [[truth[name]] if cells else truth[name]["lines"] for name in names]
        loose = [not cells and "no reading order" in truth[name].get("notes", "") for name in names]
        yield Task(folder.name, NUMBER if cells else PAGE, [str(folder / name) for name in names], lines, loose)
    for file in sorted((data / "digits").glob("*.npz")):
        yield digits_task(file, n, scratch)


def thinned(names: list[Any], n: int) -> list[Any]:
    """Return at most n, evenly spread, so that every kind is there."""
    step = max(1.0, len(names) / n) if n else 1.0
    return [names[int(i * step)] for i in range(int(len(names) / step))]


def digits_task(file: Path, n: int, scratch: Path) -> Task:
    import cv2
    import numpy as np

    stored = np.load(file)
    paths, truths = [], []
    for i in thinned(list(range(len(stored["x"]))), n):
        # Dark ink on light paper with a rim, four times as large: what recognisers of text expect.
        rim = cv2.copyMakeBorder(255 - stored["x"][i], 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=255)
        paths.append(str(scratch / f"{file.stem}-{i}.png"))
        cv2.imwrite(paths[-1], cv2.resize(rim, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))
        truths.append([str(stored["y"][i])])
    return Task(file.stem, DIGIT, paths, truths, [False] * len(paths))


def score(task: Task, answers: list[Answer]) -> dict[str, Any]:
    from inkdigits.metrics import edit_distance

    exact = strings = errors = length = rows = rows_exact = 0
    for (lines, _), truth, loose in zip(answers, task.truths, task.unordered, strict=True):
        found, wanted = [digits_of(line) for line in lines if digits_of(line)], [digits_of(line) for line in truth]
        if loose:
            found, wanted = ["".join(sorted("".join(found)))], ["".join(sorted("".join(wanted)))]
        exact += "".join(found) == "".join(wanted)
        strings += "".join(lines).replace(",", ".").replace(" ", "") == "".join(truth).replace(",", ".")
        errors += edit_distance("".join(wanted), "".join(found))
        length += len("".join(wanted))
        rows += len(wanted)
        rows_exact += in_common(found, wanted)
    n = len(answers)
    table: dict[str, Any] = {"n": n, "ms_median": round(median(ms for _, ms in answers), 1)}
    if task.layout == PAGE:
        return table | {"digits_right": round(1 - errors / length, 4), "rows_exact": round(rows_exact / rows, 4)}
    return table | {"digits_exact": round(exact / n, 4), "string_exact": round(strings / n, 4)}


def digits_of(text: str) -> str:
    return "".join(char for char in text if char in "0123456789")


def in_common(a: list[str], b: list[str]) -> int:
    """Return how many items stand in both lists, in order."""
    lengths = [0] * (len(b) + 1)
    for item in a:
        before, lengths = lengths, [0]
        for j, other in enumerate(b, 1):
            lengths.append(before[j - 1] + 1 if item == other else max(before[j], lengths[-1]))
    return lengths[-1]


# Start-up and size


def startup_ms(name: str, python: str, job: Job, tries: int = 3) -> float:
    """Return the median milliseconds from nothing to the first answer, process included."""
    taken = []
    for _ in range(tries):
        started = time.perf_counter()
        ask(name, python, [job])
        taken.append(1000 * (time.perf_counter() - started))
    return round(median(taken))


SIZE_OF = {
    "inkdigits": ("numpy", "opencv-python-headless", "onnxruntime", "pillow"),
    "RapidOCR": ("rapidocr", "numpy", "opencv-python-headless", "opencv-python", "onnxruntime", "pillow", "shapely"),
}


def size_mb(name: str, python: str) -> float | None:
    """Return the megabytes that a reader and the large packages it needs take on disk; None where not known."""
    if name not in SIZE_OF:
        return None
    code = f"import runpy; m = runpy.run_path({__file__!r}); print(m['installed_bytes']({SIZE_OF[name]!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    own = sum(p.stat().st_size for p in (Path(__file__).parent.parent / "inkdigits").rglob("*") if p.is_file())
    return round((int(done.stdout) + (own if name == "inkdigits" else 0)) / 1e6, 1)


def installed_bytes(names: tuple[str, ...]) -> int:
    total = 0
    for name in names:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue
        total += sum(Path(str(file.locate())).stat().st_size for file in files if Path(str(file.locate())).is_file())
    return total


# The whole


def readers(peer_python: str | None, scratch: Path) -> dict[str, str]:
    """Return the readers that are installed here, and the Python in which each runs."""
    found = {"inkdigits": sys.executable}
    if peer_python:
        found["RapidOCR"] = peer_python
    if subprocess.run(["which", "tesseract"], capture_output=True, check=False).returncode == 0:
        found["Tesseract"] = sys.executable
    try:
        import inkdigits

        run = inkdigits.train("cnn", runs_dir=scratch, progress=False)
        os.environ["INKDIGITS_BENCH_CNN"] = str(run.path / "model.onnx")
        found["tutorial CNN"] = sys.executable
    except ModuleNotFoundError:
        print("no Keras here: the tutorial's net is left out", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--n", type=int, default=300, help="pictures of each kind at most; 0: all")
    parser.add_argument("--peer-python", help="the Python of an environment in which RapidOCR is installed")
    parser.add_argument("--json", type=Path, help="where to write the figures as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        tasks = list(tasks_of(given.data, given.n, scratch))
        result: dict[str, Any] = {"machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"}
        for name, python in readers(given.peer_python, scratch).items():
            result[name] = {"startup_ms": startup_ms(name, python, (tasks[0].layout, tasks[0].paths[0]))}
            result[name]["size_mb"] = size_mb(name, python)
            for task in tasks:
                if name == "tutorial CNN" and task.layout != DIGIT:
                    continue  # it reads one digit alone
                result[name][task.name] = score(task, ask(name, python, [(task.layout, p) for p in task.paths]))
                print(f"{name:13} {task.name:12} {result[name][task.name]}", flush=True)
            print(f"{name:13} start-up {result[name]['startup_ms']} ms, {result[name]['size_mb']} MB", flush=True)
    if given.json:
        given.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        main()
