"""A stack of filled forms as a folder: what was read, what people keyed, who did and when.

The folder holds `job.sqlite3`, the template (`form/`) and a picture of each page (`pages/`). A form is stored in one
transaction, a keyed value in another: killing the program loses at most the form in progress, which is read again.
"""

import itertools
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from inkdigits.arrays import Floats, GrayImage
from inkdigits.errors import FormError
from inkdigits.files.storage import PassedOver, cannot_write, whole_folder
from inkdigits.forms import audit
from inkdigits.forms.audit import Audit, Kept, Standing, Stated
from inkdigits.forms.fields import FieldReading, with_rules
from inkdigits.forms.groups import Attention, Groups, Screen
from inkdigits.forms.job_store import DATABASE, JobStore, create
from inkdigits.forms.keying import KEYED_OTHERWISE, Outcome, is_confirmed, keyed_text, known, means_same, outcome_of
from inkdigits.forms.pictures import PageStore
from inkdigits.forms.read import Basis, FormAnswer, FormReader, PagePool, missing_pages
from inkdigits.forms.template import Form, fingerprint, load_form, load_picture, save_form

LEASE_S = 120.0
LONGEST_NAME = 64  # of a reviewer


@dataclass(frozen=True)
class Task:
    """A field that a person is to key.

    Attributes:
        field: its number in the job.
        form: of the form, from 1 on.
        name, type, decimals: of the field.
        problem: what is wrong with it, "" where it is only in doubt.
    """

    field: int
    form: int
    name: str
    type: str
    decimals: int
    problem: str


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        forms, fields: that were read.
        pages_left: rejected pages that nobody has aligned or discarded.
        rules_left, doubts_left: fields to key that break a rule, and others.
        audits_left: accepted fields that are keyed to know how many of these are wrong.
        decisions: values that were keyed.
        seconds_each: the median time between two of them, None before there are ten.
        attention: how group screens were looked through.
    """

    forms: int
    fields: int
    pages_left: int
    rules_left: int
    doubts_left: int
    audits_left: int
    decisions: int
    seconds_each: float | None
    attention: Attention


class Job:
    """A folder of read forms. Thread-safe; several processes may review at once, one may read.

    Args:
        folder: one that `Job.begin` made.

    Raises:
        FormError: it is none.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not ((self.folder / "form" / "form.json").is_file() and (self.folder / DATABASE).is_file()):
            raise FormError(f"{folder}: not a job; `inkdigits form read` makes one")
        self.form: Form = load_form(self.folder / "form")
        self._parts = {part.name: part for part in self.form.parts()}
        self._unique = [name for name, part in self._parts.items() if part.constraints.unique]
        self._template = fingerprint(self.form)
        self._store = JobStore(self.folder)
        self._session, self._writing = self._store.session, self._store.writing
        self._pictures = PageStore(self.folder)

    @classmethod
    def begin(cls, folder: str | Path, template: str | Path) -> "Job":
        """Return the job in a folder, made from a template where there is none yet.

        Raises:
            FormError: the template is none, or the job is of another one.
            OutputError: the folder cannot be written.
        """
        source = Path(template) if Path(template).is_dir() else Path(template).parent
        form = load_form(template)
        if not (Path(folder) / "form").exists():
            try:
                with whole_folder(Path(folder)) as new:
                    (new / "form").mkdir()
                    (new / "pages").mkdir()
                    create(new)
                    save_form(form, new / "form" / "form.json")
                    for number, page in enumerate(form.pages):
                        load_picture(form, source, number)  # its hash is checked
                        shutil.copyfile(source / page.picture, new / "form" / page.picture)
            except OSError as error:
                raise cannot_write(folder, error) from None
        job = cls(folder)
        if job.form != form:
            raise FormError(f"{folder}: a job of another version of the form; name another --job, or delete this one")
        return job

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    # -------------------------------------------------------------------------------------------------------- reading

    def read(
        self,
        reader: FormReader,
        scans: Sequence[str | Path],
        report: Callable[[int, int], None] = lambda done, all_: None,
        passed_over: PassedOver | None = None,
        pool: PagePool | None = None,
    ) -> Iterator[FormAnswer]:
        """Read scans that the job has not yet, keep each form, and yield it; see `FormReader.read`.

        Raises:
            InputError: a file is missing, or there is none.
            FormError: another process reads into the job.
            OutputError: it cannot be written.
        """
        try:
            with FileLock(self.folder / "reading.lock", timeout=0):
                with self._session() as connection:
                    seen = dict(connection.execute("SELECT source, digest FROM pages"))
                basis = reader.basis
                for answer in reader.read(scans, report, seen, passed_over, pool):
                    yield self.add(answer, basis)
        except Timeout:
            raise FormError(f"{self.folder}: another process reads into this job; wait for it to end") from None

    def add(self, answer: FormAnswer, basis: Basis | None = None) -> FormAnswer:
        """Keep a form or a page that is none; return it with what the job's other forms say of it.

        Args:
            answer: as the reader gave it.
            basis: what it was read with, None where that is not known.
        """
        pictures = {page.digest: page.flat for page in answer.pages}
        if answer.scan is not None:
            pictures[answer.digest] = answer.scan
        names = {digest: self._pictures.keep(digest, picture) for digest, picture in pictures.items()}
        with self._writing() as connection:
            if not answer.pages:
                connection.execute(
                    "INSERT INTO pages VALUES (NULL, ?, ?, NULL, NULL, ?, ?, NULL)",
                    (answer.sources[0], answer.digest, answer.problem, names.get(answer.digest, "")),
                )
                return answer
            form = connection.execute("INSERT INTO forms VALUES (NULL, ?)", (answer.problem,)).lastrowid
            assert form is not None
            read_with = audit.basis_of(connection, basis or Basis("", "", self._template))
            pages = []
            for page in answer.pages:
                row = (page.source, page.digest, form, page.number, "", names[page.digest], read_with)
                number = connection.execute("INSERT INTO pages VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", row).lastrowid
                assert number is not None
                self._add_fields(connection, form, number, page.digest, page.readings)
                pages.append(number)
            self._weigh(connection, form)
            for number in pages:
                self._audit(connection).watch_page(number)
            return self._answer(connection, form, answer.problem)

    def align(self, reader: FormReader, page: int, number: int, anchors: Floats) -> None:
        """Read a rejected page that somebody aligned with the template by four clicks.

        It joins the nearest form that lacks it, or is a form of its own.

        Args:
            reader: of the same template.
            page: its number in the job.
            number: of the form's page that it is.
            anchors: (4, 2), where `reader.anchors(number)` lie in its picture.

        Raises:
            AlignmentError: no sheet lies so.
            FormError: there is no such page to align.
        """
        with self._session() as connection:
            row = connection.execute(
                "SELECT picture, digest FROM pages WHERE id = ? AND problem <> ''", (page,)
            ).fetchone()
        if row is None or not row[0]:
            raise FormError(f"page {page} of the job is none that can be aligned")
        scan = self._pictures.decoded(row[0])
        flat, readings = reader.read_aligned(scan, number, anchors)
        picture = self._pictures.keep(sha256(flat.tobytes()).hexdigest(), flat)
        with self._writing() as connection:
            form = self._form_without(connection, page, number)
            if form is None:
                form = connection.execute("INSERT INTO forms VALUES (NULL, '')").lastrowid
            assert form is not None
            done = connection.execute(
                "UPDATE pages SET form = ?, number = ?, problem = '', picture = ?, basis = ? "
                "WHERE id = ? AND problem <> ''",
                (form, number, picture, audit.basis_of(connection, reader.basis), page),
            ).rowcount
            if not done:
                raise FormError(f"page {page} of the job was aligned by somebody else")
            self._add_fields(connection, form, page, row[1], readings)
            numbers = [each[0] for each in connection.execute("SELECT number FROM pages WHERE form = ?", (form,))]
            connection.execute("UPDATE forms SET problem = ? WHERE id = ?", (missing_pages(self.form, numbers), form))
            self._weigh(connection, form)
            self._audit(connection).watch_page(page)

    def discard(self, page: int) -> None:
        """Note that a rejected page is not this form."""
        with self._writing() as connection:
            connection.execute("UPDATE pages SET picture = '' WHERE id = ? AND form IS NULL", (page,))

    def _form_without(self, connection: sqlite3.Connection, page: int, number: int) -> int | None:
        """Return the form, of those with pages read beside a page, that lacks one of this number."""
        row = connection.execute(
            """SELECT form FROM pages WHERE form IS NOT NULL AND abs(id - ?) <= ? AND form NOT IN
               (SELECT form FROM pages WHERE number = ? AND form IS NOT NULL) ORDER BY abs(id - ?) LIMIT 1""",
            (page, len(self.form.pages), number, page),
        ).fetchone()
        return None if row is None else int(row[0])

    def _add_fields(
        self, connection: sqlite3.Connection, form: int, page: int, digest: str, readings: Sequence[FieldReading]
    ) -> None:
        connection.executemany(
            "INSERT INTO fields VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            [
                (form, page, r.name, json.dumps(asdict(r)), audit.lot_of(digest, r.name), r.text, r.confidence,
                 r.accepted, r.problem, r.is_repaired)
                for r in readings
            ],
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------------------- state

    def answers(self) -> Iterator[FormAnswer]:
        """Yield what stands now: each form, then each page that is none."""
        with self._session() as connection:
            forms = connection.execute("SELECT id, problem FROM forms ORDER BY id").fetchall()
        for form, problem in forms:
            with self._session() as connection:
                answer = self._answer(connection, form, problem)
            yield answer
        with self._session() as connection:
            pages = connection.execute("SELECT source, problem FROM pages WHERE form IS NULL ORDER BY id").fetchall()
        for source, problem in pages:
            yield FormAnswer([source], problem=problem)

    def history(self) -> Iterator[dict[str, Any]]:
        """Yield what people keyed or accepted, the oldest first.

        Each has form, field, text, reviewer, time (s since 1970), undone, and how: "keyed", "marked in group 12", or
        "accepted in group 12", where the text is one digit of the field's.
        """
        query = """SELECT fields.form, fields.name, decisions.text, reviewer, time, undone,
                       CASE WHEN screen IS NULL THEN 'keyed' ELSE 'marked in group ' || screen END
                   FROM decisions JOIN fields ON fields.id = decisions.field
                   UNION ALL SELECT fields.form, fields.name, digit, reviewer, time, 0, 'accepted in group ' || screen
                   FROM screens JOIN cuts ON cuts.screen = screens.id JOIN fields ON fields.id = cuts.field
                   WHERE time IS NOT NULL AND control IS NULL AND marked IS NULL ORDER BY 5"""
        with self._session() as connection:
            for row in connection.execute(query):
                yield dict(zip(("form", "field", "text", "reviewer", "time", "undone", "how"), row, strict=True))

    def keyed(self, reader: FormReader) -> Iterator[tuple[GrayImage, str]]:
        """Yield each field of which a person keyed the value that stands, without what is printed in it, and the value.

        Args:
            reader: of the job's form.

        Raises:
            FormError: a page's picture is gone.
        """
        query = """SELECT picture, number, name, text FROM fields JOIN pages ON pages.id = page
                   WHERE accepted AND text <> '' AND fields.id IN (SELECT field FROM decisions WHERE NOT undone)
                   ORDER BY pages.id, fields.id"""
        with self._session() as connection:
            rows = connection.execute(query).fetchall()
        for (picture, number), fields in itertools.groupby(rows, key=lambda row: row[:2]):
            page = reader.without_print(self._pictures.decoded(picture), number)
            for _, _, name, text in fields:
                x, y, width, height = self._parts[name].box
                yield np.ascontiguousarray(page[y : y + height, x : x + width]), text

    def progress(self) -> Progress:
        """Return how far the job is."""
        with self._session() as connection:

            def count(query: str) -> int:
                return int(connection.execute(f"SELECT count(*) FROM {query}").fetchone()[0])

            left = dict(connection.execute("SELECT name, n FROM counts"))
            # Audited fields are keyed for the audit; so few of them are counted. CROSS: these first.
            audited = dict(
                connection.execute(
                    """SELECT problem = '', count(*) FROM audit CROSS JOIN fields ON fields.id = field
                       WHERE accepted = 0 GROUP BY problem = ''"""
                )
            )
            times = [row[0] for row in connection.execute("SELECT time FROM decisions ORDER BY id DESC LIMIT 100")]
            return Progress(
                count("forms"),
                left["fields"],
                count("pages WHERE form IS NULL AND picture <> ''"),
                left["rules"] - audited.get(0, 0),
                left["doubts"] - audited.get(1, 0),
                count("audit WHERE right IS NULL"),
                count("decisions") - count("decisions WHERE undone"),
                float(np.median(-np.diff(times))) if len(times) >= 10 else None,
                Groups(connection, self._parts).attention(),
            )

    def _answer(self, connection: sqlite3.Connection, form: int, problem: str) -> FormAnswer:
        sources = [
            row[0] for row in connection.execute("SELECT source FROM pages WHERE form = ? ORDER BY number", (form,))
        ]
        return FormAnswer(sources, self._readings(connection, form), problem)

    def _readings(self, connection: sqlite3.Connection, form: int, as_read: bool = False) -> list[FieldReading]:
        """Return a form's fields in the template's order, as they stand or as they were read."""
        rows = connection.execute(
            "SELECT reading, text, confidence, accepted, problem, repaired FROM fields WHERE form = ?", (form,)
        )
        found = {}
        for reading, text, confidence, accepted, problem, repaired in rows:
            stored = json.loads(reading)
            stored |= {"box": tuple(stored["box"]), "candidates": tuple(map(tuple, stored["candidates"]))}
            each = FieldReading(**stored)
            if not as_read:
                state = {"text": text, "confidence": confidence, "accepted": bool(accepted), "problem": problem}
                each = replace(each, **state, is_repaired=bool(repaired), candidates=())
            found[each.name] = each
        return [found[name] for name in self._parts if name in found]

    def _weigh(self, connection: sqlite3.Connection, form: int) -> None:
        """Put together what was read and keyed on a form, ask its rules, and keep what stands."""
        keyed = self._keyed(connection, form)
        seen = self._readings(connection, form, as_read=True)
        basis, threshold, of_repaired = self._audit(connection).thresholds()
        promised = {
            row[0]
            for row in connection.execute(
                "SELECT name FROM fields JOIN pages ON pages.id = page WHERE fields.form = ? AND basis = ?",
                (form, basis),
            )
        }

        def is_accepted(each: FieldReading) -> bool:
            if is_confirmed(keyed.get(each.name, [])):
                return True  # what was keyed twice alike stands, whatever the rules say of it
            least = 0.0 if each.name not in promised else of_repaired if each.is_repaired else threshold
            return each.accepted and each.confidence >= least

        weighed = [
            replace(each, accepted=is_accepted(each))
            for each in self._with_unique(
                connection, form, with_rules(self.form, [self._with_keyed(each, keyed) for each in seen])
            )
        ]
        connection.executemany(
            """UPDATE fields SET text = ?, confidence = ?, accepted = ?, problem = ?, repaired = ?
               WHERE form = ? AND name = ?""",
            [(r.text, r.confidence, r.accepted, r.problem, r.is_repaired, form, r.name) for r in weighed],
        )
        self._audit(connection).join(form)

    def _keyed(self, connection: sqlite3.Connection, form: int) -> dict[str, list[str]]:
        """Return what was keyed for a form's fields, the oldest first; note of audited ones whether they are right.

        An audited field has nothing keyed until two keyings agree; then it has that, as confirmed.
        """
        keyed: dict[str, list[str]] = {}
        for name, text in connection.execute(
            """SELECT name, decisions.text FROM decisions JOIN fields ON fields.id = field
               WHERE form = ? AND NOT undone ORDER BY decisions.id""",
            (form,),
        ):
            keyed.setdefault(name, []).append(text)
        audited = connection.execute(
            "SELECT field, name, audit.text FROM audit JOIN fields ON fields.id = field WHERE form = ?", (form,)
        ).fetchall()
        for field, name, read in audited:
            same = partial(means_same, self._parts[name])
            agreed = audit.verdict(keyed.pop(name, []), same)
            if agreed is not None:
                keyed[name] = [agreed, agreed]
            right = None if agreed is None else same(agreed, read)
            connection.execute("UPDATE audit SET right = ? WHERE field = ?", (right, field))
        return keyed

    def _with_keyed(self, reading: FieldReading, keyed: Mapping[str, Sequence[str]]) -> FieldReading:
        texts, part = keyed.get(reading.name, ()), self._parts[reading.name]
        if not texts:
            return reading
        if outcome_of(part, reading, texts).accepted:
            return known(part, reading, texts[-1])
        return replace(reading, accepted=False, problem=reading.problem or KEYED_OTHERWISE)

    def _with_unique(
        self, connection: sqlite3.Connection, form: int, readings: list[FieldReading]
    ) -> list[FieldReading]:
        """Return readings of which those are rejected whose value must be unique and another form has."""
        found = {reading.name: reading for reading in readings}
        for name in self._unique:
            each = found.get(name)
            if each is None or not each.text:
                continue
            other = connection.execute(
                """SELECT source FROM fields JOIN pages ON pages.id = page
                   WHERE name = ? AND text = ? AND fields.form < ? LIMIT 1""",
                (name, each.text, form),
            ).fetchone()
            if other is not None:
                found[name] = replace(each, accepted=False, problem=each.problem or f"the same as in {other[0]}")
        return list(found.values())

    # -------------------------------------------------------------------------------------------------------- promise

    def draw_audit(self, n: int | None, risk: float = 0.005, delta: float = 0.05) -> int:
        """Choose accepted fields at random, to be keyed twice among the others; return how many were new.

        Args:
            n: how many there shall be, repaired ones besides; as many as are needed where None (`Audit.draw`).
            risk, delta: what is to be promised with them.

        Raises:
            FormError: there are too few. Nothing is drawn.
        """
        with self._writing() as connection:
            return self._audit(connection).draw(n, risk, delta)

    def asked_promise(self) -> tuple[float, float] | None:
        """Return the risk and the delta that the last sample was drawn for, None where none was."""
        with self._session() as connection:
            return self._audit(connection).asked()

    def promise(self, risk: float, delta: float = 0.05) -> Stated:
        """Return what the audited fields allow to promise of accepted ones, repaired ones apart."""
        with self._session() as connection:
            return self._audit(connection).stated(risk, delta)

    def keep_promise(self, stated: Stated) -> int:
        """Accept from the promise's threshold on alone; return how many fields are to be keyed for it.

        Raises:
            FormError: it promises nothing.
        """
        if stated.read.threshold is None:
            raise FormError(f"{self.folder}: {stated}")
        with self._writing() as connection:
            (before,) = connection.execute("SELECT count(*) FROM fields WHERE accepted").fetchone()
            self._audit(connection).keep(stated)
            for (form,) in connection.execute("SELECT id FROM forms").fetchall():
                self._weigh(connection, form)
            (now,) = connection.execute("SELECT count(*) FROM fields WHERE accepted").fetchone()
        return int(before - now)

    def kept_promise(self) -> Kept | None:
        """Return the promise that is kept and not withdrawn, None where there is none."""
        with self._session() as connection:
            return self._audit(connection).in_force()

    def standing(self) -> Standing:
        """Return what is promised of the job's fields and whether that still holds."""
        with self._session() as connection:
            return self._audit(connection).standing()

    def _audit(self, connection: sqlite3.Connection) -> Audit:
        return Audit(connection, self._template)

    # --------------------------------------------------------------------------------------------------------- review

    def tasks(self, reviewer: str, n: int = 2) -> list[Task]:
        """Return the next fields to key and lease them to a reviewer: those that break a rule first, audited ones last.

        Args:
            reviewer: whose they are for two minutes; nobody else is given them.
            n: how many.
        """
        now = time.time()
        with self._writing() as connection:
            connection.execute("DELETE FROM leases WHERE until < ?", (now,))
            doubts = connection.execute(
                """SELECT id, form, name, problem, postponed FROM fields
                   WHERE accepted = 0 AND id NOT IN (SELECT field FROM audit)
                   AND id NOT IN (SELECT field FROM leases WHERE reviewer <> ?)
                   ORDER BY postponed, problem = '', form, confidence, id LIMIT ?""",
                (reviewer, n),
            ).fetchall()
            audited = self._audit(connection).to_key(reviewer, now, n)
            rows = sorted(doubts + audited, key=lambda row: row[4])[:n]
            connection.executemany(
                "INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", [(row[0], reviewer, now + LEASE_S) for row in rows]
            )
        return [self._task(*row[:4]) for row in rows]

    def _task(self, number: int, form: int, name: str, problem: str) -> Task:
        part = self._parts[name]
        return Task(number, form, name, part.type, part.decimals, problem)

    def key(self, field: int, text: str, reviewer: str) -> Outcome:
        """Keep what a person keyed for a field, "" where nothing is to be read there; return what became of it.

        Raises:
            FormError: there is no such field, or the text is none that a field of its type can have.
        """
        with self._writing() as connection:
            row = connection.execute("SELECT form, name FROM fields WHERE id = ?", (field,)).fetchone()
            if row is None:
                raise FormError(f"the job has no field {field}")
            form, name = row
            self._decide(connection, field, keyed_text(self._parts[name], text), reviewer)
            connection.execute("DELETE FROM leases WHERE field = ?", (field,))
            self._weigh(connection, form)
            if connection.execute("SELECT 1 FROM audit WHERE field = ?", (field,)).fetchone():
                return Outcome(True)  # nothing is shown: neither what was read nor what was keyed before
            seen = next(each for each in self._readings(connection, form, as_read=True) if each.name == name)
            return outcome_of(self._parts[name], seen, self._keyed(connection, form)[name])

    def _decide(
        self, connection: sqlite3.Connection, field: int, text: str, reviewer: str, screen: int | None = None
    ) -> None:
        connection.execute(
            "INSERT INTO decisions (field, text, reviewer, time, screen) VALUES (?, ?, ?, ?, ?)",
            (field, text, reviewer[:LONGEST_NAME], time.time(), screen),
        )

    def screens(self, reviewer: str, n: int = 2) -> list[Screen]:
        """Return the next group screens for a reviewer, who has them for ten minutes: the first to look at now.

        Args:
            reviewer: who asks.
            n: how many.
        """
        with self._writing() as connection:
            return Groups(connection, self._parts).next(reviewer[:LONGEST_NAME], n)

    def accept_screen(self, reviewer: str, screen: int, marked: Mapping[int, str]) -> int:
        """Accept what a group screen shows, but for what is marked as another digit; return how many fields that is.

        What is marked counts as keyed: it stands where the reader had thought of it too, else the field is keyed again.

        Args:
            reviewer: who has the screen.
            screen: its number.
            marked: of positions from 0 on, the digit that is written there, "" for none.

        Raises:
            FormError: the reviewer does not have the screen.
        """
        with self._writing() as connection:
            texts = Groups(connection, self._parts).accept(reviewer[:LONGEST_NAME], screen, marked)
            for field, text in texts.items():
                self._decide(connection, field, text, reviewer, screen)
            numbers = ",".join(map(str, texts))
            for (form,) in connection.execute(f"SELECT DISTINCT form FROM fields WHERE id IN ({numbers})").fetchall():
                self._weigh(connection, form)
        return len(texts)

    def screen_picture(self, screen: int) -> bytes:
        """Return the cut-outs of a group screen as one PNG, in rows of eight.

        Raises:
            FormError: there is no such screen, or its pages have no pictures.
        """
        with self._session() as connection:
            boxes = Groups(connection, self._parts).boxes(screen)
        if not boxes:
            raise FormError(f"the job has no screen {screen}")
        return self._pictures.sheet(boxes)

    def postpone(self, field: int) -> None:
        """Put a field behind all others."""
        with self._writing() as connection:
            connection.execute("UPDATE fields SET postponed = postponed + 1 WHERE id = ?", (field,))
            connection.execute("DELETE FROM leases WHERE field = ?", (field,))

    def undo(self, reviewer: str) -> Task | None:
        """Take a reviewer's last keyed value back; return its field, None where there is none."""
        with self._writing() as connection:
            row = connection.execute(
                """SELECT decisions.id, fields.id, form, name FROM decisions JOIN fields ON fields.id = field
                   WHERE reviewer = ? AND NOT undone ORDER BY decisions.id DESC LIMIT 1""",
                (reviewer[:LONGEST_NAME],),
            ).fetchone()
            if row is None:
                return None
            connection.execute("UPDATE decisions SET undone = 1 WHERE id = ?", row[:1])
            self._weigh(connection, row[2])
            (problem,) = connection.execute("SELECT problem FROM fields WHERE id = ?", (row[1],)).fetchone()
        return self._task(row[1], row[2], row[3], problem)

    def unaligned_pages(self) -> list[tuple[int, str, str]]:
        """Return the rejected pages that have a picture: number in the job, source, problem."""
        query = "SELECT id, source, problem FROM pages WHERE form IS NULL AND picture <> '' ORDER BY id"
        with self._session() as connection:
            return [(int(row[0]), str(row[1]), str(row[2])) for row in connection.execute(query)]

    def page_picture(self, page: int) -> bytes:
        """Return the picture of a page, a JPEG.

        Raises:
            FormError: there is none.
        """
        with self._session() as connection:
            row = connection.execute("SELECT picture FROM pages WHERE id = ?", (page,)).fetchone()
        return self._pictures.read(row[0] if row else "")

    def cut_out(self, field: int, room: float) -> bytes:
        """Return a field's picture, a PNG.

        Args:
            field: its number in the job.
            room: how much of the page around it is shown, as a share of its height.

        Raises:
            FormError: there is none.
        """
        with self._session() as connection:
            row = connection.execute(
                "SELECT picture, name FROM fields JOIN pages ON pages.id = page WHERE fields.id = ?", (field,)
            ).fetchone()
        if row is None:
            raise FormError(f"the job has no field {field}")
        return self._pictures.cut_out(row[0], self._parts[row[1]].box, room)

    def picture_of(self, form: int, name: str) -> bytes:
        """Return the PNG of a field by its form, from 1 on in the order of `answers`, and its name.

        Raises:
            FormError: there is none.
        """
        query = "SELECT id FROM fields WHERE name = ? AND form = (SELECT id FROM forms ORDER BY id LIMIT 1 OFFSET ?)"
        with self._session() as connection:
            row = connection.execute(query, (name, form - 1)).fetchone()
        if row is None:
            raise FormError(f"the job has no field {name} of form {form}")
        return self.cut_out(row[0], 0.1)
