"""The audit of a job: a random sample of accepted fields, keyed blind twice, and what it allows to promise.

How the sample is drawn, and why the bound is right for it:

- **Fields are the units, each equally likely.** Every field has a lot, a number that its scan and its name alone fix;
  the sample is the n accepted fields of the smallest lots. So it is a simple random sample of the job's accepted fields
  whenever it is looked at: until a promise is kept, fields that are accepted later (on forms read since, or where a sum
  holds again after another field was keyed) join it at once by their own lots.
- **Errors come by the page** (a writer, a bad scan). In a simple random sample from the job's own fields that does no
  harm: the number of wrong ones in it is hypergeometric, however they are spread over pages, and the binomial bound is
  wider than that. The price: the promise is about the forms that were read when it was given, not about later ones,
  whose pages would be new draws. One field a page would promise for later pages too, but a job of 200 pages could then
  never promise 1 % (299 fields). Later pages are watched instead: of every tenth one field, of no page two, so that
  what is watched is independent from page to page (`evaluation.selective.watch`).
- **Repaired values are a stratum of their own**, with their own sample (their share of the other one, at least 30) and
  their own promise; until that is given none of them is accepted under the promise. One promise for both would need
  weights; two need none, and repaired values are few.
- **Right is known after two keyings that agree**, both blind, the second by another person or by the same one after
  other fields; where they differ a third decides. A promise is given once the whole sample is known: fields that are
  quickly agreed on are the easy ones.
- **Looking again costs.** A sample that was looked at and then enlarged has had two chances to look good by luck:
  the second look's promise says "90 % sure" where the first would have said 95 %.
"""

import json
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from hashlib import sha256

from inkdigits.errors import FormError
from inkdigits.evaluation.selective import THRESHOLDS, Promise, Watch, least_checked, least_risk, promise, watch
from inkdigits.evaluation.text import counted
from inkdigits.forms.read import Basis

# `sampled`: with which draw it came into the sample; `watches`: the promise that it watches. `text` and `confidence` as
# they were when it was chosen; `right` is known once two keyings agree.
SCHEMA = (
    """CREATE TABLE bases (
        id INTEGER PRIMARY KEY, weights TEXT NOT NULL, normalisation TEXT NOT NULL, template TEXT NOT NULL,
        used REAL NOT NULL, UNIQUE (weights, normalisation, template)
    )""",
    """CREATE TABLE audit (
        field INTEGER PRIMARY KEY REFERENCES fields, text TEXT NOT NULL, confidence REAL NOT NULL,
        repaired INTEGER NOT NULL, sampled INTEGER, watches INTEGER, right INTEGER
    )""",
    "CREATE TABLE asked (id INTEGER PRIMARY KEY CHECK (id = 1), risk REAL NOT NULL, delta REAL NOT NULL)",
    """CREATE TABLE promises (
        id INTEGER PRIMARY KEY, said TEXT NOT NULL, repaired TEXT NOT NULL, basis INTEGER NOT NULL REFERENCES bases,
        forms INTEGER NOT NULL, time REAL NOT NULL
    )""",
)
LEAST_REPAIRED = 30  # of the sample, where there are so many
LARGEST_ADVISED = 0.2  # a risk that is worth asking for
WATCHED = 0.1  # of the pages that are read after a promise
# Fields of a basis that can be drawn: accepted as they were read, and not chosen yet.
DRAWABLE = """FROM fields JOIN pages ON pages.id = page WHERE basis = ? AND accepted
    AND fields.id NOT IN (SELECT field FROM audit)
    AND NOT EXISTS (SELECT 1 FROM decisions WHERE field = fields.id AND NOT undone)"""
# The same person keys a field a second time after so many other ones, or so many seconds later.
APART, APART_S = 10, 600.0
NEVER = math.inf


@dataclass(frozen=True)
class Stated:
    """What a sample allows to promise.

    Attributes:
        read: of values as they were read.
        repaired: of repaired ones, None where there are none.
        coverage: 0 to 1, of all the job's fields those that it covers: accepted without a person.
        asked: the delta that was asked for; `read.delta` is larger where the sample was enlarged after a look at it.
        left: fields of the sample, repaired ones among them, that are not known yet.
        available: accepted fields, as they were read, that could still be drawn into the sample.
    """

    read: Promise
    repaired: Promise | None = None
    coverage: float = 0.0
    asked: float = 0.05
    left: int = 0
    available: int = 0

    @property
    def is_possible(self) -> bool:
        """Whether something is promised, or would be if enough of the job's further fields were right."""
        return self.read.threshold is not None or self.read.n_missing <= self.left + self.available

    def __str__(self) -> str:
        if self.read.threshold is None:
            return self._why_not()
        said = (
            f"promise: at most {self.read.risk * 100:g} % wrong ({(1 - self.read.delta) * 100:g} % sure) at threshold "
            f"{self.read.threshold:g}, {self.coverage * 100:.1f} % accepted ({self.read.n_wrong:,} of "
            f"{counted(self.read.n_accepted, 'checked field')} wrong)"
        )
        if self.repaired is None:
            return said
        if self.repaired.threshold is None:
            return f"{said}; repaired values are keyed, {self.repaired.n_missing:,} more checked ones could promise"
        return f"{said}; repaired values from {self.repaired.threshold:g} on"

    def _why_not(self) -> str:
        if not self.is_possible:
            return (
                f"no promise of at most {self.read.risk * 100:g} % wrong is possible: it takes "
                f"{counted(self.read.n_missing, 'more checked field')}, all right, and the job has "
                f"{self.left + self.available:,} left; a larger --risk would help, or more pages"
            )
        if self.left:
            return f"cannot promise yet: {counted(self.left, 'checked field')} to key, each twice"
        return f"cannot promise yet: {counted(self.read.n_missing, 'more checked field')}, all right"


@dataclass(frozen=True)
class Kept:
    """A promise that the job keeps.

    Attributes:
        stated: what was promised.
        basis: what its fields were read with.
        forms: how many had been read.
        time: when, in seconds since 1970.
        withdrawn: why it holds no longer, "" while it does.
        watch: what was checked of pages that were read since.
    """

    stated: Stated
    basis: Basis
    forms: int
    time: float
    withdrawn: str
    watch: Watch

    @property
    def date(self) -> str:
        """The day on which it was given (UTC)."""
        return datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%d")

    @property
    def alarm(self) -> str:
        """What has to be known before anybody relies on it, "" for nothing."""
        if self.withdrawn:
            return f"withdrawn: {self.withdrawn} than when it was given ({self.date}); draw a new sample"
        if self.watch.is_alarm:
            return (
                f"drift: {self.watch.n_wrong:,} of {counted(self.watch.n, 'field')} checked since wrong, more than "
                f"promised ({(1 - self.watch.delta) * 100:g} % sure); draw a new sample"
            )
        return ""

    def __str__(self) -> str:
        since = f"; since then {self.watch.n_wrong:,} of {self.watch.n:,} wrong" if self.watch.n else ""
        sample = f"by a sample of {counted(self.stated.read.n, 'field')}"
        return f"{self.stated}, given on {self.date} for {counted(self.forms, 'form')} {sample}{since}"


@dataclass(frozen=True)
class Standing:
    """Where the audit of a job stands.

    Attributes:
        said: in one line what is promised, or what is missing; "" where nobody has asked.
        alarm: that the promise is withdrawn or that more is wrong than it says; "" for neither.
    """

    said: str
    alarm: str


def lot_of(digest: str, name: str) -> float:
    """Return the lot of a field, 0 to 1, by the SHA-256 of its scan's pixels and its name."""
    return int.from_bytes(sha256(f"{digest} {name}".encode()).digest()[:7]) / 256**7


def basis_of(connection: sqlite3.Connection, basis: Basis) -> int:
    """Return the number of what pages are read with from now on."""
    connection.execute(
        "INSERT INTO bases VALUES (NULL, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET used = excluded.used",
        (basis.weights, basis.normalisation, basis.template, time.time()),
    )
    row = connection.execute(
        "SELECT id FROM bases WHERE weights = ? AND normalisation = ? AND template = ?",
        (basis.weights, basis.normalisation, basis.template),
    ).fetchone()
    return int(row[0])


def _check_enough(available: int, n: int | None, risk: float, delta: float) -> None:
    """Raise FormError where so many fields cannot promise a risk, or are fewer than the n that are to be checked."""
    least = least_checked(risk, delta)
    if available < least:
        best = math.ceil(least_risk(available, delta) * 1000) / 1000
        larger = f"ask for --risk {best:g} or more, or " if best <= LARGEST_ADVISED else ""
        raise FormError(
            f"the job has {counted(available, 'accepted field')} to check, and at most {risk * 100:g} % wrong takes "
            f"{least:,} at least; {larger}read more pages"
        )
    if n is not None and n > available:
        raise FormError(f"the job has {counted(available, 'accepted field')} to check, not {n:,}")


def verdict(texts: Sequence[str], is_same: Callable[[str, str], bool]) -> str | None:
    """Return the text on which two of a field's keyings agree, the oldest first; None where no two do."""
    for place, text in enumerate(texts):
        if any(is_same(text, other) for other in texts[:place]):
            return text
    return None


class Audit:
    """The audit in a job's database; each call belongs into a transaction of the caller.

    Args:
        connection: to the job.
        template: the fingerprint of its template as it is now.
    """

    def __init__(self, connection: sqlite3.Connection, template: str) -> None:
        self._db = connection
        self._template = template

    # --------------------------------------------------------------------------------------------------------- sample

    def draw(self, n: int | None, risk: float, delta: float) -> int:
        """Choose accepted fields at random until there are n, and repaired ones for these; return how many were new.

        They come from all of the newest basis that no person has keyed, so that what comes out holds for these. Without
        n a first sample has twice the fewest that can do (or all there are), and one that is there grows by fields
        accepted since alone.

        Raises:
            FormError: there are not n fields, or too few to promise the risk even if all are right. Nothing is drawn.
        """
        basis = self._newest()
        rows = self._db.execute(
            """SELECT fields.id, lot, coalesce(audit.repaired, fields.repaired), sampled, fields.text, fields.confidence
               FROM fields JOIN pages ON pages.id = page LEFT JOIN audit ON audit.field = fields.id
               WHERE basis = ? AND (audit.field IS NOT NULL OR (accepted AND NOT EXISTS
               (SELECT 1 FROM decisions WHERE field = fields.id AND NOT undone))) ORDER BY lot""",
            (basis,),
        ).fetchall()
        by_stratum = [[row for row in rows if bool(row[2]) == repaired] for repaired in (False, True)]
        available = len(by_stratum[0])
        _check_enough(available, n, risk, delta)
        if n is None:
            is_first = all(row[3] is None for row in rows)
            n = min(available, 2 * least_checked(risk, delta)) if is_first else 0
        self._db.execute("INSERT OR REPLACE INTO asked VALUES (1, ?, ?)", (risk, delta))
        share = n * len(by_stratum[1]) / max(1, len(by_stratum[0]))
        wanted = (n, max(math.ceil(share), min(LEAST_REPAIRED, len(by_stratum[1]))))
        look, before = self._look(), self.size()
        for stratum, size in zip(by_stratum, wanted, strict=True):
            last = max([place for place, row in enumerate(stratum) if row[3] is not None], default=-1)
            for number, _, repaired, sampled, text, confidence in stratum[: max(size, last + 1)]:
                if sampled is None:
                    self._db.execute(
                        """INSERT INTO audit VALUES (?, ?, ?, ?, ?, NULL, NULL)
                           ON CONFLICT DO UPDATE SET sampled = excluded.sampled""",
                        (number, text, confidence, repaired, look),
                    )
        return self.size() - before

    def join(self, form: int) -> None:
        """Take those fields of a form into the sample that were accepted after it was drawn and whose lots lie in it.

        Once a promise is kept its pages' sample is closed: what is read later is watched.
        """
        basis, given = self._newest(), self._latest()
        if given is not None and given[1] == basis:
            return
        last = self._db.execute(
            """SELECT audit.repaired, max(lot) FROM audit JOIN fields ON fields.id = field
               JOIN pages ON pages.id = page WHERE sampled IS NOT NULL AND basis = ? GROUP BY audit.repaired""",
            (basis,),
        ).fetchall()
        for repaired, lot in last:
            self._db.execute(
                f"""INSERT INTO audit SELECT fields.id, fields.text, fields.confidence, fields.repaired, ?, NULL, NULL
                    {DRAWABLE} AND fields.form = ? AND fields.repaired = ? AND lot < ?""",
                (self._look(), basis, form, repaired, lot),
            )

    def _look(self) -> int:
        """Return with which draw a field comes into the sample that does so now: another one once all is known."""
        (look,) = self._db.execute(
            "SELECT coalesce(max(sampled), 0) + (count(*) = count(right)) FROM audit WHERE sampled IS NOT NULL"
        ).fetchone()
        return max(1, int(look))

    def size(self) -> int:
        """Return how many fields were chosen for a sample."""
        return self._count("sampled IS NOT NULL")

    def watch_page(self, page: int) -> None:
        """Choose a field of a page that was read after a promise, of every tenth, to watch the promise."""
        given = self._latest()
        row = self._db.execute("SELECT digest, basis FROM pages WHERE id = ?", (page,)).fetchone()
        if given is None or row[1] != given[1] or lot_of(row[0], "") >= WATCHED:
            return
        self._db.execute(
            """INSERT OR IGNORE INTO audit SELECT id, text, confidence, 0, NULL, ?, NULL FROM fields
               WHERE page = ? AND accepted AND NOT repaired ORDER BY lot LIMIT 1""",
            (given[0], page),
        )

    def to_key(self, reviewer: str, now: float, n: int) -> list[tuple[int, int, str, str, int]]:
        """Return fields of the audit that a person may key now, at most n: id, form, name, problem, postponed.

        A field that nobody has keyed comes before one that somebody has; the same person gets it again after `APART`
        others, or after a while.
        """
        apart = self._db.execute(
            "SELECT id FROM decisions WHERE reviewer = ? AND NOT undone ORDER BY id DESC LIMIT 1 OFFSET ?",
            (reviewer, APART - 1),
        ).fetchone()
        # CROSS: the audit's rows come first, or all of the job's fields would be looked at.
        return self._db.execute(
            """SELECT fields.id, form, name, problem, postponed FROM audit CROSS JOIN fields ON fields.id = audit.field
               WHERE right IS NULL AND NOT EXISTS (
                   SELECT 1 FROM decisions WHERE decisions.field = fields.id AND reviewer = ? AND NOT undone
                   AND decisions.id >= ? AND time > ?)
               AND fields.id NOT IN (SELECT field FROM leases WHERE reviewer <> ?)
               ORDER BY postponed,
               (SELECT count(*) FROM decisions WHERE decisions.field = fields.id AND NOT undone), lot LIMIT ?""",
            (reviewer, apart[0] if apart else 0, now - APART_S, reviewer, n),
        ).fetchall()

    # -------------------------------------------------------------------------------------------------------- promise

    def stated(self, risk: float, delta: float) -> Stated:
        """Return what the sample allows to promise of accepted fields."""
        given = self.in_force()
        # Below a threshold that is kept already, fields are accepted no longer and so not drawn.
        floor = given.stated.read.threshold if given else 0.0
        read = self._promise(0, risk, delta, floor or 0.0)
        repaired = self._promise(1, risk, delta, 0.0) if self._count("repaired") else None
        threshold = NEVER if read.threshold is None else read.threshold
        covered, n = self._db.execute(
            """SELECT count(*) FILTER (WHERE NOT fields.repaired AND coalesce(audit.confidence, fields.confidence) >= ?
               AND (audit.field IS NOT NULL OR (accepted AND NOT EXISTS
               (SELECT 1 FROM decisions WHERE decisions.field = fields.id AND NOT undone)))), count(*)
               FROM fields LEFT JOIN audit ON audit.field = fields.id""",
            (threshold,),
        ).fetchone()
        basis = self._newest()
        (left,) = self._db.execute(
            """SELECT count(*) FROM audit JOIN fields ON fields.id = field JOIN pages ON pages.id = page
               WHERE sampled IS NOT NULL AND right IS NULL AND basis = ?""",
            (basis,),
        ).fetchone()
        return Stated(read, repaired, covered / max(1, n), delta, left, self._available(basis))

    def _available(self, basis: int | None) -> int:
        query = f"SELECT count(*) {DRAWABLE} AND NOT fields.repaired"
        return int(self._db.execute(query, (basis,)).fetchone()[0])

    def _promise(self, repaired: int, risk: float, delta: float, floor: float) -> Promise:
        rows = self._db.execute(
            """SELECT audit.confidence, right, sampled FROM audit JOIN fields ON fields.id = field
               JOIN pages ON pages.id = page
               WHERE sampled IS NOT NULL AND audit.repaired = ? AND basis = ?""",
            (repaired, self._newest()),
        ).fetchall()
        known = [row for row in rows if row[1] is not None]
        thresholds = [each for each in THRESHOLDS if each >= floor]
        found = promise([row[0] for row in known], [bool(row[1]) for row in known], risk, delta, thresholds)
        left = len(rows) - len(known)
        if left:
            missing = max(left, found.n_missing)
            return replace(found, threshold=None, n=len(rows), n_accepted=0, n_wrong=0, n_missing=missing)
        looks = max([row[2] for row in rows], default=1)
        return replace(found, delta=min(0.99, looks * delta))

    def keep(self, stated: Stated) -> None:
        """Keep a promise, with the sample and what it depends on."""
        said = {"read": asdict(stated.read), "coverage": stated.coverage, "asked": stated.asked}
        self._db.execute(
            "INSERT INTO promises VALUES (NULL, ?, ?, ?, (SELECT count(*) FROM forms), ?)",
            (json.dumps(said), json.dumps(stated.repaired and asdict(stated.repaired)), self._newest(), time.time()),
        )

    def thresholds(self) -> tuple[int | None, float, float]:
        """Return for which basis a promise is kept, from which confidence on, and from which on repaired values.

        Pages of another basis know no promise; for those it was given for it goes on to hold.
        """
        given = self._latest()
        if given is None:
            return None, 0.0, 0.0
        return given[1], given[2], given[3]

    def kept(self) -> Kept | None:
        """Return the latest promise that was kept and whether it still holds; None where there is none."""
        row = self._db.execute(
            """SELECT promises.id, said, repaired, forms, time, weights, normalisation, template
               FROM promises JOIN bases ON bases.id = basis ORDER BY promises.id DESC LIMIT 1"""
        ).fetchone()
        if row is None:
            return None
        said, repaired = json.loads(row[1]), json.loads(row[2])
        read = Promise(**said["read"])
        asked, available = said.get("asked", read.delta), self._available(self._newest())
        stated = Stated(read, repaired and Promise(**repaired), said["coverage"], asked, available=available)
        basis = Basis(*row[5:])
        found = watch(self._watched(row[0]), stated.read.risk, stated.read.delta)
        return Kept(stated, basis, row[3], row[4], self._withdrawn(basis), found)

    def standing(self) -> Standing:
        """Return in words what is promised, what is missing, and what has to be known."""
        kept = self.kept()
        if kept is not None and not kept.withdrawn:
            return Standing(str(kept), kept.alarm)
        asked = self.asked()
        return Standing(str(self.stated(*asked)) if asked else "", kept.alarm if kept else "")

    def asked(self) -> tuple[float, float] | None:
        """Return the risk and the delta that the last sample was drawn for, None where none was."""
        row = self._db.execute("SELECT risk, delta FROM asked").fetchone()
        return None if row is None else (float(row[0]), float(row[1]))

    def in_force(self) -> Kept | None:
        """Return the promise that is kept and not withdrawn, None where there is none."""
        kept = self.kept()
        return None if kept is None or kept.withdrawn else kept

    def _latest(self) -> tuple[int, int, float, float] | None:
        """Return the latest promise's number, its basis and its two thresholds."""
        row = self._db.execute("SELECT id, basis, said, repaired FROM promises ORDER BY id DESC LIMIT 1").fetchone()
        if row is None:
            return None
        thresholds = [json.loads(row[2])["read"], json.loads(row[3]) or {}]
        read, repaired = (NEVER if each.get("threshold") is None else each["threshold"] for each in thresholds)
        return row[0], row[1], read, repaired

    def _watched(self, number: int) -> list[bool]:
        """Return whether what watches a promise is right, in the order of the pages, as far as all is known."""
        rows = self._db.execute("SELECT right FROM audit WHERE watches = ? ORDER BY field", (number,)).fetchall()
        known = next((place for place, row in enumerate(rows) if row[0] is None), len(rows))
        return [bool(row[0]) for row in rows[:known]]

    def _withdrawn(self, then: Basis) -> str:
        row = self._db.execute(
            "SELECT weights, normalisation FROM bases ORDER BY used DESC, id DESC LIMIT 1"
        ).fetchone()
        now = Basis(row[0], row[1], self._template)
        changed = [each.name for each in fields(Basis) if getattr(then, each.name) != getattr(now, each.name)]
        return f"other {' and '.join(changed)}" if changed else ""

    def _newest(self) -> int | None:
        row = self._db.execute(
            "SELECT id FROM bases WHERE template = ? ORDER BY used DESC, id DESC LIMIT 1", (self._template,)
        ).fetchone()
        return None if row is None else int(row[0])

    def _count(self, condition: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM audit WHERE {condition}").fetchone()[0])
