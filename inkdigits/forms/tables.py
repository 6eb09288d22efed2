"""Tables without a template: the boxes that lines enclose, or numbers that stand one below the other, as a grid."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from inkdigits.arrays import Box, GrayImage
from inkdigits.forms.boxes import neighbours, printed_boxes, straightened
from inkdigits.reading.reader import Reader

LEAST_ROWS, LEAST_COLUMNS = 2, 2  # of a ruled table; fewer boxes are a comb or a frame


@dataclass(frozen=True)
class Cell:
    """What is written in a cell.

    Attributes:
        text: "" where nothing is, or where no number is to be read.
        confidence: 0 to 1.
        accepted: whether it needs no review.
    """

    text: str = ""
    confidence: float = 1.0
    accepted: bool = True


Grid: TypeAlias = list[list[Cell]]


def read_tables(page: GrayImage, reader: Reader) -> list[Grid]:
    """Return the tables of a page uint8 (H, W), from the top down; rows are equally long.

    Where lines enclose cells, these are read one by one; else the page's rows are read, and what stands one below the
    other is a column.
    """
    page = straightened(page)
    ruled = [_places(group) for group in neighbours(printed_boxes(page))]
    ruled = [grid for grid in ruled if len(grid) >= LEAST_ROWS and len(grid[0]) >= LEAST_COLUMNS]
    if ruled:
        return [_read_cells(page, grid, reader) for grid in sorted(ruled, key=_top)]
    aligned = _aligned(page, reader)
    return [aligned] if aligned else []


def _top(grid: Sequence[Sequence[Box | None]]) -> int:
    return min(box[1] for row in grid for box in row if box)


def _places(boxes: Sequence[Box]) -> list[list[Box | None]]:
    """Return boxes that share sides in rows and columns; None where a grid has none."""
    rows = _bands([(y, y + height) for _, y, _, height in boxes])
    columns = _bands([(x, x + width) for x, _, width, _ in boxes])
    grid: list[list[Box | None]] = [[None] * (max(columns) + 1) for _ in range(max(rows) + 1)]
    for box, row, column in zip(boxes, rows, columns, strict=True):
        grid[row][column] = box
    return grid


def _bands(spans: Sequence[tuple[float, float]]) -> list[int]:
    """Return for each span the number of the band it lies in: spans of one band overlap by half of the shorter."""
    found = [0] * len(spans)
    band, low, high = -1, 0.0, -1.0
    for place in sorted(range(len(spans)), key=lambda i: sum(spans[i])):
        start, end = spans[place]
        if band < 0 or min(end, high) - max(start, low) < 0.5 * min(end - start, high - low):
            band, low, high = band + 1, start, end
        found[place] = band
    return found


def _read_cells(page: GrayImage, grid: Sequence[Sequence[Box | None]], reader: Reader) -> Grid:
    places = [(i, j, box) for i, row in enumerate(grid) for j, box in enumerate(row) if box]
    readings = reader.read_regions(page, [box for _, _, box in places], "number")
    cells: Grid = [[Cell() for _ in row] for row in grid]
    for (i, j, _), reading in zip(places, readings, strict=True):
        is_empty = not reading.text and not reading.left_out
        cells[i][j] = Cell() if is_empty else Cell(reading.text, reading.confidence, reading.accepted)
    return cells


def _aligned(page: GrayImage, reader: Reader) -> Grid:
    lines = [line for line in reader.read_page(page).lines if line.numbers]
    numbers = [(row, line, number) for row, line in enumerate(lines) for number in line.numbers]
    if not numbers:
        return []
    columns = _bands([(n.box[0], n.box[0] + n.box[2]) for _, _, n in numbers])
    cells: Grid = [[Cell() for _ in range(max(columns) + 1)] for _ in lines]
    for (row, line, number), column in zip(numbers, columns, strict=True):
        before = cells[row][column].text
        cells[row][column] = Cell(f"{before} {number.text}".strip(), line.confidence, line.accepted)
    return cells


def as_csv(tables: Iterable[Grid]) -> str:
    """Return tables as CSV, an empty line between two; a question mark follows what is rejected."""
    text = io.StringIO()
    for number, table in enumerate(tables):
        if number:
            text.write("\n")
        csv.writer(text, lineterminator="\n").writerows(
            [cell.text + ("" if cell.accepted else "?") for cell in row] for row in table
        )
    return text.getvalue()


def as_xlsx(pages: Sequence[tuple[str, Sequence[Grid]]]) -> bytes:
    """Return a workbook with a sheet a table; cells to review are coloured, with a note.

    Args:
        pages: name and tables of each.

    Raises:
        MissingExtraError: the extra `forms` is not installed.
    """
    from inkdigits.errors import naming_missing_extra

    with naming_missing_extra():
        import xlsxwriter
    stored = io.BytesIO()
    book = xlsxwriter.Workbook(stored, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    doubt = book.add_format({"bg_color": "#FFE2B8"})
    index = book.add_worksheet("tables")
    index.write_row(0, 0, ["sheet", "picture", "rows", "columns"])
    tables = [(name, table) for name, found in pages for table in found]
    for number, (name, table) in enumerate(tables, 1):
        index.write_row(number, 0, [str(number), name, len(table), len(table[0])])
        sheet = book.add_worksheet(str(number))
        for i, row in enumerate(table):
            for j, cell in enumerate(row):
                _write(sheet, i, j, cell, None if cell.accepted else doubt)
    book.close()
    return stored.getvalue()


def _write(sheet: Any, row: int, column: int, cell: Cell, style: Any) -> None:
    try:
        sheet.write_number(row, column, float(cell.text.replace(",", ".")), style)
    except ValueError:
        sheet.write(row, column, cell.text, style)  # a blank where nothing is
    if style:
        sheet.write_comment(row, column, f"confidence {cell.confidence:.0%}")
