"""Whether ink vanishes: digits of synthetic sheets that no part of the answer mentions.

    python benchmarks/vanish.py [--sheets 2000] [--first SEED] [--pages] [--show] [--json FILE]

Each sheet (`training/synthesis/sheets.py`, MNIST's training images) has 2 to 7 lines of 1 to 9 digits in one to three
numbers. A digit is accounted for if half of its ink lies in the boxes of digits of the answer that are not
another one's and of ink that was left out, or if its row is not accepted. All others vanished; they are counted by what
stands in their place. `--pages` reads with PP-OCR's text detector too (extra `pages`).
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import Table, percent, publish

from inkdigits.arrays import Box, GrayImage
from inkdigits.data.loading import load_mnist
from inkdigits.data.splits import Split
from inkdigits.reading.geometry import hull_of
from inkdigits.reading.reader import Reader
from inkdigits.reading.results import PageReading
from inkdigits.training.synthesis.sheets import compose_labelled_sheet

CAUSES = {
    "swallowed": "in the box of another digit, in an accepted row",
    "skipped": "in no box, beside digits of its line that are accepted",
    "no row": "nothing of its line is in the answer",
}
WIDTH_PX = 1000
PITCH_PX = (60, 100)  # of lines: with more, nine digits may be too long for a sheet


def sheet(train: Split, seed: int) -> tuple[GrayImage, list[list[Box]]]:
    """Return one of the sheets and the boxes of its digits, line by line."""
    rng = np.random.default_rng(seed)
    lines, pitch = [line(rng) for _ in range(rng.integers(2, 8))], rng.uniform(*PITCH_PX)
    return compose_labelled_sheet(train, lines, seed, (WIDTH_PX, round(pitch * (len(lines) + 1.2))))


def line(rng: np.random.Generator) -> str:
    """Return one to three numbers of up to three digits."""
    numbers = ["".join(map(str, rng.integers(0, 10, rng.integers(1, 4)))) for _ in range(rng.integers(1, 4))]
    return " ".join(numbers)


def vanished(image: GrayImage, page: PageReading, lines: Sequence[Sequence[Box]]) -> list[tuple[int, int, str]]:
    """Return the digits that nothing in an answer accounts for: line, place in it, cause (see `CAUSES`).

    Args:
        image: uint8 (H, W), dark ink on light paper.
        page: the answer.
        lines: for each line on the picture the boxes of its digits.
    """
    places = [(row, index) for row, boxes in enumerate(lines) for index in range(len(boxes))]
    boxes = [lines[row][index] for row, index in places]
    own: dict[int, list[Box]] = {}
    lines_with: dict[bool, set[int]] = {True: set(), False: set()}  # accepted or not -> lines that it has digits of
    for answer in page.lines:
        for item in answer.items:
            # Each digit of the answer is the one on the page that it has most in common with.
            shared = [_shared(item.box, box) for box in boxes]
            best = int(np.argmax(shared))
            if shared[best] > 0:
                own.setdefault(best, []).append(item.box)
                lines_with[answer.accepted].add(places[best][0])
    told = [ink.box for ink in page.left_out]
    told += [hull_of([item.box for item in answer.items]) for answer in page.lines if not answer.accepted]
    missing = []
    for number, (row, index) in enumerate(places):
        if row in lines_with[False] or _is_covered(image, boxes[number], told + own.get(number, [])):
            continue
        others = [item.box for answer in page.lines for item in answer.items]
        is_swallowed = _is_covered(image, boxes[number], others)
        missing.append(
            (row, index, "swallowed" if is_swallowed else "skipped" if row in lines_with[True] else "no row")
        )
    return missing


def _shared(box: Box, other: Box) -> int:
    """Return the area in pixels that two boxes share."""
    across = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    down = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    return max(across, 0) * max(down, 0)


def _is_covered(image: GrayImage, digit: Box, boxes: Sequence[Box]) -> bool:
    """Say whether boxes together cover half of a digit's ink."""
    left, top, width, height = digit
    crop = image[top : top + height, left : left + width]
    ink = crop < (int(crop.min()) + float(np.percentile(crop, 90))) / 2
    covered = np.zeros((height, width), bool)
    for x, y, wide, tall in boxes:
        covered[max(0, y - top) : max(0, y + tall - top), max(0, x - left) : max(0, x + wide - left)] = True
    return bool(covered[ink].mean() >= 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheets", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first sheet")
    parser.add_argument("--pages", action="store_true", help="with PP-OCR's text detector, as the extra pages reads")
    parser.add_argument("--show", action="store_true", help="name each digit that vanished")
    parser.add_argument("--json", type=Path, default=None, help="keep the figures here")
    given = parser.parse_args()
    train, _ = load_mnist()
    reader = Reader(text_detector=given.pages)
    found: Counter[str] = Counter()
    for seed in range(given.first, given.first + given.sheets):
        image, lines = sheet(train, seed)
        page = reader.read_page(image)
        missing = vanished(image, page, lines)
        found.update(cause for _, _, cause in missing)
        found.update(digits=sum(map(len, lines)), rows=len(lines), accepted=sum(each.accepted for each in page.lines))
        for row, index, cause in missing if given.show else ():
            print(f"seed {seed} line {row} digit {index}: {cause}; {lines[row][index]}", file=sys.stderr)
    n = found["digits"]
    rows = [(words, str(found[cause]), percent(found[cause] / n, 4)) for cause, words in CAUSES.items()]
    publish(
        "vanish",
        "Ink that vanishes",
        [Table("", ("digits that vanished", "n", f"of {n:,} digits on {given.sheets:,} sheets"), rows)],
        notes=[f"{found['accepted']:,} rows of {found['rows']:,} lines are accepted."],
        figures={"sheets": given.sheets, "digits": n, **{cause: found[cause] for cause in CAUSES}},
        path=given.json,
    )


if __name__ == "__main__":
    main()
