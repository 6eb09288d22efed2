"""Scans of a form -> answers: each page laid on its template, read, and checked against the form's rules."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from inkdigits.arrays import Floats, GrayImage
from inkdigits.errors import ImageError, InputError
from inkdigits.files.documents import DOCUMENTS, DocumentPage, pages_of
from inkdigits.files.images import SUFFIXES
from inkdigits.files.storage import PassedOver, is_hidden, walk
from inkdigits.forms.alignment import Aligner, Alignment, AlignmentError, NothingSeenError, Scan
from inkdigits.forms.fields import FieldReader, FieldReading, with_rules
from inkdigits.forms.template import Form, fingerprint, load_form, load_picture
from inkdigits.machine import cores
from inkdigits.reading.normalise.version import normalisation_version
from inkdigits.reading.reader import Reader

BLANK_INK = 0.001  # share of a page that is ink; the least printed form has ten times as much


@dataclass(frozen=True)
class Basis:
    """What the readings of a page depend on, besides its scan: when any of it changes, promises end.

    Attributes:
        weights: SHA-256 of the networks' files.
        normalisation: the versions of the image normalisation before them.
        template: SHA-256 of the template.
    """

    weights: str
    normalisation: str
    template: str


@dataclass(frozen=True)
class PageAnswer:
    """A page of a form.

    Attributes:
        source: its scan.
        digest: SHA-256 of the scan's pixels.
        number: of the form's page that it is, from 0 on.
        flat: uint8, as it lies on the template.
        readings: of its fields, before the form's rules were asked.
    """

    source: str
    digest: str
    number: int
    flat: GrayImage
    readings: list[FieldReading]


OUT_OF_ORDER = "the copy before lacks a page: do these pages belong together?"


@dataclass
class FormAnswer:
    """A filled form, or a page that is none.

    Attributes:
        sources: its scans in the order of the form's pages.
        readings: of all fields on the pages that there are.
        problem: why there are no readings: a page that cannot be read, is blank, is another form's or does not lie on
            the template for sure; which page is missing; "" for a form that was read.
        pages: those that were read, in order.
        scan: uint8 (H, W) of a page that was rejected, None where there is no picture.
        digest: SHA-256 of that scan's pixels.
    """

    sources: list[str]
    readings: list[FieldReading] = field(default_factory=list)
    problem: str = ""
    pages: list[PageAnswer] = field(default_factory=list, repr=False)
    scan: GrayImage | None = field(default=None, repr=False)
    digest: str = ""

    @property
    def is_sure(self) -> bool:
        """Whether nothing of it needs review."""
        return not self.problem and all(reading.accepted for reading in self.readings)


class PagePool(Protocol):
    """What reads pages, several at once: threads, or a cluster (`cluster.ClusterPages`)."""

    size: int

    def submit(self, source: str, image: GrayImage, digest: str) -> "Future[FormAnswer | PageAnswer]":
        """Return what will be the answer to a page, as `FormReader.answer_of` gives it."""


class FormReader:
    """Reads scans of one form.

    Args:
        path: the folder of a form, or its form.json.
        reader: reads digits and numbers; the networks that ship where None.

    Raises:
        FormError: the template is missing, contradicts itself, or its pictures have changed.
    """

    def __init__(self, path: str | Path, reader: Reader | None = None) -> None:
        folder = Path(path) if Path(path).is_dir() else Path(path).parent
        self.form: Form = load_form(path)
        reader = reader or Reader(text_detector=False)
        self._reader = reader
        self._pages: list[tuple[Aligner, FieldReader]] = []
        for number in range(len(self.form.pages)):
            reference = load_picture(self.form, folder, number)
            boxes = [part.box for part in self.form.parts(number)]
            self._pages.append((Aligner(reference, boxes), FieldReader(self.form, number, reference, reader)))

    @property
    def basis(self) -> Basis:
        """What its readings depend on."""
        versions = ", ".join(f"{kind} {normalisation_version(kind)}" for kind in ("digit", "line"))
        return Basis(self._reader.fingerprint, versions, fingerprint(self.form))

    def read_page(self, image: GrayImage) -> tuple[int, list[FieldReading]]:
        """Return which page of the form a scan uint8 (H, W) is, and its fields' readings.

        Raises:
            AlignmentError: it is none of them, or not for sure; the message says why.
        """
        number, alignment = self._aligned(image)
        return number, self._read(image, number, alignment)[1]

    def read_aligned(self, image: GrayImage, number: int, anchors: Floats) -> tuple[GrayImage, list[FieldReading]]:
        """Return a scan that somebody aligned with a page as it lies on it, and its fields' readings.

        Where the print still is not where it should be, none of them is accepted.

        Args:
            image: uint8 (H, W), the scan.
            number: of the form's page.
            anchors: (4, 2), where `anchors(number)` lie in the scan.

        Raises:
            AlignmentError: no sheet lies so.
        """
        aligner, _ = self._pages[number]
        try:
            return self._read(image, number, aligner.align(image, anchors))
        except AlignmentError as error:
            problem = f"aligned by hand: {error}"
        flat, readings = self._read(image, number, aligner.align(image, anchors, check=False))
        return flat, [replace(each, accepted=False, problem=each.problem or problem) for each in readings]

    def without_print(self, flat: GrayImage, number: int) -> GrayImage:
        """Return a page uint8 (H, W) as it lies on the template, without what is printed in its fields."""
        return self._pages[number][1].without_print(flat)

    def anchors(self, number: int) -> Floats:
        """Return the four places of a page by which somebody can align a scan with it, (4, 2) as x, y."""
        return self._pages[number][0].anchors()

    def read(
        self,
        paths: Sequence[str | Path],
        report: Callable[[int, int], None] = lambda done, all_: None,
        known: Mapping[str, str] | None = None,
        passed_over: PassedOver | None = None,
        pool: PagePool | None = None,
    ) -> Iterator[FormAnswer]:
        """Yield the answer for each form in files and folders; what is no page of it comes as an answer with a problem.

        Pages of one form follow each other: a form is complete when all its pages were seen, and a page that it already
        has begins the next one. Whose pages these are is then not sure, and the form has the problem `OUT_OF_ORDER`:
        page 1 twice and then page 2 is a copy that lacks a page, or a stack that is sorted by page.

        Args:
            paths: pictures, TIFFs, PDFs, folders of these.
            report: called with the number of files that are done, and of all.
            known: scans that are left out since they were read before, and the digests of their pixels.
            passed_over: is told of files in folders that are neither pictures nor PDFs.
            pool: reads the pages; threads of this process where None.

        Raises:
            InputError: a file is missing, or there is none.
        """
        files = documents_in(paths, passed_over)
        open_: dict[int, PageAnswer] = {}
        is_unsure = False
        for answer in self._page_answers(files, known or {}, report, pool):
            if isinstance(answer, FormAnswer):
                yield answer
                continue
            if answer.number in open_:
                yield self.joined(open_.values())
                open_, is_unsure = {}, True
            open_[answer.number] = answer
            if len(open_) == len(self._pages):
                form = self.joined(open_.values())
                yield replace(form, problem=OUT_OF_ORDER) if is_unsure else form
                open_, is_unsure = {}, False
        if open_:
            yield self.joined(open_.values())
        report(len(files), len(files))

    def joined(self, pages: Iterable[PageAnswer]) -> FormAnswer:
        """Return pages as one form, its rules asked."""
        pages = sorted(pages, key=lambda page: page.number)
        readings = with_rules(self.form, [reading for page in pages for reading in page.readings])
        missing = missing_pages(self.form, [page.number for page in pages])
        return FormAnswer([page.source for page in pages], readings, missing, pages)

    def _aligned(self, image: GrayImage) -> tuple[int, Alignment]:
        """Return which page of the form a scan is, and where it lies.

        Only if none of the pages of which features are seen at a glance lies on it, the others are looked for.

        Raises:
            AlignmentError: it is none of them, or not for sure.
        """
        scan = Scan(image)
        if scan.ink_share < BLANK_INK:
            raise AlignmentError("a blank page")
        found: dict[int, Alignment] = {}
        causes: dict[int, AlignmentError] = {}
        left = list(range(len(self._pages)))
        for at_a_glance in (True, False):
            for number in left:
                try:
                    found[number] = self._pages[number][0].align(scan, at_a_glance=at_a_glance)
                except AlignmentError as error:
                    causes[number] = error
            left = [] if found else [number for number in left if isinstance(causes[number], NothingSeenError)]
        if not found:
            raise AlignmentError(str(causes[0]) if len(causes) == 1 else f"none of the form's {len(causes)} pages")
        return max(found.items(), key=lambda page: page[1].found)

    def _read(self, image: GrayImage, number: int, alignment: Alignment) -> tuple[GrayImage, list[FieldReading]]:
        aligner, fields = self._pages[number]
        flat = alignment.flat(image, aligner.size)
        return flat, fields.read(flat)

    def _page_answers(
        self,
        files: Sequence[Path],
        known: Mapping[str, str],
        report: Callable[[int, int], None],
        pool: PagePool | None,
    ) -> Iterator[FormAnswer | PageAnswer]:
        """Yield the answer to each page, in order; several are read at once: most of it is work outside of Python."""
        seen = {digest: source for source, digest in known.items() if digest}
        waiting: deque[Future[FormAnswer | PageAnswer]] = deque()
        with ExitStack() as stack:
            pool = pool or stack.enter_context(_Threads(self.answer_of))
            for done, file in enumerate(files):
                report(done, len(files))
                for page in _pages_of(file):
                    if page.source not in known:
                        waiting.append(_begun(page, seen, pool))
                    if len(waiting) > pool.size:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def answer_of(self, source: str, image: GrayImage, digest: str) -> FormAnswer | PageAnswer:
        """Return the answer to a page.

        Args:
            source: its name.
            image: uint8 (H, W), the scan.
            digest: of its pixels.
        """
        try:
            number, alignment = self._aligned(image)
        except AlignmentError as error:
            return FormAnswer([source], problem=str(error), scan=image, digest=digest)
        return PageAnswer(source, digest, number, *self._read(image, number, alignment))


class _Threads:
    """Reads pages in threads of this process; when nobody asks any more, or at Ctrl-C, those that wait are given up."""

    def __init__(self, answer_of: Callable[[str, GrayImage, str], FormAnswer | PageAnswer]) -> None:
        self.size = cores()
        self._answer_of, self._threads = answer_of, ThreadPoolExecutor(self.size)

    def submit(self, source: str, image: GrayImage, digest: str) -> "Future[FormAnswer | PageAnswer]":
        return self._threads.submit(self._answer_of, source, image, digest)

    def __enter__(self) -> "_Threads":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)


def _begun(page: DocumentPage, seen: dict[str, str], pool: PagePool) -> "Future[FormAnswer | PageAnswer]":
    """Return what will be the answer to a page; what cannot be read, or was, is answered at once."""
    at_once: Future[FormAnswer | PageAnswer] = Future()
    try:
        image = page.load()
    except ImageError as error:
        at_once.set_result(FormAnswer([page.source], problem=str(error)))
        return at_once
    digest = hashlib.sha256(image.tobytes()).hexdigest()
    if digest in seen:
        at_once.set_result(FormAnswer([page.source], problem=f"the same picture as {seen[digest]}"))
        return at_once
    seen[digest] = page.source
    return pool.submit(page.source, image, digest)


def missing_pages(form: Form, numbers: Iterable[int]) -> str:
    """Return in words which pages of a form are missing, "" for none."""
    missing = [str(number + 1) for number in range(len(form.pages)) if number not in set(numbers)]
    return f"page {', '.join(missing)} is missing" if missing else ""


def documents_in(paths: Iterable[str | Path], passed_over: PassedOver | None = None) -> list[Path]:
    """Return the files to read among files and folders, those of a folder by name.

    Args:
        paths: files and folders.
        passed_over: is told of files in folders that are neither pictures nor PDFs.

    Raises:
        InputError: there is no such file or folder, or none holds a picture or a PDF.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            for name in sorted(each.path for each in walk(str(path)) if not is_hidden(each.path)):
                if Path(name).suffix.lower() in {*SUFFIXES, *DOCUMENTS}:
                    found.append(Path(name))
                elif passed_over is not None:
                    passed_over.add(name)
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file or folder")
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: no pictures and no PDFs in it")
    return list(dict.fromkeys(found))


def _pages_of(file: Path) -> Iterator[DocumentPage]:
    """Yield a file's pages; where it cannot be opened, one that says so when it is loaded."""
    try:
        yield from pages_of(str(file))
    except ImageError as error:
        problem = error

        def fail() -> GrayImage:
            raise problem

        yield DocumentPage(str(file), fail)
