"""Filled forms into values: how many pages are laid on the template, how many fields are right, what a review costs.

    python benchmarks/forms.py [DATA [--blind]] [--copies 200] [--strangers 400] [--second-opinion] [--json FILE]

Copies of the demo form are filled with digits that no weight has learned from, then scanned or photographed: those of
MNIST's test set and, with DATA, single digits of other sources, studied (DATA/digits) and, with --blind, seen by nobody
(DATA/blind/digits; keep every scoring in docs/lab-log.md). Strangers are pages that must be rejected: halves of
copies, copies with something over the fields, another version of the form, other forms of boxes and words.

The review is simulated: a job gives fields one by one as it does to the review page, and they are keyed, characters and
Enter, a wrong digit now and then (HUMAN_ERROR), until nothing is left to key. What remains wrong then was accepted and
is wrong. Keys are also given for keying every field.
"""

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import Table, percent, publish

from inkdigits.arrays import Floats, GrayImage, Rng
from inkdigits.data.loading import load_mnist
from inkdigits.forms.alignment import Aligner, AlignmentError
from inkdigits.forms.demo import HEIGHT, KINDS, WIDTH, blank_form, compose_copy, save_demo_form
from inkdigits.forms.fields import FieldReader, FieldReading, with_rules
from inkdigits.forms.job import Job
from inkdigits.forms.read import FormAnswer, FormReader, PageAnswer
from inkdigits.reading.normalise.digit import frame_digit
from inkdigits.reading.reader import Reader
from inkdigits.training.synthesis.styles import Digits

NEAR_PX = 2.0  # of the template's pixels, 200 to an inch
FAR_PX = 6.0  # a tenth of a box of a comb: a page this far off is a wrong alignment
PROCESSES = 2
MOVED = (1830, 2090)  # rows of the template that another version of the form has further down
HUMAN_ERROR = 0.0029  # of values keyed once: Paulsen 2020, a meta-analysis of 93 studies
VERSION_SCALE = 0.8  # pixels of strangers that are drawn, a pixel of the template


@dataclass
class Score:
    """What was counted over copies.

    Attributes:
        worst_px: of each page that was accepted, the largest distance of a field's corner from where it is.
        counts: "copies", "rejected", "fields", "right", "accepted", "accepted_wrong", "keyed", "wrong_afterwards",
            "digits", "keys", "all_keys".
    """

    worst_px: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def of_folder(folder: Path) -> Digits:
    """Return all digits of a folder of .npz files as MNIST frames them."""
    images, labels = [], []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            images += [frame_digit(255 - x) for x in stored["x"]]
            labels += stored["y"].tolist()
    return Digits(np.stack(images), np.array(labels))


def of_mnist() -> Digits:
    test = load_mnist()[1]
    return Digits(test.images, test.labels)


_worker: dict[str, Any] = {}


def start_worker(source: Callable[[], Digits], folder: str, second_opinion: bool) -> None:
    cv2.setNumThreads(1)
    reader = FormReader(folder)
    blank = blank_form()[0]
    fields = FieldReader(reader.form, 0, blank, Reader(text_detector=False, second_opinion=second_opinion))
    _worker.update(folder=folder, digits=source(), reader=reader, aligner=Aligner(blank, boxes()), fields=fields)


def score_copy(number: int) -> Score:
    """Read one copy and compare it with what is written there."""
    copy = compose_copy(np.random.default_rng((11, number)), _worker["digits"], KINDS[number % 2])
    aligner: Aligner = _worker["aligner"]
    score = Score(
        counts=Counter(copies=1, digits=sum(char.isdigit() for text in copy.values.values() for char in text))
    )
    score.counts["all_keys"] = sum(len(text) + 1 for text in copy.values.values())
    try:
        alignment = aligner.align(copy.picture)
    except AlignmentError:
        score.counts["rejected"] = 1
        score.counts["keys"] = score.counts["all_keys"]
        return score
    off = np.hypot(*(alignment.place(corners(), aligner.size) - copy.place(corners())).T) / alignment.scale
    score.worst_px.append(float(off.max()))
    flat = alignment.flat(copy.picture, aligner.size)
    page = PageAnswer(str(number), "", 0, flat, _worker["fields"].read(flat))
    answer = _worker["reader"].joined([page])
    for reading in answer.readings:
        right = is_right(reading, copy.values)
        score.counts.update(fields=1, right=right, accepted=reading.accepted)
        score.counts["accepted_wrong"] += reading.accepted and not right
    review(answer, copy.values, score.counts, np.random.default_rng((14, number)))
    return score


def review(answer: FormAnswer, truth: dict[str, str], counts: Counter[str], rng: Rng) -> None:
    """Key one form's fields as the review page gives them, now and then a wrong digit."""
    with tempfile.TemporaryDirectory() as folder, closing(Job.begin(Path(folder, "job"), _worker["folder"])) as job:
        job.add(answer)
        seen: set[str] = set()
        while tasks := job.tasks("reviewer", 1):
            (task,) = tasks
            seen.add(task.name)
            text = truth[task.name]
            keys = {"x": "1"}.get(text, text.replace(".", "") if task.decimals else text)
            if keys and rng.random() < HUMAN_ERROR:
                place = int(rng.integers(len(keys)))
                keys = f"{keys[:place]}{rng.integers(10)}{keys[place + 1 :]}"
            counts["keys"] += len(keys) + 1
            job.key(task.field, keys, "reviewer")
        counts["keyed"] += len(seen)
        (answer,) = job.answers()
    counts["wrong_afterwards"] += sum(not is_right(each, truth) for each in answer.readings)


def is_right(reading: FieldReading, truth: dict[str, str]) -> bool:
    text = truth[reading.name]
    return reading.text == text or (bool(text) and reading.value is not None and reading.value == number_of(text))


def boxes() -> list[tuple[int, int, int, int]]:
    return [part.box for each in blank_form()[1] for part in each.parts()]


def corners() -> Floats:
    """Return the corners of all fields on the template, float64 (n, 2)."""
    return np.array([(x + i * w, y + j * h) for x, y, w, h in boxes() for i in (0, 1) for j in (0, 1)], float)


def number_of(text: str) -> float | None:
    return float(text) if text.replace(".", "", 1).isdigit() else None


def outcome_of_stranger(number: int) -> tuple[str, str]:
    """Return the kind of a page that is not the form, and "rejected", "wrong" or, of another version, "in place"."""
    rng = np.random.default_rng((12, number))
    kinds = list(STRANGERS)
    kind = kinds[number % len(kinds)]
    page, truth = STRANGERS[kind](rng)
    try:
        alignment = _worker["aligner"].align(page)
        _worker["reader"].read_page(page)
    except AlignmentError:
        return kind, "rejected"
    if truth is None:
        return kind, "wrong"
    off = alignment.place(corners(), _worker["aligner"].size) - truth
    return kind, "wrong" if np.hypot(*off.T).max() > FAR_PX * alignment.scale else "in place"


def copy_of(rng: Rng) -> GrayImage:
    return compose_copy(rng, _worker["digits"], KINDS[int(rng.integers(2))]).picture


# A page that must be rejected, and where it has the fields' corners, if it has them all.
Stranger = tuple[GrayImage, Floats | None]


def half(rng: Rng) -> Stranger:
    page = copy_of(rng)
    height, width = page.shape
    share = rng.uniform(0.4, 0.6)
    if rng.random() < 0.5:
        cut = int(share * height)
        return (page[:cut] if rng.random() < 0.5 else page[cut:]), None
    cut = int(share * width)
    return (page[:, :cut] if rng.random() < 0.5 else page[:, cut:]), None


def covered(rng: Rng) -> Stranger:
    """Something, such as a hand, lies over the table's middle."""
    page = copy_of(rng).copy()
    height, width = page.shape
    middle = int(width * rng.uniform(0.45, 0.55)), int(height * rng.uniform(0.45, 0.6))
    axes = int(width * rng.uniform(0.18, 0.3)), int(height * rng.uniform(0.15, 0.25))
    cv2.ellipse(page, middle, axes, float(rng.uniform(0, 90)), 0, 360, int(rng.integers(60, 200)), -1)
    return page, None


def other_version(rng: Rng) -> Stranger:
    """The blank form with its lower fields moved by 15 to 40 px.

    Moved by less than sheets bend they may be found where they are, which is right.
    """
    page = blank_form()[0].copy()
    down = int(rng.integers(15, 41))
    block = page[slice(*MOVED)].copy()
    page[slice(*MOVED)] = 255
    page[MOVED[0] + down : MOVED[1] + down] = block
    places = corners() + np.array([0.0, down]) * (corners()[:, 1:] > MOVED[0])
    return speckled(rng, page), VERSION_SCALE * places


def other_form(rng: Rng) -> Stranger:
    """Boxes, a table and text elsewhere than the form has them."""
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    for _ in range(int(rng.integers(20, 60))):
        x, y = int(rng.integers(60, WIDTH - 300)), int(rng.integers(60, HEIGHT - 80))
        if rng.random() < 0.4:
            n, side = int(rng.integers(2, 9)), int(rng.integers(30, 80))
            for i in range(n):
                cv2.rectangle(page, (x + i * side, y), (x + (i + 1) * side, y + side), 40, 2)
        else:
            word = "".join(chr(c) for c in rng.integers(97, 123, int(rng.integers(3, 20))))
            cv2.putText(page, word, (x, y), int(rng.integers(8)), float(rng.uniform(0.7, 1.6)), 40, 2, cv2.LINE_AA)
    return speckled(rng, page), None


def speckled(rng: Rng, page: GrayImage) -> GrayImage:
    small = cv2.resize(page, None, fx=VERSION_SCALE, fy=VERSION_SCALE, interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(small + rng.normal(0, 4, small.shape), 0, 255), np.uint8)


STRANGERS: dict[str, Callable[[Rng], Stranger]] = {
    "half of a page": half,
    "fields covered": covered,
    "another version of the form": other_version,
    "another form": other_form,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--blind", action="store_true", help="digits of DATA/blind, too")
    parser.add_argument("--second-opinion", action="store_true", help="fields are read by two networks (extra `pages`)")
    parser.add_argument("--copies", type=int, default=200)
    parser.add_argument("--strangers", type=int, default=400)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    sources: dict[str, Callable[[], Digits]] = {"MNIST's test set": of_mnist}
    if given.data:
        sources["other digits, studied by the authors"] = partial(of_folder, given.data / "digits")
    if given.data and given.blind:
        sources["other digits, seen by nobody"] = partial(of_folder, given.data / "blind" / "digits")
    scores, outcomes, speeds = {}, Counter[tuple[str, str]](), []
    with tempfile.TemporaryDirectory() as folder:
        save_demo_form(Path(folder))
        for name, source in sources.items():
            with ProcessPoolExecutor(
                PROCESSES, initializer=start_worker, initargs=(source, folder, given.second_opinion)
            ) as pool:
                scores[name] = total(list(pool.map(score_copy, range(given.copies))))
                if source is of_mnist:
                    outcomes.update(pool.map(outcome_of_stranger, range(given.strangers)))
        start_worker(of_mnist, folder, given.second_opinion)
        cv2.setNumThreads(PROCESSES)
        speeds = [seconds_of(number) for number in range(12)]
    publish(
        "forms",
        "Forms",
        [fields_table(scores), review_table(scores), pages_table(scores, outcomes)],
        notes=[
            f"The reviewer keys a wrong digit in {percent(HUMAN_ERROR, 2)} of values, as people do: keying once leaves "
            "so many wrong, keying twice 0.14 % (Paulsen 2020).",
            f"A page takes {statistics.median(speeds):.2f} s in one process with two threads (median of {len(speeds)}, "
            f"{60 / statistics.median(speeds):.0f} a minute), from its picture to its values.",
        ],
        figures={
            "copies": {name: dict(score.counts) | {"worst_px": score.worst_px} for name, score in scores.items()},
            "strangers": {f"{kind}: {outcome}": n for (kind, outcome), n in outcomes.items()},
            "seconds": speeds,
        },
        path=given.json,
    )


def total(scores: list[Score]) -> Score:
    return Score([px for s in scores for px in s.worst_px], sum((s.counts for s in scores), Counter[str]()))


def seconds_of(number: int) -> float:
    copy = compose_copy(np.random.default_rng((13, number)), _worker["digits"], KINDS[number % 2])
    started = time.perf_counter()
    with_rules(_worker["reader"].form, _worker["reader"].read_page(copy.picture)[1])
    return time.perf_counter() - started


def fields_table(scores: dict[str, Score]) -> Table:
    rows = []
    for name, score in scores.items():
        n = score.counts
        rows.append(
            (name, f"{n['fields']:,}", percent(n["right"] / n["fields"], 1), percent(n["accepted"] / n["fields"], 1),
             f"{n['accepted_wrong']:,} ({percent(n['accepted_wrong'] / n['accepted'], 2)})")
        )  # fmt: skip
    return Table("Fields before review", ("digits of", "fields", "right", "accepted", "wrong among those"), rows)


def review_table(scores: dict[str, Score]) -> Table:
    rows = []
    for name, score in scores.items():
        n = score.counts
        rows.append(
            (name, percent(n["keyed"] / n["fields"], 1), f"{n['keys'] / n['digits']:.2f}",
             f"{n['all_keys'] / n['digits']:.2f}", percent(n["wrong_afterwards"] / n["fields"], 2))
        )  # fmt: skip
    header = (
        "digits of",
        "fields a person sees",
        "keys a digit",
        "keys a digit, keying all",
        "fields wrong afterwards",
    )
    return Table("With a review of what is not accepted", header, rows)


def pages_table(scores: dict[str, Score], outcomes: Counter[tuple[str, str]]) -> Table:
    rows = []
    for name, score in scores.items():
        worst = np.array(score.worst_px)
        rows.append(
            (f"copies, {name}", f"{score.counts['copies']:,}", f"{score.counts['rejected']:,}",
             f"{int((worst > FAR_PX).sum()):,}", percent(float((worst <= NEAR_PX).mean()), 1), f"{worst.max():.1f}")
        )  # fmt: skip
    for kind in STRANGERS:
        rejected, wrong, in_place = (outcomes[kind, outcome] for outcome in ("rejected", "wrong", "in place"))
        near = f"{in_place:,} accepted, fields found" if in_place else "-"
        rows.append((kind, f"{rejected + wrong + in_place:,}", f"{rejected:,}", f"{wrong:,}", near, "-"))
    header = (
        "pages", "n", "rejected", f"wrongly accepted (a field more than {FAR_PX:g} px off)",
        f"all fields within {NEAR_PX:g} px", "worst, px",
    )  # fmt: skip
    return Table("Pages laid on the template (pixels of 200 to an inch)", header, rows)


if __name__ == "__main__":
    main()
