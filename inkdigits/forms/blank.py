"""A template's beginning: the blank page, from itself or from filled copies, and proposals for its fields."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from inkdigits.arrays import Box, GrayImage
from inkdigits.errors import FormError
from inkdigits.files.documents import pages_of
from inkdigits.files.storage import cannot_write, whole_file, whole_folder
from inkdigits.forms.alignment import Aligner, AlignmentError
from inkdigits.forms.boxes import NEAR_PX, empty_boxes, neighbours, straightened
from inkdigits.forms.read import documents_in
from inkdigits.forms.ruling import straight_table
from inkdigits.forms.template import Form, FormField, Page, save_form
from inkdigits.reading.geometry import resized

LONGEST_PX = 3600  # of a reference picture: A4 at 300 dpi
LEAST_COPIES = 3
# Percentile of each pixel over the copies, and over three of them: lighter than the median, for in boxes of one digit
# most copies have ink at one place. With the median 24 of 54 fields of an election form are right, with 75 and 85 it
# is 45 and 46 (six copies).
COMMON, COMMON_OF_THREE = 75, 100
COMB_ASPECT = 1.5  # boxes of a comb are no wider for their height


@dataclass(frozen=True)
class Proposal:
    """A field that a page seems to have.

    Attributes:
        box: x, y, width, height in pixels.
        layout: "line", "comb", "table", or "mark" for a tick box.
        rows, columns: of a table; of a comb, `columns` is its boxes.
    """

    box: Box
    layout: str
    rows: int = 1
    columns: int = 1


def new_form(folder: Path, sources: Sequence[str | Path], filled: bool = False, title: str = "") -> Form:
    """Make a template without fields yet; its fields are drawn in the browser, or written into form.json.

    Args:
        folder: a new one.
        sources: the blank form, a page a picture or a PDF's page; or filled copies of one page.
        filled: whether they are copies. What is printed is what most of them have in common; of one copy, its lines.
        title: for people.

    Raises:
        InputError: a file is missing or cannot be read (ImageError).
        FormError: two copies, one that is no ruled table, or they do not lie on each other.
        OutputError: the folder exists or cannot be written.
    """
    images: list[GrayImage] = []
    for file in documents_in(sources):
        for page in pages_of(str(file)):
            image = page.load()
            images.append(resized(image, min(1.0, LONGEST_PX / max(image.shape))))
    blanks = [print_of_copies(images)] if filled else images
    try:
        if folder.exists() and any(folder.iterdir()):
            raise FormError(f"{folder}: exists and is not empty; name a new folder")
        with whole_folder(folder) as new:
            described = [_kept(new, number, blank) for number, blank in enumerate(blanks, 1)]
            form = Form(title=title or folder.name, pages=tuple(described), fields=())
            save_form(form, new / "form.json")
    except OSError as error:
        raise cannot_write(folder, error) from None
    return form


def _kept(folder: Path, number: int, blank: GrayImage) -> Page:
    name = f"page-{number}.png"
    with whole_file(folder / name) as file:
        Image.fromarray(blank).save(file, "PNG")
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return Page(picture=name, width=blank.shape[1], height=blank.shape[0], sha256=digest)


def print_of_copies(copies: Sequence[GrayImage]) -> GrayImage:
    """Return what is printed on a page of which there are filled copies: of one copy its lines, if it is a table.

    Args:
        copies: uint8 (H, W) each, one, three or more.

    Raises:
        FormError: fewer, one does not lie on the first, or the only one is no table.
    """
    if len(copies) > 1:
        return common_print(copies)
    table = straight_table(copies[0])
    if table is None:
        raise FormError(
            f"one filled copy shows what is printed only if it is a ruled table; give {LEAST_COPIES} or more"
        )
    return table


def common_print(copies: Sequence[GrayImage]) -> GrayImage:
    """Return what filled copies of a page have in common, all laid on the first one, straightened.

    Args:
        copies: uint8 (H, W) each, three or more.

    Raises:
        FormError: fewer, or one does not lie on the first.
    """
    if len(copies) < LEAST_COPIES:
        raise FormError(f"{len(copies)} filled copies; {LEAST_COPIES} or more show what is printed")
    first = straightened(copies[0])
    aligner = Aligner(first, [])
    laid = [first]
    for number, copy in enumerate(copies[1:], 2):
        try:
            # Handwriting differs, so the share of print in its place says nothing here.
            laid.append(aligner.align(copy, check=False).flat(copy, aligner.size))
        except AlignmentError as error:
            raise FormError(f"copy {number} does not lie on the first one ({error})") from None
    share = COMMON if len(laid) > LEAST_COPIES else COMMON_OF_THREE
    return np.asarray(np.percentile(np.stack(laid), share, axis=0), np.uint8)


def proposals(page: GrayImage) -> list[Proposal]:
    """Return the fields that boxes printed on a blank page uint8 (H, W) seem to be, from the top down."""
    boxes = empty_boxes(page)
    found = [proposal for group in neighbours(boxes) for proposal in _as_fields(group)]
    return sorted(found, key=lambda each: (each.box[1], each.box[0]))


def _as_fields(group: list[Box]) -> list[Proposal]:
    """Return the fields of boxes that share sides: runs of columns as wide as each other, and as many boxes down."""
    columns: dict[int, list[Box]] = {}
    for box in sorted(group):
        key = next((x for x in columns if abs(x - box[0]) <= NEAR_PX), box[0])
        columns.setdefault(key, []).append(box)
    runs: list[list[list[Box]]] = []
    for column in columns.values():
        column.sort(key=lambda box: box[1])
        for part in _even(column):
            last = runs[-1][-1] if runs else None
            if last is not None and _matches(last, part):
                runs[-1].append(part)
            else:
                runs.append([part])
    return [_as_field(run) for run in runs]


def _even(column: Iterable[Box]) -> list[list[Box]]:
    """Return a column's boxes in runs that are as high as each other and follow without a gap."""
    parts: list[list[Box]] = []
    for box in column:
        last = parts[-1][-1] if parts else None
        if last and abs(box[3] - last[3]) <= NEAR_PX and box[1] - last[1] - last[3] <= NEAR_PX:
            parts[-1].append(box)
        else:
            parts.append([box])
    return parts


def _matches(left: list[Box], right: list[Box]) -> bool:
    """Say whether two columns are parts of one grid."""
    return len(left) == len(right) and all(
        abs(a[1] - b[1]) <= NEAR_PX and abs(a[2] - b[2]) <= NEAR_PX and abs(a[3] - b[3]) <= NEAR_PX
        and 0 <= b[0] - a[0] - a[2] <= NEAR_PX
        for a, b in zip(left, right, strict=True)
    )  # fmt: skip


def _as_field(run: list[list[Box]]) -> Proposal:
    first, last = run[0][0], run[-1][-1]
    box = (first[0], first[1], last[0] + last[2] - first[0], last[1] + last[3] - first[1])
    rows, columns = len(run[0]), len(run)
    if rows == columns == 1:
        is_square = max(first[2:]) < COMB_ASPECT * min(first[2:])
        return Proposal(box, "mark" if is_square else "line")
    if rows == 1 and first[2] < COMB_ASPECT * first[3]:
        return Proposal(box, "comb", 1, columns)
    return Proposal(box, "table", rows, columns)


def as_field(proposal: Proposal, name: str, page: int) -> FormField:
    """Return a proposal as a field of a template."""
    kind = "mark" if proposal.layout == "mark" else "digits" if proposal.layout == "comb" else "integer"
    stored: dict[str, object] = {"name": name, "page": page, "box": proposal.box, "type": kind}
    if proposal.layout == "comb":
        stored |= {"layout": "comb", "cells": proposal.columns}
    if proposal.layout == "table":
        stored |= {"layout": "table", "rows": proposal.rows, "columns": proposal.columns}
    return FormField.model_validate(stored)
