"""The recipe `champion` evaluated on MNIST's test set: single networks, their ensemble, a student of the ensemble.

    python benchmarks/champion.py MODEL MODEL ... [--json FILE] [--page FILE]

MODEL is a run or an ONNX file: networks, their ensembles, students of these; their cards tell which is what.
Trains nothing: docs/champion.md says how the runs are made. Writes that page too, with the ensemble's and the student's
errors by index, and their pictures beside it in images/champion-errors.png. Fifteen test labels are disputed by the
human raters of cleanlab's listing (labelerrors.com; Northcutt et al. 2021, section 4): all counts are given with and
without them.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import Table, mean_sd, publish

from inkdigits.data.loading import load_mnist
from inkdigits.data.splits import Split
from inkdigits.evaluation.metrics import calibration_error
from inkdigits.reading.model import load_card, model_path
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import Classified
from inkdigits.training.recipes import RECIPES

DISPUTED = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
STUDENT = "student of"
CHAMPION = RECIPES["champion"]
ANCHORS = (
    ("one network of 4.7 M parameters, mean of 10 (An et al. 2020)", "99.738 %"),
    ("one network of 326 k parameters", "99.65 %"),
    ("ten networks, mean softmax", "99.82 %"),
    ("fifteen networks", "99.745 %"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--page", type=Path, default=None, help="write docs/champion.md here")
    arguments = parser.parse_args()
    test = load_mnist()[1]
    groups: dict[str, list[Path]] = {}
    for path in arguments.models:
        groups.setdefault(kind_of(load_card(path)), []).append(path)
    answers = {name: [Reader(path).classify(test.images) for path in paths] for name, paths in groups.items()}
    rows = [row_of(name, found, test, groups[name]) for name, found in answers.items()]
    header = [
        "",
        "networks",
        "accuracy %: mean ± sd",
        "errors, network by network",
        "without the 15 disputed",
        "ECE",
        "ONNX, MB",
    ]
    table = Table("MNIST's test set, 10,000 images, read once a network", header, rows)
    errors = {name: [errors_of(each, test).tolist() for each in found] for name, found in answers.items()}
    commands = {name: command_of(load_card(paths[0])) for name, paths in groups.items()}
    figures = {"errors": errors, "disputed": DISPUTED, "commands": commands}
    publish(
        "champion",
        "Champion: accuracy without peeking",
        [table],
        notes=["How each is made: docs/champion.md."],
        figures=figures,
        path=arguments.json,
    )
    if arguments.page:
        write_page(arguments.page, table, commands, answers, test)


def kind_of(card: dict[str, Any]) -> str:
    """Return what a model is, in words for the table."""
    if "members" in card:
        return f"ensemble of {len(card['members'])}"
    if "teacher" in card:
        return f"{STUDENT} the {card['teacher']['name'].replace('-', ' ')}"
    convolutions = tuple(card["recipe"]["convolutions"])
    return "one network" + ("" if convolutions == CHAMPION.convolutions else f", {'+'.join(convolutions)}")


def command_of(card: dict[str, Any]) -> str:
    """Return the command that makes such a model: `champion` but for its convolutions and epochs."""
    if "members" in card:
        return f"inkdigits ensemble RUN RUN ... --save ensemble-of-{len(card['members'])}.onnx"
    recipe = card["recipe"]
    words = ["inkdigits train champion"]
    if tuple(recipe["convolutions"]) != CHAMPION.convolutions:
        words.append(f"--convolutions {'+'.join(recipe['convolutions'])}")
    if recipe["epochs"] != CHAMPION.epochs:
        words.append(f"--epochs {recipe['epochs']}")
    if "teacher" in card:
        words.append(f"--teacher {card['teacher']['name']}.onnx")
    return " ".join([*words, "--seed 0"])


def errors_of(answers: Classified, test: Split) -> np.ndarray:
    """Return the indices of the test images that are answered otherwise than labelled."""
    return np.flatnonzero(answers.labels != test.labels)


def row_of(name: str, found: Sequence[Classified], test: Split, paths: Sequence[Path]) -> list[str]:
    errors = [errors_of(each, test) for each in found]
    counts = [len(each) for each in errors]
    undisputed = [len(set(each.tolist()) - set(DISPUTED)) for each in errors]
    accuracies = [100 - count * 100 / len(test) for count in counts]
    errors = [calibration_error(each.confidence, each.labels == test.labels) for each in found]
    megabytes = model_path(paths[0]).stat().st_size / 1e6
    return [
        name,
        str(len(found)),
        mean_sd(accuracies, 3),
        ", ".join(map(str, counts)),
        f"{statistics.mean(undisputed):.1f} of {len(test) - len(DISPUTED):,}",
        f"{statistics.mean(errors):.2%}",
        f"{megabytes:.1f}",
    ]


def write_page(
    page: Path, table: Table, commands: dict[str, str], answers: dict[str, list[Classified]], test: Split
) -> None:
    """Write docs/champion.md and the picture of errors beside it."""
    shown = {name: found[0] for name, found in answers.items() if name.startswith(("ensemble", STUDENT))}
    wanted = sorted({int(i) for found in shown.values() for i in errors_of(found, test)})
    picture = page.parent / "images" / "champion-errors.png"
    draw_misses(picture, wanted, next(iter(shown.values())), test)
    header = ["index", "label", *shown, "disputed"]
    rows = []
    for i in wanted:
        said = [told(found, i, test) for found in shown.values()]
        rows.append([str(i), str(test.labels[i]), *said, "yes" if i in DISPUTED else ""])
    words = {
        "table": table,
        "anchors": anchors(),
        "errors": Table("", header, rows),
        "make": "\n".join(commands.values()),
    }
    page.write_text(PAGE.format(n=len(wanted), **words))


def told(answers: Classified, i: int, test: Split) -> str:
    right = answers.labels[i] == test.labels[i]
    return f"{'' if right else '**'}{answers.labels[i]}{'' if right else '**'} ({answers.confidence[i]:.0%})"


def anchors() -> Table:
    return Table("", ["published, chosen without the test set", "accuracy"], ANCHORS)


def draw_misses(path: Path, indices: Sequence[int], answers: Classified, test: Split) -> None:
    """Draw each image with its index, and "label > answer" below; disputed labels in red."""
    columns, cell, zoom = 8, (136, 128), 3
    rows = -(-len(indices) // columns)
    sheet = np.full((rows * cell[0] + 8, columns * cell[1] + 8, 3), 255, np.uint8)
    for place, i in enumerate(indices):
        top, left = place // columns * cell[0] + 8, place % columns * cell[1] + 8
        ink = cv2.resize(255 - test.images[i], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
        sheet[top : top + 28 * zoom, left : left + 28 * zoom] = ink[..., None]
        cv2.rectangle(sheet, (left - 1, top - 1), (left + 28 * zoom, top + 28 * zoom), (200, 200, 200), 1)
        colour = (40, 40, 200) if i in DISPUTED else (60, 60, 60)
        for line, words in enumerate((f"{i}", f"{test.labels[i]} > {answers.labels[i]} {answers.confidence[i]:.0%}")):
            at = (left, top + 28 * zoom + 16 + 16 * line)
            cv2.putText(sheet, words, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), sheet)


PAGE = """# Champion

How accurate can an honest MNIST reader be that trains on two ordinary cores? Written by `benchmarks/champion.py`;
nothing here is edited by hand.

{table}

Fixed schedule, last weights (their moving average), hyperparameters chosen on 10,000 images held out of the 60,000
([lab log](lab-log-champion.md)), then trained on all 60,000; the test set is read once a network, at the end. For
comparison:

{anchors}

The often quoted 99.87 % and 99.91 % chose their epoch or their ensemble on the test set; a network picked that way is
as lucky as it is good, and the figures are not comparable with those above.

## Make it

```sh
{make}
```

More seeds: `--seed 1`, `2`, ... An ensemble is one ONNX file whose answer is the mean of its members' probabilities; of
the networks trained for one none was left out. A student learns an ensemble's probabilities of distorted digits in
place of labels; the first of the table is kept: `inkdigits evaluate benchmarks/results/champion-student.onnx`.

## Every error

The {n} test images that an ensemble or a student answers otherwise than labelled. In bold: the errors; in
brackets, the confidence. "Disputed": one of the 15 images whose label most human raters doubted (cleanlab's listing).

![The errors: index, label > the answer and confidence; disputed in red](images/champion-errors.png)

{errors}
"""


if __name__ == "__main__":
    main()
