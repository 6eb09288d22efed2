"""Scans of a form -> answers: each page laid on its template, read, and checked against the form's rules."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from inkdigits.arrays import GrayImage
from inkdigits.forms.alignment import Aligner, AlignmentError, ink_of
from inkdigits.forms.documents import ScannedPage, documents_in, pages_of
from inkdigits.forms.fields import FieldReader, FieldReading, with_rules
from inkdigits.forms.template import Form, load_form, load_picture
from inkdigits.reading.geometry import resized
from inkdigits.reading.reader import Reader

BLANK_INK = 0.001  # share of a page that is ink; the least printed form has ten times as much


@dataclass
class FormAnswer:
    """A filled form, or a page that is none.

    Attributes:
        sources: its scans in the order of the form's pages.
        readings: of all fields on the pages that there are.
        problem: why there are no readings: a page that cannot be read, is blank, is another form's or does not lie on
            the template for sure; "" for a form that was read.
    """

    sources: list[str]
    readings: list[FieldReading] = field(default_factory=list)
    problem: str = ""

    @property
    def is_sure(self) -> bool:
        """Whether nothing of it needs review."""
        return not self.problem and all(reading.accepted for reading in self.readings)


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
        self._unique = {part.name for part in self.form.parts() if part.constraints.unique}
        self._pages: list[tuple[Aligner, FieldReader]] = []
        for number in range(len(self.form.pages)):
            reference = load_picture(self.form, folder, number)
            boxes = [part.box for part in self.form.parts(number)]
            self._pages.append((Aligner(reference, boxes), FieldReader(self.form, number, reference, reader)))

    def read_page(self, image: GrayImage) -> tuple[int, list[FieldReading]]:
        """Return which page of the form a scan uint8 (H, W) is, and its fields' readings.

        Raises:
            AlignmentError: it is none of them, or not for sure; the message says why.
        """
        if float((ink_of(resized(image, min(1.0, 800 / max(image.shape)))) > 0).mean()) < BLANK_INK:
            raise AlignmentError("a blank page")
        best, causes = None, []
        for number, (aligner, _) in enumerate(self._pages):
            try:
                alignment = aligner.align(image)
            except AlignmentError as error:
                causes.append(str(error))
                continue
            if best is None or alignment.found > best[1].found:
                best = number, alignment
        if best is None:
            raise AlignmentError(causes[0] if len(causes) == 1 else f"none of the form's {len(causes)} pages")
        aligner, fields = self._pages[best[0]]
        return best[0], fields.read(best[1].flat(image, aligner.size))

    def read(
        self, paths: Sequence[str | Path], report: Callable[[int, int], None] = lambda done, all_: None
    ) -> Iterator[FormAnswer]:
        """Yield the answer for each form in files and folders; what is no page of it comes as an answer with a problem.

        Pages of one form follow each other: a form is complete when all its pages were seen, and a page that it already
        has begins the next one.

        Args:
            paths: pictures, TIFFs, PDFs, folders of these.
            report: called with the number of files that are done, and of all.

        Raises:
            InputError: a file is missing, or there is none.
        """
        files = documents_in(paths)
        seen: dict[str, str] = {}
        taken: dict[tuple[str, str], str] = {}
        for answer in self._forms(files, seen, report):
            yield self._with_unique(answer, taken)
        report(len(files), len(files))

    def _forms(
        self, files: Sequence[Path], seen: dict[str, str], report: Callable[[int, int], None]
    ) -> Iterator[FormAnswer]:
        """Yield forms, page put to page, and pages that are none."""
        open_: dict[int, tuple[str, list[FieldReading]]] = {}
        for done, file in enumerate(files):
            report(done, len(files))
            for scanned in pages_of(file):
                answer = self._of_page(scanned, seen)
                if isinstance(answer, FormAnswer):
                    yield answer
                    continue
                number, readings = answer
                if number in open_:
                    yield self._joined(open_)
                    open_ = {}
                open_[number] = scanned.source, readings
                if len(open_) == len(self._pages):
                    yield self._joined(open_)
                    open_ = {}
        if open_:
            yield self._joined(open_)

    def _of_page(self, scanned: ScannedPage, seen: dict[str, str]) -> FormAnswer | tuple[int, list[FieldReading]]:
        if scanned.image is None:
            return FormAnswer([scanned.source], problem=scanned.problem)
        digest = hashlib.sha256(scanned.image.tobytes()).hexdigest()
        if digest in seen:
            return FormAnswer([scanned.source], problem=f"the same picture as {seen[digest]}")
        seen[digest] = scanned.source
        try:
            return self.read_page(scanned.image)
        except AlignmentError as error:
            return FormAnswer([scanned.source], problem=str(error))

    def _joined(self, pages: dict[int, tuple[str, list[FieldReading]]]) -> FormAnswer:
        readings = [reading for number in sorted(pages) for reading in pages[number][1]]
        answer = FormAnswer([pages[number][0] for number in sorted(pages)], with_rules(self.form, readings))
        missing = [str(number + 1) for number in range(len(self._pages)) if number not in pages]
        if missing:
            answer.problem = f"page {', '.join(missing)} is missing"
        return answer

    def _with_unique(self, answer: FormAnswer, taken: dict[tuple[str, str], str]) -> FormAnswer:
        """Return an answer whose values that must be unique, and an earlier form has, are rejected."""
        for place, reading in enumerate(answer.readings):
            if reading.name in self._unique and reading.text:
                first = taken.setdefault((reading.name, reading.text), " ".join(answer.sources))
                if first != " ".join(answer.sources):
                    problem = reading.problem or f"the same as in {first}"
                    answer.readings[place] = replace(reading, accepted=False, problem=problem)
        return answer
