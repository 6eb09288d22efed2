"""Real handwriting that nobody looked at while building, beside the pictures that the authors studied.

    python benchmarks/unseen.py DATA [--peer-python PYTHON | --peer-figures RESULT] [--json FILE]

DATA holds the pictures that were studied and DATA/blind those that were not, both laid out as docs/data.md says. Score
the blind part once for each finished change of a network or a stage, keep every score (docs/lab-log.md), never open its
pictures and never choose a constant by it: figures on it are worth something only as long as this holds.

Photographs and numbers are read twice, as the light install does and with the extra `pages`: its text detector on
photographs, and a second opinion on what rows and numbers say.

A number is a run of digits between spaces; signs, points and commas are dropped. Recall is the share of the true
numbers that are among those read, precision the share of the numbers read that are true. RapidOCR is measured where
--peer-python has it: its whole pipeline on photographs, its recognition alone on cells and digits. Its answers to the
same pictures stay the same, so --peer-figures takes them from an earlier result.
"""

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import EXTRA_PAGES, Table, percent, publish
from reading import DIGIT, NUMBER, PAGE, Task, Worker, digits_task, notes_of

from inkdigits import Reader
from inkdigits.evaluation import selective
from inkdigits.evaluation.metrics import calibration_error
from inkdigits.reading.decoding import digits_of
from inkdigits.reading.results import NumberReading, PageReading

METEOSAVER = (
    "`strings` are cells of the climate tables of MeteoSaver (GMD 2026), whose authors report 74 % of the values of "
    "ten whole sheets right; their sheets and these cells are not the same."
)
PARTS = {"studied by the authors": "", "seen by nobody": "blind"}
AT_ONCE = 64

Texts = list[list[str]]  # picture -> lines
Peer = Callable[[str, list[str]], Texts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--peer-python", help="the Python of an environment in which RapidOCR is installed")
    parser.add_argument("--peer-figures", type=Path, help="an earlier result of this file, for RapidOCR's figures")
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    found = {"inkdigits": ""} | ({"RapidOCR": given.peer_python} if given.peer_python else {})
    figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, folder in PARTS.items():
            figures[name] = measure(given.data / folder, given.peer_python, Path(scratch))
    notes = notes_of(found) if given.peer_python else []
    if given.peer_figures:
        earlier = json.loads(given.peer_figures.read_text())
        add_peer(figures, earlier["figures"])
        said = "RapidOCR's figures were measured on "
        when = next((each for each in earlier["notes"] if each.startswith(said)), f"{said}{earlier['measured']}.")
        notes = [*earlier["notes"][:1], when]
    publish(
        "unseen",
        "Handwriting that nobody looked at",
        [photos_table(figures), numbers_table(figures)],
        notes=[*notes, METEOSAVER],
        figures=figures,
        path=given.json,
    )


def add_peer(figures: dict[str, Any], earlier: dict[str, Any]) -> None:
    """Add RapidOCR's figures of an earlier result, where it was measured on as many pictures."""
    for part, sets in figures.items():
        for name, scores in sets.items():
            peer = earlier.get(part, {}).get(name, {}).get("RapidOCR")
            if peer and peer["n"] == scores["inkdigits"]["n"]:
                scores["RapidOCR"] = peer


def measure(folder: Path, peer_python: str | None, scratch: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Return set -> reader -> figures, of one part."""
    reader = Reader(text_detector=False)
    if not peer_python:
        return measure_sets(folder, reader, None, scratch)
    with Worker("RapidOCR", peer_python) as worker:

        def ask(layout: str, paths: list[str]) -> Texts:
            parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
            return [lines for part in parts for lines, _ in worker.ask([(layout, path) for path in part])]

        return measure_sets(folder, reader, ask, scratch)


def measure_sets(folder: Path, reader: Reader, peer: Peer | None, scratch: Path) -> dict[str, dict[str, Any]]:
    found = {"photos": photos(folder / "photos", reader, peer)}
    both = Reader(text_detector=False, second_opinion=True)
    for name in ("cells", "strings"):
        truth = json.loads((folder / name / "truth.json").read_text())
        paths = [str(folder / name / file) for file in truth]
        labels = [label if isinstance(label, str) else label["lines"][0] for label in truth.values()]
        found[name] = of_numbers(reader, both, peer, paths, labels)
    for file in sorted((folder / "digits").glob("*.npz")):
        with np.load(file) as stored:
            readings = reader.read_digits(list(stored["x"]))
        task = digits_task(file, 0, scratch)
        found[file.stem] = of_digits([r.digit for r in readings], [r.accepted for r in readings], task, peer)
    if (folder / "dida" / "truth.json").is_file():
        truth = json.loads((folder / "dida" / "truth.json").read_text())
        paths = [str(folder / "dida" / name) for name in truth]
        readings = reader.read_digits(paths)
        task = Task("dida", DIGIT, paths, [[str(label)] for label in truth.values()], [False] * len(paths))
        found["dida"] = of_digits([r.digit for r in readings], [r.accepted for r in readings], task, peer)
    return found


# ------------------------------------------------------------------------------------------------------- photographs


def photos(folder: Path, reader: Reader, peer: Peer | None) -> dict[str, Any]:
    """Score whole photographs; those whose ground truth is incomplete or holds print are left out."""
    truth = json.loads((folder / "truth.json").read_text())
    odd = ("mixed", "multiset")
    truth = {
        name: entry
        for name, entry in truth.items()
        if entry.get("complete") is not False and not any(map(entry.get, odd))
    }
    scores: dict[str, Any] = {}
    for who, one in (("inkdigits", reader), (EXTRA_PAGES, Reader(text_detector=True))):
        pages = [one.read_page(folder / name) for name in truth]
        scores[who] = of_photos([[line.text for line in page.lines] for page in pages], list(truth.values()))
        scores[who] |= accepted_rows(pages, list(truth.values()))
    if peer:
        scores["RapidOCR"] = of_photos(peer(PAGE, [str(folder / name) for name in truth]), list(truth.values()))
    return scores


def of_photos(texts: Texts, truth: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total: Counter[str] = Counter()
    for lines, entry in zip(texts, truth, strict=True):
        wanted, found = numbers(entry["lines"]), numbers(lines)
        for value, others in (entry.get("uncertain") or {}).items():  # another reading is possible: not counted
            for label in map(digits_of, (value, *others)):
                wanted.pop(label, None)
                found.pop(label, None)
        total += Counter(n=1, wanted=wanted.total(), found=found.total(), right=(wanted & found).total())
    recall, precision = total["right"] / total["wanted"], total["right"] / max(1, total["found"])
    return {"n": total["n"], "n_numbers": total["wanted"], "recall": recall, "precision": precision}


def accepted_rows(pages: Sequence[PageReading], truth: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Count the rows that the reader accepts, and those of them that do not stand on the page."""
    rows = [
        (digits_of(line.text), {digits_of(label) for label in entry["lines"]})
        for page, entry in zip(pages, truth, strict=True)
        for line in page.lines
        if line.accepted
    ]
    return {"accepted_rows": len(rows), "accepted_false_rows": sum(row not in labels for row, labels in rows)}


def numbers(lines: Iterable[str]) -> Counter[str]:
    return Counter(filter(None, (digits_of(word) for line in lines for word in line.split())))


# --------------------------------------------------------------------------------------- numbers and digits, cut out


def of_numbers(reader: Reader, both: Reader, peer: Peer | None, paths: list[str], labels: list[str]) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for who, one in (("inkdigits", reader), (EXTRA_PAGES, both)):
        readings = [one.read_number(path) for path in paths]
        scores[who] = exact([r.text for r in readings], labels) | accepted_numbers(readings, labels)
        scores[who] |= doubts(readings, labels)
    if peer:
        scores["RapidOCR"] = exact(["".join(lines) for lines in peer(NUMBER, paths)], labels)
    return scores


def exact(texts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Return the shares whose digits, and whose values with sign and decimal separator, are right."""
    pairs = list(zip(texts, labels, strict=True))
    return {
        "n": len(pairs),
        "digits_exact": float(np.mean([digits_of(text) == digits_of(label) for text, label in pairs])),
        "value_exact": float(np.mean([value(text) == value(label) for text, label in pairs])),
    }


def doubts(readings: Sequence[NumberReading], labels: Sequence[str]) -> dict[str, float]:
    """Return how well confidence ranks readings by whether their digits are right, and its ECE for the whole value."""
    pairs, confidence = list(zip(readings, labels, strict=True)), np.array([r.confidence for r in readings])
    right = np.array([r.digits == digits_of(label) for r, label in pairs])
    value_right = np.array([value(r.text) == value(label) for r, label in pairs])
    return {
        "aurc": selective.aurc(confidence, right),
        "coverage_at_1_percent": selective.coverage_at(confidence, right, 0.01),
        "ece": calibration_error(confidence, value_right),
    }


def value(text: str) -> str:
    return re.sub(r"[^0-9.-]", "", text.replace(",", "."))


def accepted_numbers(readings: Sequence[Any], labels: Sequence[str]) -> dict[str, Any]:
    right = [value(r.text) == value(label) for r, label in zip(readings, labels, strict=True) if r.accepted]
    return {"coverage": len(right) / len(labels), "accepted_wrong_values": 1 - float(np.mean(right))}


def of_digits(digits: Sequence[int], accepted: Sequence[bool], task: Task, peer: Peer | None) -> dict[str, Any]:
    labels = [label for [label] in task.truths]
    right = np.array([str(digit) == label for digit, label in zip(digits, labels, strict=True)])
    sure = np.array(accepted, bool)
    scores: dict[str, Any] = {"inkdigits": {"n": len(labels), "digits_exact": float(right.mean())}}
    scores["inkdigits"] |= {"coverage": float(sure.mean()), "accepted_wrong_values": 1 - float(right[sure].mean())}
    if peer:
        texts = ["".join(map(digits_of, lines)) for lines in peer(DIGIT, task.paths)]
        right = np.array([text == label for text, label in zip(texts, labels, strict=True)])
        scores["RapidOCR"] = {"n": len(labels), "digits_exact": float(right.mean())}
    return scores


# ------------------------------------------------------------------------------------------------------------ tables


def photos_table(figures: dict[str, Any]) -> Table:
    header = ("photographs", "reader", "n", "numbers", "recall", "precision", "accepted rows, of these false")
    rows = [
        (
            part,
            name,
            str(found["n"]),
            str(found["n_numbers"]),
            percent(found["recall"], 1),
            percent(found["precision"], 1),
            f"{found['accepted_rows']}, {found['accepted_false_rows']}" if "accepted_rows" in found else "",
        )
        for part, sets in figures.items()
        for name, found in sets["photos"].items()
    ]
    return Table("Photographs of pages", header, rows)


def numbers_table(figures: dict[str, Any]) -> Table:
    header = (
        "set",
        "pictures",
        "n",
        "reader",
        "digits exact",
        "value exact",
        "accepted",
        "wrong values among these",
        "accepted at 1 % wrong digits",
        "ECE",
    )
    rows = []
    for part, sets in figures.items():
        for name, found in sets.items():
            if name == "photos":
                continue
            rows += [
                (
                    name,
                    part,
                    f"{each['n']:,}",
                    who,
                    percent(each["digits_exact"], 1),
                    percent(each["value_exact"], 1) if "value_exact" in each else "",
                    percent(each["coverage"], 1) if "coverage" in each else "",
                    percent(each["accepted_wrong_values"], 1) if "coverage" in each else "",
                    percent(each["coverage_at_1_percent"], 0) if "ece" in each else "",
                    percent(each["ece"], 1) if "ece" in each else "",
                )
                for who, each in found.items()
            ]
    return Table("One number or digit a picture", header, rows)


if __name__ == "__main__":
    main()
