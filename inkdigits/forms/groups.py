"""Group screens: cut-outs that were all read as the same digit, for a person to look through at once.

Shown are digits of which the place is known: boxes of a comb that are all filled in, and values of one digit. They come
from accepted fields that nobody has keyed. Among them stand controls, cut-outs that are known to be another digit since
people keyed them: how many of those a person finds says how attentively the others were looked at. A glance is weaker
than keying: fields accepted so stay in the population that promises are made for.
"""

import json
import random
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from inkdigits.arrays import Box, GrayImage
from inkdigits.errors import FormError
from inkdigits.evaluation.text import counted
from inkdigits.forms.fields import cells_of
from inkdigits.forms.ink import ink_of
from inkdigits.forms.template import FormField

# `control`: the digit that it is known to be; `marked`: what a person said that it is, "" for no digit.
SCHEMA = (
    """CREATE TABLE screens (
        id INTEGER PRIMARY KEY, digit TEXT NOT NULL, last INTEGER NOT NULL, reviewer TEXT NOT NULL,
        until REAL NOT NULL, time REAL
    )""",
    """CREATE TABLE cuts (
        screen INTEGER NOT NULL REFERENCES screens, position INTEGER NOT NULL, field INTEGER NOT NULL REFERENCES fields,
        place INTEGER NOT NULL, box TEXT NOT NULL, control TEXT, marked TEXT, PRIMARY KEY (screen, position)
    ) WITHOUT ROWID""",
)
CUTS, COLUMNS = 40, 8  # of a screen
CONTROLS = 2  # among them, where so many are known
KNOWN = 200  # fields among which controls are looked for
LEASE_S = 600.0
TILE = (72, 72)  # pixels, width and height
ROOM = 0.06  # of a box's height that is shown around it


@dataclass(frozen=True)
class Screen:
    """A screen to look through.

    Attributes:
        screen: its number.
        digit: what all was read as.
        n: how many cut-outs there are.
    """

    screen: int
    digit: str
    n: int


@dataclass(frozen=True)
class Attention:
    """How people looked through screens.

    Attributes:
        screens: that were accepted.
        controls: cut-outs of another digit that were among them.
        found: of these, those that were marked.
    """

    screens: int
    controls: int
    found: int

    def __str__(self) -> str:
        screens, controls = counted(self.screens, "group screen"), counted(self.controls, "control")
        return f"{screens} accepted, found {self.found:,} of {controls}"


class Groups:
    """The group screens in a job's database; each call belongs into a transaction of the caller.

    Args:
        connection: to the job.
        parts: the form's fields by name.
    """

    def __init__(self, connection: sqlite3.Connection, parts: Mapping[str, FormField]) -> None:
        self._db = connection
        self._parts = parts

    def next(self, reviewer: str, n: int) -> list[Screen]:
        """Return the next screens of a reviewer, who has them for ten minutes; fewer where not so many are left."""
        now = time.time()
        mine = self._db.execute(
            "SELECT id FROM screens WHERE time IS NULL AND (reviewer = ? OR until < ?) ORDER BY id LIMIT ?",
            (reviewer, now, n),
        ).fetchall()
        numbers = [row[0] for row in mine]
        while len(numbers) < n and (made := self._make(reviewer)) is not None:
            numbers.append(made)
        for number in numbers:
            self._db.execute(
                "UPDATE screens SET reviewer = ?, until = ? WHERE id = ?", (reviewer, now + LEASE_S, number)
            )
        return [self._screen(number) for number in numbers]

    def accept(self, reviewer: str, screen: int, marked: Mapping[int, str]) -> dict[int, str]:
        """Note that a reviewer looked through a screen; return the texts of fields that differ from what was read.

        Args:
            reviewer: who has the screen.
            screen: its number.
            marked: of positions from 0 on, the digit that is written there instead, "" for none.

        Raises:
            FormError: the reviewer does not have this screen.
        """
        done = self._db.execute(
            "UPDATE screens SET time = ? WHERE id = ? AND reviewer = ? AND time IS NULL",
            (time.time(), screen, reviewer),
        ).rowcount
        if not done:
            raise FormError(f"screen {screen} is not open for {reviewer}; ask for the next one")
        self._db.executemany(
            "UPDATE cuts SET marked = ? WHERE screen = ? AND position = ?",
            [(text, screen, position) for position, text in marked.items()],
        )
        rows = self._db.execute(
            """SELECT field, place, marked, text FROM cuts JOIN fields ON fields.id = field
               WHERE screen = ? AND marked IS NOT NULL AND control IS NULL AND field NOT IN (SELECT field FROM audit)
               ORDER BY field, place DESC""",
            (screen,),
        )
        texts: dict[int, str] = {}
        for field, place, mark, text in rows:
            before = texts.get(field, text)
            texts[field] = f"{before[:place]}{mark}{before[place + 1 :]}"
        return texts

    def attention(self) -> Attention:
        """Return how many screens were accepted and how many of their controls were found."""
        (screens,) = self._db.execute("SELECT count(*) FROM screens WHERE time IS NOT NULL").fetchone()
        controls, found = self._db.execute(
            """SELECT count(*), count(marked) FROM screens JOIN cuts ON cuts.screen = screens.id
               WHERE time IS NOT NULL AND control IS NOT NULL"""
        ).fetchone()
        return Attention(screens, controls, found)

    def boxes(self, screen: int) -> list[tuple[int, str, Box]]:
        """Return of each cut-out its position, its page's picture and its box; none where there is no such screen."""
        rows = self._db.execute(
            """SELECT position, picture, box FROM cuts JOIN fields ON fields.id = field JOIN pages ON pages.id = page
               WHERE screen = ? ORDER BY picture""",
            (screen,),
        )
        return [(position, picture, tuple(json.loads(box))) for position, picture, box in rows]

    def _screen(self, number: int) -> Screen:
        digit, n = self._db.execute(
            "SELECT digit, count(*) FROM screens JOIN cuts ON cuts.screen = screens.id WHERE screens.id = ?", (number,)
        ).fetchone()
        return Screen(number, digit, n)

    def _make(self, reviewer: str) -> int | None:
        """Make a screen of the first digit of which something is left; return its number, None where nothing is."""
        for digit in "0123456789":
            controls = self._controls(digit)
            cuts: list[tuple[int, int, Box]] = []
            last = 0
            for field, found in self._unseen(digit):
                if cuts and len(cuts) + len(found) > CUTS - len(controls):
                    break
                cuts += [(field, place, box) for place, box in found]
                last = field
            if cuts:
                return self._keep(reviewer, digit, last, cuts, controls)
        return None

    def _keep(
        self,
        reviewer: str,
        digit: str,
        last: int,
        cuts: Sequence[tuple[int, int, Box]],
        controls: Sequence[tuple[int, int, Box, str]],
    ) -> int:
        made = self._db.execute(
            "INSERT INTO screens VALUES (NULL, ?, ?, ?, 0, NULL)", (digit, last, reviewer)
        ).lastrowid
        assert made is not None
        shown = [*((*cut, None) for cut in cuts), *controls]
        at = set(random.sample(range(len(shown)), len(controls)))
        plain, known = iter(shown[: len(cuts)]), iter(shown[len(cuts) :])
        for position in range(len(shown)):
            field, place, box, control = next(known if position in at else plain)
            row = (made, position, field, place, json.dumps(box), control)
            self._db.execute("INSERT INTO cuts VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
        return made

    def _unseen(self, digit: str) -> Iterator[tuple[int, list[tuple[int, Box]]]]:
        """Yield accepted fields with a digit that no screen has had yet, and where in them it stands."""
        rows = self._db.execute(
            """SELECT id, name, text FROM fields
               WHERE id > (SELECT coalesce(max(last), 0) FROM screens WHERE digit = ?) AND accepted AND instr(text, ?)
               AND id NOT IN (SELECT field FROM audit)
               AND NOT EXISTS (SELECT 1 FROM decisions WHERE field = fields.id AND NOT undone) ORDER BY id""",
            (digit, digit),
        )
        for field, name, text in rows:
            found = [(place, box) for place, box in places_of(self._parts[name], text) if text[place] == digit]
            if found:
                yield field, found

    def _controls(self, digit: str) -> list[tuple[int, int, Box, str]]:
        """Return cut-outs that people keyed as another digit: those first that the reader took for this one."""
        rows = self._db.execute(
            """SELECT id, name, text, reading FROM fields WHERE accepted AND id IN
               (SELECT field FROM decisions WHERE NOT undone) ORDER BY random() LIMIT ?""",
            (KNOWN,),
        )
        found = []
        for field, name, text, reading in rows:
            read = json.loads(reading)["text"]
            for place, box in places_of(self._parts[name], text):
                if text[place] != digit:
                    is_likely = len(read) == len(text) and read[place] == digit
                    found.append((not is_likely, random.random(), (field, place, box, text[place])))
        return [each for _, _, each in sorted(found)[:CONTROLS]]


def places_of(field: FormField, text: str) -> list[tuple[int, Box]]:
    """Return the places of a text's digits on the template, as far as they are known: index and box."""
    if not text.isdecimal():
        return []
    if field.layout == "comb" and field.cells == len(text):
        return list(enumerate(cells_of(field)))
    return [(0, field.box)] if len(text) == 1 else []


def tile(page: GrayImage, box: Box) -> GrayImage:
    """Return a cut-out as a tile of a screen, uint8 `TILE`: all of a box that is written on, as large as it can be.

    Args:
        page: uint8 (H, W), as it lies on the template.
        box: of a digit on it.
    """
    x, y, width, height = box
    room = round(ROOM * height)
    cut = page[max(0, y - room) : y + height + room, max(0, x - room) : x + width + room]
    inner = ink_of(cut)[:, 2 * room : cut.shape[1] - 2 * room]
    columns = np.flatnonzero(inner[2 * room : -2 * room or None].any(axis=0)) + 2 * room
    if columns.size and cut.shape[1] > cut.shape[0]:
        middle = int(columns[0] + columns[-1]) // 2
        half = max(cut.shape[0], int(columns[-1] - columns[0]) + 4 * room) // 2
        left = min(max(0, middle - half), max(0, cut.shape[1] - 2 * half))
        cut = cut[:, left : left + 2 * half]
    scale = min(TILE[0] / cut.shape[1], TILE[1] / cut.shape[0])
    size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
    small = cv2.resize(cut, size, interpolation=cv2.INTER_AREA)
    top, left = (TILE[1] - size[1]) // 2, (TILE[0] - size[0]) // 2
    made = np.full((TILE[1], TILE[0]), 255, np.uint8)
    made[top : top + size[1], left : left + size[0]] = small
    return made
