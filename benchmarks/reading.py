"""Real handwriting read by inkdigits and by what people use instead: right answers, milliseconds, start-up, size.

    python benchmarks/reading.py DATA [--whole] [--peer-python PYTHON] [--json FILE]
    python benchmarks/reading.py DATA --speed [--n 25] [--peer-python PYTHON] [--json FILE]

DATA holds folders of pictures with a truth.json (cells: file -> value; photos and pages: file -> {"lines": [...]}) and
digits/*.npz (x, y). Peers are measured where they are installed, all on the same pictures: RapidOCR in the environment
of --peer-python (as a rule one of its own), Tesseract on the PATH (slow: of each kind it reads 100 at most), and a
tutorial's convolutional network (our recipe `cnn`, trained here) behind a plain resize. Each reader works in a
process of its own, which times every picture; they take turns, some pictures each.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

from common import Table, in_common, percent, publish, spread

NUMBER, PAGE, DIGIT = "number", "page", "digit"
Job = tuple[str, str]  # layout, path
Answer = tuple[list[str], float]  # lines of text, milliseconds
CNN = "tutorial's CNN"
TURN = 25  # pictures that a reader reads before it is another's turn
MOST = {"Tesseract": 100}
TITLE = "Side by side with what people use instead"


# The readers: each opens itself and returns a function that reads one picture


def open_inkdigits() -> Callable[[str, str], list[str]]:
    from inkdigits import Reader

    reader = Reader(text_detector=False)
    return lambda layout, path: [line.text for line in reader.read(path, layout).lines]


def open_rapidocr() -> Callable[[str, str], list[str]]:
    import logging

    from rapidocr import RapidOCR

    logging.disable(logging.CRITICAL)
    engine = RapidOCR()

    def read(layout: str, path: str) -> list[str]:
        # An engine keeps what it was told for the call before: every call says all.
        whole = layout == PAGE
        found = engine(path, use_det=whole, use_cls=whole, use_rec=True)
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
    """What tutorials do: invert when the border is light, resize to 28 x 28, ask the network."""
    import cv2
    import numpy as np

    from inkdigits.reading.model import OnnxModel

    network = OnnxModel(Path(os.environ["INKDIGITS_BENCH_CNN"]))

    def read(layout: str, path: str) -> list[str]:
        image = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        image = 255 - image if border.mean() > 127 else image
        return [str(network.scores(cv2.resize(image, (28, 28), interpolation=cv2.INTER_AREA)[None])[0].argmax())]

    return read


OPENERS = {"inkdigits": open_inkdigits, "RapidOCR": open_rapidocr, "Tesseract": open_tesseract, CNN: open_cnn}


def work(name: str) -> None:
    """Answer each line of jobs on stdin with a line on stdout, both JSON: what a reader's own process does."""
    read = OPENERS[name]()
    for line in sys.stdin:
        answers = []
        for layout, path in json.loads(line):
            started = time.perf_counter()
            lines = read(layout, path)
            answers.append((lines, 1000 * (time.perf_counter() - started)))
        print(json.dumps(answers), flush=True)


class Worker:
    """A reader in a process of its own."""

    def __init__(self, name: str, python: str) -> None:
        command = [python, __file__, "--work", name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.name = name
        self.process = subprocess.Popen(command, text=True, **pipes)

    def ask(self, jobs: list[Job]) -> list[Answer]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(jobs) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name}: its process ended; `{' '.join(map(str, self.process.args))}` says why")
        answers: list[Answer] = json.loads(line)
        return answers

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.communicate()


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


def answers_in_turn(workers: list[Worker], task: Task) -> dict[str, list[Answer]]:
    """Return the answers of each; a slow reader reads pictures spread evenly over the others'."""
    answers: dict[str, list[Answer]] = {worker.name: [] for worker in workers}
    jobs = [(task.layout, path) for path in task.paths]
    for start in range(0, len(jobs), TURN):
        for worker in workers:
            mine = [
                jobs[i] for i in range(start, min(start + TURN, len(jobs))) if i in places_of(worker.name, len(jobs))
            ]
            answers[worker.name] += worker.ask(mine) if mine else []
    return answers


def places_of(name: str, n: int) -> list[int]:
    """Return which of n pictures a reader reads."""
    return thinned(list(range(n)), MOST.get(name, n))


def score(task: Task, answers: list[Answer], places: list[int]) -> dict[str, Any]:
    from inkdigits.evaluation.metrics import edit_distance
    from inkdigits.reading.decoding import digits_of

    exact = strings = errors = length = rows = rows_exact = 0
    for (lines, _), place in zip(answers, places, strict=True):
        truth = task.truths[place]
        found, wanted = [digits_of(line) for line in lines if digits_of(line)], [digits_of(line) for line in truth]
        if task.unordered[place]:
            found, wanted = ["".join(sorted("".join(found)))], ["".join(sorted("".join(wanted)))]
        exact += "".join(found) == "".join(wanted)
        strings += "".join(lines).replace(",", ".").replace(" ", "") == "".join(truth).replace(",", ".")
        errors += edit_distance("".join(wanted), "".join(found))
        length += len("".join(wanted))
        rows += len(wanted)
        rows_exact += in_common(found, wanted)
    n = len(answers)
    kept: dict[str, Any] = {
        "n": n,
        "ms_median": median(ms for _, ms in answers),
        "ms_most": max(ms for _, ms in answers),
    }
    if task.layout == PAGE:
        return kept | {"n_digits": length, "digits_right": 1 - errors / length, "rows_exact": rows_exact / rows}
    return kept | {"digits_exact": exact / n, "string_exact": strings / n}


# Start-up and size


def startup_ms(found: dict[str, str], job: Job, rounds: int = 5) -> dict[str, list[float]]:
    """Return the milliseconds of each from nothing to the first answer, process included, in turn."""
    taken: dict[str, list[float]] = {name: [] for name in found}
    for _ in range(rounds):
        for name, python in found.items():
            started = time.perf_counter()
            with Worker(name, python) as worker:
                worker.ask([job])
                taken[name].append(1000 * (time.perf_counter() - started))
    return taken


SIZE_OF = {
    "inkdigits": ("numpy", "opencv-python-headless", "onnxruntime", "pillow"),
    "RapidOCR": ("rapidocr", "numpy", "opencv-python-headless", "opencv-python", "onnxruntime", "pillow", "shapely"),
}


def size_mb(name: str, python: str) -> float | None:
    """Return the megabytes that a reader and the large packages it needs take on disk; None where not known."""
    if name not in SIZE_OF:
        return None
    code = f"import reading; print(reading.installed_bytes({SIZE_OF[name]!r}))"
    here = Path(__file__).parent
    done = subprocess.run([python, "-c", code], cwd=here, capture_output=True, text=True, check=True)
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


def peer_version(name: str, python: str) -> str:
    if name == "Tesseract":
        return subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    code = "from importlib.metadata import version; print(version('rapidocr'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


# The whole


def readers(peer_python: str | None) -> dict[str, str]:
    """Return the readers that are installed here, and the Python in which each runs."""
    found = {"inkdigits": sys.executable}
    if peer_python:
        found["RapidOCR"] = peer_python
    if shutil.which("tesseract"):
        found["Tesseract"] = sys.executable
    return found


def tutorial_cnn(scratch: Path) -> dict[str, str]:
    """Train what a tutorial ends with, if Keras is here, and return how it is opened."""
    try:
        import inkdigits

        run = inkdigits.train("cnn", runs_dir=scratch, progress=False)
    except ModuleNotFoundError:
        print("no Keras here: the tutorial's network is left out", file=sys.stderr)
        return {}
    os.environ["INKDIGITS_BENCH_CNN"] = str(run.path / "model.onnx")
    return {CNN: sys.executable}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--speed", action="store_true", help="measure speed, start-up and size, not right answers")
    parser.add_argument("--whole", action="store_true", help="photographs and pages, in place of cells and digits")
    parser.add_argument("--n", type=int, help="pictures of each kind at most; default: all, for speed 25")
    parser.add_argument("--peer-python", help="the Python of an environment in which RapidOCR is installed")
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tasks = list(tasks_of(given.data, given.n or (25 if given.speed else 0), Path(folder)))
        found = readers(given.peer_python)
        if given.speed:
            publish_speed(found, tasks, given.json)
        elif given.whole:
            publish_answers(found, [task for task in tasks if task.layout == PAGE], given.json, " on whole pictures")
        else:
            found |= tutorial_cnn(Path(folder))
            publish_answers(found, [task for task in tasks if task.layout != PAGE], given.json, "")


def publish_answers(found: dict[str, str], tasks: list[Task], path: Path | None, what: str) -> None:
    scores = scores_of(found, tasks)
    publish(
        "reading",
        f"{TITLE}: right answers{what}",
        [right_table(scores, list(found))],
        notes=notes_of(found),
        figures={"sets": scores},
        path=path,
    )


def publish_speed(found: dict[str, str], tasks: list[Task], path: Path | None) -> None:
    startup = startup_ms(found, (tasks[0].layout, tasks[0].paths[0]))
    sizes = {name: size_mb(name, python) for name, python in found.items()}
    scores = scores_of(found, tasks)
    publish(
        "reading",
        f"{TITLE}: speed and size",
        [ms_table(scores, list(found)), process_table(startup, sizes)],
        figures={"sets": scores, "startup_ms": startup, "size_mb": sizes},
        path=path,
    )


def scores_of(found: dict[str, str], tasks: list[Task]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return set -> reader -> its score."""
    scores = {}
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(name, python)) for name, python in found.items()]
        for task in tasks:
            print(f"{task.name}: {len(task.paths)} pictures", file=sys.stderr)
            able = [worker for worker in workers if worker.name != CNN or task.layout == DIGIT]
            answers = answers_in_turn(able, task)
            scores[task.name] = {
                name: score(task, given, places_of(name, len(task.paths))) for name, given in answers.items()
            }
    return scores


def notes_of(found: dict[str, str]) -> list[str]:
    known = [(name, peer_version(name, python)) for name, python in found.items() if name in ("RapidOCR", "Tesseract")]
    peers = ", ".join(f"{name} {number}" for name, number in known) or "No peer is installed here"
    return [
        f"{peers}. Cells and single digits: RapidOCR's recognition alone, Tesseract's modes 7 and 10 with a whitelist "
        "of digits; photographs and pages: their whole pipelines. Digits are written as dark ink on light paper with "
        "a rim, four times as large, which is what recognisers of text expect; the tutorial's CNN sees the same files, "
        "inverted and resized to 28 x 28."
    ]


MEASURES = {"digits_exact": "digits exact", "string_exact": "string exact"}
MEASURES |= {"digits_right": "digits right", "rows_exact": "rows exact"}


def right_table(scores: dict[str, Any], names: list[str]) -> Table:
    rows = []
    for task, found in scores.items():
        for measure, words in MEASURES.items():
            # One digit's string says nothing that the digit does not.
            if measure in found["inkdigits"] and not (CNN in found and measure == "string_exact"):
                rows.append((task, f"{found['inkdigits']['n']:,}", words, *(cell(found, n, measure) for n in names)))
    return Table("Right answers", ("set", "n", "measure", *names), rows)


def cell(found: dict[str, Any], name: str, measure: str) -> str:
    if name not in found:
        return ""
    fewer = f" (n = {found[name]['n']})" if found[name]["n"] < found["inkdigits"]["n"] else ""
    return f"{percent(found[name][measure], 1)}{fewer}"


def ms_table(scores: dict[str, Any], names: list[str]) -> Table:
    rows = []
    for task, found in scores.items():
        times = [f"{found[n]['ms_median']:.1f} ({found[n]['ms_most']:.0f})" for n in names]
        rows.append((task, str(found["inkdigits"]["n"]), *times))
    return Table("Milliseconds a picture, from its file: median (slowest)", ("set", "n", *names), rows)


def process_table(startup: dict[str, list[float]], sizes: dict[str, float | None]) -> Table:
    rows = [(name, spread(ms, 0), f"{sizes[name]:.0f}" if sizes[name] else "") for name, ms in startup.items()]
    return Table(
        "Processes", ("reader", "ms from no process to the first answer", "MB installed, with what it needs"), rows
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        main()
