"""A form's template: its pages, its fields with their constraints, and the rules between them, as `form.json`."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from pkgutil import walk_packages
from typing import Annotated, Any, Literal, TypeAlias

import re2
import stdnum
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inkdigits.arrays import GrayImage
from inkdigits.errors import FormError, reason
from inkdigits.files.images import read_image
from inkdigits.files.storage import write_whole
from inkdigits.forms import rules

VERSION: Literal[1] = 1
NAME = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
MOST_FIELDS = 5000  # on a form, cells of tables counted one by one
MOST_DIGITS = 30
LEAST_SIDE_PX = 4  # of a field, a cell of a table, a box of a comb
# A table becomes a sheet of a workbook, whose names have at most 31 letters; these are taken.
SHEETS = ("forms", "fields", "rejected", "history")
LONGEST_SHEET = 31

Name: TypeAlias = Annotated[str, Field(pattern=NAME)]
Pixels: TypeAlias = Annotated[int, Field(ge=0, le=100_000)]
Side: TypeAlias = Annotated[int, Field(ge=LEAST_SIDE_PX, le=100_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Constraints(_Strict):
    """What a field's value must be, under the names of Frictionless Table Schema.

    Attributes:
        required: an empty field breaks the rule.
        minimum, maximum: of the value.
        minLength, maxLength: of the text, in characters.
        pattern: a regular expression (RE2) that the whole text matches.
        enum: the texts that are allowed.
        unique: no two forms have the same value.
    """

    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    minLength: int | None = Field(default=None, ge=0, le=MOST_DIGITS)
    maxLength: int | None = Field(default=None, ge=1, le=MOST_DIGITS)
    pattern: str | None = Field(default=None, max_length=200)
    enum: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=1000)
    unique: bool = False

    @field_validator("pattern")
    @classmethod
    def _is_a_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re2.compile(value)
            except re2.error as error:
                raise ValueError(f"no regular expression that RE2 takes ({reason(error)})") from None
        return value

    @model_validator(mode="after")
    def _can_be_met(self) -> "Constraints":
        for low, high in (("minimum", "maximum"), ("minLength", "maxLength")):
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and least > most:
                raise ValueError(f"{low} {least:g} is above {high} {most:g}: no value can meet both")
        return self


class FormField(_Strict):
    """A place on a page and what is written there.

    Attributes:
        name: letters, digits and _; of its cells, those of a table are called name_ROW_COLUMN, from 1 on.
        page: its number, from 0 on.
        box: x, y, width, height in pixels of the page's reference picture.
        layout: "line", a value written freely; "comb", one character in each of `cells` equal parts; "table", `rows` x
            `columns` equal cells, each with a value.
        type: integer, decimal, date (DDMMYYYY as digits), digits (an id: zeros in front count), mark (a tick box).
        decimals: digits behind a decimal point that is printed or left out.
        check: a format of python-stdnum that the value must have, such as "luhn".
    """

    name: Name
    page: int = Field(default=0, ge=0)
    box: tuple[Pixels, Pixels, Side, Side]
    layout: Literal["line", "comb", "table"] = "line"
    cells: int | None = Field(default=None, ge=1, le=MOST_DIGITS)
    rows: int | None = Field(default=None, ge=1, le=500)
    columns: int | None = Field(default=None, ge=1, le=100)
    type: Literal["integer", "decimal", "date", "digits", "mark"] = "integer"
    constraints: Constraints = Constraints()
    decimals: int = Field(default=0, ge=0, le=9)
    check: str | None = Field(default=None, pattern=r"^[a-z0-9_.]{1,40}$")

    @model_validator(mode="after")
    def _is_complete(self) -> "FormField":
        if self.layout == "comb" and self.cells is None:
            raise ValueError("a comb needs `cells`, how many characters it has room for")
        if self.layout == "table" and (self.rows is None or self.columns is None):
            raise ValueError("a table needs `rows` and `columns`")
        across = self.columns if self.layout == "table" else self.cells if self.layout == "comb" else 1
        down = self.rows if self.layout == "table" else 1
        if self.box[2] < LEAST_SIDE_PX * (across or 1) or self.box[3] < LEAST_SIDE_PX * (down or 1):
            raise ValueError(f"its cells are less than {LEAST_SIDE_PX} pixels wide or high")
        if self.layout == "table" and (len(self.name) > LONGEST_SHEET or self.name.lower() in SHEETS):
            raise ValueError(f"a table's name has at most {LONGEST_SHEET} letters and is none of {', '.join(SHEETS)}")
        if self.check is not None and self.check not in check_names():
            raise ValueError(
                f"check {self.check!r} is no format of python-stdnum, such as luhn, isbn, iso7064.mod_11_10"
            )
        return self

    def parts(self) -> Iterator["FormField"]:
        """Yield the field, or the cells of a table as fields of their own."""
        if self.layout != "table":
            yield self
            return
        n_rows, n_columns = self.rows or 0, self.columns or 0
        x, y, width, height = self.box
        for row in range(n_rows):
            for column in range(n_columns):
                left, top = x + round(column * width / n_columns), y + round(row * height / n_rows)
                right, bottom = (
                    x + round((column + 1) * width / n_columns),
                    y + round((row + 1) * height / n_rows),
                )
                yield self.model_copy(
                    update={
                        "name": f"{self.name}_{row + 1}_{column + 1}",
                        "box": (left, top, right - left, bottom - top),
                        "layout": "line",
                        "rows": None,
                        "columns": None,
                    }
                )


class Page(_Strict):
    """A page of the blank form.

    Attributes:
        picture: the file of its reference picture, in the folder of form.json.
        width, height: of that picture in pixels.
        sha256: of the file.
    """

    picture: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,120}$")
    width: int = Field(ge=64, le=20_000)
    height: int = Field(ge=64, le=20_000)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Form(_Strict):
    """A template.

    Attributes:
        version: of this format.
        title: for people.
        pages: at least one.
        fields: their names differ, by more than capitals, cells of tables included.
        rules: such as "total == a + b" or "end >= start": of names of fields; of a table, sum(name) is the sum of all
            its cells, and column(name, 2) or row(name, 1) of some.
    """

    version: Literal[1] = VERSION
    title: str = Field(default="", max_length=200)
    pages: tuple[Page, ...] = Field(min_length=1, max_length=200)
    fields: tuple[FormField, ...] = Field(max_length=MOST_FIELDS)
    rules: tuple[str, ...] = Field(default=(), max_length=500)

    @model_validator(mode="after")
    def _fits_together(self) -> "Form":
        if sum((field.rows or 1) * (field.columns or 1) for field in self.fields) > MOST_FIELDS:
            raise ValueError(f"more than {MOST_FIELDS:,} fields, cells of tables included")
        parts = [part.name for part in self.parts()]
        names = Counter(name.lower() for name in (*parts, *self.tables()))
        twice = [name for name, n in names.items() if n > 1]
        if twice:
            raise ValueError(f"fields[{twice[0]}]: two fields have this name")
        for field in self.fields:
            if field.page >= len(self.pages):
                raise ValueError(f"fields[{field.name}]: there is no page {field.page}; the first is 0")
            x, y, width, height = field.box
            page = self.pages[field.page]
            if x + width > page.width or y + height > page.height:
                raise ValueError(f"fields[{field.name}]: its box lies outside page {field.page}")
        for number, rule in enumerate(self.rules):
            try:
                rules.check(rule, self.tables(), parts)
            except ValueError as error:
                raise ValueError(f"rules[{number}]: {error}") from None
        return self

    def parts(self, page: int | None = None) -> list[FormField]:
        """Return all fields, tables as their cells; those of one page where it is given."""
        return [part for field in self.fields if page in (None, field.page) for part in field.parts()]

    def tables(self) -> dict[str, tuple[int, int]]:
        """Return the rows and columns of each table."""
        return {f.name: (f.rows or 0, f.columns or 0) for f in self.fields if f.layout == "table"}


@cache
def check_names() -> frozenset[str]:
    """Return the names of python-stdnum's formats, such as luhn or nl.bsn."""
    return frozenset(each.name.removeprefix("stdnum.") for each in walk_packages(stdnum.__path__, "stdnum."))


def load_form(path: str | Path) -> Form:
    """Return the template in a file or in the folder that holds it as form.json.

    Raises:
        FormError: it is missing, no template, or breaks a condition; the first place is named.
    """
    file = Path(path) / "form.json" if Path(path).is_dir() else Path(path)
    try:
        return Form.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise FormError(f"{file}: no such form; `inkdigits form demo FOLDER` makes one to look at") from None
    except OSError as error:
        raise FormError(f"{file}: cannot be read ({reason(error)})") from None
    except ValidationError as error:
        raise FormError(f"{file}: {first_problem(error)}") from None


def fingerprint(form: Form) -> str:
    """Return the SHA-256 of a template, its pictures included."""
    return hashlib.sha256(form.model_dump_json().encode()).hexdigest()


def first_problem(error: ValidationError) -> str:
    """Return where the first thing is that is wrong with a template, and what, in one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(each) for each in first["loc"])
    message = str(first["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def save_form(form: Form, path: Path) -> None:
    """Write a template, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    text = json.dumps(form.model_dump(mode="json", exclude_defaults=True) | {"version": form.version}, indent=1)
    write_whole(str(path), lambda file: file.write(text.encode() + b"\n"))


def load_picture(form: Form, folder: Path, page: int) -> GrayImage:
    """Return the reference picture of a page, uint8 (height, width).

    Raises:
        FormError: the picture has changed since the template was made.
        ImageError: it cannot be read.
    """
    wanted = form.pages[page]
    path = folder / wanted.picture
    image = read_image(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != wanted.sha256:
        raise FormError(
            f"{path}: not the picture that form.json was made for (its sha256 differs); make the form again"
        )
    if image.shape != (wanted.height, wanted.width):
        raise FormError(f"{path}: {image.shape[1]} x {image.shape[0]} pixels, not {wanted.width} x {wanted.height}")
    return image


def schema() -> dict[str, Any]:
    """Return the JSON Schema of form.json."""
    return Form.model_json_schema()
