"""Does a job of forms survive `kill -9`? Kills `inkdigits form read` at random moments, starts it again, compares.

    python benchmarks/forms_kill.py [--kills 20] [--copies 12] [--seed 0] [--json FILE]

Each job reads copies of the demo form; killed, the same command is started again until it comes to its end. Then the
job must hold every scan exactly once, and every field with the text and confidence that a job nobody killed has for it.
Half of the time a second process asks for the running job, and must be turned away.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from common import Table, publish

from inkdigits.data.loading import load_mnist
from inkdigits.forms.demo import save_demo_copies, save_demo_form
from inkdigits.forms.job import Job
from inkdigits.training.synthesis.styles import Digits

P_SECOND = 0.5  # how often a second process asks for the job
LONGEST_S = 12.0  # a process is killed within so many seconds of its start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rng, counts = random.Random(given.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        scans = folder / "scans"
        scans.mkdir()
        (folder / "tally").mkdir()
        save_demo_form(folder / "tally")
        test = load_mnist()[1]
        save_demo_copies(scans, Digits(test.images, test.labels), given.copies, given.seed)
        subprocess.run(command(folder, "whole"), check=True, capture_output=True)
        wanted = content(folder / "whole")
        while counts["kills"] < given.kills:
            shutil.rmtree(folder / "killed", ignore_errors=True)
            read_with_kills(folder, rng, counts, given.kills)
            found = content(folder / "killed")
            counts["jobs"] += 1
            counts["lost"] += sum((wanted - found).values())
            counts["doubled_or_different"] += sum((found - wanted).values())
    rows = [tuple(str(counts[key]) for key in ("jobs", "kills", "lost", "doubled_or_different", "second", "let_in"))]
    header = ("jobs", "kills", "fields lost", "doubled or different", "second processes", "of these let in")
    publish("forms_kill", "Jobs of forms and kill -9", [Table(f"{given.copies} scans a job", header, rows)],
            notes=[], figures=dict(counts), path=given.json)  # fmt: skip


def command(folder: Path, job: str) -> list[str]:
    words = ["form", "read", str(folder / "tally"), str(folder / "scans"), "--job", str(folder / job)]
    return [sys.executable, "-m", "inkdigits", *words]


def content(job: Path) -> Counter[tuple[str, str, str, float]]:
    """Return how often a job holds each field of each scan, with its text and confidence."""
    with closing(Job(job)) as kept:
        return Counter(
            (" ".join(answer.sources), reading.name, reading.text, round(reading.confidence, 6))
            for answer in kept.answers()
            for reading in answer.readings
        )


def read_with_kills(folder: Path, rng: random.Random, counts: Counter[str], most: int) -> None:
    """Read a job to its end, killed again and again until there were enough kills."""
    while True:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command(folder, "killed"), **quiet) as process:
            until = time.monotonic() + (rng.uniform(0.5, LONGEST_S) if counts["kills"] < most else 1e9)
            is_asked = rng.random() >= P_SECOND
            while process.poll() is None and time.monotonic() < until:
                if not is_asked and until - time.monotonic() < LONGEST_S / 4:
                    is_asked = True
                    ask_second(folder, process, counts)
                time.sleep(0.02)
            if process.poll() is not None:
                return
            process.send_signal(signal.SIGKILL)
            counts["kills"] += 1


def ask_second(folder: Path, first: "subprocess.Popen[bytes]", counts: Counter[str]) -> None:
    """Start the same command beside the first: it must end with an error while that one reads."""
    done = subprocess.run(command(folder, "killed"), capture_output=True, text=True, check=False)
    if first.poll() is None:
        counts["second"] += 1
        counts["let_in"] += "another process reads into this job" not in done.stderr


if __name__ == "__main__":
    main()
