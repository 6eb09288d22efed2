"""Does the memory of `form export` grow with the job? Exports jobs of few and of many forms, each in a process.

    python benchmarks/forms_export.py [--forms 1000 10000] [--json FILE]

A form of the demo's 45 fields, three of them to review, is put into a job and copied within its database.
"""

import argparse
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
from common import Table, publish

from inkdigits.forms.demo import save_demo_form
from inkdigits.forms.fields import FieldReading
from inkdigits.forms.job import Job
from inkdigits.forms.read import FormAnswer, PageAnswer

ENDINGS = (".xlsx", ".csv", ".jsonl", ".parquet", "")
# Prints the largest resident memory of the process, in KiB, when the command has ended.
PROGRAM = """
import resource, sys
from inkdigits.cli.main import main
try:
    main()
except SystemExit as ended:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    sys.exit(ended.code)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forms", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures: dict[str, dict[int, float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "tally").mkdir()
        save_demo_form(folder / "tally")
        for n in given.forms:
            make_job(folder / f"{n}.job", folder / "tally", n)
            for ending in ENDINGS:
                found = export(folder / f"{n}.job", folder / f"{n}{ending}")
                figures.setdefault(ending or "package", {})[n] = found
    rows = [(name, *(f"{found[n]:.0f} MiB" for n in given.forms)) for name, found in figures.items()]
    header = ("output", *(f"{n:,} forms" for n in given.forms))
    publish("forms_export", "Memory of form export", [Table("largest resident memory", header, rows)],
            notes=["Start of the process and its libraries included."], figures=figures, path=given.json)  # fmt: skip


def make_job(folder: Path, template: Path, n: int) -> None:
    """Make a job of n equal forms, of each of which a person keyed a field."""
    with closing(Job.begin(folder, template)) as job:
        readings = [FieldReading(each.name, "5", 1.0, True, "", each.box) for each in job.form.parts()]
        readings[:3] = [FieldReading(each.name, "7", 0.5, False, "", each.box) for each in readings[:3]]
        page = PageAnswer("1.png", "1" * 64, 0, np.full((90, 70), 250, np.uint8), readings)
        job.add(FormAnswer(["1.png"], readings, "", [page]))
    with closing(sqlite3.connect(folder / "job.sqlite3")) as db, db:
        db.execute(
            f"""WITH RECURSIVE numbers(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM numbers WHERE i < {n})
                INSERT INTO forms SELECT i, '' FROM numbers"""
        )
        db.execute(
            """INSERT INTO pages SELECT forms.id, forms.id || '.png', forms.id, forms.id, number, '', picture, basis
               FROM forms, pages WHERE forms.id > 1"""
        )
        db.execute(
            """INSERT INTO fields (form, page, name, reading, lot, text, confidence, accepted, problem, repaired)
               SELECT forms.id, forms.id, name, reading, lot, text, confidence, accepted, fields.problem, repaired
               FROM forms, fields WHERE forms.id > 1"""
        )
        db.execute(
            """INSERT INTO decisions (field, text, reviewer, time)
               SELECT id, text, 'ann', id FROM fields WHERE name = 'total'"""
        )


def export(job: Path, output: Path) -> float:
    """Return the largest resident memory of an export, in MiB."""
    words = ["form", "export", str(job), "--output", str(output)]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1]) / 1024


if __name__ == "__main__":
    main()
