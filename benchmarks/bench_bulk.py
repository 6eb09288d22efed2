"""How fast is `inkdigits read --output`, are the cores busy, does memory stay flat?

Usage: python benchmarks/bench_bulk.py [--digits 20000] [--numbers 3000] [--pages 60] [--growth 100 10000 100000]

Pictures are composed of MNIST's test digits: dark ink on light paper, as PNGs in a Parquet file. Memory is the sum of
all processes' peaks (proportional set size is not peaked by Linux, so shared pages count once a process).
"""

import argparse
import contextlib
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common import Table, publish

import inkdigits
from inkdigits.bulk.read import read_to_file

BATCH = 5000


@dataclass(frozen=True)
class Measured:
    """One run: how long, what share of all cores was busy, the greatest memory of all processes together."""

    images: int
    seconds: float
    busy: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.images / self.seconds


def as_framed(digits: np.ndarray, i: int) -> np.ndarray:
    """MNIST's form, which is only checked."""
    return digits[i % len(digits)]


def as_scan(digits: np.ndarray, i: int) -> np.ndarray:
    """One dark digit on light paper, to be framed."""
    return np.pad(255 - digits[i % len(digits)], 4, constant_values=255)


def as_number(digits: np.ndarray, i: int) -> np.ndarray:
    """A cell with one to four dark digits on light paper."""
    some = [digits[(4 * i + k) % len(digits)] for k in range(1 + i % 4)]
    return np.pad(255 - np.hstack(some), 4, constant_values=255)


def as_page(digits: np.ndarray, i: int) -> np.ndarray:
    """A sheet with ten rows of ten digits, 600 pixels wide."""
    rows = [np.hstack([np.pad(digits[(100 * i + 10 * r + c) % len(digits)], 16) for c in range(10)]) for r in range(10)]
    return 255 - np.vstack(rows)


def write_pictures(path: Path, images: int, draw: Callable[[np.ndarray, int], np.ndarray]) -> None:
    """Write PNGs as a column of a Parquet file."""
    digits = inkdigits.load_mnist()[1].images
    schema = pa.schema([("image", pa.binary())])
    known: dict[int, bytes] = {}
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, images, BATCH):
            blobs = []
            for i in range(start, min(images, start + BATCH)):
                place = i % len(digits)
                if place not in known:
                    known[place] = cv2.imencode(".png", draw(digits, i))[1].tobytes()
                blobs.append(known[place])
            writer.write_table(pa.table({"image": blobs}, schema=schema))


def processes() -> list[int]:
    """Return this process and its children."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [os.getpid(), *(int(pid) for path in children for pid in path.read_text().split())]


def memory_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


@contextlib.contextmanager
def watched_memory() -> Iterator[list[float]]:
    """Yield a list whose only entry grows to the greatest memory seen, every 50 ms."""
    peak, over = [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], sum(map(memory_mb, processes())))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield peak
    over.set()
    thread.join()


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(pictures: Path, images: int, layout: str, workers: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder, watched_memory() as peak:
        cpu, started = cpu_s(), time.monotonic()
        summary = read_to_file(f"{folder}/rows.csv", [str(pictures)], layout, workers=workers)
        seconds = time.monotonic() - started
    assert (summary.n_pictures, summary.n_errors) == (images, 0)
    return Measured(images, seconds, (cpu_s() - cpu) / seconds / workers, peak[0])


def rates(folder: Path, arguments: argparse.Namespace, cores: int) -> tuple[Table, dict[str, list[Measured]]]:
    """Measure every kind of picture with one process and with one a core."""
    kinds = [
        ("one digit, to be framed", as_scan, "digit", arguments.digits),
        ("one digit in MNIST's form", as_framed, "digit", arguments.digits),
        ("a cell of 1 to 4 digits, as a number", as_number, "number", arguments.numbers),
        ("a page of 100 digits, 600 x 600", as_page, "page", arguments.pages),
    ]
    figures: dict[str, list[Measured]] = {}
    rows = []
    for name, draw, layout, images in kinds:
        pictures = folder / "pictures.parquet"
        write_pictures(pictures, images, draw)
        one, all_ = figures[name] = [measure(pictures, images, layout, workers) for workers in (1, cores)]
        ratio = f"{all_.rate / one.rate:.2f}"
        rows.append([name, f"{images:,}", f"{one.rate:,.0f}", f"{all_.rate:,.0f}", ratio, f"{all_.busy:.0%}"])
    header = ["picture", "n", "a second, 1 process", f"a second, {cores} processes", "ratio", f"busy, of {cores} cores"]
    return Table("Rates, with start and join of the files", header, rows), figures


def growth(folder: Path, sizes: list[int], cores: int) -> tuple[Table, list[Measured]]:
    """Measure how rate and memory change with the number of pictures."""
    figures = []
    for images in sizes:
        write_pictures(folder / "pictures.parquet", images, as_scan)
        figures.append(measure(folder / "pictures.parquet", images, "digit", cores))
    rows = [[f"{m.images:,}", f"{m.seconds:.1f}", f"{m.rate:,.0f}", f"{m.peak_mb:,.0f}"] for m in figures]
    header = ["pictures of one digit, to be framed", "seconds", "a second", "memory of all processes, MB"]
    return Table("Growth", header, rows), figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, default=20_000)
    parser.add_argument("--numbers", type=int, default=3_000)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--growth", type=int, nargs="*", default=[100, 10_000, 100_000])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        tables, figures = [], {}
        if arguments.digits:
            table, measured = rates(Path(name), arguments, cores)
            tables.append(table)
            figures["rates"] = {kind: [each.__dict__ for each in pair] for kind, pair in measured.items()}
        table, sizes = growth(Path(name), arguments.growth, cores)
        tables.append(table)
        figures["growth"] = [each.__dict__ for each in sizes]
    publish("bulk", "Very many pictures", tables, figures=figures, path=arguments.json)


if __name__ == "__main__":
    main()
