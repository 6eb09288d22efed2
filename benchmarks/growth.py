"""Do speed and memory hold as digits grow in number? 1, 100, 10,000, 1,000,000 of them, each in a process of its own.

    python benchmarks/growth.py [--most 1000000] [--files 10000] [--json FILE]

Framed digits lie in a file which `Reader.classify` gets memory-mapped, all in one call; files of single digits go to
`inkdigits read FOLDER --layout digit --json`. Memory is the most that the process had allocated (Linux's RssAnon, asked
for every 5 ms): the mapped file is the system's cache and not counted.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Table, publish

SIZES = (1, 100, 10_000, 1_000_000)
# Each in a process of its own: what prepares and what is measured must not share memory.
PREPARE_ARRAY = """
import sys
import numpy as np
from inkdigits.data.loading import load_mnist
path, n, test = sys.argv[1], int(sys.argv[2]), load_mnist()[1].images
stored = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 28, 28))
for start in range(0, n, len(test)):
    stored[start : start + len(test)] = test[: n - start]
"""
PREPARE_FILES = """
import sys
import cv2
from inkdigits.data.loading import load_mnist
test = load_mnist()[1].images
for number in range(int(sys.argv[2])):
    cv2.imwrite(f"{sys.argv[1]}/{number:07}.png", test[number % len(test)])
"""
CLASSIFY = """
import sys, time
import numpy as np
from inkdigits import Reader
reader, images = Reader(text_detector=False), np.load(sys.argv[1], mmap_mode="r")
reader.classify(images[:1])
started = time.perf_counter()
assert len(reader.classify(images)) == len(images)
print(time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=10_000, help="at most so many files")
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    arrays = [of_array(n) for n in SIZES if n <= given.most]
    files = [of_files(n) for n in SIZES if n <= given.files]
    publish(
        "growth",
        "Growth with the number of digits",
        [
            table("Framed digits, one call of `Reader.classify`; without the process's start", arrays),
            table("Files, `inkdigits read FOLDER --layout digit --json`; the process's start included", files),
        ],
        notes=["The answers themselves are 53 bytes a framed digit: 53 MB of a million's memory."],
        figures={"array": arrays, "files": files},
        path=given.json,
    )


def of_array(n: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/digits.npy"
        subprocess.run([sys.executable, "-c", PREPARE_ARRAY, path, str(n)], check=True)
        printed, _, peak_mb = watched([sys.executable, "-c", CLASSIFY, path])
    return {"n": n, "seconds": float(printed), "peak_mb": peak_mb}


def of_files(n: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", PREPARE_FILES, folder, str(n)], check=True)
        command = [str(Path(sys.executable).with_name("inkdigits")), "read", folder, "--layout", "digit", "--json"]
        printed, seconds, peak_mb = watched(command)
    if printed.count("\n") != n:
        raise SystemExit(f"error: of {n} files {printed.count(chr(10))} were answered")
    return {"n": n, "seconds": seconds, "peak_mb": peak_mb}


def watched(command: list[str]) -> tuple[str, float, float]:
    """Return what a process printed, its seconds from start to end, and the most megabytes it had allocated."""
    print(" ".join(command).replace("\n", "; ")[:110], file=sys.stderr)
    with tempfile.TemporaryFile("w+") as out:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out)
        peak_mb = 0.0
        while process.poll() is None:
            peak_mb = max(peak_mb, allocated_mb(process.pid))
            time.sleep(0.005)
        seconds = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"error: {command[0]} ended with exit code {process.returncode}")
        out.seek(0)
        return out.read(), seconds, peak_mb


def allocated_mb(pid: int) -> float:
    """Return the megabytes of a process that are no file's; 0 where it has ended, or where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon")), 0.0)


def table(caption: str, found: list[dict[str, float]]) -> Table:
    rows = [
        (f"{row['n']:,}", f"{row['seconds']:.3g}", f"{row['n'] / row['seconds']:,.0f}", f"{row['peak_mb']:.0f}")
        for row in found
    ]
    return Table(caption, ("digits", "seconds", "a second", "peak MB"), rows)


if __name__ == "__main__":
    main()
