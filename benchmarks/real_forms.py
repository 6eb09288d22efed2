"""Real filled forms of which there is no blank copy: an election form; with --tables, pages of one dense table.

    python benchmarks/real_forms.py DATA [--tables] [--blind] [--json FILE]

DATA/forms holds scans and truth.json. The election form's template is the common print of its copies there, the table's
the ruling of one filled page; the fields' boxes were drawn on them once. `--blind` reads DATA/blind/forms, which nobody
has looked at, too.

A field is right if its digits are, decimal points and leading zeros aside; X, a box that is struck out, is no digit.
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

ELECTION = "c1-ppwp-2019"
# Name, box, boxes of the comb (0: a line), type.
FIELDS = (
    ("nomor_tps", (245, 52, 140, 26), 0, "digits"), ("suara_01", (752, 208, 106, 59), 3, "integer"),
    ("suara_02", (752, 316, 106, 60), 3, "integer"), ("A_jumlah_sah", (751, 491, 107, 28), 3, "integer"),
    ("B_tidak_sah", (751, 576, 107, 28), 3, "integer"), ("C_jumlah", (751, 660, 107, 28), 3, "integer"),
    ("tanggal", (424, 760, 69, 27), 2, "digits"), ("bulan", (570, 760, 69, 27), 2, "digits"),
    ("tahun", (716, 760, 143, 27), 4, "digits"),
)  # fmt: skip
RULES = ("A_jumlah_sah == suara_01 + suara_02", "C_jumlah == A_jumlah_sah + B_tidak_sah")

CLIMATE, FILLED = "meteosaver-inera", "meteosaver_702_196404.png"
COLUMNS, LEFT, ACROSS = ("max", "min", "mean"), 139, 421  # the three columns whose values are known
FIRST_ROW = 4
# Of each block of days: y of the first day's upper edge, how many days, y of the total's upper edge.
BLOCKS = ((14, 5, 317), (486, 5, 779), (946, 5, 1238), (1404, 5, 1694), (1848, 5, 2144), (2309, 6, 2651))
DAY_PX, TOTAL_PX, MEAN_PX = 52.4, 66, 56  # heights of rows
HOTTEST = 45.0  # degrees Celsius


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--blind", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    parts = {"studied by the authors": given.data / "forms"}
    if given.blind:
        parts["seen by nobody"] = given.data / "blind" / "forms"
    with tempfile.TemporaryDirectory() as folder:
        make, kind = (climate, CLIMATE) if given.tables else (election, ELECTION)
        reader = FormReader(make(Path(folder, "form"), given.data / "forms"))
        counts = {name: score(reader, part, kind) for name, part in parts.items()}
    rows = [
        (name, str(n["pages"]), str(n["rejected"]), str(n["fields"]), percent(n["right"] / n["fields"], 1),
         str(n["accepted"]), str(n["accepted_wrong"]))
        for name, n in counts.items()
    ]  # fmt: skip
    header = ("pages", "n", "rejected", "fields", "right before review", "accepted", "wrong among those")
    if given.tables:
        title, caption = "Real tables", "Climate tables, three columns of 24, max, min and mean temperature of each day"
        note = (
            "The template is the ruling of one of the studied pages; its fields were drawn on it, with rules for sums."
        )
    else:
        title, caption = "A real form", "Election tally, one digit a box, each copy by another hand"
        note = "The template is made from the studied copies themselves, as where no blank form is at hand."
    publish(
        "real_forms",
        title,
        [Table(caption, header, rows)],
        notes=[note],
        figures={name: dict(n) for name, n in counts.items()},
        path=given.json,
    )


def election(folder: Path, copies: Path) -> Path:
    form = new_form(folder, files_of(copies, ELECTION), filled=True)
    fields = [
        FormField.model_validate(
            {"name": name, "box": box, "type": kind} | ({"layout": "comb", "cells": cells} if cells else {})
        )
        for name, box, cells, kind in FIELDS
    ]
    save_form(Form(pages=form.pages, fields=tuple(fields), rules=RULES), folder / "form.json")
    return folder


def climate(folder: Path, copies: Path) -> Path:
    form = new_form(folder, [copies / FILLED], filled=True)
    fields, rules = [], []
    for block, (top, days, below) in enumerate(BLOCKS, 1):
        for name, y, rows, height, most in (
            ("days", top, days, round(days * DAY_PX), HOTTEST),
            ("totals", below, 1, TOTAL_PX, days * HOTTEST),
            ("means", below + TOTAL_PX, 1, MEAN_PX, HOTTEST),
        ):
            field = {"name": f"{name}{block}", "box": (LEFT, y, ACROSS, height), "layout": "table", "rows": rows,
                     "columns": len(COLUMNS), "type": "decimal", "decimals": 1,
                     "constraints": {"minimum": 0, "maximum": most}}  # fmt: skip
            fields.append(FormField.model_validate(field))
        for column in range(1, len(COLUMNS) + 1):
            rules.append(f"totals{block}_1_{column} == column(days{block}, {column})")
            if days == 5:  # the last block has five or six days, and its mean is of as many
                rules.append(f"abs(totals{block}_1_{column} - 5 * means{block}_1_{column}) <= 0.4")
        for day in range(1, days + 1):
            highest, lowest, mean = (f"days{block}_{day}_{column}" for column in (1, 2, 3))
            rules.append(f"abs(2 * {mean} - {highest} - {lowest}) <= 0.2")
    save_form(Form(pages=form.pages, fields=tuple(fields), rules=tuple(rules)), folder / "form.json")
    return folder


def climate_names() -> dict[str, str]:
    """Return what truth.json calls each field."""
    places = [
        f"{name}{block}_{row}"
        for block, (_, days, _) in enumerate(BLOCKS, 1)
        for name, rows in (("days", days), ("totals", 1), ("means", 1))
        for row in range(1, rows + 1)
    ]
    return {
        f"{place}_{number}": f"{column}_row{row}"
        for row, place in enumerate(places, FIRST_ROW)
        for number, column in enumerate(COLUMNS, 1)
    }


def files_of(folder: Path, kind: str) -> list[str | Path]:
    truth = json.loads((folder / "truth.json").read_text())
    return [folder / name for name, entry in sorted(truth.items()) if entry["form"] == kind]


def score(reader: FormReader, folder: Path, kind: str) -> Counter[str]:
    truth = json.loads((folder / "truth.json").read_text())
    names = climate_names()
    counts: Counter[str] = Counter()
    for answer in reader.read(files_of(folder, kind)):
        counts.update(pages=1, rejected=not answer.readings)
        written = {each["name"]: each["value"] for each in truth[Path(answer.sources[0]).name]["fields"]}
        for reading in answer.readings:
            value = written.get(names.get(reading.name, reading.name))
            if value is not None:
                right = reading.text.replace(".", "").lstrip("0") == value.replace("X", "").lstrip("0")
                counts.update(fields=1, right=right, accepted=reading.accepted)
                counts["accepted_wrong"] += reading.accepted and not right
    return counts


if __name__ == "__main__":
    main()
