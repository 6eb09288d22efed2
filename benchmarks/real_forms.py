"""Real filled forms: an election form whose template is made from its own copies, as a user without a blank one would.

    python benchmarks/real_forms.py DATA [--blind] [--json FILE]

DATA/forms holds scans and truth.json. The template is the common print of the copies in DATA/forms; the fields' boxes
were drawn on it once. `--blind` reads DATA/blind/forms, which nobody has looked at, too.

A field is right if its digits are, leading zeros aside; X, a box that is struck out, is no digit.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

from common import Table, percent, publish

from inkdigits.forms.blank import new_form
from inkdigits.forms.read import FormReader
from inkdigits.forms.template import Form, FormField, save_form

KIND = "c1-ppwp-2019"
# Name, box, boxes of the comb (0: a line), type.
FIELDS = (
    ("nomor_tps", (245, 52, 140, 26), 0, "digits"), ("suara_01", (752, 208, 106, 59), 3, "integer"),
    ("suara_02", (752, 316, 106, 60), 3, "integer"), ("A_jumlah_sah", (751, 491, 107, 28), 3, "integer"),
    ("B_tidak_sah", (751, 576, 107, 28), 3, "integer"), ("C_jumlah", (751, 660, 107, 28), 3, "integer"),
    ("tanggal", (424, 760, 69, 27), 2, "digits"), ("bulan", (570, 760, 69, 27), 2, "digits"),
    ("tahun", (716, 760, 143, 27), 4, "digits"),
)  # fmt: skip
RULES = ("A_jumlah_sah == suara_01 + suara_02", "C_jumlah == A_jumlah_sah + B_tidak_sah")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--blind", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    parts = {"studied by the authors": given.data / "forms"}
    if given.blind:
        parts["seen by nobody"] = given.data / "blind" / "forms"
    with tempfile.TemporaryDirectory() as folder:
        reader = FormReader(template(Path(folder, "form"), given.data / "forms"))
        counts = {name: score(reader, part) for name, part in parts.items()}
    rows = [
        (name, str(n["pages"]), str(n["rejected"]), str(n["fields"]), percent(n["right"] / n["fields"], 1),
         str(n["accepted"]), str(n["accepted_wrong"]))
        for name, n in counts.items()
    ]  # fmt: skip
    header = ("pages", "n", "rejected", "fields", "right before review", "accepted", "wrong among those")
    publish(
        "real_forms",
        "A real form",
        [Table("Election tally, one digit a box, each copy by another hand", header, rows)],
        notes=["The template is made from the studied copies themselves, as where no blank form is at hand."],
        figures={name: dict(n) for name, n in counts.items()},
        path=given.json,
    )


def template(folder: Path, copies: Path) -> Path:
    form = new_form(folder, files_of(copies), filled=True)
    fields = [
        FormField.model_validate(
            {"name": name, "box": box, "type": kind} | ({"layout": "comb", "cells": cells} if cells else {})
        )
        for name, box, cells, kind in FIELDS
    ]
    save_form(Form(pages=form.pages, fields=tuple(fields), rules=RULES), folder / "form.json")
    return folder


def files_of(folder: Path) -> list[str | Path]:
    truth = json.loads((folder / "truth.json").read_text())
    return [folder / name for name, entry in sorted(truth.items()) if entry["form"] == KIND]


def score(reader: FormReader, folder: Path) -> Counter[str]:
    truth = json.loads((folder / "truth.json").read_text())
    counts: Counter[str] = Counter()
    for answer in reader.read(files_of(folder)):
        counts.update(pages=1, rejected=not answer.readings)
        written = {each["name"]: each["value"] for each in truth[Path(answer.sources[0]).name]["fields"]}
        for reading in answer.readings:
            value = written.get(reading.name)
            if value is not None:
                right = reading.text.lstrip("0") == value.replace("X", "").lstrip("0")
                counts.update(fields=1, right=right, accepted=reading.accepted)
                counts["accepted_wrong"] += reading.accepted and not right
    return counts


if __name__ == "__main__":
    main()
